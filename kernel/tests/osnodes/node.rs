//! One OSnode: a kernel over an arena, a client, and what a monitor does with its agreement machine.

use std::cell::RefCell;
use std::collections::BTreeMap;

use abi::{CapAddr, Op, SysError, Syscall, slots};
use capfmt::{
    Cap, CapType, Cte, DcbState, Kcb, MdbFlags, Notification, OsnodeId, PhysAddr, RawCap, mdb,
};
use kernel::RoundRobin;
use monitor::agree::{Agent, Gift, Kernel, Nodes, Object, OpId, Refusal, Remote, Shipped};

use crate::support::machine::TestMachine;
use crate::support::process::Process;
use crate::support::world::{DCB, KCB, NOTIFICATION, RAM, World, fresh_machine, slot_at};

type W = World<RoundRobin>;

/// Bytes of each arena: the OSnode's own, then the pool.
const BYTES: u64 = 0x14_0000;
/// Memory that all OSnodes may come to hold.
pub const POOL: u64 = 0x22_0000;
/// Bytes of it for each OSnode at first.
pub const SHARE: u64 = 0x8000;
/// Root slot of the CNode for capabilities to the pool, the monitor's and the client's.
const SHELF: u32 = 5;
/// Root slot of the CNode that memory comes back to.
const BACK: u32 = 6;
/// Slots of the shelf that the client uses; the monitor keeps what leaves behind them.
pub const SLOTS: u32 = 40;
const ROOT: CapAddr = slots::ROOT_CNODE;

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// Slot `k` of the shelf.
pub fn shelf(k: u32) -> CapAddr {
    CapAddr::new(SHELF, k)
}

/// Capabilities of one OSnode, as its monitor asks for them.
pub struct Local {
    pub w: RefCell<W>,
    /// Dispatchers whose calls wait for operations.
    pub calls: BTreeMap<OpId, u64>,
    /// Copies that operations move away.
    pub leaving: BTreeMap<OpId, u32>,
    /// How many capabilities the machine has brought.
    pub came: u64,
    marked: BTreeMap<OpId, Object>,
    locked: BTreeMap<OpId, Object>,
}

/// An OSnode.
pub struct Node {
    pub me: OsnodeId,
    pub local: Local,
    pub agent: Agent<Shipped>,
    pub kept: bool,
    client: Process,
    number: u64,
    drops: u64,
}

fn rename(m: &mut TestMachine, id: u64) {
    KCB.set_osnode(m, id);
    KCB.set_peer(m, 0, id);
    Notification(NOTIFICATION).set_osnode(m, id);
    let sum = Kcb::compute_checksum(KCB, m);
    KCB.set_checksum(m, sum);
}

impl Node {
    /// OSnode `id` among `others`; its client holds its share of the pool.
    pub fn new(id: u64, others: &[OsnodeId]) -> Node {
        let mut m = fresh_machine(BYTES);
        rename(&mut m, id);
        let mut w = W::adopt(m);
        w.make(CapType::CNode, 8, 0x1_0000, 0, 1, CapAddr::root(SHELF));
        w.make(CapType::CNode, 8, 0x1_4000, 0, 1, CapAddr::root(BACK));
        let client = w.spawn(0);
        w.copy(CapAddr::root(SHELF), client.root, CapAddr::root(SHELF));
        w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
        w.ok(Op::MonitorBind, slots::KERNEL, &[5]);
        w.ok(Op::ReclaimBind, slots::KERNEL, &[n(CapAddr::root(BACK)), 6]);
        // Nothing is above what the OSnode has; the pool begins behind it.
        mdb::clear(&mut w.m, KCB, slot_at(slots::RAM));
        let share = Cap::region(CapType::Ram, PhysAddr(POOL + (id - 1) * SHARE), SHARE);
        mdb::place(&mut w.m, KCB, Node::cte(0), &share);
        w.start(&client);
        monitor_runs(&mut w);
        Node {
            me: OsnodeId(id),
            local: Local {
                w: RefCell::new(w),
                calls: BTreeMap::new(),
                leaving: BTreeMap::new(),
                came: 0,
                marked: BTreeMap::new(),
                locked: BTreeMap::new(),
            },
            agent: Agent::new(OsnodeId(id), others, Shipped),
            kept: false,
            client,
            number: 0,
            drops: 0,
        }
    }

    fn cte(k: u32) -> Cte {
        Cte(RAM.add(0x1_0000 + 64 * u64::from(k)))
    }

    /// A number for the next operation.
    pub fn next_op(&mut self) -> OpId {
        self.number += 1;
        OpId {
            origin: self.me,
            number: self.number,
        }
    }

    /// What stands in slot `k` of the shelf.
    pub fn cap(&self, k: u32) -> Cap {
        Node::cte(k).cap(&self.local.w.borrow().m)
    }

    /// A free slot of the shelf between these.
    pub fn free(&self, from: u32, end: u32) -> Option<u32> {
        (from..end).find(|k| self.cap(*k).kind == CapType::Null)
    }

    /// Whether the client waits for its monitor.
    pub fn client_waits(&self) -> bool {
        let w = self.local.w.borrow();
        self.client.dcb.state(&w.m) == DcbState::WaitingMonitor as u64
    }

    /// The client makes a call. While it waits, the monitor goes on.
    pub fn client_calls(&self, op: Op, cap: CapAddr, args: &[u64]) {
        let mut w = self.local.w.borrow_mut();
        let mut regs = [(op as u64) << 8, n(cap), 0, 0, 0, 0, 0, 0];
        regs[2..2 + args.len()].copy_from_slice(args);
        let until = w.m.counter.get() + 3_000_000;
        w.enter([Syscall::Wait as u64, until, 1, 0, 0, 0, 0, 0]);
        for _ in 0..1000 {
            if w.running() == Some(self.client.dcb) {
                break;
            }
            w.tick();
        }
        assert_eq!(w.running(), Some(self.client.dcb), "the client never runs");
        w.enter(regs);
        monitor_runs(&mut w);
    }

    /// The call that waits, if it is not yet an operation: dispatcher, operation, object, what it makes, how many.
    pub fn pending(&self) -> Option<(u64, Op, Object, Option<Object>, u32)> {
        let mut w = self.local.w.borrow_mut();
        let r = w.ok(Op::CapPending, slots::KERNEL, &[0, 0]);
        let (id, op) = (r[1], Op::from_u8(r[2] as u8)?);
        if id == 0 || self.local.calls.values().any(|d| *d == id) {
            return None;
        }
        let object = |r: &[u64; 8]| RawCap([r[3], r[4], r[5], r[6]]).parse();
        let target = Object::of(&object(&r)?);
        let c = w.ok(Op::CapPending, slots::KERNEL, &[id, 1]);
        let child = object(&c).filter(|c| c.kind != CapType::Null);
        Some((
            id,
            op,
            target,
            child.map(|c| Object::of(&c)),
            (r[2] >> 16) as u32,
        ))
    }

    /// Ends a call of the client.
    pub fn answer(&self, dispatcher: u64, outcome: Result<(), Refusal>) {
        let args = match outcome {
            Ok(()) => [dispatcher, 1, 0],
            Err(_) => [dispatcher, 2, SysError::TryLater as u64],
        };
        let mut w = self.local.w.borrow_mut();
        w.ok(Op::CapAnswer, slots::KERNEL, &args);
    }

    /// Whether something shared went away since the last look.
    pub fn dropped(&mut self) -> bool {
        let now = KCB.shared_drops(&self.local.w.borrow().m);
        now != std::mem::replace(&mut self.drops, now)
    }

    /// Another kernel runs it from now on.
    pub fn update(&mut self) {
        let m = self.local.w.borrow().m.clone();
        let mut w = W::adopt(m);
        monitor_runs(&mut w);
        self.local.w.replace(w);
    }

    /// Everything held of the pool: capabilities, with their owners and whether they are marked.
    pub fn held(&self) -> Vec<(Cte, Cap, OsnodeId)> {
        let w = self.local.w.borrow();
        let all = w.caps().into_iter();
        all.filter(|(_, c)| c.kind.info().class == capfmt::schema::Class::Physical)
            .filter(|(_, c)| c.base.0 >= POOL && c.base.0 < PhysAddr::NULL.0 + POOL + 16 * SHARE)
            .map(|(cte, c)| {
                let owner = KCB.peer(&w.m, cte.node(&w.m).owner.into());
                (cte, c, OsnodeId(owner))
            })
            .collect()
    }
}

/// Lets the client run, which waits for nothing much, until it is the monitor's turn.
fn monitor_runs(w: &mut W) {
    for _ in 0..100_000 {
        match w.running() {
            Some(DCB) => return,
            Some(_) => {
                let until = w.m.counter.get() + 1000;
                w.enter([Syscall::Wait as u64, until, 32, 0, 0, 0, 0, 0]);
            }
            None => w.tick(),
        }
    }
    panic!("the monitor never runs again");
}

fn refusal(code: u64) -> Refusal {
    match SysError::from_code(code as u16) {
        Some(SysError::Overlaps) => Refusal::Overlaps,
        Some(SysError::StillInUse) => Refusal::StillInUse,
        Some(SysError::TableFull | SysError::SlotInUse) => Refusal::NoSpace,
        Some(SysError::NoCapability | SysError::InDelete) => Refusal::NoSuch,
        _ => Refusal::BadArgument,
    }
}

impl Local {
    fn ask(&self, op: Op, object: &Object, more: u64) -> [u64; 8] {
        let [a, b, c, d] = object.cap().emit().0;
        let mut w = self.w.borrow_mut();
        w.op(op, slots::KERNEL, &[a, b, c, d, more])
    }
    fn must(&self, op: Op, object: &Object, more: u64) {
        let code = self.ask(op, object, more)[0];
        let gone = code == SysError::NoCapability as u64;
        assert!(code == 0 || gone, "{op:?} of {object:x?}: {code}");
    }
}

impl Kernel for Local {
    fn owner(&self, object: &Object) -> Option<OsnodeId> {
        let r = self.ask(Op::CapOwner, object, 0);
        (r[0] == 0 && r[1] != 0).then_some(OsnodeId(r[2]))
    }
    fn overlapping(&self, object: &Object) -> Vec<(Object, OsnodeId)> {
        let (mut all, mut cursor) = (Vec::new(), Cap::NULL);
        loop {
            let class = object.cap().kind.info().class as u64;
            let how = class | (cursor.kind as u64) << 8 | u64::from(cursor.param) << 32;
            let range = [object.base(), object.end(), how];
            let after = [cursor.base.0, cursor.size, cursor.extra];
            let args = [range, after].concat();
            let r = self.w.borrow_mut().op(Op::CapNext, slots::KERNEL, &args);
            if r[0] != 0 {
                assert_eq!(r[0], SysError::NoCapability as u64);
                return all;
            }
            cursor = RawCap([r[1], r[2], r[3], r[4]]).parse().expect("words");
            if r[7] != 0 && !cursor.kind.info().reference {
                all.push((Object::of(&cursor), OsnodeId(r[5])));
            }
        }
    }
    fn orphans(&self, living: &Nodes) -> Vec<Object> {
        let pool = Cap::region(CapType::Ram, PhysAddr(POOL), 16 * SHARE);
        let all = self.overlapping(&Object::of(&pool)).into_iter();
        all.filter(|(_, owner)| !living.contains(owner))
            .map(|(o, _)| o)
            .collect()
    }
    fn insert(
        &mut self,
        _: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Result<(), Refusal> {
        self.came += 1;
        let mut w = self.w.borrow_mut();
        let free = |k: &u32| Node::cte(*k).cap(&w.m).kind == CapType::Null;
        let to = (0..SLOTS).find(free).ok_or(Refusal::NoSpace)?;
        let mut cap = object.cap();
        cap.rights = gift.rights;
        let [a, b, c, d] = cap.emit().0;
        let args = [a, b, c, d, owner.0, n(shelf(to))];
        match w.op(Op::CapImport, slots::KERNEL, &args)[0] {
            0 => Ok(()),
            code => Err(refusal(code)),
        }
    }
    fn create(&mut self, op: OpId, _: &Object, _: &Object, _: u32) -> Result<(), Refusal> {
        self.came += 1;
        let dispatcher = self.calls.remove(&op).ok_or(Refusal::NoSuch)?;
        let mut w = self.w.borrow_mut();
        let r = w.op(Op::CapAnswer, slots::KERNEL, &[dispatcher, 0]);
        match r[0] | r[1] {
            0 => Ok(()),
            _ => Err(refusal(r[0].max(r[1]))),
        }
    }
    fn remove(&mut self, op: OpId, object: &Object) -> bool {
        if let Some(k) = self.leaving.remove(&op) {
            let args = [n(shelf(k))];
            let code = self.w.borrow_mut().op(Op::CapRemove, slots::KERNEL, &args)[0];
            // A revoke may have been faster.
            assert!(code == 0 || code == SysError::NoCapability as u64, "{code}");
        }
        self.owner(object).is_some()
    }
    fn set_owner(&mut self, object: &Object, owner: OsnodeId) {
        self.must(Op::CapSetOwner, object, owner.0);
    }
    fn set_remote(&mut self, object: &Object, r: Remote) {
        let bits =
            u64::from(r.copies) | u64::from(r.ancestors) << 1 | u64::from(r.descendants) << 2;
        self.must(Op::CapSetRemote, object, bits);
    }
    fn lock(&mut self, op: OpId, object: &Object) {
        self.locked.insert(op, *object);
        self.must(Op::CapLock, object, 1);
    }
    fn unlock(&mut self, op: OpId) {
        if let Some(object) = self.locked.remove(&op) {
            self.must(Op::CapLock, &object, 0);
        }
    }
    fn mark(&mut self, op: OpId, object: &Object, keep: bool) -> Result<(), Refusal> {
        let keep = match (keep, self.calls.get(&op)) {
            (false, _) => 0,
            (true, None) => 1,
            (true, Some(dispatcher)) => dispatcher + 2,
        };
        match self.ask(Op::CapMark, object, keep)[0] {
            0 => {}
            code => return Err(refusal(code)),
        }
        self.marked.insert(op, *object);
        Ok(())
    }
    fn unmark(&mut self, op: OpId) {
        if let Some(object) = self.marked.remove(&op) {
            self.must(Op::CapUnmark, &object, 0);
        }
    }
    fn sweep(&mut self, op: OpId) -> bool {
        if let Some(object) = self.marked.remove(&op) {
            self.must(Op::CapSweep, &object, 0);
        }
        true
    }
}

/// Deletes slot `k` of the shelf; whether it was there.
pub fn delete(node: &Node, k: u32) -> bool {
    let mut w = node.local.w.borrow_mut();
    w.op(Op::Delete, ROOT, &[n(shelf(k))])[0] == 0
}

/// Copies or moves slot `from` of the shelf to `to`.
pub fn put(node: &Node, op: Op, from: u32, to: u32) -> bool {
    let mut w = node.local.w.borrow_mut();
    // What is locked waits for the monitor, which calls here itself.
    let held = MdbFlags::LOCKED.0 | MdbFlags::MARKED.0;
    if Node::cte(from).node(&w.m).flags.0 & held != 0 {
        return false;
    }
    w.op(op, ROOT, &[n(shelf(from)), n(shelf(to)), 15])[0] == 0
}

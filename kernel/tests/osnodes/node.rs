//! One OSnode: a kernel over an arena, a client, and what its monitor asks of the kernel for the agreement machine.

use std::cell::RefCell;
use std::collections::BTreeMap;

use abi::{CapAddr, Op, SysError, Syscall, slots};
use capfmt::{
    Cap, CapType, Cte, DcbState, Kcb, MdbFlags, Notification, OsnodeId, PhysAddr, RawCap, mdb,
};
use kernel::RoundRobin;
use monitor::agree::{Agent, Object, OpId, Refusal};

use crate::judge::Making;
use crate::local::{AllBut, Local, Wrong};
use crate::reference::{Page, pages_of};

use crate::support::machine::TestMachine;
use crate::support::process::Process;
use crate::support::world::{
    DCB, KCB, NOTIFICATION, RAM, World, fresh_machine, live_area, slot_at,
};

pub type W = World<RoundRobin>;

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
/// Slots of the shelf that anything may stand in.
pub const ALL_SLOTS: u32 = 250;
/// The slot in which memory that became free is made RAM.
const SPARE: u32 = 251;
const ROOT: CapAddr = slots::ROOT_CNODE;

pub fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// Slot `k` of the shelf.
pub fn shelf(k: u32) -> CapAddr {
    CapAddr::new(SHELF, k)
}

/// An OSnode.
pub struct Node {
    pub me: OsnodeId,
    pub local: Local,
    pub agent: Agent<AllBut>,
    pub kept: bool,
    /// The call of the client that waits.
    pub making: Option<Making>,
    /// The slot that its waiting revoke names.
    pub revoking: Option<u32>,
    reclaimed: u64,
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
    pub fn new(id: u64, others: &[OsnodeId], rules: AllBut, wrong: Wrong) -> Node {
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
                log: Vec::new(),
                wrong,
                count: 0,
                marked: BTreeMap::new(),
                locked: BTreeMap::new(),
            },
            agent: Agent::new(OsnodeId(id), others, rules),
            kept: false,
            making: None,
            revoking: None,
            reclaimed: 0,
            client,
            number: 0,
            drops: 0,
        }
    }

    pub fn cte(k: u32) -> Cte {
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

    /// The client makes a call; what it comes to, or nothing while it waits for its monitor, which goes on.
    pub fn client_calls(&self, op: Op, cap: CapAddr, args: &[u64]) -> Option<u64> {
        let mut w = self.local.w.borrow_mut();
        let mut regs = [(op as u64) << 8, n(cap), 0, 0, 0, 0, 0, 0];
        regs[2..2 + args.len()].copy_from_slice(args);
        let pause = |w: &mut W| {
            let until = w.m.counter.get() + 3_000_000;
            w.enter([Syscall::Wait as u64, until, 1, 0, 0, 0, 0, 0]);
        };
        pause(&mut w);
        for _ in 0..1000 {
            if w.running() == Some(self.client.dcb) {
                break;
            }
            w.tick();
        }
        assert_eq!(w.running(), Some(self.client.dcb), "the client never runs");
        let area = w.area();
        w.enter(regs);
        let mut status = None;
        while self.client.dcb.state(&w.m) != DcbState::WaitingMonitor as u64 {
            match w.running() {
                Some(who) if who == self.client.dcb => {
                    status = Some(w.regs(area)[0]);
                    break;
                }
                Some(_) => pause(&mut w),
                None => w.tick(),
            }
        }
        monitor_runs(&mut w);
        status
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

    /// Ends a call of the client, who sees that.
    pub fn answer(&self, dispatcher: u64, outcome: Result<(), Refusal>) {
        let code = match outcome {
            Ok(()) => 0,
            Err(Refusal::NoSuch) => SysError::NoCapability as u64,
            Err(Refusal::Overlaps) => SysError::Overlaps as u64,
            Err(_) => SysError::TryLater as u64,
        };
        let how = if code == 0 { 1 } else { 2 };
        let mut w = self.local.w.borrow_mut();
        w.ok(Op::CapAnswer, slots::KERNEL, &[dispatcher, how, code]);
        let area = live_area(&w.m, self.client.page);
        assert_eq!(w.regs(area)[0], code, "what the client hears");
    }

    /// Pages that came back, if there are more than at the last look.
    pub fn came_back(&mut self) -> Option<Vec<Page>> {
        let w = self.local.w.borrow();
        let now = KCB.reclaimed(&w.m);
        if now == std::mem::replace(&mut self.reclaimed, now) {
            return None;
        }
        let caps = (0..256).map(|k| back(k).cap(&w.m));
        let ram = caps.filter(|c| c.kind != CapType::Null);
        let pages = ram.flat_map(|c| pages_of(c.base.0, c.base.0 + c.size));
        Some(pages.collect())
    }

    /// RAM that came back, by slot.
    pub fn ram(&self) -> Vec<(u32, Cap)> {
        let w = self.local.w.borrow();
        let caps = (0..256).map(|k| (k, back(k).cap(&w.m)));
        caps.filter(|(_, c)| c.kind != CapType::Null).collect()
    }

    /// Gives RAM that came back to the client.
    pub fn goes_out(&self, k: u32, to: u32) {
        let args = [n(CapAddr::new(BACK, k)), n(shelf(to)), 15];
        self.local.w.borrow_mut().ok(Op::Move, ROOT, &args);
    }

    /// Two pieces of RAM that came back, side by side, become one; whether they could.
    pub fn merge(&self, one: u32, other: u32) -> bool {
        let (one, other) = (CapAddr::new(BACK, one), CapAddr::new(BACK, other));
        let mut w = self.local.w.borrow_mut();
        w.op(Op::Merge, one, &[n(other)])[0] == 0
    }

    /// Bytes that nobody has any more are made RAM and deleted, as monitors do it: they come back.
    pub fn free_bytes(&self, base: u64, end: u64) {
        let ram = Cap::region(CapType::Ram, PhysAddr(base), end - base);
        let [a, b, c, d] = ram.emit().0;
        let mut w = self.local.w.borrow_mut();
        let args = [a, b, c, d, self.me.0, n(shelf(SPARE))];
        w.ok(Op::CapImport, slots::KERNEL, &args);
        w.ok(Op::CapSetRemote, slots::KERNEL, &[a, b, c, d, 0]);
        w.ok(Op::Delete, ROOT, &[n(shelf(SPARE))]);
    }

    /// Who owns what stands in slot `k`.
    pub fn owner(&self, k: u32) -> OsnodeId {
        let w = self.local.w.borrow();
        OsnodeId(KCB.peer(&w.m, Node::cte(k).node(&w.m).owner.into()))
    }

    /// Whether a monitor keeps the client from changing slot `k`.
    pub fn is_busy(&self, k: u32) -> bool {
        let w = self.local.w.borrow();
        let busy = MdbFlags::LOCKED.0 | MdbFlags::MARKED.0;
        Node::cte(k).node(&w.m).flags.0 & busy != 0
    }

    /// Whether something shared went away since the last look.
    pub fn dropped(&mut self) -> bool {
        let now = KCB.shared_drops(&self.local.w.borrow().m);
        let dropped = now != std::mem::replace(&mut self.drops, now);
        let forgets = match self.local.wrong {
            Wrong::ForgetsDrops(n) if dropped => self.local.counts(n),
            _ => false,
        };
        dropped && !forgets
    }

    /// Another kernel runs it from now on.
    pub fn update(&mut self) {
        let m = self.local.w.borrow().m.clone();
        let mut w = W::adopt(m);
        monitor_runs(&mut w);
        self.local.w.replace(w);
    }

    /// Everything held of the pool, also in no slot that the reference knows.
    pub fn held(&self) -> Vec<Cap> {
        let w = self.local.w.borrow();
        let pool = POOL..POOL + 16 * SHARE;
        let all = w.caps().into_iter().map(|(_, c)| c);
        all.filter(|c| c.kind.info().class == capfmt::schema::Class::Physical)
            .filter(|c| pool.contains(&c.base.0))
            .collect()
    }
}

/// Slot `k` of the CNode that memory comes back to.
fn back(k: u32) -> Cte {
    Cte(RAM.add(0x1_4000 + 64 * u64::from(k)))
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

/// Deletes slot `k` of the shelf; the kernel's answer.
pub fn delete(node: &Node, k: u32) -> u64 {
    let mut w = node.local.w.borrow_mut();
    w.op(Op::Delete, ROOT, &[n(shelf(k))])[0]
}

/// Copies or moves slot `from` of the shelf to `to`, unless a monitor keeps it.
pub fn put(node: &Node, op: Op, from: u32, to: u32) -> bool {
    // What is locked waits for the monitor, which calls here itself.
    if node.is_busy(from) {
        return false;
    }
    let mut w = node.local.w.borrow_mut();
    w.ok(op, ROOT, &[n(shelf(from)), n(shelf(to)), 15]);
    true
}

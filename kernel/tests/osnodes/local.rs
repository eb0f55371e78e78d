//! What the machine of an OSnode asks of its kernel, as the monitor does it, with a record of what was changed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use abi::{Op, SysError, slots};
use capfmt::{Cap, CapType, OsnodeId, PhysAddr, RawCap, Rights};
use monitor::agree::{Gift, Kernel, Nodes, Object, OpId, Refusal, Remote, Rule, Rules};

use crate::node::{ALL_SLOTS, Node, POOL, SHARE, SLOTS, W, n, shelf};

/// The shipped rules, or all but one: a test that such a system fails is a test of this test.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AllBut(pub Option<Rule>);

impl Rules for AllBut {
    fn hold(&self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}

/// What the kernel under a machine does wrong, to see that it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    Nothing,
    /// One of these many deletions of a revoke does not take place.
    KeepsMarked(u64),
    /// The same, and the monitor is not told of deletions.
    ForgetsDrops(u64),
    /// It takes a copy that comes and puts another one beside it.
    TakesTwice(u64),
}

/// What the machine had the kernel change.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// A copy came.
    Came {
        op: OpId,
        slot: u32,
        object: Object,
        rights: Rights,
    },
    /// There was no slot for one.
    NoPlace { op: OpId },
    /// A retype was carried out, or could not be.
    Made { op: OpId, error: Option<SysError> },
    /// What was marked is deleted; the object itself is left here.
    Swept { op: OpId, left: Option<u32> },
    /// What moves is deleted where it was.
    Left { op: OpId, slot: u32 },
}

impl Effect {
    /// The operation.
    pub fn op(&self) -> OpId {
        match *self {
            Effect::Came { op, .. }
            | Effect::NoPlace { op }
            | Effect::Made { op, .. }
            | Effect::Swept { op, .. }
            | Effect::Left { op, .. } => op,
        }
    }
}

/// Capabilities of one OSnode, as its monitor asks for them.
pub struct Local {
    pub w: RefCell<W>,
    /// Dispatchers whose calls wait for operations.
    pub calls: BTreeMap<OpId, u64>,
    /// Copies that operations move away.
    pub leaving: BTreeMap<OpId, u32>,
    /// What was changed since somebody looked.
    pub log: Vec<Effect>,
    pub wrong: Wrong,
    pub count: u64,
    pub marked: BTreeMap<OpId, Object>,
    pub locked: BTreeMap<OpId, Object>,
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
    /// Whether it is the turn of what goes wrong.
    pub fn counts(&mut self, every: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(every)
    }
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
        op: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Result<(), Refusal> {
        let twice = match self.wrong {
            Wrong::TakesTwice(n) => self.counts(n),
            _ => false,
        };
        let mut w = self.w.borrow_mut();
        let free = |k: &u32| Node::cte(*k).cap(&w.m).kind == CapType::Null;
        let Some(to) = (0..SLOTS).find(free) else {
            self.log.push(Effect::NoPlace { op });
            return Err(Refusal::NoSpace);
        };
        let mut cap = object.cap();
        cap.rights = gift.rights;
        let [a, b, c, d] = cap.emit().0;
        let args = [a, b, c, d, owner.0, n(shelf(to))];
        if twice {
            let again = [a, b, c, d, owner.0, n(shelf(ALL_SLOTS - 1))];
            w.op(Op::CapImport, slots::KERNEL, &again);
        }
        match w.op(Op::CapImport, slots::KERNEL, &args)[0] {
            0 => {
                self.log.push(Effect::Came {
                    op,
                    slot: to,
                    object: *object,
                    rights: gift.rights,
                });
                Ok(())
            }
            code => Err(refusal(code)),
        }
    }
    fn create(&mut self, op: OpId, _: &Object, _: &Object, _: u32) -> Result<(), Refusal> {
        let dispatcher = self.calls.remove(&op).ok_or(Refusal::NoSuch)?;
        let mut w = self.w.borrow_mut();
        let r = w.op(Op::CapAnswer, slots::KERNEL, &[dispatcher, 0]);
        assert_eq!(r[0], 0, "a call that waits can be carried out");
        let error = SysError::from_code(r[1] as u16);
        self.log.push(Effect::Made { op, error });
        match error {
            None => Ok(()),
            Some(_) => Err(refusal(r[1])),
        }
    }
    fn remove(&mut self, op: OpId, object: &Object) -> bool {
        if let Some(k) = self.leaving.remove(&op) {
            let args = [n(shelf(k))];
            let code = self.w.borrow_mut().op(Op::CapRemove, slots::KERNEL, &args)[0];
            // A revoke may have been faster.
            assert!(code == 0 || code == SysError::NoCapability as u64, "{code}");
            if code == 0 {
                self.log.push(Effect::Left { op, slot: k });
            }
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
            // Nothing of it is here any more.
            code if code == SysError::NoCapability as u64 => {}
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
        let keeps = match self.wrong {
            Wrong::KeepsMarked(n) => self.counts(n),
            _ => false,
        };
        if let Some(object) = self.marked.remove(&op) {
            let how = if keeps { Op::CapUnmark } else { Op::CapSweep };
            self.must(how, &object, 0);
            let w = self.w.borrow();
            let is_left = |k: &u32| Object::of(&Node::cte(*k).cap(&w.m)) == object;
            let left = (0..ALL_SLOTS).find(is_left);
            self.log.push(Effect::Swept { op, left });
        }
        true
    }
}

//! The capabilities of one OSnode, as simple as can be.

use std::collections::{BTreeMap, BTreeSet};

use capfmt::{CapType, OsnodeId};
use monitor::agree::{Gift, Kernel, Nodes, Object, OpId, Refusal, Remote};

use super::objects::{child_of_pages, pages};

/// Copies of one object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Held {
    /// Who owns the object.
    pub owner: OsnodeId,
    /// How many slots have one.
    pub copies: u8,
    /// What the kernel was told about others.
    pub remote: Remote,
}

/// What an operation marked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Marks {
    goes: BTreeSet<Object>,
    /// One copy of this one stays.
    kept: Option<Object>,
}

/// An OSnode's capabilities, and what they went through.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Caps {
    /// By object.
    pub held: BTreeMap<Object, Held>,
    /// Marked by an operation: what goes, and of what one copy is kept.
    pub marks: BTreeMap<OpId, Marks>,
    /// Locked by an operation.
    pub locks: BTreeMap<OpId, Object>,
    /// Marks whose deletion is under way.
    pub sweeping: BTreeSet<OpId>,
    /// Operations that deleted something here.
    pub swept: BTreeSet<OpId>,
    /// Copies that came, by operation and object.
    pub came: BTreeMap<(OpId, Object), u8>,
    /// How those were handed over that came in this step.
    pub gifts: Vec<(OpId, Gift)>,
    /// An object that cannot be marked.
    pub busy: Option<Object>,
    /// Other OSnodes use tables of this one.
    pub shared: bool,
    /// Pages of what was deleted here that they can still use.
    pub stale: u8,
    /// Those of them that were revoked.
    pub revoked: u8,
    /// Deletion takes a while.
    pub slow: bool,
    /// There is no place for anything more.
    pub full: bool,
    /// Something that a kernel would have refused, and that no protocol may ask for.
    pub fault: Option<&'static str>,
    /// Copies given up.
    pub removals: u8,
    /// Something was deleted of which the monitor has not heard.
    pub deleted: bool,
}

impl Caps {
    /// Adds a copy.
    pub fn add(&mut self, object: Object, owner: OsnodeId) {
        let new = Held {
            owner,
            copies: 0,
            remote: Remote::default(),
        };
        let held = self.held.entry(object).or_insert(new);
        held.owner = owner;
        held.copies += 1;
    }
    fn marked(&self, object: &Object) -> bool {
        let under = |m: &Marks| m.goes.iter().any(|o| object.is_within(o));
        self.marks.values().any(under)
    }
    /// Whether an operation of the monitors marked or locked this very object: what kernels look at is in its slots.
    fn concerned(&self, object: &Object) -> bool {
        let marked = |m: &Marks| m.goes.contains(object) || m.kept.as_ref() == Some(object);
        self.marks.values().any(marked) || self.locks.values().any(|o| object.is_within(o))
    }
    /// Whether the kernel may act on the object without its monitor.
    pub fn is_private(&self, object: &Object, me: OsnodeId) -> bool {
        let private = |h: &Held| h.owner == me && h.remote == Remote::default();
        self.held.get(object).is_some_and(private) && !self.concerned(object)
    }
    /// A retype without the monitor.
    pub fn retype_here(&mut self, op: OpId, source: &Object, row: (Object, u32)) -> bool {
        let (child, count) = row;
        let all = child.span(count);
        let made = child.descends_from(source) && all.end() <= source.end() && count > 0;
        let free = (self.held.keys()).all(|o| !o.overlaps(&all) || source.is_within(o));
        made && free && self.create(op, source, &child, count).is_ok()
    }
    /// A revoke without the monitor.
    pub fn revoke_here(&mut self, object: &Object) {
        self.held.retain(|o, _| !o.descends_from(object));
        if let Some(held) = self.held.get_mut(object) {
            held.copies = 1;
        }
    }
    /// A client, or the end of a process, deletes a copy. The memory of what only this OSnode has to do with is
    /// plain RAM again.
    pub fn delete_here(&mut self, object: &Object, me: OsnodeId) {
        let private = self.is_private(object, me);
        let Some(held) = self.held.get_mut(object) else {
            return;
        };
        held.copies -= 1;
        self.removals += 1;
        if held.copies > 0 {
            return;
        }
        self.held.remove(object);
        if !private {
            self.leave_stale(object);
            self.deleted = true;
            return;
        }
        let of = |o: &Object| pages(o.base(), o.end());
        let memory = self.held.keys().filter(|o| !o.is_address_right());
        let covered = memory.fold(0, |bits, o| bits | of(o));
        for page in (0..3).filter(|p| (of(object) & !covered) >> p & 1 != 0) {
            self.add(child_of_pages(CapType::Ram, page, 1), me);
        }
    }
    /// Others may have loaded translations of what goes.
    fn leave_stale(&mut self, object: &Object) {
        if self.shared {
            self.stale |= pages(object.base(), object.end());
        }
    }
    /// Deletes what `op` marked.
    pub fn delete_marked(&mut self, op: OpId) {
        self.sweeping.remove(&op);
        let Some(marks) = self.marks.remove(&op) else {
            return;
        };
        let before = self.held.clone();
        if let Some(kept) = marks.kept.and_then(|k| self.held.get_mut(&k)) {
            kept.copies = 1;
        }
        self.held.retain(|o, _| !marks.goes.contains(o));
        if before != self.held {
            let gone = before.keys().filter(|o| !self.held.contains_key(o));
            for object in gone.copied().collect::<Vec<_>>() {
                self.leave_stale(&object);
                self.revoked |= self.stale & pages(object.base(), object.end());
            }
            self.swept.insert(op);
            self.deleted = true;
        }
    }
    fn arrive(&mut self, op: OpId, object: &Object, owner: OsnodeId) {
        if self.held.keys().any(|o| !o.agrees_with(object)) {
            self.fault = Some("a new capability conflicts with one that is there");
        }
        if self.marked(object) {
            self.fault = Some("a new capability under a mark");
        }
        self.add(*object, owner);
        *self.came.entry((op, *object)).or_default() += 1;
    }
}

impl Kernel for Caps {
    fn owner(&self, object: &Object) -> Option<OsnodeId> {
        self.held.get(object).map(|h| h.owner)
    }
    fn overlapping(&self, object: &Object) -> Vec<(Object, OsnodeId)> {
        let overlapping = self.held.iter().filter(|(o, _)| o.overlaps(object));
        overlapping.map(|(o, h)| (*o, h.owner)).collect()
    }
    fn orphans(&self, living: &Nodes) -> Vec<Object> {
        let orphans = self.held.iter().filter(|(_, h)| !living.contains(&h.owner));
        orphans.map(|(o, _)| *o).collect()
    }
    fn insert(
        &mut self,
        op: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Result<(), Refusal> {
        if self.full {
            return Err(Refusal::NoSpace);
        }
        self.gifts.push((op, *gift));
        self.arrive(op, object, owner);
        Ok(())
    }
    fn create(
        &mut self,
        op: OpId,
        source: &Object,
        child: &Object,
        count: u32,
    ) -> Result<(), Refusal> {
        let source_held = self.held.get(source).copied();
        let Some(held) = source_held.filter(|_| !self.marked(source)) else {
            return Err(Refusal::NoSuch);
        };
        if self.full {
            return Err(Refusal::NoSpace);
        }
        for child in child.row(count) {
            if !child.descends_from(source) {
                self.fault = Some("something is made of what it cannot be made of");
            }
            self.arrive(op, &child, held.owner);
        }
        Ok(())
    }
    fn remove(&mut self, _: OpId, object: &Object) -> bool {
        self.removals += 1;
        if self.marked(object) {
            self.fault = Some("a marked capability was deleted by a client");
        }
        let Some(held) = self.held.get_mut(object) else {
            return false;
        };
        held.copies -= 1;
        if held.copies == 0 {
            self.held.remove(object);
            self.leave_stale(object);
        }
        self.held.contains_key(object)
    }
    fn set_owner(&mut self, object: &Object, owner: OsnodeId) {
        if let Some(held) = self.held.get_mut(object) {
            held.owner = owner;
            held.remote = Remote::default();
        }
    }
    fn set_remote(&mut self, object: &Object, remote: Remote) {
        if let Some(held) = self.held.get_mut(object) {
            held.remote = remote;
        }
    }
    fn lock(&mut self, op: OpId, object: &Object) {
        self.locks.insert(op, *object);
    }
    fn unlock(&mut self, op: OpId) {
        self.locks.remove(&op);
    }
    fn mark(&mut self, op: OpId, object: &Object, keep: bool) -> Result<(), Refusal> {
        let goes = |o: &Object| o.is_within(object) && !(keep && o == object);
        if self
            .busy
            .is_some_and(|b| self.held.contains_key(&b) && goes(&b))
        {
            return Err(Refusal::StillInUse);
        }
        let goes = self.held.keys().filter(|o| goes(o)).copied().collect();
        let kept = keep.then_some(*object);
        self.marks.insert(op, Marks { goes, kept });
        Ok(())
    }
    fn unmark(&mut self, op: OpId) {
        if self.sweeping.contains(&op) {
            self.fault = Some("what is being deleted is called back");
        }
        self.marks.remove(&op);
        self.sweeping.remove(&op);
    }
    fn sweep(&mut self, op: OpId) -> bool {
        let any = self.marks.get(&op).is_some_and(|m| !m.goes.is_empty());
        if self.slow && any {
            self.sweeping.insert(op);
            return false;
        }
        self.delete_marked(op);
        if self.stale != 0 {
            self.sweeping.insert(op);
        }
        self.stale == 0
    }
    fn is_flushed(&self) -> bool {
        self.stale == 0
    }
}

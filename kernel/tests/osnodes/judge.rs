//! What the reference says of calls, changes and answers: whether each may be, and what it changes.

use std::collections::{BTreeMap, BTreeSet};

use abi::SysError;
use capfmt::{OsnodeId, Rights};
use monitor::agree::{Object, OpId, Outcome, Refusal, Request};

use crate::local::Effect;
use crate::node::SLOTS;
use crate::reference::{Id, Open, Reference, Slot};

/// A call of a client that makes something: from which slot, to which, what.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    pub from: u32,
    pub to: u32,
    pub child: Object,
}

impl Reference {
    /// What stands in a slot, which is not empty.
    pub fn slot(&self, node: OsnodeId, k: u32) -> Slot {
        *self.slots.get(&(node, k)).expect("the slot is not empty")
    }

    /// A client deleted a slot.
    pub fn deleted(&mut self, node: OsnodeId, k: u32, code: u64) {
        let slot = self.slot(node, k);
        match SysError::from_code(code as u16) {
            None => drop(self.take(node, k)),
            Some(SysError::InDelete) if self.may_be_busy(slot.id) => {}
            error => panic!("slot {k} of {node:?} is not deleted: {error:?}"),
        }
    }

    /// A slot was copied.
    pub fn copied(&mut self, node: OsnodeId, from: u32, to: u32) {
        let slot = self.slot(node, from);
        self.put(node, to, slot.id, slot.rights);
    }

    /// A slot was moved.
    pub fn moved(&mut self, node: OsnodeId, from: u32, to: u32) {
        let slot = self.slot(node, from);
        // First the new one: the OSnode has it all the time.
        self.put(node, to, slot.id, slot.rights);
        self.take(node, from);
    }

    /// A kernel decided alone about a retype.
    pub fn retyped(&mut self, node: OsnodeId, call: Making, code: u64) {
        let source = self.slot(node, call.from);
        let object = self.things[&source.id].object;
        let inside = call.child.base() >= object.base() && call.child.end() <= object.end();
        let local = |id: &Id| self.holds(node, *id);
        let clash = self.in_the_way(source.id, &call.child).iter().any(local);
        match SysError::from_code(code as u16) {
            None => {
                assert!(inside, "{call:x?} makes more than it has");
                self.made(node, source, call);
            }
            Some(SysError::Overlaps) if inside && clash => {}
            Some(SysError::BadRetype | SysError::BadArgument) if !inside => {}
            Some(SysError::InDelete) if self.may_be_busy(source.id) => {}
            // Other things than copies are made of what one may write.
            Some(SysError::NoRight) if !source.rights.contains(Rights::WRITE) => {}
            error => panic!("{call:x?} of {node:?} is refused: {error:?}"),
        }
    }

    /// Something was made: nobody may have anything in its place.
    fn made(&mut self, node: OsnodeId, source: Slot, call: Making) {
        let held = |id: &Id| self.is_held(*id);
        let mut all = self.in_the_way(source.id, &call.child).into_iter();
        let clash = all.find(held);
        let clash = clash.map(|id| &self.things[&id]);
        assert!(
            clash.is_none(),
            "{call:x?} of {node:?} is made where {clash:x?} is"
        );
        let parent = &self.things[&source.id];
        assert!(!parent.gone, "{call:x?} is made from what is gone");
        let same = parent.object.cap().kind == call.child.cap().kind;
        let rights = if same { source.rights } else { Rights::ALL };
        let owner = parent.owner;
        let id = self.make(call.child, Some(source.id), owner);
        self.put(node, call.to, id, rights);
    }

    /// A kernel decided alone about a revoke.
    pub fn revoked_alone(&mut self, node: OsnodeId, k: u32, code: u64) {
        let kept = self.slot(node, k);
        match SysError::from_code(code as u16) {
            None => {
                assert_eq!(kept.rights, Rights::ALL, "who has not every right revoked");
                for ((holder, slot), s) in self.family(kept.id) {
                    assert_eq!(
                        holder, node,
                        "a kernel revoked alone what others have: {s:?}"
                    );
                    if slot != k {
                        self.take(holder, slot);
                    }
                }
                self.is_revoked(kept.id);
            }
            Some(SysError::NoRight) if kept.rights != Rights::ALL => {}
            Some(SysError::InDelete) if self.may_be_busy(kept.id) => {}
            error => panic!("a revoke of {node:?} is refused: {error:?}"),
        }
    }

    /// Nothing that was made from it comes again.
    fn is_revoked(&mut self, root: Id) {
        let under = |id: &Id| *id != root && self.is_under(*id, root);
        let held = |id: &Id| self.is_held(*id);
        let gone: Vec<Id> = self.things.keys().copied().collect();
        let gone: Vec<Id> = gone.into_iter().filter(|i| under(i) && !held(i)).collect();
        for id in gone {
            self.things.get_mut(&id).expect("it is there").gone = true;
        }
    }

    /// A monitor had its kernel change something for an operation.
    pub fn effect(&mut self, node: OsnodeId, effect: Effect) {
        let op = effect.op();
        let open = self.open.get(&op).cloned();
        let open = open.unwrap_or_else(|| panic!("{effect:?} at {node:?} of no operation"));
        match effect {
            Effect::Came {
                slot,
                object,
                rights,
                ..
            } => self.came(node, op, (slot, object, rights)),
            Effect::NoPlace { .. } => {
                let free = (0..SLOTS).find(|k| !self.slots.contains_key(&(node, *k)));
                assert_eq!(free, None, "a free slot of {node:?} was not found");
                self.open.get_mut(&op).expect("it is open").full = true;
            }
            Effect::Made { error, .. } => self.carried_out(node, op, open, error),
            Effect::Swept { left, .. } => self.swept(node, &open, left),
            Effect::Left { slot, .. } => {
                let moves = matches!(open.request, Request::Move { .. });
                assert!(
                    moves && open.came == 1,
                    "what did not arrive left: {open:x?}"
                );
                self.take(node, slot);
            }
        }
    }

    /// A copy arrived.
    fn came(&mut self, node: OsnodeId, op: OpId, (slot, object, rights): (u32, Object, Rights)) {
        let open = self.open.get_mut(&op).expect("it is open");
        let (Request::Copy {
            object: o,
            to,
            gift,
        }
        | Request::Move {
            object: o,
            to,
            gift,
        }) = open.request
        else {
            panic!("a copy came by {open:x?}")
        };
        assert_eq!((o, to, gift.rights), (object, node, rights), "what came");
        assert_eq!(open.came, 0, "it came twice: {open:x?}");
        open.came = 1;
        let id = open.id;
        let thing = self.things.get(&id);
        let gone = thing.is_none_or(|t| t.gone);
        assert!(!gone, "a copy of what is gone came: {op:?} {thing:x?}");
        self.put(node, slot, id, rights);
    }

    /// A retype that the owner agreed to was carried out, or could not be.
    fn carried_out(&mut self, node: OsnodeId, op: OpId, open: Open, error: Option<SysError>) {
        let Request::Retype { child, .. } = open.request else {
            panic!("a retype of {open:x?}")
        };
        let (from, to) = (open.slot.expect("from"), open.to.expect("to"));
        let there = self.slots.get(&(node, from)).copied();
        let source = there.filter(|s| s.id == open.id);
        let full = self.slots.contains_key(&(node, to));
        match error {
            None => {
                let source = source.expect("a retype of what is not there any more");
                self.made(node, source, Making { from, to, child });
            }
            Some(SysError::NoCapability | SysError::InDelete) if source.is_none() => {}
            Some(SysError::SlotInUse) if full => {}
            error => panic!("a retype that was agreed to is refused: {error:?} {open:x?}"),
        }
        let open = self.open.get_mut(&op).expect("it is open");
        open.came += u32::from(error.is_none());
        open.full |= full;
        // Only the slot that the call names counts.
        open.lapsed |= source.is_none();
    }

    /// What a revoke had marked is deleted; what is left of the thing here is in this slot.
    fn swept(&mut self, node: OsnodeId, open: &Open, left: Option<u32>) {
        assert!(matches!(open.request, Request::Revoke { .. }) && !open.revoked);
        let family = self.family(open.id);
        let here: Vec<(u32, Slot)> = (family.iter())
            .filter(|((n, _), _)| *n == node)
            .map(|((_, k), s)| (*k, *s))
            .collect();
        let mut copies = here.iter().filter(|(_, s)| s.id == open.id);
        let any = copies.clone().next().is_some();
        let named = copies.find(|(k, _)| open.slot == Some(*k));
        let kept = match (node == open.node && any, named) {
            (false, _) => None,
            (true, Some((k, _))) => Some(*k),
            (true, None) => left,
        };
        for (k, _) in here.iter().filter(|(k, _)| Some(*k) != kept) {
            self.take(node, *k);
        }
    }

    /// A revoke is complete: the keeper has the thing, nobody has anything else of it. What the owner got in the same
    /// step, it got afterwards.
    pub fn revoked(&mut self, owner: OsnodeId, op: OpId) {
        let now = self.now;
        let open = self.open.get_mut(&op).expect("a revoke of no operation");
        open.revoked = true;
        let (id, keeper) = (open.id, open.node);
        for ((node, k), slot) in self.family(id) {
            let kept = slot.id == id && node == keeper;
            let later = node == owner && slot.since == now;
            let thing = &self.things[&slot.id];
            assert!(
                kept || later,
                "slot {k} of {node:?} survives the revoke {op:?}: {thing:x?}"
            );
        }
        self.is_revoked(id);
    }

    /// A client is answered.
    pub fn answered(&mut self, op: OpId, outcome: Outcome) {
        let open = self.open.get_mut(&op).expect("an answer to nobody");
        assert!(!open.over, "{op:?} is answered twice");
        open.over = true;
        let open = open.clone();
        let granted = match open.request {
            Request::Copy { .. } | Request::Retype { .. } => open.came == 1,
            Request::Move { .. } => {
                let left = open.slot.map(|k| (open.node, k));
                open.came == 1 && left.is_none_or(|l| !self.slots.contains_key(&l))
            }
            Request::Revoke { .. } => open.revoked,
            Request::Transfer { .. } => true,
        };
        match outcome {
            Ok(()) => assert!(granted, "{op:?} was granted and not done: {open:x?}"),
            Err(Refusal::TryLater) => {
                let mine = self.open.iter();
                let mut mine = mine.filter(|(o, p)| o.origin == op.origin && !p.over);
                let oldest = mine.next().map_or(op.number, |(o, _)| o.number);
                assert!(
                    op.number - oldest >= 64,
                    "{op:?} is to try later: {open:x?}"
                );
            }
            Err(refusal) => assert!(
                self.may_refuse(&open, refusal),
                "{op:?} is refused, {refusal:?}: {open:x?}, {:x?}",
                self.things.get(&open.id)
            ),
        }
    }

    /// At rest: each family has one owner, who lives, and got it by a transfer or a death. `actual` says who owns what
    /// stands in a slot.
    pub fn owners(&mut self, actual: &BTreeMap<(OsnodeId, u32), OsnodeId>, died: bool) {
        let held: BTreeSet<Id> = self.slots.values().map(|s| s.id).collect();
        let mut families: BTreeMap<Id, BTreeSet<OsnodeId>> = BTreeMap::new();
        for (place, slot) in &self.slots {
            let line = self.line(slot.id);
            let root = line.into_iter().rfind(|id| held.contains(id));
            let owners = families.entry(root.unwrap_or(slot.id)).or_default();
            owners.insert(actual[place]);
        }
        for (root, owners) in families {
            let thing = &self.things[&root];
            let owner = *owners.first().expect("one");
            assert_eq!(owners.len(), 1, "{thing:x?} has several owners: {owners:?}");
            assert!(self.living.contains(&owner), "the dead own {thing:x?}");
            let given = |(o, to): &(Object, OsnodeId)| *to == owner && o.overlaps(&thing.object);
            assert!(
                thing.owner == owner || died || self.moving.iter().any(given),
                "{thing:x?} belongs to {owner:?} now"
            );
            let family = held.iter().filter(|id| self.is_under(**id, root));
            for id in family.copied().collect::<Vec<Id>>() {
                self.things.get_mut(&id).expect("held").owner = owner;
            }
        }
    }
}

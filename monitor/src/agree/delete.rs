//! Delete: a holder deletes at once and tells the owner; the owner frees what nobody holds.
//!
//! ```text
//! holder            owner
//!   │ deletes         │
//!   │── Dropped ─────▶│ forgets it; if nobody is left: Freed
//! ```
//! The owner's own last copy goes the same way: what others hold stays in its directory.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Active, Kernel, Message, Object, OpId, Output, Rule, Rules, Turn};

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Owner: deletes its own copy.
    pub(super) fn delete(&mut self, op: OpId, object: Object) {
        self.drop_copy(&object);
        self.finish(op, Ok(()));
    }

    /// Any holder: deletes a copy and, with the last one, says so.
    pub(super) fn drop_copy(&mut self, object: &Object) {
        let Some(owner) = self.k.owner(object) else {
            return;
        };
        if self.k.remove(object) {
            return;
        }
        if owner == self.a.me {
            self.free_if_unheld(object);
        } else if self.rule(Rule::DropSays) {
            self.send(owner, Message::Dropped { object: *object });
        }
    }

    /// Owner: a holder has none left.
    pub(super) fn dropped(&mut self, from: OsnodeId, object: Object) {
        let is_crossed = |a: &Active| match a {
            Active::Copy(c) => c.object == object && c.to == from,
            _ => false,
        };
        let crossed = self.a.active.values().any(is_crossed);
        if crossed && self.rule(Rule::DropCrossedCopy) {
            return;
        }
        if self.rule(Rule::DropLeavesInventory)
            && let Some(list) = self.a.inventories.get_mut(&from)
        {
            list.held.retain(|(o, _)| *o != object);
        }
        if self.a.directory.remove(&object, from) {
            self.refresh(&object);
            self.free_if_unheld(&object);
        }
    }

    /// Owner: the same for objects that went at once.
    pub(super) fn free_unheld(&mut self, gone: &[Object]) {
        // What is derived from another of them goes with that one.
        let once = self.rule(Rule::FreeOnce);
        let is_root = |o: &&Object| !once || !gone.iter().any(|a| o.descends_from(a));
        for object in gone.iter().filter(is_root) {
            self.free_if_unheld(object);
        }
    }

    /// Owner: somebody's capability is gone. Bytes of the object that no other one covers, a copy, what it was
    /// derived from, what is derived from it, are free.
    pub(super) fn free_if_unheld(&mut self, object: &Object) {
        let mut covered: Vec<(u64, u64)> = Vec::new();
        if self.rule(Rule::FreeOnlyUncovered) {
            let own = self.k.overlapping(object);
            let own = own.iter().map(|(o, _)| o);
            let all = own.chain(self.a.directory.objects().filter(|o| o.overlaps(object)));
            covered.extend(all.map(|o| (o.base(), o.end())));
        }
        covered.sort_unstable();
        covered.push((object.end(), object.end()));
        let mut base = object.base();
        for (from, to) in covered {
            if from > base {
                self.out.push(Output::Freed {
                    object: *object,
                    base,
                    end: from.min(object.end()),
                });
            }
            base = base.max(to);
        }
    }
}

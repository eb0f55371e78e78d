//! Delete: a holder's kernel deletes at once, its monitor tells the owner; the owner frees what nobody holds.
//!
//! ```text
//! holder            owner
//!   │ deletes         │
//!   │── Dropped ─────▶│ forgets it; if nobody is left: Freed
//! ```
//! The owner's own last copy goes the same way: what others hold stays in its directory.
//! The kernel says only that something is gone. What it was, the *books* tell: all objects
//! held here that others have to do with. So no deletion waits for anybody, and none is
//! forgotten, whichever kernel made it. Only that others forget translations is waited for before
//! anybody is told: bytes must not be used again while somebody can write to them.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Active, Kernel, Message, Object, OpId, Output, Remote, Rule, Rules, Turn};

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// This OSnode holds something that others have to do with.
    pub(super) fn book(&mut self, object: &Object, owner: OsnodeId) {
        self.a.books.insert(*object, owner);
    }

    /// Whether the object's family is being given to another owner.
    fn leaves(&self, object: &Object) -> bool {
        let leaves = |a: &Active| matches!(a, Active::Transfer(t) if object.is_within(&t.object));
        self.a.active.values().any(leaves)
    }

    /// What this OSnode owns is booked only while others hold something beside it, or it is on its way to another
    /// owner.
    pub(super) fn book_own(&mut self, object: &Object, remote: Remote) {
        let leaves = self.leaves(object) && self.rule(Rule::DropBooksLeaving);
        if remote == Remote::default() && !leaves {
            self.a.books.remove(object);
        } else {
            self.book(object, self.a.me);
        }
    }

    /// The kernel deleted something: looks what.
    pub(super) fn deleted(&mut self) {
        let kernel = &self.k;
        let gone = self
            .a
            .books
            .extract_if(.., |o, _| kernel.owner(o).is_none());
        let gone: Vec<(Object, OsnodeId)> = gone.collect();
        for (object, _) in &gone {
            self.outdate(self.a.me, object);
        }
        self.a.lost.extend(gone);
    }

    /// The first lost object of which somebody may be told now.
    pub(super) fn next_lost(&self) -> Option<(Object, OsnodeId)> {
        if self.a.lost.is_empty() || !self.needs(Rule::DropAwaitsFlush, self.k.is_flushed()) {
            return None;
        }
        let mut lost = self.a.lost.iter();
        let ready = lost.find(|(object, owner)| {
            let frozen = |p: &super::Promise| p.frozen.is_some() && object.is_within(&p.object);
            let frozen = self.a.promises.values().any(frozen) && self.rule(Rule::TransferHolds);
            let orphan = self.a.inheriting && !self.a.living.contains(owner);
            let leaves = self.leaves(object) && self.rule(Rule::DropAwaitsAdopted);
            !(frozen || orphan && self.rule(Rule::DropAwaitsHeir) || leaves)
        });
        ready.map(|(object, owner)| (*object, *owner))
    }

    /// What was lost is told, unless it is held again.
    pub(super) fn tell_lost(&mut self, object: &Object, owner: OsnodeId) {
        self.a.lost.remove(object);
        if self.k.owner(object).is_some() && self.rule(Rule::DropUnlessHeld) {
            return self.book(object, owner);
        }
        if owner == self.a.me {
            let settles = self.rule(Rule::DropSettlesRevoke);
            for active in self.a.active.values_mut().filter(|_| settles) {
                if let Active::Revoke(revoking) = active {
                    revoking.own.retain(|o| o != object);
                }
            }
            self.free_if_unheld(object);
        } else if self.rule(Rule::DropSays) {
            self.send(owner, Message::Dropped { object: *object });
        }
    }

    /// A revoke settled what it deleted here: nobody has to be told of it.
    pub(super) fn settle(&mut self, swept: impl Fn(&Object) -> bool) {
        let kernel = &self.k;
        let gone = |o: &Object| swept(o) && kernel.owner(o).is_none();
        let books = self.a.books.extract_if(.., |o, _| gone(o));
        let settled: Vec<Object> = books.map(|(o, _)| o).collect();
        self.a.lost.retain(|o, _| !gone(o));
        for object in settled {
            self.outdate(self.a.me, &object);
        }
    }

    /// Everything of a family has another owner now, also what was lost and not told yet.
    pub(super) fn book_owner(&mut self, family: &Object, owner: OsnodeId) {
        let books = self.a.books.iter_mut().chain(&mut self.a.lost);
        let told = self.a.rules.hold(Rule::DropToNewOwner);
        for (_, old) in books.filter(|(o, _)| told && o.is_within(family)) {
            *old = owner;
        }
    }

    /// Origin of a move: its own copy goes.
    pub(super) fn drop_moved(&mut self, op: OpId, object: &Object) {
        self.k.remove(op, object);
        self.deleted();
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
        let held = self.a.directory.remove(&object, from);
        if self.needs(Rule::DropOfHolder, held) {
            self.outdate(from, &object);
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
        if self.a.is_bequest(object) {
            return;
        }
        let mut covered: Vec<(u64, u64)> = Vec::new();
        if self.rule(Rule::FreeOnlyUncovered) {
            let own = self.k.overlapping(object);
            let own = own.iter().map(|(o, _)| o);
            // What is gone as well, but not told yet, frees its own bytes.
            let untold = self.a.books.iter().chain(&self.a.lost);
            let untold = untold.filter(|(_, owner)| **owner == self.a.me);
            let untold = untold.filter(|_| self.rule(Rule::FreeLeavesUntold));
            let untold = untold.map(|(o, _)| o);
            let others = self.a.directory.objects().chain(untold);
            let all = own.chain(others.filter(|o| o.overlaps(object)));
            let all = all.filter(|o| self.needs(Rule::FreeUnderRight, !o.is_address_right()));
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

//! Transfer of ownership: an object with everything derived from it, its *family*, gets another owner.
//!
//! ```text
//! owner             holders           new owner
//!   │── Freeze ──────▶│ changes nothing │
//!   │◀─────── Frozen ─│                 │
//!   │── Adopt (who holds what) ────────▶│ owns it from here on
//!   │◀───────────────────────── Adopted ─│
//!   │── NewOwner ────▶│◀───── NewOwner ─│ (whichever comes first counts)
//! ```
//! While holders are frozen no drop is on its way, so what `Adopt` says is exact. From
//! `Adopt` to `Adopted` the old owner neither decides nor frees; requests that reach it
//! are sent back and wait at their origin for `NewOwner`. Nobody has to say that it knows
//! the new owner: whatever that one sends later comes after `NewOwner`. A move of an unshared
//! capability is a transfer without holders in which the receiver also gets the copy.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Active, Gift, Kernel, Message, Nodes, Object, OpId, Outcome, Promise, Refusal, Rule};
use super::{Rules, Turn};

/// A transfer at the old owner.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Transferring {
    pub(super) object: Object,
    pub(super) to: OsnodeId,
    give: Option<Gift>,
    /// The new owner was asked.
    adopting: bool,
    told: Nodes,
    /// Who is not frozen yet.
    pub(super) waiting: Nodes,
}

impl Transferring {
    pub(super) fn is_adopting(&self) -> bool {
        self.adopting
    }
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Old owner: begins.
    pub(super) fn transfer(&mut self, op: OpId, object: Object, to: OsnodeId, give: Option<Gift>) {
        let lives = self.a.living.contains(&to);
        let fits = self.size_of(&object, to) <= self.a.rules.limits().family;
        let refusal = if !self.needs(Rule::TransferNotToDead, lives) {
            Some(Refusal::Gone(to))
        } else if !self.needs(Rule::TransferRoot, self.is_root(&object)) {
            Some(Refusal::NotRoot)
        } else if self.a.is_bequest(&object) && self.a.home != Some(to) {
            Some(Refusal::NotOwner)
        } else if !self.needs(Rule::TransferFits, fits) {
            Some(Refusal::TooLarge)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.finish(op, Err(refusal));
        }
        if self.rule(Rule::TransferLocks) {
            self.k.lock(op, &object);
        }
        // What is deleted from here on is noticed, and told to whoever owns it then.
        for (held, owner) in self.k.overlapping(&object) {
            let own = held.is_within(&object) && owner == self.a.me;
            if own && self.rule(Rule::TransferBooks) {
                self.book(&held, owner);
            }
        }
        let mut told = self.a.directory.holders(&object);
        told.remove(&to);
        if !self.rule(Rule::TransferFreezes) {
            told.clear();
        }
        for holder in told.clone() {
            self.send(holder, Message::Freeze { op, object, to });
        }
        let waiting = if self.rule(Rule::TransferAwaitsFrozen) {
            told.clone()
        } else {
            Nodes::new()
        };
        let transferring = Transferring {
            object,
            to,
            give,
            adopting: false,
            told,
            waiting,
        };
        self.a.active.insert(op, Active::Transfer(transferring));
        self.transfer_goes_on(op);
    }

    /// Old owner: how much would have to be told.
    fn size_of(&self, object: &Object, to: OsnodeId) -> usize {
        let mut held = self.a.directory.family(object);
        held.retain(|(_, holder)| *holder != to);
        let own = self.k.overlapping(object).into_iter();
        held.len() + own.filter(|(o, _)| o.is_within(object)).count()
    }

    /// Old owner: who holds what of the family, the new owner apart.
    fn family(&self, object: &Object, to: OsnodeId) -> Vec<(Object, OsnodeId)> {
        let mut family = self.a.directory.family(object);
        family.retain(|(_, holder)| self.needs(Rule::TransferListsOthers, *holder != to));
        if self.rule(Rule::TransferListsOwn) {
            let own = self.a.books.iter().chain(&self.a.lost);
            let own = own.filter(|(o, owner)| o.is_within(object) && **owner == self.a.me);
            family.extend(own.map(|(o, _)| (*o, self.a.me)));
        }
        family
    }

    fn transferring(&mut self, op: OpId) -> Option<&mut Transferring> {
        match self.a.active.get_mut(&op) {
            Some(Active::Transfer(t)) => Some(t),
            _ => None,
        }
    }

    /// Old owner: asks the new one, once all are frozen.
    pub(super) fn transfer_goes_on(&mut self, op: OpId) {
        let once = self.rule(Rule::TransferAsksOnce);
        let Some(t) = self.transferring(op) else {
            return;
        };
        if t.adopting && once || !t.waiting.is_empty() {
            return;
        }
        t.adopting = true;
        let (object, to, give) = (t.object, t.to, t.give);
        let holders = self.family(&object, to);
        let message = Message::Adopt {
            op,
            object,
            holders,
            give,
        };
        self.send(to, message);
        if !self.rule(Rule::TransferAwaitsAdopted) {
            self.transfer_adopted(to, op, Ok(()));
        }
    }

    /// Holder: changes nothing of the family.
    pub(super) fn transfer_freeze(
        &mut self,
        from: OsnodeId,
        op: OpId,
        object: Object,
        to: OsnodeId,
    ) {
        let promise = Promise {
            coordinator: from,
            object,
            frozen: Some(to),
            sweeping: false,
            keep: false,
        };
        self.a.promises.insert(op, promise);
        if self.rule(Rule::TransferSaysFrozen) {
            self.send(from, Message::Frozen { op });
        }
    }

    /// Old owner: one more is frozen.
    pub(super) fn transfer_frozen(&mut self, from: OsnodeId, op: OpId) {
        if let Some(t) = self.transferring(op) {
            t.waiting.remove(&from);
            self.transfer_goes_on(op);
        }
    }

    /// Holder: nothing has changed.
    pub(super) fn transfer_thaw(&mut self, op: OpId) {
        self.a.promises.remove(&op);
        if self.rule(Rule::GoneTellsAfterThaw) {
            self.tell_inventory();
        }
    }

    /// Old owner: nothing changes.
    pub(super) fn transfer_fails(&mut self, op: OpId, refusal: Refusal) {
        let Some((object, told)) = self.transferring(op).map(|t| (t.object, t.told.clone())) else {
            return;
        };
        if self.rule(Rule::TransferThaws) {
            for holder in told {
                self.send(holder, Message::Thaw { op });
            }
        }
        if self.rule(Rule::TransferUnlocksRefused) {
            self.k.unlock(op);
        }
        self.finish(op, Err(refusal));
        // What nobody else has is its kernel's again: a book that goes on about it would be wrong soon.
        self.refresh(&object);
    }

    /// New owner: owns the family from here on.
    pub(super) fn transfer_adopt(
        &mut self,
        from: OsnodeId,
        op: OpId,
        object: Object,
        holders: Vec<(Object, OsnodeId)>,
        give: Option<Gift>,
    ) {
        let outcome = match give {
            Some(gift) => self.copy_insert(op, &object, self.a.me, &gift),
            None => Ok(()),
        };
        let adopted = Message::Adopted { op, outcome };
        // If this OSnode dies in between, holders that it told have an old owner that knows.
        let first = self.rule(Rule::TransferTellsOldFirst);
        let says = self.rule(Rule::TransferSaysAdopted);
        if says && first {
            self.send(from, adopted.clone());
        }
        if self.needs(Rule::TransferAdoptsWhatCame, outcome.is_ok()) {
            self.transfer_take_over(from, op, &object, holders);
        }
        if says && !first {
            self.send(from, adopted);
        }
    }

    fn transfer_take_over(
        &mut self,
        from: OsnodeId,
        op: OpId,
        object: &Object,
        holders: Vec<(Object, OsnodeId)>,
    ) {
        let me = self.a.me;
        if self.rule(Rule::TransferOwnsOwn) {
            self.set_owner(object, me);
        }
        self.ask_oneself(from, object);
        let mut told = Nodes::new();
        for (held, holder) in holders {
            if self.needs(Rule::TransferSkipsDead, self.a.living.contains(&holder)) {
                self.a.directory.add(held, holder);
                told.insert(holder);
            }
        }
        told.remove(&from);
        self.refresh(object);
        if self.rule(Rule::TransferTellsAll) {
            self.transfer_tell(told, op, *object, me);
        }
    }

    fn transfer_tell(&mut self, holders: Nodes, op: OpId, object: Object, owner: OsnodeId) {
        for holder in holders {
            let message = Message::NewOwner { op, object, owner };
            self.send(holder, message);
        }
    }

    /// Everything of the family that is held here belongs to `owner`.
    fn set_owner(&mut self, object: &Object, owner: OsnodeId) {
        self.book_owner(object, owner);
        self.a.inherited.retain(|o| !o.is_within(object));
        if owner != self.a.me {
            self.a.bequests.retain(|b| !b.is_within(object));
        }
        for (held, _) in self.k.overlapping(object) {
            if held.is_within(object) {
                self.k.set_owner(&held, owner);
            }
        }
    }

    /// Old owner: no longer owns it, or still does.
    pub(super) fn transfer_adopted(&mut self, from: OsnodeId, op: OpId, outcome: Outcome) {
        let awaited = self.rule(Rule::TransferAdoptedAwaited);
        let adopting = |t: &&mut Transferring| t.adopting || !awaited;
        let Some(object) = self.transferring(op).filter(adopting).map(|t| t.object) else {
            return;
        };
        if let Err(refusal) = outcome {
            return self.transfer_fails(op, refusal);
        }
        if self.rule(Rule::TransferTellsTwice) {
            let told = self.transferring(op).map(|t| t.told.clone());
            self.transfer_tell(told.unwrap_or_default(), op, object, from);
        }
        let mut family = self.a.directory.family(&object);
        if !self.rule(Rule::TransferForgets) {
            family.clear();
        }
        for (held, holder) in family {
            self.a.directory.remove(&held, holder);
        }
        if self.rule(Rule::TransferHandsOver) {
            self.set_owner(&object, from);
        }
        if self.rule(Rule::TransferUnlocks) {
            self.k.unlock(op);
        }
        self.finish(op, Ok(()));
    }

    /// Holder: learns who owns the family, from the first who says so.
    pub(super) fn transfer_new_owner(&mut self, op: OpId, object: Object, owner: OsnodeId) {
        let frozen = self.a.promises.remove(&op).is_some();
        // The old owner's death has ended the freeze, but the new one's word was on its way.
        let released = self.a.released.remove(&op) && self.rule(Rule::TransferHearsLate);
        if frozen || released || !self.rule(Rule::TransferHearsOnce) {
            self.set_owner(&object, owner);
        }
        if self.rule(Rule::GoneTellsAfterNews) {
            self.tell_inventory();
        }
    }
}

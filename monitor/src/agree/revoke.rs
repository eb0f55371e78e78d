//! Revoke: two phases, so that nothing is deleted if something cannot go.
//!
//! ```text
//! origin            owner             every holder of it or of what is derived from it
//!   │── Ask ─────────▶│ marks its own   │
//!   │                 │── Mark ────────▶│ stops the use of it
//!   │                 │◀─────── Marked ─│
//!   │                 │── Sweep ───────▶│ deletes          (or Unmark, if one refused)
//!   │                 │◀──────── Swept ─│
//!   │◀──────── Reply ─│                 │
//! ```
//! The origin is the keeper: its copy of the object itself stays. It is a holder like
//! the others otherwise, and so is the owner, for which the messages are calls.

use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Active, Kernel, Message, Nodes, Object, OpId, Outcome, Output, Promise, Rule};
use super::{Rules, Turn};

/// A revoke under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Revoking {
    pub(super) object: Object,
    keeper: OsnodeId,
    /// What of it the owner holds itself.
    pub(super) own: Vec<Object>,
    /// Nothing is deleted yet.
    marking: bool,
    /// Who was told.
    told: Nodes,
    /// Who has not answered.
    pub(super) waiting: Nodes,
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Owner: begins.
    pub(super) fn revoke(&mut self, keeper: OsnodeId, op: OpId, object: Object) {
        let me = self.a.me;
        if self.rule(Rule::RevokeMarksOwn) {
            let keep = keeper == me && self.rule(Rule::RevokeKeeps);
            if let Err(refusal) = self.k.mark(op, &object, keep)
                && self.rule(Rule::RevokeStopsOwn)
            {
                return self.finish(op, Err(refusal));
            }
        }
        let mut told = self.a.directory.holders(&object);
        if !self.rule(Rule::RevokeTellsAll) {
            told.retain(|n| self.a.directory.holds(&object, *n));
        }
        for holder in told.clone() {
            let keep = holder == keeper && self.rule(Rule::RevokeKeeps);
            self.send(holder, Message::Mark { op, object, keep });
        }
        let waiting = if self.rule(Rule::RevokeAwaitsMarked) {
            told.clone()
        } else {
            Nodes::new()
        };
        let own = self.k.overlapping(&object).into_iter().map(|(o, _)| o);
        let revoking = Revoking {
            object,
            keeper,
            own: own.filter(|o| o.is_within(&object)).collect(),
            marking: true,
            told,
            waiting,
        };
        self.a.active.insert(op, Active::Revoke(revoking));
        self.revoke_goes_on(op);
    }

    fn revoking(&mut self, op: OpId) -> Option<&mut Revoking> {
        match self.a.active.get_mut(&op) {
            Some(Active::Revoke(r)) => Some(r),
            _ => None,
        }
    }

    /// Owner: next phase, once nobody's answer is missing.
    pub(super) fn revoke_goes_on(&mut self, op: OpId) {
        let awaits_swept = self.rule(Rule::RevokeAwaitsSwept);
        let awaits_own = self.rule(Rule::RevokeAwaitsOwn);
        let me = self.a.me;
        let Some(revoking) = self.revoking(op).filter(|r| r.waiting.is_empty()) else {
            return;
        };
        if !revoking.marking {
            return self.revoke_ends(op);
        }
        revoking.marking = false;
        let told = revoking.told.clone();
        if awaits_swept {
            revoking.waiting = told.clone();
        }
        for holder in told {
            self.send(holder, Message::Sweep { op });
        }
        if self.k.sweep(op) {
            self.revoke_frees_own(op);
        } else if awaits_own && let Some(revoking) = self.revoking(op) {
            revoking.waiting.insert(me);
        }
        self.revoke_drops_dead(op);
        if self.revoking(op).is_some_and(|r| r.waiting.is_empty()) {
            self.revoke_ends(op);
        }
    }

    /// Owner: whoever went between the phases is not waited for.
    fn revoke_drops_dead(&mut self, op: OpId) {
        let living = self.a.living.clone();
        let answers = self.rule(Rule::GoneAnswersSwept);
        if let Some(revoking) = self.revoking(op)
            && answers
        {
            revoking.waiting.retain(|n| living.contains(n));
        }
    }

    /// Owner: its kernel has deleted what it held.
    fn revoke_frees_own(&mut self, op: OpId) {
        if let Some(own) = self.revoking(op).map(|r| core::mem::take(&mut r.own)) {
            self.settle(|o| own.contains(o));
            if self.rule(Rule::RevokeFreesOwn) {
                self.free_unheld(&own);
            }
        }
    }

    fn revoke_ends(&mut self, op: OpId) {
        let Some(object) = self.revoking(op).map(|r| r.object) else {
            return;
        };
        self.out.push(Output::Revoked { op, object });
        self.refresh(&object);
        self.finish(op, Ok(()));
    }

    /// Holder: marks.
    pub(super) fn revoke_mark(&mut self, from: OsnodeId, op: OpId, object: Object, keep: bool) {
        let outcome = self.k.mark(op, &object, keep);
        // Also if it cannot: it is told that this ends.
        let promise = Promise {
            coordinator: from,
            object,
            frozen: None,
            sweeping: false,
            keep,
        };
        self.a.promises.insert(op, promise);
        if self.rule(Rule::RevokeSaysMarked) {
            self.send(from, Message::Marked { op, outcome });
        }
    }

    /// Owner: a holder has marked, or cannot.
    pub(super) fn revoke_marked(&mut self, from: OsnodeId, op: OpId, outcome: Outcome) {
        let stops = self.rule(Rule::RevokeStops);
        let awaited = self.rule(Rule::RevokeMarkedAwaited);
        let Some(revoking) = self.revoking(op).filter(|r| r.marking || !awaited) else {
            return;
        };
        revoking.waiting.remove(&from);
        let told = revoking.told.clone();
        match outcome {
            Err(refusal) if stops => {
                if self.rule(Rule::RevokeUnmarks) {
                    for holder in told {
                        self.send(holder, Message::Unmark { op });
                    }
                }
                self.k.unmark(op);
                self.finish(op, Err(refusal));
            }
            _ => self.revoke_goes_on(op),
        }
    }

    /// Holder: deletes what it marked.
    pub(super) fn revoke_sweep(&mut self, op: OpId) {
        let done = self.k.sweep(op);
        let Some(promise) = self.a.promises.get_mut(&op) else {
            return;
        };
        promise.sweeping = true;
        if done || !self.rule(Rule::RevokeAwaitsKernel) {
            self.revoke_says_swept(op);
        }
    }

    fn revoke_says_swept(&mut self, op: OpId) {
        if let Some(promise) = self.a.promises.remove(&op) {
            let (root, keep) = (promise.object, promise.keep);
            self.settle(|o| o.is_within(&root) && !(keep && *o == root));
            if self.rule(Rule::RevokeSaysSwept) {
                self.send(promise.coordinator, Message::Swept { op });
            }
        }
        if self.rule(Rule::GoneTellsAfterSweep) {
            self.tell_inventory();
        }
    }

    /// The kernel has deleted the last of it.
    pub(super) fn sweep_done(&mut self, op: OpId) {
        let me = self.a.me;
        match self.revoking(op) {
            Some(revoking) => {
                revoking.waiting.remove(&me);
                self.revoke_frees_own(op);
                self.revoke_goes_on(op);
            }
            None => self.revoke_says_swept(op),
        }
    }

    /// Owner: a holder has deleted.
    pub(super) fn revoke_swept(&mut self, from: OsnodeId, op: OpId) {
        let Some(revoking) = self.revoking(op) else {
            return;
        };
        revoking.waiting.remove(&from);
        let (object, keeper) = (revoking.object, revoking.keeper);
        if self.rule(Rule::RevokeForgets) {
            let knows = self.rule(Rule::RevokeKnowsKept);
            let family = self.a.directory.family(&object);
            let gone = family.into_iter().filter(|(o, n)| {
                let kept = *o == object && from == keeper;
                *n == from && !(kept && knows)
            });
            let gone: Vec<Object> = gone.map(|(o, _)| o).collect();
            for o in &gone {
                self.a.directory.remove(o, from);
                self.outdate(from, o);
            }
            if self.rule(Rule::RevokeFrees) {
                self.free_unheld(&gone);
            }
        }
        self.revoke_goes_on(op);
    }

    /// Holder: it was called off.
    pub(super) fn revoke_unmark(&mut self, op: OpId) {
        self.a.promises.remove(&op);
        self.k.unmark(op);
    }
}

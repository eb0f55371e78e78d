//! Copy, and the copying half of a move: origin → owner → receiver, and back.
//!
//! ```text
//! origin            owner             receiver
//!   │── Ask ─────────▶│ records         │
//!   │                 │── Take ────────▶│ inserts
//!   │                 │◀──────── Taken ─│
//!   │◀──────── Reply ─│                 │
//! ```
//! The owner records the receiver before the copy leaves: whatever it sends later
//! (a mark, a freeze) finds the copy there. Nothing is locked.

use capfmt::OsnodeId;

use super::{Active, Gift, Kernel, Message, Object, OpId, Outcome, Refusal, Rule, Rules, Turn};

/// A copy on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Copying {
    pub(super) object: Object,
    pub(super) to: OsnodeId,
    /// The origin will delete its own copy.
    pub(super) moves: bool,
}

impl<K: Kernel, R: Rules> Turn<'_, K, R> {
    /// Owner: lets `to` have a copy.
    pub(super) fn copy(&mut self, op: OpId, object: Object, to: OsnodeId, how: (Gift, bool)) {
        let (gift, moves) = how;
        if !self.needs(Rule::CopyNotToDead, self.a.living.contains(&to)) {
            return self.finish(op, Err(Refusal::Gone(to)));
        }
        if to == self.a.me {
            let outcome = self.copy_insert(op, &object, to, &gift);
            self.refresh(&object);
            return self.finish(op, outcome);
        }
        if self.rule(Rule::CopyRecords) {
            self.a.directory.add(object, to);
        }
        self.refresh(&object);
        self.send(to, Message::Take { op, object, gift });
        if self.rule(Rule::CopyAwaitsTaken) {
            let copying = Copying { object, to, moves };
            self.a.active.insert(op, Active::Copy(copying));
        } else {
            self.finish(op, Ok(()));
        }
    }

    /// Receiver: takes a copy, once for each operation.
    pub(super) fn copy_insert(
        &mut self,
        op: OpId,
        object: &Object,
        owner: OsnodeId,
        gift: &Gift,
    ) -> Outcome {
        if self.rule(Rule::CopyOnce) && self.a.taken.contains(&op) {
            return Ok(());
        }
        self.k.insert(op, object, owner, gift)?;
        self.book(object, owner);
        let open = self.a.rules.limits().open;
        let recent = |t: &OpId| t.origin != op.origin || t.number + open > op.number;
        self.a.taken.retain(recent);
        self.a.taken.insert(op);
        Ok(())
    }

    /// Receiver: a copy arrives.
    pub(super) fn copy_take(&mut self, from: OsnodeId, op: OpId, object: Object, gift: &Gift) {
        let outcome = self.copy_insert(op, &object, from, gift);
        let holds = self.k.owner(&object).is_some();
        if self.rule(Rule::CopySaysTaken) {
            let message = Message::Taken {
                op,
                object,
                outcome,
                holds,
            };
            self.send(from, message);
        }
    }

    /// Owner: the receiver took it, or not.
    pub(super) fn copy_taken(
        &mut self,
        from: OsnodeId,
        op: OpId,
        object: Object,
        outcome: Outcome,
        holds: bool,
    ) {
        let awaited = matches!(self.a.active.get(&op), Some(Active::Copy(_)));
        if self.needs(Rule::CopyTakenAwaited, awaited) {
            self.finish(op, outcome);
        }
        if !self.needs(Rule::CopyKeepsHolder, holds) && self.rule(Rule::CopyForgetsRefused) {
            self.dropped(from, object);
        }
    }
}

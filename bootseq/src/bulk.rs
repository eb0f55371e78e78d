//! Several operations side by side, one driver carrying out the actions of all.
//!
//! *Prepare, then switch* holds for all together: no core is touched before every
//! kernel is loaded or refused, and while any core is between two kernels nothing
//! is done that takes long.

use crate::outcome::Outcome;
use crate::sequence::Sequence;
use crate::types::{Action, Input};

/// What the driver is to do next for a set of cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkAction {
    /// This action, for the sequence with this index; then [`Bulk::answer`].
    Do(usize, Action),
    /// Nothing until this time (not later than now: let other cores run for a moment).
    Wait {
        /// System time in nanoseconds.
        until_ns: u64,
    },
    /// All are over: see [`Bulk::outcome`].
    Finished,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Has this to hear.
    Ready(Input),
    /// Its action is being carried out.
    Busy,
    /// Sleeps until then.
    Waiting(u64),
    /// This long action must not be begun yet.
    Held(Action),
    /// Waits for the others to be prepared.
    Prepared,
    /// Is over.
    Over(Outcome),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: Sequence,
    state: State,
}

/// Up to `N` operations, on different cores.
#[derive(Clone, Copy, Debug)]
pub struct Bulk<const N: usize> {
    slots: [Option<Slot>; N],
    len: usize,
    /// Whose turn it is.
    turn: usize,
}

impl<const N: usize> Default for Bulk<N> {
    fn default() -> Self {
        Bulk::new()
    }
}

impl<const N: usize> Bulk<N> {
    /// No operation yet.
    #[must_use]
    pub const fn new() -> Bulk<N> {
        Bulk {
            slots: [None; N],
            len: 0,
            turn: 0,
        }
    }

    /// Adds an operation; returns its index, or `None` if there is no room or one on the same core.
    pub fn add(&mut self, sequence: Sequence) -> Option<usize> {
        let same = |s: &Slot| s.sequence.core() == sequence.core();
        if self.len == N || self.slots.iter().flatten().any(same) {
            return None;
        }
        self.slots[self.len] = Some(Slot {
            sequence,
            state: State::Ready(Input::Begin),
        });
        self.len += 1;
        Some(self.len - 1)
    }

    /// How the operation with this index ended; `None` while it goes on.
    #[must_use]
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        match self.slots.get(index)?.as_ref()?.state {
            State::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Tells what came of an action.
    pub fn answer(&mut self, index: usize, input: Input) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && matches!(slot.state, State::Busy)
        {
            slot.state = State::Ready(input);
        }
    }

    /// What to do next, at system time `now` (ns).
    pub fn next(&mut self, now: u64) -> BulkAction {
        // Twice: what the first round made ready is heard in the second.
        for _ in 0..2 {
            self.release_prepared();
            for step in 0..self.len {
                let index = (self.turn + step) % self.len;
                if let Some(action) = self.turn_of(index, now) {
                    self.turn = index + 1;
                    return BulkAction::Do(index, action);
                }
            }
        }
        let states = self.slots.iter().flatten().map(|s| s.state);
        let until = states.clone().filter_map(|s| match s {
            State::Waiting(until_ns) => Some(until_ns),
            State::Ready(_) => Some(now),
            // It may go on as soon as no core switches any more: look again then.
            _ => None,
        });
        match until.min() {
            Some(until_ns) => BulkAction::Wait { until_ns },
            None if states.clone().all(|s| matches!(s, State::Over(_))) => BulkAction::Finished,
            None => BulkAction::Wait { until_ns: now },
        }
    }

    /// The action of one sequence, if it may have one now.
    fn turn_of(&mut self, index: usize, now: u64) -> Option<Action> {
        let others_switch = self.others_switch(index);
        let slot = self.slots[index].as_mut()?;
        let action = match slot.state {
            State::Ready(input) => slot.sequence.next(now, input),
            State::Waiting(until_ns) if now >= until_ns => slot.sequence.next(now, Input::Done),
            State::Held(action) => action,
            _ => return None,
        };
        slot.state = match action {
            Action::Wait { until_ns } => State::Waiting(until_ns),
            Action::Finish(outcome) => State::Over(outcome),
            Action::Prepared => State::Prepared,
            long if long.is_long() && others_switch => State::Held(long),
            _ => State::Busy,
        };
        matches!(slot.state, State::Busy).then_some(action)
    }

    fn others_switch(&self, index: usize) -> bool {
        let slots = self.slots.iter().flatten().enumerate();
        slots
            .filter(|(i, _)| *i != index)
            .any(|(_, s)| s.sequence.is_switching() && !matches!(s.state, State::Over(_)))
    }

    /// Lets all go on once each is prepared or over.
    fn release_prepared(&mut self) {
        let all = self
            .slots
            .iter()
            .flatten()
            .all(|s| matches!(s.state, State::Prepared | State::Over(_)));
        if all {
            for slot in self.slots.iter_mut().flatten() {
                if matches!(slot.state, State::Prepared) {
                    slot.state = State::Ready(Input::Done);
                }
            }
        }
    }
}

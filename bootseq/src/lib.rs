//! Core operations as pure sequences: start, stop, update, recover, and their bulk form (DESIGN §5).
//!
//! A [`Sequence`] is told what happened ([`Input`]) and at what time, and says what to
//! do next ([`Action`]); it does nothing itself. A boot driver carries the actions
//! out on its `CoreControl`; host tests compare them with exact traces. One
//! sequence is one operation on one core; [`Bulk`] runs several side by side, [`Move`] two as one.
//!
//! The rule of every sequence is *prepare, then switch*: the kernel is read,
//! checked, loaded and recorded before the running one is told to stop; each wait
//! has a time-out and each time-out a way back; the former image stays intact in
//! its area until the new kernel runs. The [`Record`] in the Core object says what
//! a driver was doing: [`Sequence::resume`] finishes or undoes it.
//!
//! Time is *system time* in nanoseconds, which never stands still. Not here: how
//! an image is loaded (`genesis`), how a signal is sent (the kernel and `arch`).

#![no_std]
#![forbid(unsafe_code)]

mod admit;
mod bulk;
mod command;
mod force;
mod moving;
mod outcome;
mod poll;
mod power;
mod results;
mod resume;
mod sequence;
mod types;

pub use bulk::{Bulk, BulkAction};
pub use moving::{Move, MoveAction, Moved};
pub use outcome::{After, Failure, Outcome, Reason, Refusal, Success};
pub use sequence::Sequence;
pub use types::{
    Action, Input, KcbSource, Lines, Op, Phase, Power, Record, Request, Signal, Target, Timing,
};

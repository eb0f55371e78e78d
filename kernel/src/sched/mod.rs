//! Scheduling: the policy behind a small trait, its parameters in the DCBs.

use capfmt::{Dcb, PhysMap};

use crate::Event;

mod fair_share;
mod round_robin;

pub use fair_share::{FairShare, TraceRecord};
pub use round_robin::RoundRobin;

/// Nanoseconds that a dispatcher may run while others wait for the core.
pub const TIME_SLICE_NS: u64 = 10_000_000;
/// Nanoseconds that a dispatcher may at least run before one woken from outside takes its turn.
pub(crate) const WAKE_SLICE_NS: u64 = 1_000_000;

/// Who runs next, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picked {
    /// The dispatcher.
    pub dcb: Dcb,
    /// Nanoseconds after which it must give way (its budget or its time slice).
    pub slice_ns: u64,
    /// Whether the end of the slice counts even if nobody else is runnable (a budget).
    pub strict: bool,
}

/// A scheduling policy. All of its state is scratch: the next kernel calls
/// [`Policy::enqueue`] for every runnable dispatcher again. `sched_link` and
/// `sched_key` of a *queued* dispatcher are the policy's to use; it writes them
/// outside of any transaction.
pub trait Policy: Sized {
    /// A policy with nothing queued.
    fn new() -> Self;
    /// `dcb` wants the core from `now_ns` (OSnode time) on; it last had it for
    /// `ran_ns` (0 when it comes from waiting).
    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, ran_ns: u64);
    /// `dcb`, which is queued, no longer wants the core.
    fn dequeue(&mut self, m: &mut impl PhysMap, dcb: Dcb);
    /// Chooses who runs now and takes it from the queue.
    fn pick(&mut self, m: &mut impl PhysMap, now_ns: u64) -> Option<Picked>;
    /// How long `dcb`, switched to directly and so never queued, may run.
    fn slice(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked;
    /// `dcb` had the core for `ran_ns`: charges its budget.
    fn charge(&mut self, m: &mut impl PhysMap, dcb: Dcb, ran_ns: u64);
    /// Whether nobody is queued.
    fn is_empty(&self) -> bool;
    /// Whether someone queued must run before `current` goes on.
    fn preempts(&self, m: &impl PhysMap, current: Dcb) -> bool;
    /// OSnode time at which the policy must be asked again though nothing else happens; `u64::MAX` = never.
    fn next_event_ns(&self) -> u64 {
        u64::MAX
    }
    /// Every kernel entry passes here first: the place for an event ring.
    #[inline]
    fn trace(&mut self, _counter: impl FnOnce() -> u64, _event: &Event) {}
}

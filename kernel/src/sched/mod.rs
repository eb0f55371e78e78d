//! Scheduling: the policy behind a small trait, its parameters in the DCBs.

use capfmt::{Dcb, PhysMap};
use core::fmt;

use crate::Event;

mod erring;
mod fair_share;
mod losing;
mod named;
mod round_robin;
mod ruining;

pub use erring::{Erring, Fault};
pub use fair_share::{FairShare, TraceRecord};
pub use losing::{Losing, Loss, OneNotification, OneTick};
pub use named::NamedFault;
pub use round_robin::RoundRobin;
pub use ruining::{Ruining, TheMemoryService, TheMonitor, TheSpawnService, Victim};

/// Nanoseconds that a dispatcher may run while others wait for the core.
pub const TIME_SLICE_NS: u64 = 10_000_000;
/// Nanoseconds that a dispatcher may at least run before one woken from outside takes its turn.
pub(crate) const WAKE_SLICE_NS: u64 = 1_000_000;

/// Why a dispatcher joins the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A time-out, an interrupt or a notification ended its waiting.
    Outside,
    /// Another dispatcher of the OSnode ended its waiting, or started it.
    Inside,
    /// It had the core for so many nanoseconds (0 = not known) and wants more.
    Turn(u64),
}

/// What ends the waiting of a dispatcher from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeUp {
    /// Its time is over.
    TimeOut,
    /// Bits of the notification page are for it.
    Notification,
}

impl fmt::Display for WakeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeOut => "time-out",
            Self::Notification => "notification",
        })
    }
}

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
    /// `dcb` wants the core from `now_ns` (OSnode time) on.
    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, arrival: Arrival);
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
    /// The time that [`Policy::next_event_ns`] named has come.
    fn refresh(&mut self, _m: &mut impl PhysMap, _now_ns: u64) {}
    /// OSnode time at which the policy must be asked again though nothing else happens; `u64::MAX` = never.
    fn next_event_ns(&self) -> u64 {
        u64::MAX
    }
    /// Whether this wake-up of `dcb` never reaches it. Test kernels misbehave here.
    #[inline]
    fn loses(&mut self, _m: &impl PhysMap, _dcb: Dcb, _what: WakeUp) -> bool {
        false
    }
    /// Every kernel entry passes here first: the place for an event ring.
    #[inline]
    fn trace(&mut self, _counter: impl FnOnce() -> u64, _event: &Event) {}
}

/// Starts a new period of a class-1 dispatcher if its old one is over: periods follow each other without a
/// gap as long as it keeps coming back. Whether it has budget left.
fn has_budget(m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> bool {
    if dcb.sched_class(m) != 1 {
        return false;
    }
    let (deadline, period) = (dcb.deadline_ns(m), dcb.period_ns(m));
    if deadline <= now_ns {
        let late = now_ns - deadline;
        let from = if late < period { deadline } else { now_ns };
        let budget = dcb.budget_ns(m);
        dcb.set_deadline_ns(m, from.saturating_add(period));
        dcb.set_budget_left_ns(m, budget);
    }
    dcb.budget_left_ns(m) != 0
}

/// The slice of a dispatcher that gets the core: its budget, or its turn; without budget it must come back
/// when its period ends.
fn slice_of(m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked {
    let mut picked = Picked {
        dcb,
        slice_ns: TIME_SLICE_NS,
        strict: false,
    };
    if dcb.sched_class(m) == 1 {
        picked.strict = true;
        picked.slice_ns = if has_budget(m, dcb, now_ns) {
            dcb.budget_left_ns(m)
        } else {
            TIME_SLICE_NS.min(dcb.deadline_ns(m) - now_ns)
        };
    }
    picked
}

/// Charges a budget.
fn charge(m: &mut impl PhysMap, dcb: Dcb, ran_ns: u64) {
    if dcb.sched_class(m) == 1 {
        let left = dcb.budget_left_ns(m).saturating_sub(ran_ns);
        dcb.set_budget_left_ns(m, left);
    }
}

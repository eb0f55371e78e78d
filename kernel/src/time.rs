//! OSnode time: ns = base + ((counter − start) × mult >> shift), and the dispatchers that wait for it.
//!
//! Those that wait with a time-out stand in a list, earliest first, linked through
//! `sched_link` (next) and `sched_key` (previous), which a dispatcher that waits
//! does not need for the run queue. A waiting dispatcher whose `wake_at_ns` is not
//! `u64::MAX` is in the list; the next kernel builds it again.

use abi::{SysError, WaitResult};
use capfmt::{Dcb, DcbState, PhysAddr};

use crate::entry::{Entry, live_area};
use crate::{Machine, Osnode, Policy, WakeUp, dispatch};

/// Conversion between the hardware counter and OSnode time, as long as this attach lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Counter at attach.
    pub start: u64,
    /// OSnode time at attach, in nanoseconds.
    pub base_ns: u64,
    /// ns = ticks × mult >> shift.
    pub mult: u64,
    /// See `mult`.
    pub shift: u64,
    /// ticks = ns × `ticks_mult` >> 40.
    pub ticks_mult: u64,
}

const TICKS_SHIFT: u64 = 40;

impl Clock {
    /// A clock that reads `base_ns` when the counter reads `start`; `None` if mult or shift cannot be used.
    pub(crate) fn new(start: u64, base_ns: u64, mult: u64, shift: u64) -> Option<Clock> {
        if mult == 0 || shift >= 64 {
            return None;
        }
        let ticks_mult = (1u128 << (TICKS_SHIFT + shift)) / u128::from(mult);
        Some(Clock {
            start,
            base_ns,
            mult,
            shift,
            ticks_mult: u64::try_from(ticks_mult).ok()?,
        })
    }

    /// Nanoseconds in so many counter ticks.
    #[inline]
    pub(crate) fn ticks_to_ns(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.mult)) >> self.shift) as u64
    }

    /// Counter ticks that last at least so many nanoseconds.
    #[inline]
    pub(crate) fn ns_to_ticks(&self, ns: u64) -> u64 {
        let t = (u128::from(ns) * u128::from(self.ticks_mult)) >> TICKS_SHIFT;
        u64::try_from(t).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// OSnode time when the counter reads `counter`.
    #[inline]
    pub(crate) fn now_ns(&self, counter: u64) -> u64 {
        let ticks = counter.saturating_sub(self.start);
        self.base_ns.saturating_add(self.ticks_to_ns(ticks))
    }
}

/// Puts `dcb`, whose `wake_at_ns` is set, into the list.
pub(crate) fn wait_until<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    let wake_at = dcb.wake_at_ns(e.m);
    let (mut at, mut prev) = (e.os.wake_head, 0);
    while at != 0 && Dcb(PhysAddr(at)).wake_at_ns(e.m) <= wake_at {
        (prev, at) = (at, Dcb(PhysAddr(at)).sched_link(e.m));
    }
    dcb.set_sched_link(e.m, at);
    dcb.set_sched_key(e.m, prev);
    if at != 0 {
        Dcb(PhysAddr(at)).set_sched_key(e.m, dcb.0.0);
    }
    if prev == 0 {
        e.os.wake_head = dcb.0.0;
        arm(e);
    } else {
        Dcb(PhysAddr(prev)).set_sched_link(e.m, dcb.0.0);
    }
}

/// Takes `dcb` out of the list, if it is in it.
#[inline]
pub(crate) fn forget_wait<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    if dcb.wake_at_ns(e.m) == u64::MAX {
        return;
    }
    if !dispatch::may_run(e, dcb) {
        // It was not put into the list.
        return dcb.set_wake_at_ns(e.m, u64::MAX);
    }
    let (next, prev) = (dcb.sched_link(e.m), dcb.sched_key(e.m));
    if next != 0 {
        Dcb(PhysAddr(next)).set_sched_key(e.m, prev);
    }
    if prev == 0 {
        e.os.wake_head = next;
        arm(e);
    } else {
        Dcb(PhysAddr(prev)).set_sched_link(e.m, next);
    }
    dcb.set_wake_at_ns(e.m, u64::MAX);
}

/// Finds the counter value of the earliest time-out.
fn arm<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    e.os.attention = true;
    if e.os.wake_head == 0 {
        e.os.wake_at = u64::MAX;
        return;
    }
    let ns = Dcb(PhysAddr(e.os.wake_head)).wake_at_ns(e.m);
    e.os.wake_at = counter_at(e, ns);
}

/// Counter value at which OSnode time will have reached `ns`.
pub(crate) fn counter_at<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, ns: u64) -> u64 {
    let left = ns.saturating_sub(e.now_ns());
    let ticks = e.os.clock.ns_to_ticks(left);
    e.counter().saturating_add(ticks)
}

/// Ends the waiting of all whose time is over.
pub(crate) fn wake_due<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    if e.os.wake_head == 0 {
        return;
    }
    let now = e.now_ns();
    while e.os.wake_head != 0 {
        let dcb = Dcb(PhysAddr(e.os.wake_head));
        if dcb.wake_at_ns(e.m) > now {
            return arm(e);
        }
        if e.os.policy.loses(e.m, dcb, WakeUp::TimeOut) {
            forget_wait(e, dcb);
            continue;
        }
        time_out(e, dcb);
        dispatch::wake_from_outside(e, dcb);
    }
}

/// Makes the `wait` of `dcb` return `TimedOut`. One store ends the waiting, after the registers are written.
fn time_out<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    if let Some(page) = crate::dispatch::frame(e.m, dcb) {
        let area = live_area(e.m, page);
        e.m.store_at(area, M::SYSCALL_REGS[0], SysError::TimedOut as u64);
        e.m.store_at(area, M::SYSCALL_REGS[1], WaitResult::NOTHING);
    }
    dcb.set_state(e.m, DcbState::Runnable as u64);
}

impl<P: Policy> Osnode<P> {
    /// The counter value for the timer, or `None`: whichever comes first of the end of the time slice (if
    /// anybody queues or a budget runs) and the earliest time-out.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<u64> {
        let slice = self.current.is_some() && (self.strict || !self.policy.is_empty());
        let end = if slice { self.slice_end } else { u64::MAX };
        let first = end.min(self.wake_at);
        (first != u64::MAX).then_some(first)
    }
}

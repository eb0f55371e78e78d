//! Caring for OSnodes that are stopped: nobody waits for one until its core runs again.
//!
//! A kernel whose OSnode *cares* for others ([`abi::Op::KcbCare`]) *visits* them: it adopts such a KCB on
//! its own core for a moment, lets nobody run but the dispatchers that answer others (the monitor, flag
//! `Dcb::ANSWERS`) and the one that takes memory back, without which deletions would stand still, and lets
//! it go again. So every protocol goes on as if the OSnode were merely slow: no message is rerouted, no state
//! changes hands. Signals reach the caretaker's core, because the location word of who is cared for names it.
//!
//! Which OSnodes those are stands in KCBs (`care_head`, `care_next`, `cared_by`), so that it survives this
//! kernel; what stands in [`Care`] is scratch. A visit ends when nobody in it wants the core, when its
//! time is over, and at every interrupt: the caretaker's own OSnode has the core back before anything
//! else happens to it. OSnode time goes on during visits only; what those who answer wait for is
//! shortened by the time between visits, for they wait for others.

use capfmt::{Dcb, Kcb, PhysAddr, PhysMap};

use crate::attach::{self, attach_as};
use crate::entry::{Entry, live_area};
use crate::{Event, Machine, Next, Osnode, Policy, Resume, dispatch, notify, step, system_call};

/// Longest visit.
pub const VISIT_NS: u64 = 2_000_000;
/// How long the own OSnode has the core between two visits, unless it has nothing to do.
pub const REST_NS: u64 = 2_000_000;

/// Scratch of a kernel about those that it cares for.
pub struct Care<P: Policy> {
    /// The kernel's own OSnode, while another one is visited.
    home: Option<Osnode<P>>,
    /// Counter at which the visit is over, or from which on the next one may begin.
    at: u64,
    /// Counter at which all want a visit, whether or not somebody signals; `u64::MAX` = never.
    due: u64,
    /// Whom a round of visits has reached; 0 = none is under way.
    round: u64,
}

impl<P: Policy> Care<P> {
    /// Of a kernel that has just adopted its OSnode: whoever it cares for is due.
    #[must_use]
    pub const fn new() -> Care<P> {
        Care {
            home: None,
            at: 0,
            due: 0,
            round: 0,
        }
    }
    /// Whether another OSnode is visited.
    #[must_use]
    pub const fn is_visiting(&self) -> bool {
        self.home.is_some()
    }
}

impl<P: Policy> Default for Care<P> {
    fn default() -> Self {
        Care::new()
    }
}

/// The OSnodes that the one of `kcb` cares for.
pub(crate) fn list<M: PhysMap>(m: &M, kcb: Kcb) -> impl Iterator<Item = Kcb> + '_ {
    let link = |at: u64| (at != 0).then_some(Kcb(PhysAddr(at)));
    core::iter::successors(link(kcb.care_head(m)), move |k| link(k.care_next(m)))
}

/// Tells where signals for those that `kcb` cares for go: to its own core, or (0) nowhere.
pub(crate) fn relocate<M: Machine>(m: &mut M, kcb: Kcb, location: u64) {
    let mut at = kcb.care_head(m);
    while at != 0 {
        let other = Kcb(PhysAddr(at));
        let page = PhysAddr(other.notification(m));
        notify::set_location(m, page, location);
        at = other.care_next(m);
    }
}

/// Takes the time since the last visit off the time-out of `dcb`.
pub(crate) fn shorten<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    let ticks = e.counter().saturating_sub(e.kcb().left_at(e.m));
    let passed = e.os.clock.ticks_to_ns(ticks);
    let wake_at = dcb.wake_at_ns(e.m).saturating_sub(passed);
    let now = e.now_ns();
    dcb.set_wake_at_ns(e.m, wake_at.max(now));
}

/// As [`crate::system_call`], with visits.
#[inline]
pub fn call<M: Machine, P: Policy>(os: &mut Osnode<P>, care: &mut Care<P>, m: &mut M) -> bool {
    let other = system_call(os, m);
    if other {
        after(os, care, m);
    }
    other
}

/// As [`crate::step`], with visits. `os` is whoever runs: the kernel's own OSnode, or the one visited.
pub fn run<M: Machine, P: Policy>(os: &mut Osnode<P>, care: &mut Care<P>, m: &mut M, event: Event) {
    let own = matches!(
        event,
        Event::Syscall | Event::PageFault(..) | Event::Trap(..)
    );
    let mut live = None;
    if care.is_visiting() && !own {
        live = end(os, care, m);
    }
    step(os, m, event);
    if live.is_some() {
        // Who was interrupted is not one of `os`: its registers are live all the same.
        os.resume.save_fpu = os.resume.save_fpu.or(live);
    }
    after(os, care, m);
}

/// Begins or goes on with a visit, or has the timer see to it.
#[inline]
fn after<M: Machine, P: Policy>(os: &mut Osnode<P>, care: &mut Care<P>, m: &mut M) {
    if care.is_visiting() {
        during(care, m, &mut os.resume);
    } else if os.cares && !matches!(os.resume.next, Next::Pen | Next::Ended) {
        consider(os, care, m);
    }
}

/// What follows an entry of the OSnode that is visited. With nothing to do, the timer ends the visit.
#[cold]
fn during<M: Machine, P: Policy>(care: &Care<P>, m: &M, resume: &mut Resume) {
    let end = match resume.next {
        Next::Idle => m.counter(),
        _ => care.at,
    };
    let home = care.home.as_ref().and_then(Osnode::deadline);
    until(resume, end.min(home.unwrap_or(u64::MAX)));
}

/// Whether somebody is to be visited, and if so now or soon.
#[cold]
fn consider<M: Machine, P: Policy>(os: &mut Osnode<P>, care: &mut Care<P>, m: &mut M) {
    let now = m.counter();
    let Some(wanted) = next(os, care, m, now) else {
        return until(&mut os.resume, care.due);
    };
    let idle = os.resume.next == Next::Idle;
    if !idle && os.strict {
        // The end of its budget brings this up again.
        return;
    }
    let from = if idle { now } else { care.at.max(now) };
    if from > now || !os.effects.is_empty() {
        return until(&mut os.resume, from);
    }
    if !begin(os, care, m, wanted) {
        until(&mut os.resume, now);
    }
}

/// The timer is due at counter value `at`, unless earlier; `u64::MAX` = never.
fn until(resume: &mut Resume, at: u64) {
    if at != u64::MAX {
        resume.deadline = Some(resume.deadline.map_or(at, |d| d.min(at)));
    }
}

/// Who is to be visited next: when all are due, one after the other; else the first that is signalled.
fn next<M: Machine, P: Policy>(os: &Osnode<P>, care: &mut Care<P>, m: &M, now: u64) -> Option<Kcb> {
    if care.due <= now {
        care.due = u64::MAX;
        care.round = os.kcb.care_head(m);
    }
    if care.round != 0 {
        // Somebody may have left the list meanwhile: then the round begins again.
        let in_list = list(m, os.kcb).any(|k| k.0.0 == care.round);
        let first = Some(os.kcb.care_head(m)).filter(|k| *k != 0);
        care.round = if in_list { care.round } else { first? };
        return Some(Kcb(PhysAddr(care.round)));
    }
    let signalled = |k: &Kcb| notify::is_signalled(m, PhysAddr(k.notification(m)));
    list(m, os.kcb).find(signalled)
}

/// Begins the visit of `kcb`; `false` if it cannot be adopted.
fn begin<M: Machine, P: Policy>(
    os: &mut Osnode<P>,
    care: &mut Care<P>,
    m: &mut M,
    kcb: Kcb,
) -> bool {
    if care.round == kcb.0.0 {
        care.round = kcb.care_next(m);
    }
    let Ok(mut visited) = attach_as::<M, P>(m, kcb.0, os.identity, true) else {
        // Somebody else runs it, or it cannot be run: it is none of ours any more.
        crate::invoke::care::forget(os, m, kcb);
        return false;
    };
    let live = match os.resume.next {
        Next::Run { area, .. } if !os.resume.load_fpu => Some(area),
        _ => os.resume.save_fpu,
    };
    step_aside(os, m);
    step(&mut visited, m, Event::Idle);
    visited.resume.save_fpu = live;
    care.at = m.counter() + visited.clock.ns_to_ticks(VISIT_NS);
    care.home = Some(core::mem::replace(os, visited));
    during(care, m, &mut os.resume);
    true
}

/// Whoever runs goes back to the queue.
fn step_aside<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M) {
    let mut e = Entry::new(os, m);
    if e.os.current.is_some() {
        dispatch::requeue(&mut e);
        let kcb = e.kcb();
        kcb.set_current_dcb(e.m, 0);
    }
}

/// Ends the visit; the save area that the live FPU registers belong to.
fn end<M: Machine, P: Policy>(
    os: &mut Osnode<P>,
    care: &mut Care<P>,
    m: &mut M,
) -> Option<PhysAddr> {
    let home = care.home.take()?;
    let mut visited = core::mem::replace(os, home);
    let mut e = Entry::new(&mut visited, m);
    let live = e.os.current.and_then(|c| {
        let page = dispatch::frame(e.m, c.dcb)?;
        (page == c.page).then(|| live_area(e.m, page))
    });
    let unfinished = e.os.current.is_some()
        || !e.os.policy.is_empty()
        || e.os.op_active && !e.os.op_paused
        || e.os.undelivered != 0;
    let epoch = (e.kcb().state(e.m) >> 32) as u32;
    let location = attach::location(e.m, epoch);
    let now = e.counter();
    let kcb = e.kcb();
    kcb.set_left_at(e.m, now);
    attach::let_go(&mut e, location);
    care.at = now + e.os.clock.ns_to_ticks(REST_NS);
    let due = if unfinished { care.at } else { e.os.wake_at };
    care.due = care.due.min(due);
    if kcb.ended(m) != 0 {
        crate::invoke::care::forget(os, m, kcb);
    }
    live
}

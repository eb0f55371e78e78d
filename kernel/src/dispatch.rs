//! Who has the core: giving it, taking it, and what is restored at the end of an entry.

use abi::disp;
use abi::disp::Upcall;
use capfmt::{CapType, Dcb, DcbState, Kcb, PhysAddr, PhysMap};

use crate::entry::{Entry, live_area};
use crate::invoke::irq;
use crate::osnode::Current;
use crate::sched::WAKE_SLICE_NS;
use crate::{
    Arrival, Effect, Ending, Machine, Next, Osnode, Policy, Resume, ending, lmp, longop, reclaim,
    share, time, upcall,
};

/// The dispatcher frame of `dcb`, if it still has one.
#[inline]
pub(crate) fn frame(m: &impl PhysMap, dcb: Dcb) -> Option<PhysAddr> {
    let cte = dcb.disp_frame();
    (m.load(cte.0) as u8 == CapType::Frame as u8).then(|| PhysAddr(m.load_at(cte.0, 8)))
}

/// What is needed to run `dcb`, if its frame and its root VNode still exist.
// Not a function of its own: what it returns would be copied three times on its way to the OSnode.
#[inline(always)]
pub(crate) fn runnable(m: &impl PhysMap, dcb: Dcb) -> Option<Current> {
    let page = frame(m, dcb)?;
    let cte = dcb.vspace();
    if m.load(cte.0) as u8 != CapType::VNode as u8 {
        return None;
    }
    let root = PhysAddr(m.load_at(cte.0, 8));
    let word = m.load(dcb.cspace().0);
    let slots = if word as u8 == CapType::CNode as u8 {
        1 << (word >> 32 & 31)
    } else {
        0
    };
    let cspace = PhysAddr(m.load(dcb.cspace().0.add(8)));
    Some(Current {
        dcb,
        page,
        root,
        cspace,
        slots,
    })
}

/// Charges the current dispatcher for the core time since the last charge, and counts its system calls.
#[inline]
pub(crate) fn charge<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let now = e.counter();
    charge_until(e.os, e.m, now);
}

/// As [`charge`], when the counter reads `now`.
#[inline]
pub(crate) fn charge_until<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M, now: u64) {
    let Some(Current { dcb, .. }) = os.current else {
        return;
    };
    let ns = os.clock.ticks_to_ns(now.saturating_sub(os.charged_at));
    os.charged_at = now;
    let used = dcb.used_ns(m);
    dcb.set_used_ns(m, used.wrapping_add(ns));
    let calls = dcb.syscalls(m);
    dcb.set_syscalls(m, calls.wrapping_add(os.calls));
    os.calls = 0;
    os.policy.charge(m, dcb, ns);
}

/// The current dispatcher has given up the core: the KCB says so already.
pub(crate) fn leave<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    charge(e);
    e.os.current = None;
    e.os.attention = true;
}

/// As [`leave`], when nothing else has changed: with an empty queue the core rests.
pub(crate) fn rest<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    charge(e);
    e.os.current = None;
    e.os.attention |= !e.os.policy.is_empty();
}

/// The current dispatcher stays runnable and goes to the queue.
pub(crate) fn requeue<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let Some(current) = e.os.current else { return };
    charge(e);
    let now = e.now_ns();
    let ran = e.counter().saturating_sub(e.os.picked_at);
    let ran = e.os.clock.ticks_to_ns(ran);
    e.os.policy
        .enqueue(e.m, current.dcb, now, Arrival::Turn(ran));
    e.os.current = None;
    e.os.attention = true;
}

/// Whether `dcb` may have the core here: while this kernel only cares for the OSnode, few may.
#[inline]
pub(crate) fn may_run<M: Machine, P: Policy>(e: &Entry<'_, M, P>, dcb: Dcb) -> bool {
    !e.os.visited || runs_in_visits(e.m, e.kcb(), dcb)
}

/// Whether others wait for `dcb` of `kcb`'s OSnode, so that it has the core even in a visit.
#[inline]
pub(crate) fn runs_in_visits(m: &impl PhysMap, kcb: Kcb, dcb: Dcb) -> bool {
    dcb.flags(m) & Dcb::ANSWERS != 0 || reclaim::collector(m, kcb) == Some(dcb)
}

/// `dcb`, which is runnable, joins the queue, if it may run here.
pub(crate) fn enqueue<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb, arrival: Arrival) {
    if may_run(e, dcb) {
        let now = e.now_ns();
        e.os.policy.enqueue(e.m, dcb, now, arrival);
    }
}

/// `dcb`, which was runnable, leaves the queue, if it is in it.
pub(crate) fn dequeue<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    if may_run(e, dcb) {
        e.os.policy.dequeue(e.m, dcb);
    }
}

/// `dcb`, whose state is Runnable now, joins the queue.
pub(crate) fn wake<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    arrive(e, dcb, Arrival::Inside);
}

/// As [`wake`], for an interrupt, a notification or a time-out: whoever runs gives way soon.
pub(crate) fn wake_from_outside<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    arrive(e, dcb, Arrival::Outside);
    if !e.os.strict {
        let soon = e.os.picked_at + e.os.clock.ns_to_ticks(WAKE_SLICE_NS);
        e.os.slice_end = e.os.slice_end.min(soon.max(e.counter()));
    }
}

/// As [`wake_from_outside`]; on a core that rests, `dcb` gets it at once.
pub(crate) fn wake_resting<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    let rests = e.os.current.is_none() && e.os.policy.is_empty() && !e.os.attention;
    let rests = rests && dcb.sched_class(e.m) == 0 && may_run(e, dcb);
    let Some(current) = rests.then(|| runnable(e.m, dcb)).flatten() else {
        return wake_from_outside(e, dcb);
    };
    time::forget_wait(e, dcb);
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, dcb.0.0);
    e.os.current = Some(current);
    let now = e.now_ns();
    let picked = e.os.policy.slice(e.m, dcb, now);
    start_slice(e, picked.slice_ns, picked.strict);
}

fn arrive<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb, arrival: Arrival) {
    time::forget_wait(e, dcb);
    enqueue(e, dcb, arrival);
    e.os.attention = true;
}

/// Hands the core from the current dispatcher, which the caller has dealt with, straight to `next`,
/// on the same time slice. The KCB must name `next` already, or name it by the store made here.
#[inline]
pub(crate) fn switch<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, next: Current) {
    charge(e);
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, next.dcb.0.0);
    next.dcb.set_state(e.m, DcbState::Runnable as u64);
    time::forget_wait(e, next.dcb);
    e.os.current = Some(next);
    if e.os.strict || next.dcb.sched_class(e.m) != 0 {
        let now = e.now_ns();
        let picked = e.os.policy.slice(e.m, next.dcb, now);
        start_slice(e, picked.slice_ns, picked.strict);
    }
}

fn start_slice<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, slice_ns: u64, strict: bool) {
    let now = e.counter();
    e.os.picked_at = now;
    e.os.charged_at = now;
    e.os.slice_end = now.saturating_add(e.os.clock.ns_to_ticks(slice_ns));
    e.os.strict = strict;
}

/// Ends the life of the current dispatcher's turn, if its time is over.
pub(crate) fn on_timer<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    time::wake_due(e);
    let Some(current) = e.os.current else { return };
    let queued = e.os.strict || !e.os.policy.is_empty();
    if !queued || e.counter() < e.os.slice_end {
        return;
    }
    preempt(e, current);
}

fn preempt<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, current: Current) {
    let n = current.dcb.preemptions(e.m);
    current.dcb.set_preemptions(e.m, n + 1);
    upcall::post(e.m, current.dcb, current.page, Upcall::Run);
    requeue(e);
}

/// `dcb` has no frame or root VNode any more.
fn lose<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) {
    let kcb = e.kcb();
    dcb.set_state(e.m, DcbState::Stopped as u64);
    ending::note(e.m, kcb, dcb);
    ending::look(e);
}

/// Chooses who gets the free core.
fn choose<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let now = e.now_ns();
    while let Some(picked) = e.os.policy.pick(e.m, now) {
        if let Some(current) = runnable(e.m, picked.dcb) {
            e.os.current = Some(current);
            let kcb = e.kcb();
            kcb.set_current_dcb(e.m, picked.dcb.0.0);
            return start_slice(e, picked.slice_ns, picked.strict);
        }
        lose(e, picked.dcb);
        if e.os.ended {
            break;
        }
    }
    let kcb = e.kcb();
    if kcb.current_dcb(e.m) != 0 {
        kcb.set_current_dcb(e.m, 0);
    }
}

/// Settles who runs: advances long operations, retries deliveries, preempts, picks.
fn settle<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    e.os.attention = false;
    if e.os.op_active {
        longop::advance(e);
    }
    if e.os.dropped {
        e.os.dropped = false;
        share::tell(e, e.os.monitor);
    }
    if e.os.reclaimed {
        e.os.reclaimed = false;
        let channel = e.kcb().reclaim_channel(e.m);
        share::tell(e, channel);
    }
    if e.os.undelivered != 0 {
        lmp::retry_undelivered(e);
    }
    unmask_some(e);
    if e.os.policy.next_event_ns() != u64::MAX && e.os.policy.next_event_ns() <= e.now_ns() {
        let now = e.now_ns();
        e.os.policy.refresh(e.m, now);
    }
    if let Some(current) = e.os.current {
        match runnable(e.m, current.dcb) {
            None => {
                lose(e, current.dcb);
                leave(e);
            }
            Some(now) => {
                e.os.current = Some(now);
                if e.os.policy.preempts(e.m, current.dcb) {
                    preempt(e, current);
                }
            }
        }
    }
    if !ending::settle(e) && e.os.current.is_none() {
        choose(e);
    }
}

/// After attach: routes and unmasks bound interrupts, as many as the effects have room for.
fn unmask_some<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    while e.os.unmask_next < irq::BINDINGS && e.os.effects.room() > 1 {
        let binding = e.kcb().irq(e.m, e.os.unmask_next);
        e.os.unmask_next += 1;
        if binding.source1 != 0 {
            e.os.effects.push(Effect::IrqUnmask(binding.source1 - 1));
        }
    }
    e.os.attention |= e.os.unmask_next < irq::BINDINGS;
}

/// Whether work is left that no event will bring up: the timer must.
fn must_come_back<M: Machine, P: Policy>(e: &Entry<'_, M, P>) -> bool {
    e.os.op_active && !e.os.op_paused || e.os.unmask_next < irq::BINDINGS
}

/// Whether the dispatcher that made this system call goes on as if nothing had happened, once the
/// effects are carried out. What would make a deadline earlier asks for attention.
#[inline]
pub(crate) fn goes_on<M: Machine, P: Policy>(e: &Entry<'_, M, P>) -> bool {
    let (Some(saved), Some(current)) = (e.saved, e.os.current) else {
        return false;
    };
    !e.os.attention
        && !must_come_back(e)
        && saved.dcb == current.dcb
        && saved.page == current.page
        && current.dcb.upcalls(e.m) == 0
}

/// Ends the entry: who runs, and what must be loaded for it ([`Osnode::resume`]).
pub(crate) fn resume<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let free = e.os.current.is_none() && !e.os.policy.is_empty();
    if e.os.attention || e.os.op_active || e.os.dropped || free {
        settle(e);
    }
    let Some(current) = e.os.current else {
        return idle(e);
    };
    let fresh = upcall::deliver(e, current);
    let area = live_area(e.m, current.page);
    let same = !fresh && e.saved.is_some_and(|s| s.area == area);
    let mut deadline = e.os.deadline();
    if e.os.policy.next_event_ns() != u64::MAX {
        let ns = e.os.policy.next_event_ns();
        let at = time::counter_at(e, ns);
        deadline = Some(deadline.map_or(at, |d| d.min(at)));
    }
    if must_come_back(e) {
        let soon = e.counter() + e.os.clock.ns_to_ticks(longop::GAP_NS);
        deadline = Some(deadline.map_or(soon, |d| d.min(soon)));
    }
    e.os.resume = Resume {
        next: Next::Run {
            dcb: current.dcb.0,
            page: current.page,
            area,
            root: current.root,
        },
        save_fpu: if same { None } else { fpu_home(e) },
        load_fpu: !same,
        deadline,
    };
}

fn idle<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    // In a visit it is for the caretaker to end it, as one in which nobody has anything to do.
    if e.os.ended
        && let Some(ending) = Ending::of(e.m, e.os.kcb)
        && (!e.os.visited || ending.is_of_machine())
    {
        e.os.resume = Resume::none(Next::Ended);
        return;
    }
    let deadline = if must_come_back(e) {
        Some(e.counter())
    } else {
        e.os.deadline()
    };
    e.os.resume = Resume {
        next: Next::Idle,
        save_fpu: fpu_home(e),
        load_fpu: false,
        deadline,
    };
}

/// Where the live FPU registers go: nowhere if their dispatcher lost its frame during this entry.
fn fpu_home<M: Machine, P: Policy>(e: &Entry<'_, M, P>) -> Option<PhysAddr> {
    let s = e.saved?;
    (frame(e.m, s.dcb) == Some(s.page)).then_some(s.area)
}

/// Writes the words of the dispatcher page that tell where the OSnode runs.
pub(crate) fn tell_place(m: &mut impl PhysMap, page: PhysAddr, osnode: u64, core: u64, epoch: u64) {
    m.store_at(page, disp::OSNODE, osnode);
    m.store_at(page, disp::CORE, core);
    m.store_at(page, disp::EPOCH, epoch);
}

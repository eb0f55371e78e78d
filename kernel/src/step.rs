//! One kernel entry.

use crate::entry::{Entry, Saved, live_area};
use crate::upcall::Fault;
use crate::{
    Effect, Event, Machine, Osnode, Policy, Resume, attach, dispatch, invoke, notify, syscall,
    upcall,
};
use abi::disp::Upcall;

/// One kernel entry: what `event` means for the OSnode, and what runs next.
///
/// A sequence of transactions on OSnode memory, each of which is taken back as a
/// whole by the next [`crate::attach`] if this kernel dies in it. The effects
/// ([`Osnode::effects`]) are carried out by the caller after `step` returns, in
/// order, before it resumes ([`Osnode::resume`]).
/// `Event::StopRequested` with a new Stop command on the home line detaches the
/// OSnode, reports `Detached` on the target line and answers [`crate::Next::Pen`];
/// the token is dead then. A spurious one changes nothing.
pub fn step<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M, event: Event) {
    os.policy.trace(|| m.counter(), &event);
    let mut e = enter(os, m);
    if let Event::Syscall = event {
        system_call_in(&mut e);
    } else if !other(&mut e, event) {
        e.os.resume = Resume::PEN;
        return;
    }
    dispatch::resume(&mut e);
}

/// As [`step`] for [`Event::Syscall`], or `false` if the caller simply goes on: under the same
/// root, with the registers that stand in the area where the entry code saved them, FPU
/// registers live, the deadline as it was. Either way the effects come first.
#[inline]
pub fn system_call<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M) -> bool {
    os.policy.trace(|| m.counter(), &Event::Syscall);
    os.effects.clear();
    match syscall::quick(os, m) {
        syscall::Quick::Same => false,
        syscall::Quick::Other => true,
        syscall::Quick::No => system_call_slow(os, m),
    }
}

fn system_call_slow<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M) -> bool {
    let mut e = enter(os, m);
    system_call_in(&mut e);
    let other = !dispatch::goes_on(&e);
    if other {
        dispatch::resume(&mut e);
    }
    other
}

#[inline]
fn enter<'a, M: Machine, P: Policy>(os: &'a mut Osnode<P>, m: &'a mut M) -> Entry<'a, M, P> {
    os.effects.clear();
    let mut e = Entry::new(os, m);
    if let Some(current) = e.os.current {
        e.saved = Some(Saved {
            dcb: current.dcb,
            page: current.page,
            area: live_area(e.m, current.page),
        });
    }
    e
}

#[inline]
fn system_call_in<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    e.os.in_effects = false;
    syscall::syscall(e);
}

/// Everything but system calls; `false`: the OSnode is detached.
fn other<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, event: Event) -> bool {
    if e.os.in_effects {
        e.os.in_effects = false;
        if let Some(current) = e.os.current {
            let kcb = e.kcb();
            kcb.set_current_dcb(e.m, current.dcb.0.0);
        }
    }
    match event {
        Event::Syscall | Event::Idle => {
            if e.os.visited {
                // What this core knows of the OSnode's tables may be from an earlier visit.
                e.os.effects.push(Effect::TlbAll);
            }
            e.os.attention = true;
        }
        Event::Timer => dispatch::on_timer(e),
        Event::Notified => notify::notified(e),
        Event::StopRequested => return !attach::detach(e),
        Event::Irq(source) => {
            e.os.effects.push(Effect::IrqMask(source));
            invoke::irq::interrupt(e, source);
        }
        Event::PageFault(address, access) => upcall::fault(e, Fault::page(address, access)),
        Event::Trap(kind, detail) => upcall::fault(
            e,
            Fault {
                upcall: Upcall::Trap,
                detail: kind as u64,
                info: detail,
            },
        ),
    }
    // The policy may have something due of its own.
    if e.os.policy.next_event_ns() != u64::MAX {
        e.os.attention = true;
    }
    true
}

//! `Send` and `Call`.
//!
//! A call that switches straight to its receiver logs nothing: all it writes
//! before the KCB names the receiver belongs to registers or to the caller, whom
//! an adopting kernel makes runnable again; what follows, attach does as well.

use abi::{MESSAGE_WORDS, MessageTag, SysError, WaitResult};
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Cte, Dcb, DcbState, Kcb, PhysAddr, PhysMap, Rights};

use crate::entry::{Caller, Entry, Res, Stop, commit, live_area, refuse};
use crate::lmp::{
    HEAD, RECV, RING, TAIL, To, Words, hand_over, is_closed, put, record, take, waits_for,
};
use crate::osnode::Current;
use crate::{Arrival, Machine, Next, Osnode, Policy, Resume, decode, dispatch};

/// How a message is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The sender goes on.
    Send,
    /// The receiver, if it waits, goes on at once; the sender stays runnable.
    YieldTo,
    /// The sender waits for a message on this endpoint of its own.
    Call(u64),
}

/// `Send`.
pub(crate) fn send<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, r0: u64) -> Res {
    let tag = MessageTag::from_r0(r0);
    let mode = if tag.yield_to {
        Mode::YieldTo
    } else {
        Mode::Send
    };
    transmit(e, c, tag, mode)
}

/// `Call`.
pub(crate) fn call<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, r0: u64) -> Res {
    let tag = MessageTag::from_r0(r0);
    let reply = u64::from(tag.reply);
    if e.m.load(record(c.dcb, reply, RING)) == 0 {
        return refuse(SysError::BadArgument);
    }
    transmit(e, c, tag, Mode::Call(reply))
}

#[inline]
fn transmit<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    tag: MessageTag,
    mode: Mode,
) -> Res {
    let to = receiver(e, c)?;
    let mut words: Words = [0; MESSAGE_WORDS];
    for i in 0..MESSAGE_WORDS {
        words[i] = c.reg(e.m, 2 + i);
    }
    if tag.cap.0 == 0 && mode != Mode::Send && switch_direct(e, c, &to, &words, mode) {
        return Ok(());
    }
    transmit_logged(e, c, tag, mode, &to, &words)
}

/// The receiver that the Endpoint capability in r1 names.
#[inline]
fn receiver<M: Machine, P: Policy>(e: &Entry<'_, M, P>, c: &Caller) -> Res<To> {
    let addr = c.reg(e.m, 1);
    let quick = match &e.os.current {
        Some(current) if !e.os.guarded => decode::quick_slot(e.m, current, addr),
        _ => None,
    };
    let (cte, word) = match quick {
        Some(cte) => (cte, e.m.load(cte.0)),
        None => decode::used_slot(e, c.dcb, addr)?,
    };
    if word as u8 != CapType::Endpoint as u8 {
        return refuse(match word as u8 {
            0 => SysError::NoCapability,
            _ => SysError::WrongType,
        });
    }
    if word >> 8 & u64::from(Rights::WRITE.0) == 0 {
        return refuse(SysError::NoRight);
    }
    Ok(To {
        dcb: Dcb(PhysAddr(e.m.load_at(cte.0, 8))),
        index: word >> 32 & 31,
        badge: e.m.load_at(cte.0, 24) as u32,
    })
}

/// The shortest way: an ordinary `Call` (capability-free, between dispatchers of class 0) whose receiver waits
/// without a time-out. `None`: nothing was done.
#[inline(always)]
pub(crate) fn quick_call<M: Machine, P: Policy>(
    os: &mut Osnode<P>,
    m: &mut M,
    current: &Current,
    area: PhysAddr,
    r0: u64,
    r1: u64,
) -> Option<()> {
    let reply = u64::from(MessageTag::from_r0(r0).reply);
    let cte = decode::quick_slot(m, current, r1)?;
    let word = m.load(cte.0);
    let wanted = CapType::Endpoint as u64 | u64::from(Rights::WRITE.0) << 8;
    if word & (0xff | u64::from(Rights::WRITE.0) << 8) != wanted {
        return None;
    }
    let to = To {
        dcb: Dcb(PhysAddr(m.load_at(cte.0, 8))),
        index: word >> 32 & 31,
        badge: m.load_at(cte.0, 24) as u32,
    };
    let own = |word| record(current.dcb, reply, word);
    let ready = waits_for(m, to.dcb, to.index)
        && m.load(to.record(RING)) != 0
        && m.load(own(RING)) != 0
        && m.load(own(HEAD)) == m.load(own(TAIL))
        && to.dcb.wake_at_ns(m) == u64::MAX
        && to.dcb.sched_class(m) == 0
        && to.dcb.upcalls(m) == 0
        && !os.strict;
    if !ready || os.policy.next_event_ns() != u64::MAX {
        return None;
    }
    let next = dispatch::runnable(m, to.dcb)?;
    let kcb = os.kcb;
    kcb.set_current_dcb(m, current.dcb.0.0 | Kcb::IN_SYSCALL);
    os.calls += 1;
    let to_area = live_area(m, next.page);
    let mut words = [0; 2 + MESSAGE_WORDS];
    words[1] = WaitResult::message(to.index, false, to.badge).0;
    for i in 0..MESSAGE_WORDS {
        words[2 + i] = m.load_at(area, M::SYSCALL_REGS[2 + i]);
    }
    m.store_each(to_area, M::SYSCALL_REGS, words);
    current.dcb.set_wait_for(m, reply + 1);
    current.dcb.set_state(m, DcbState::Waiting as u64);
    let now = m.counter();
    dispatch::charge_until(os, m, now);
    // From here on the call has happened.
    kcb.set_current_dcb(m, next.dcb.0.0);
    next.dcb.set_state(m, DcbState::Runnable as u64);
    os.current = Some(next);
    os.resume = Resume {
        next: Next::Run {
            dcb: next.dcb.0,
            page: next.page,
            area: to_area,
            root: next.root,
        },
        save_fpu: Some(area),
        load_fpu: true,
        deadline: os.deadline(),
    };
    Some(())
}

/// The short way: the receiver waits, so it gets the words and the core. `false`: nothing was done.
#[inline]
fn switch_direct<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    to: &To,
    words: &Words,
    mode: Mode,
) -> bool {
    let ready = waits_for(e.m, to.dcb, to.index) && e.m.load(to.record(RING)) != 0;
    if !ready || !dispatch::may_run(e, to.dcb) {
        return false;
    }
    let Some(next) = dispatch::runnable(e.m, to.dcb) else {
        return false;
    };
    if let Mode::Call(reply) = mode {
        let answered = e.m.load(record(c.dcb, reply, HEAD)) != e.m.load(record(c.dcb, reply, TAIL));
        if answered {
            return false;
        }
        hand_over(e.m, next.page, to, words, false);
        c.dcb.set_wait_for(e.m, reply + 1);
        c.dcb.set_state(e.m, DcbState::Waiting as u64);
        dispatch::switch(e, next);
        return true;
    }
    hand_over(e.m, next.page, to, words, false);
    e.m.store_at(c.area, M::SYSCALL_REGS[0], 0);
    dispatch::switch(e, next);
    dispatch::enqueue(e, c.dcb, Arrival::Turn(0));
    e.os.attention = true;
    true
}

/// A capability on its way: checked, and the slot that it goes to.
struct Parcel {
    from: Cte,
    cap: Cap,
    to: Cte,
    give: bool,
}

/// The long way: a capability goes along, the receiver does not wait, or the sender does not.
fn transmit_logged<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    tag: MessageTag,
    mode: Mode,
    to: &To,
    words: &Words,
) -> Res {
    let parcel = decode_parcel(e, c, tag, to)?;
    let kcb = e.kcb();
    let mut t = e.begin();
    let woke = put(&mut t, to, words, parcel.is_some())?;
    if let Some(p) = &parcel {
        hand_parcel(&mut t, kcb, p);
        t.store(to.record(RECV), 0);
    }
    let mut waits = false;
    match mode {
        Mode::Call(reply) if !take(&mut t, c, reply) => {
            waits = true;
            c.dcb.set_wait_for(&mut t, reply + 1);
            c.dcb.set_state(&mut t, DcbState::Waiting as u64);
            kcb.set_current_dcb(&mut t, 0);
            t.commit();
        }
        Mode::Call(_) => {
            kcb.set_current_dcb(&mut t, c.dcb.0.0);
            t.commit();
        }
        Mode::Send | Mode::YieldTo => commit(t, c, &[]),
    }
    if parcel.is_some_and(|p| p.give) {
        e.os.attention = true;
    }
    after(e, c, to, mode, woke, waits);
    Ok(())
}

/// Who has the core after a logged transmission.
fn after<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    to: &To,
    mode: Mode,
    woke: bool,
    waits: bool,
) {
    let straight = woke && (waits || mode == Mode::YieldTo) && dispatch::may_run(e, to.dcb);
    let next = if straight {
        dispatch::runnable(e.m, to.dcb)
    } else {
        None
    };
    match next {
        Some(next) => {
            dispatch::switch(e, next);
            if !waits {
                dispatch::enqueue(e, c.dcb, Arrival::Turn(0));
            }
            e.os.attention = true;
        }
        None => {
            if woke {
                dispatch::wake(e, to.dcb);
            }
            if waits {
                dispatch::leave(e);
            }
        }
    }
    // A message to oneself may be an upcall; the general way out looks.
    if to.dcb == c.dcb {
        e.os.attention = true;
    }
}

fn decode_parcel<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    tag: MessageTag,
    to: &To,
) -> Res<Option<Parcel>> {
    if tag.cap.0 == 0 {
        return Ok(None);
    }
    let (from, cap) = decode::lookup(e, c, u64::from(tag.cap.0))?;
    if !cap.rights.contains(Rights::GRANT) {
        return refuse(SysError::NoRight);
    }
    if tag.give {
        decode::ensure_not_target(e, from)?;
    } else {
        if !cap.kind.info().copy {
            return refuse(SysError::WrongType);
        }
        decode::ensure_derivable(e, from, &cap)?;
    }
    if is_closed(e.m, to) {
        return refuse(SysError::EndpointClosed);
    }
    let address = e.m.load(to.record(RECV));
    let slot = match decode::slot(e, to.dcb, address) {
        Ok(slot) if address != 0 => slot,
        Err(stop @ (Stop::Busy | Stop::Started | Stop::Monitor(_))) => return Err(stop),
        _ => return refuse(SysError::NoReceiveSlot),
    };
    if e.m.load(slot.0) as u8 != CapType::Null as u8 {
        return refuse(SysError::NoReceiveSlot);
    }
    Ok(Some(Parcel {
        from,
        cap,
        to: slot,
        give: tag.give,
    }))
}

fn hand_parcel<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, p: &Parcel) {
    if p.give {
        crate::invoke::move_cap(t, kcb, p.from, &p.cap, p.to);
    } else {
        let node = decode::copied(t, p.from);
        decode::place(t, kcb, &node, p.to, &p.cap);
    }
}

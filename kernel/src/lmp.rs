//! Local messages: `Send`, `Call`, `Wait`, `Poll`, and what the kernel itself sends.
//!
//! A receiver that waits gets the words in its registers; otherwise they go to a
//! slot of the endpoint's ring in its dispatcher frame. The ring's indices stand
//! in the DCB; of the frame, which the user may write, only words are read back.
//!
//! A call that switches straight to its receiver logs nothing: all it writes
//! before the KCB names the receiver belongs to registers or to the caller, whom
//! an adopting kernel makes runnable again; what follows, attach does as well.

use abi::{MESSAGE_WORDS, MessageTag, SysError, WaitResult, disp};
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Cte, Dcb, DcbState, Kcb, PhysAddr, PhysMap, Rights};

use crate::entry::{Caller, Entry, Res, Stop, commit, live_area, refuse};
use crate::osnode::Current;
use crate::{Machine, Next, Osnode, Policy, Resume, decode, dispatch, time, upcall};

/// Words of a message.
pub(crate) type Words = [u64; MESSAGE_WORDS];

/// Where a message goes.
#[derive(Clone, Copy)]
pub(crate) struct To {
    pub dcb: Dcb,
    pub index: u64,
    pub badge: u32,
}

impl To {
    /// The receiver that an Endpoint capability names.
    pub fn of(cap: &Cap) -> To {
        To {
            dcb: Dcb(cap.base),
            index: u64::from(cap.param) & 31,
            badge: cap.extra as u32,
        }
    }

    #[inline]
    fn record(&self, word: u64) -> PhysAddr {
        record(self.dcb, self.index, word)
    }
}

/// Words of an endpoint record.
const HEAD: u64 = 0;
const TAIL: u64 = 1;
const RING: u64 = 2;
const RECV: u64 = 3;

/// Address of a word of an endpoint record.
#[inline]
fn record(dcb: Dcb, index: u64, word: u64) -> PhysAddr {
    dcb.0.add(Dcb::ENDPOINTS_OFFSET + 32 * index + 8 * word)
}

/// Offset of message `number` of a ring in the dispatcher frame.
#[inline]
fn ring_slot(ring: u64, number: u64) -> u64 {
    let (first, count) = (ring & 0xffff_ffff, ring >> 32);
    disp::RING_OFFSET + 64 * (first + (number & (count - 1)))
}

/// Whether the endpoint takes no messages (any more).
pub(crate) fn is_closed(m: &impl PhysMap, to: &To) -> bool {
    m.load(to.record(RING)) == 0 || dispatch::frame(m, to.dcb).is_none()
}

#[inline]
fn waits_for(m: &impl PhysMap, dcb: Dcb, index: u64) -> bool {
    if dcb.state(m) != DcbState::Waiting as u64 {
        return false;
    }
    let wanted = dcb.wait_for(m);
    wanted == 0 || wanted == index + 1
}

/// Writes a message into the registers of a receiver that waits for it. The receiver waits on.
#[inline]
fn hand_over<M: Machine>(m: &mut M, page: PhysAddr, to: &To, words: &Words, has_cap: bool) {
    let area = live_area(m, page);
    m.store(area.add(M::SYSCALL_REGS[0]), 0);
    let result = WaitResult::message(to.index, has_cap, to.badge).0;
    m.store(area.add(M::SYSCALL_REGS[1]), result);
    for i in 0..MESSAGE_WORDS {
        m.store(area.add(M::SYSCALL_REGS[2 + i]), words[i]);
    }
}

/// Delivers a message, logged: to the registers of a receiver that waits for it, who then is runnable
/// (`true`), or to its ring.
pub(crate) fn put<M: Machine>(
    t: &mut Transaction<'_, M>,
    to: &To,
    words: &Words,
    has_cap: bool,
) -> Res<bool> {
    let ring = t.load(to.record(RING));
    let Some(page) = dispatch::frame(t, to.dcb) else {
        return refuse(SysError::EndpointClosed);
    };
    if ring == 0 {
        return refuse(SysError::EndpointClosed);
    }
    if waits_for(t, to.dcb, to.index) {
        hand_over(t.inner_mut(), page, to, words, has_cap);
        to.dcb.set_state(t, DcbState::Runnable as u64);
        return Ok(true);
    }
    let (head, tail) = (t.load(to.record(HEAD)), t.load(to.record(TAIL)));
    if tail.wrapping_sub(head) >= ring >> 32 {
        return refuse(SysError::EndpointFull);
    }
    let slot = page.add(ring_slot(ring, tail));
    for i in 0..MESSAGE_WORDS {
        t.inner_mut().store(slot.add(8 * i as u64), words[i]);
    }
    let label = u64::from(to.badge) | u64::from(has_cap) << 32;
    t.inner_mut()
        .store(slot.add(8 * MESSAGE_WORDS as u64), label);
    t.store(to.record(TAIL), tail.wrapping_add(1));
    // What follows are hints, made again at attach.
    let m = t.inner_mut();
    let pending = to.dcb.pending(m);
    to.dcb.set_pending(m, pending | 1 << to.index);
    if to.dcb.state(m) != DcbState::Waiting as u64 {
        upcall::post(m, to.dcb, page, disp::Upcall::Message);
    }
    Ok(false)
}

/// Takes the oldest message of endpoint `index` into the caller's registers, logged; `false` if there is none.
fn take<M: Machine>(t: &mut Transaction<'_, M>, c: &Caller, index: u64) -> bool {
    let (head, tail) = (
        t.load(record(c.dcb, index, HEAD)),
        t.load(record(c.dcb, index, TAIL)),
    );
    let ring = t.load(record(c.dcb, index, RING));
    if head == tail || ring == 0 {
        return false;
    }
    let slot = c.page.add(ring_slot(ring, head));
    let label = t.load(slot.add(8 * MESSAGE_WORDS as u64));
    let mut results = [0; 1 + MESSAGE_WORDS];
    results[0] = WaitResult::message(index, label >> 32 & 1 != 0, label as u32).0;
    for i in 0..MESSAGE_WORDS {
        results[1 + i] = t.load(slot.add(8 * i as u64));
    }
    crate::entry::write_results(t.inner_mut(), c.area, &results);
    t.store(record(c.dcb, index, HEAD), head.wrapping_add(1));
    if head.wrapping_add(1) == tail {
        let m = t.inner_mut();
        let pending = c.dcb.pending(m);
        c.dcb.set_pending(m, pending & !(1 << index));
    }
    true
}

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
        Some(current) if !e.os.op_active => decode::quick_slot(e.m, current, addr),
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
        dcb: Dcb(PhysAddr(e.m.load(cte.0.add(8)))),
        index: word >> 32 & 31,
        badge: e.m.load(cte.0.add(24)) as u32,
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
) -> Option<Resume> {
    let reply = u64::from(MessageTag::from_r0(r0).reply);
    let cte = decode::quick_slot(m, current, r1)?;
    let word = m.load(cte.0);
    let wanted = CapType::Endpoint as u64 | u64::from(Rights::WRITE.0) << 8;
    if word & (0xff | u64::from(Rights::WRITE.0) << 8) != wanted {
        return None;
    }
    let to = To {
        dcb: Dcb(PhysAddr(m.load(cte.0.add(8)))),
        index: word >> 32 & 31,
        badge: m.load(cte.0.add(24)) as u32,
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
    m.store(to_area.add(M::SYSCALL_REGS[0]), 0);
    let result = WaitResult::message(to.index, false, to.badge).0;
    m.store(to_area.add(M::SYSCALL_REGS[1]), result);
    for i in 0..MESSAGE_WORDS {
        let word = m.load(area.add(M::SYSCALL_REGS[2 + i]));
        m.store(to_area.add(M::SYSCALL_REGS[2 + i]), word);
    }
    current.dcb.set_wait_for(m, reply + 1);
    current.dcb.set_state(m, DcbState::Waiting as u64);
    let now = m.counter();
    dispatch::charge_until(os, m, now);
    // From here on the call has happened.
    kcb.set_current_dcb(m, next.dcb.0.0);
    next.dcb.set_state(m, DcbState::Runnable as u64);
    os.current = Some(next);
    Some(Resume {
        next: Next::Run {
            dcb: next.dcb.0,
            page: next.page,
            area: to_area,
            root: next.root,
        },
        save_fpu: Some(area),
        load_fpu: true,
        deadline: os.deadline(),
    })
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
    if !waits_for(e.m, to.dcb, to.index) || e.m.load(to.record(RING)) == 0 {
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
    e.m.store(c.area.add(M::SYSCALL_REGS[0]), 0);
    dispatch::switch(e, next);
    let now = e.now_ns();
    e.os.policy.enqueue(e.m, c.dcb, now, 0);
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
    let straight = woke && (waits || mode == Mode::YieldTo);
    let next = if straight {
        dispatch::runnable(e.m, to.dcb)
    } else {
        None
    };
    match next {
        Some(next) => {
            dispatch::switch(e, next);
            if !waits {
                let now = e.now_ns();
                e.os.policy.enqueue(e.m, c.dcb, now, 0);
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
        decode::ensure_derivable(e, &cap)?;
    }
    if is_closed(e.m, to) {
        return refuse(SysError::EndpointClosed);
    }
    let address = e.m.load(to.record(RECV));
    let slot = match decode::slot(e, to.dcb, address) {
        Ok(slot) if address != 0 => slot,
        Err(Stop::Busy) => return Err(Stop::Busy),
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
        decode::place(t, kcb, Some(p.from), p.to, &p.cap);
    }
}

/// What `Wait` and `Poll` accept: an endpoint, or anything.
fn decode_wanted<M: Machine>(m: &M, c: &Caller) -> Res<Option<u64>> {
    match c.reg(m, 2) {
        0 => Ok(None),
        n if n <= capfmt::DCB_ENDPOINTS => Ok(Some(n - 1)),
        _ => refuse(SysError::BadArgument),
    }
}

/// Takes what is there: a message, or notification bits. `false`: nothing is there, nothing was done.
fn take_any<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    wanted: Option<u64>,
) -> bool {
    let index = match wanted {
        Some(index) => index,
        None => match c.dcb.pending(e.m) {
            0 => return take_notification(e, c),
            pending => u64::from(pending.trailing_zeros()),
        },
    };
    let ring = e.m.load(record(c.dcb, index, RING));
    let (head, tail) = (
        e.m.load(record(c.dcb, index, HEAD)),
        e.m.load(record(c.dcb, index, TAIL)),
    );
    if head == tail {
        return false;
    }
    let kcb = e.kcb();
    let mut t = e.begin();
    if !take(&mut t, c, index) {
        return false;
    }
    kcb.set_current_dcb(&mut t, c.dcb.0.0);
    t.commit();
    let was_full = tail.wrapping_sub(head) >= ring >> 32;
    e.os.attention |= was_full && e.os.undelivered != 0;
    true
}

fn take_notification<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> bool {
    let bits = c.dcb.notify_pending(e.m);
    if bits == 0 {
        return false;
    }
    let mut t = e.begin();
    c.dcb.set_notify_pending(&mut t, 0);
    commit(t, c, &[WaitResult::NOTIFICATION, bits]);
    true
}

/// `Poll`.
pub(crate) fn poll<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let wanted = decode_wanted(e.m, c)?;
    if take_any(e, c, wanted) {
        return Ok(());
    }
    nothing(e, c)
}

/// Refuses with `TimedOut` and an empty result.
fn nothing<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    e.m.store(c.area.add(M::SYSCALL_REGS[1]), WaitResult::NOTHING);
    refuse(SysError::TimedOut)
}

/// `Wait`.
pub(crate) fn wait<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let wanted = decode_wanted(e.m, c)?;
    if take_any(e, c, wanted) {
        return Ok(());
    }
    let give_up = c.reg(e.m, 1);
    if give_up != u64::MAX && give_up <= e.now_ns() {
        return nothing(e, c);
    }
    c.dcb.set_wait_for(e.m, wanted.map_or(0, |i| i + 1));
    c.dcb.set_state(e.m, DcbState::Waiting as u64);
    c.dcb.set_wake_at_ns(e.m, give_up);
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, 0);
    if give_up != u64::MAX {
        time::wait_until(e, c.dcb);
    }
    dispatch::leave(e);
    Ok(())
}

/// Tries again to deliver interrupts and faults that found their ring full.
pub(crate) fn retry_undelivered<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    e.os.undelivered = crate::invoke::irq::retry(e);
    let kcb = e.kcb();
    let mut at = kcb.dcb_head(e.m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        at = dcb.next(e.m);
        if dcb.flags(e.m) & Dcb::FAULT_UNTOLD != 0 && !upcall::tell(e, dcb) {
            e.os.undelivered += 1;
        }
    }
}

/// Recomputes which endpoints of `dcb` have messages.
pub(crate) fn recount(m: &mut impl PhysMap, dcb: Dcb) {
    let mut pending = 0;
    for i in 0..capfmt::DCB_ENDPOINTS {
        if m.load(record(dcb, i, HEAD)) != m.load(record(dcb, i, TAIL)) {
            pending |= 1 << i;
        }
    }
    dcb.set_pending(m, pending);
}

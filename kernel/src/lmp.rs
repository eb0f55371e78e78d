//! Local messages: where they go, what is delivered to whom, and what the kernel itself sends.
//!
//! A receiver that waits gets the words in its registers; otherwise they go to a
//! slot of the endpoint's ring in its dispatcher frame. The ring's indices stand
//! in the DCB; of the frame, which the user may write, only words are read back.

use abi::{MESSAGE_WORDS, SysError, WaitResult, disp};
use capfmt::undo::Transaction;
use capfmt::{Cap, Dcb, DcbState, PhysAddr, PhysMap};

use crate::entry::{Caller, Entry, Res, live_area, refuse};
use crate::{Machine, Policy, dispatch, upcall};

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
    pub fn record(&self, word: u64) -> PhysAddr {
        record(self.dcb, self.index, word)
    }
}

/// Words of an endpoint record.
pub(crate) const HEAD: u64 = 0;
pub(crate) const TAIL: u64 = 1;
pub(crate) const RING: u64 = 2;
pub(crate) const RECV: u64 = 3;

/// Address of a word of an endpoint record.
#[inline]
pub(crate) fn record(dcb: Dcb, index: u64, word: u64) -> PhysAddr {
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
pub(crate) fn waits_for(m: &impl PhysMap, dcb: Dcb, index: u64) -> bool {
    if dcb.state(m) != DcbState::Waiting as u64 {
        return false;
    }
    let wanted = dcb.wait_for(m);
    wanted == 0 || wanted == index + 1
}

/// Writes a message into the registers of a receiver that waits for it. The receiver waits on.
#[inline]
pub(crate) fn hand_over<M: Machine>(
    m: &mut M,
    page: PhysAddr,
    to: &To,
    words: &Words,
    has_cap: bool,
) {
    let area = live_area(m, page);
    m.store_at(area, M::SYSCALL_REGS[0], 0);
    let result = WaitResult::message(to.index, has_cap, to.badge).0;
    m.store_at(area, M::SYSCALL_REGS[1], result);
    for i in 0..MESSAGE_WORDS {
        m.store_at(area, M::SYSCALL_REGS[2 + i], words[i]);
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
        t.inner_mut().store_at(slot, 8 * i as u64, words[i]);
    }
    let label = u64::from(to.badge) | u64::from(has_cap) << 32;
    t.inner_mut()
        .store_at(slot, 8 * MESSAGE_WORDS as u64, label);
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
pub(crate) fn take<M: Machine>(t: &mut Transaction<'_, M>, c: &Caller, index: u64) -> bool {
    let (head, tail) = (
        t.load(record(c.dcb, index, HEAD)),
        t.load(record(c.dcb, index, TAIL)),
    );
    let ring = t.load(record(c.dcb, index, RING));
    if head == tail || ring == 0 {
        return false;
    }
    let slot = c.page.add(ring_slot(ring, head));
    let label = t.load_at(slot, 8 * MESSAGE_WORDS as u64);
    let mut results = [0; 1 + MESSAGE_WORDS];
    results[0] = WaitResult::message(index, label >> 32 & 1 != 0, label as u32).0;
    for i in 0..MESSAGE_WORDS {
        results[1 + i] = t.load_at(slot, 8 * i as u64);
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

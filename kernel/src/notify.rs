//! The OSnode's notification page: bits that others set, handed to the dispatchers bound to their words.

use abi::{WaitResult, disp::Upcall};
use capfmt::{Dcb, DcbState, Notification, PhysAddr, PhysMap};

use crate::entry::{Entry, live_area};
use crate::{Machine, Policy, WakeUp, dispatch, upcall};

/// Words of channels in a page.
const WORDS: u64 = 64;
/// Offset of the summary word.
const SUMMARY: u64 = 0x018;
/// Offset of the location word.
const LOCATION: u64 = 0x010;
/// Offset of the first word of channels.
const CHANNELS: u64 = 0x200;

/// Sets the bit of `channel` in `page`; returns the hardware id of the core to be interrupted, if any.
///
/// Bit, summary, then a sequentially consistent look at the location: whoever
/// attaches writes the location first and scans the bits then, so one of the two
/// sees the other.
pub(crate) fn signal(m: &mut impl PhysMap, page: PhysAddr, channel: u64) -> Option<u64> {
    let channel = channel % capfmt::NOTIFICATION_CHANNELS;
    let (word, bit) = (channel / WORDS, channel % 64);
    m.set_bits(page.add(CHANNELS + 8 * word), 1 << bit);
    m.set_bits(page.add(SUMMARY), 1 << word);
    // A load would not do: on AArch64 it may come before the stores.
    let location = m.compare_exchange(page.add(LOCATION), 0, 0).err();
    (location.unwrap_or(0) & 0xffff_ffff).checked_sub(1)
}

/// Writes where the OSnode runs: `hw_id` and epoch, or nowhere.
pub(crate) fn set_location(m: &mut impl PhysMap, page: PhysAddr, location: u64) {
    m.exchange(page.add(LOCATION), location);
}

/// Hands on what the summary names.
pub(crate) fn notified<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let page = Notification(PhysAddr(e.kcb().notification(e.m)));
    let mut summary = e.m.exchange(page.0.add(SUMMARY), 0);
    while summary != 0 {
        scan_word(e, u64::from(summary.trailing_zeros()));
        summary &= summary - 1;
    }
}

/// Whether somebody signalled since the bits were last handed on.
pub(crate) fn is_signalled(m: &impl PhysMap, page: PhysAddr) -> bool {
    m.load_at(page, SUMMARY) != 0
}

/// Has whoever looks at the page see to its OSnode, although no bit is set.
pub(crate) fn bring_up(m: &mut impl PhysMap, page: PhysAddr) {
    m.set_bits(page.add(SUMMARY), 1);
}

/// Hands on all words: what attach does. The summary goes first: whoever signals from here on says so again.
pub(crate) fn scan_all<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let page = PhysAddr(e.kcb().notification(e.m));
    e.m.exchange(page.add(SUMMARY), 0);
    for word in 0..WORDS {
        scan_word(e, word);
    }
}

/// Hands the bits of one word to the dispatcher bound to it. Without one they stay.
///
/// The bits leave the page last: a kernel that dies before delivers them twice, never not at all.
pub(crate) fn scan_word<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, word: u64) {
    let kcb = e.kcb();
    let at = PhysAddr(kcb.notification(e.m)).add(CHANNELS + 8 * word);
    let bits = e.m.load(at);
    let bound = kcb.notify_binding(e.m, word);
    if bits == 0 || bound == 0 {
        return;
    }
    let dcb = Dcb(PhysAddr(bound));
    if !e.os.policy.loses(e.m, dcb, WakeUp::Notification) {
        tell(e, dcb, bits);
    }
    e.m.clear_bits(at, bits);
}

/// Ends the waiting of `dcb` with its notification bits, or notes them, and an upcall.
fn tell<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb, bits: u64) {
    let before = dcb.notify_pending(e.m);
    let page = dispatch::frame(e.m, dcb);
    let waiting = dcb.state(e.m) == DcbState::Waiting as u64;
    if let Some(page) = page
        && waiting
        && dcb.wait_for(e.m) == 0
    {
        // One store ends the waiting, after the registers are written.
        let area = live_area(e.m, page);
        let results = [WaitResult::NOTIFICATION, before | bits];
        crate::entry::write_results(e.m, area, &results);
        dcb.set_state(e.m, DcbState::Runnable as u64);
        if before != 0 {
            dcb.set_notify_pending(e.m, 0);
        }
        return dispatch::wake_resting(e, dcb);
    }
    dcb.set_notify_pending(e.m, before | bits);
    if let Some(page) = page.filter(|_| !waiting) {
        upcall::post(e.m, dcb, page, Upcall::Message);
    }
}

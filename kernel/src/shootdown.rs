//! What was taken out of tables that other OSnodes use, too: until they have forgotten the translations, nothing may
//! follow from it.
//!
//! `Unmap` and `Protect` wait for that themselves ([`crate::share`]). Whatever else takes a Mapping away (a deletion,
//! a revoke, the end of an object) is counted here: `flush_owed` in the KCB says how often, `flush_done` how far
//! everybody has flushed, as the monitor says with `Flushed`. In between
//! - whoever asked for the removal waits, with the answer in its registers already;
//! - the monitor tells nobody that something of the OSnode's is gone, and does not end a sweep;
//! - the memory server gives nothing out of what came back.
//!
//! Monitor and memory server do not wait here: without them no wait would end.

use abi::Op;
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Dcb, DcbState, Kcb, PhysAddr, PhysMap};

use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::invoke::Invoked;
use crate::{Machine, Policy, dispatch, share};

/// A table is known to others from now on. OSnodes without any count nothing.
pub(crate) fn note_shared<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, cap: &Cap) {
    if cap.kind == CapType::VNode && kcb.flush_owed(t) == 0 {
        kcb.set_flush_done(t, 1);
        kcb.set_flush_owed(t, 1);
    }
}

/// Something was taken out of the table at `vnode`. Logged.
pub(crate) fn owe<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, vnode: PhysAddr) {
    let owed = kcb.flush_owed(t);
    let told = owed != 0 && kcb.monitor_channel(t) != 0;
    if told && share::shared_table(t, kcb, vnode).is_some() {
        kcb.set_flush_owed(t, owed + 1);
    }
}

/// An `Unmap` or `Protect` of `dcb`, if it waits for one, is waited for no more: what it took out counts as removed
/// otherwise. Logged.
pub(crate) fn abandon<M: PhysMap>(t: &mut Transaction<'_, M>, kcb: Kcb, dcb: Dcb) {
    let unmaps = matches!(share::op_of(t, dcb), Some(Op::Unmap | Op::Protect));
    let owed = kcb.flush_owed(t);
    if unmaps && owed != 0 && dcb.state(t) == DcbState::WaitingMonitor as u64 {
        kcb.set_flush_owed(t, owed + 1);
    }
}

/// The number of the last removal, if not everybody has flushed since.
pub(crate) fn outstanding(m: &impl PhysMap, kcb: Kcb) -> Option<u64> {
    let owed = kcb.flush_owed(m);
    (owed != kcb.flush_done(m)).then_some(owed)
}

/// Whether `dcb` can wait for flushes.
pub(crate) fn may_wait(m: &impl PhysMap, kcb: Kcb, dcb: Dcb) -> bool {
    let serves = |channel1: u64| {
        let word = channel1.checked_sub(1).map(|channel| channel / 64);
        word.is_some_and(|word| kcb.notify_binding(m, word) == dcb.0.0)
    };
    !serves(kcb.monitor_channel(m)) && !serves(kcb.reclaim_channel(m))
}

/// `dcb`, in whose registers the answer stands, waits until everybody has flushed up to `number`. Logged.
pub(crate) fn wait<M: PhysMap>(t: &mut Transaction<'_, M>, dcb: Dcb, number: u64) {
    dcb.set_call_word(t, 0, (Op::Flushed as u64) << 8);
    dcb.set_call_word(t, 1, number);
    dcb.set_state(t, DcbState::WaitingMonitor as u64);
}

/// The removal that `dcb` waits for, if that is what it does.
pub(crate) fn awaited(m: &impl PhysMap, dcb: Dcb) -> Option<u64> {
    let waits = dcb.state(m) == DcbState::WaitingMonitor as u64;
    let flush = waits && share::op_of(m, dcb) == Some(Op::Flushed);
    flush.then(|| dcb.call_word(m, 1))
}

/// Those who wait for what everybody has flushed go on. What is written here, attach makes up for.
pub(crate) fn release<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let mut at = e.kcb().dcb_head(e.m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        at = dcb.next(e.m);
        if let_go(e, dcb) {
            dispatch::wake(e, dcb);
        }
    }
}

/// Whether `dcb` waited for what everybody has flushed: it is runnable then.
pub(crate) fn let_go<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) -> bool {
    let done = e.kcb().flush_done(e.m);
    if awaited(e.m, dcb).is_none_or(|number| number > done) {
        return false;
    }
    let mut t = e.begin();
    share::forget_call(&mut t, dcb);
    dcb.set_state(&mut t, DcbState::Runnable as u64);
    t.commit();
    true
}

/// `Flushed`.
///
/// # Rights
/// Every one.
pub(crate) fn flushed<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, capfmt::Rights::ALL)?;
    let kcb = e.kcb();
    let (owed, said) = (kcb.flush_owed(e.m), c.reg(e.m, 2));
    if said > owed {
        return refuse(abi::SysError::BadArgument);
    }
    let done = said.max(kcb.flush_done(e.m));
    if said == 0 {
        e.reply(c, &[owed, done]);
        return Ok(());
    }
    let mut t = e.begin();
    kcb.set_flush_done(&mut t, done);
    commit(t, c, &[owed, done]);
    release(e);
    // What came back may be given out now.
    e.os.reclaimed |= done == owed;
    e.os.attention = true;
    Ok(())
}

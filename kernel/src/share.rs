//! Objects that other OSnodes know: which calls wait for the monitor, and how the monitor ends them.
//!
//! `Revoke` and `Retype` of such an object, and an `Unmap` or `Protect` that takes
//! something out of a table that others use, are for the monitors to decide: the
//! caller waits ([`DcbState::WaitingMonitor`]). The DCB keeps the call's registers
//! and the object it named, because the save area is the user's to write: what the
//! monitor allows is what it was shown.

use abi::{Op, SysError};
use capfmt::undo::Transaction;
use capfmt::{
    Cap, CapType, Cte, Dcb, DcbState, Kcb, MdbFlags, PhysAddr, PhysMap, RawCap, Rights,
    VNODE_BYTES, mdb,
};

use crate::entry::{Caller, Entry, Res, Stop, commit, live_area, refuse};
use crate::{Machine, Policy, dispatch, notify, shootdown};

/// Owner's index in the peer table, of a slot.
#[inline]
pub(crate) fn owner(m: &impl PhysMap, cte: Cte) -> u64 {
    m.load_at(cte.0, 40) >> 46 & 0xffff
}

/// Whether the kernel must not decide alone about it.
#[inline]
pub(crate) fn is_shared(m: &impl PhysMap, cte: Cte) -> bool {
    const DECIDED: u16 = MdbFlags::REMOTE.0 | MdbFlags::LOCKED.0 | MdbFlags::MARKED.0;
    crate::decode::flags(m, cte).0 & DECIDED != 0 || owner(m, cte) != 0
}

/// Levels of tables.
const LEVELS: u32 = 4;
/// Capabilities looked at on the way up. If they are not enough, the table counts as shared.
const LOOK: u32 = 64;

/// The table at `vnode`, or one above it, that others have in their address spaces, too: they walk
/// through it to everything below.
pub(crate) fn shared_table(m: &impl PhysMap, kcb: Kcb, vnode: PhysAddr) -> Option<Cap> {
    shared_above(m, kcb, vnode, LEVELS, &mut { LOOK })
}

fn shared_above(
    m: &impl PhysMap,
    kcb: Kcb,
    vnode: PhysAddr,
    levels: u32,
    left: &mut u32,
) -> Option<Cap> {
    let first = mdb::vnode_at(m, kcb, vnode)?;
    let table = first.cap(m);
    if crate::decode::flags(m, first).contains(MdbFlags::REMOTE_COPIES) {
        return Some(table);
    }
    let mut at = first;
    while *left > 0 {
        *left -= 1;
        // Copies, then the Mappings that link it into tables above.
        at = mdb::next(m, kcb, at)?;
        let cap = at.cap(m);
        if cap.base != vnode || cap.size != table.size {
            return None;
        }
        if cap.kind == CapType::Mapping && levels > 1 && cap.rights.contains(Rights::READ) {
            let above = PhysAddr(cap.extra & !(VNODE_BYTES - 1));
            let found = shared_above(m, kcb, above, levels - 1, left);
            if found.is_some() {
                return found;
            }
        }
    }
    Some(table)
}

/// Whether the monitor itself runs: nobody would answer its call.
fn is_monitor<M: Machine, P: Policy>(e: &Entry<'_, M, P>) -> bool {
    let word = e.os.monitor.wrapping_sub(1) / 64;
    let bound = e.kcb().notify_binding(e.m, word);
    e.os.current.as_ref().is_some_and(|c| c.dcb.0.0 == bound)
}

/// What a shared object's call comes to: it waits for the monitor, or is refused if there is none.
pub(crate) fn ask_monitor<M: Machine, P: Policy, T>(e: &Entry<'_, M, P>, object: &Cap) -> Res<T> {
    if e.os.monitor == 0 || is_monitor(e) {
        return refuse(SysError::SharedRemote);
    }
    Err(Stop::Monitor(*object))
}

/// The caller waits for the monitor's decision. Part of its call may stand in `t` already.
pub(crate) fn wait<M: Machine>(t: &mut Transaction<'_, M>, c: &Caller, object: &Cap) {
    let kcb = t.kcb();
    for k in 0..8 {
        let word = t.load_at(c.area, M::SYSCALL_REGS[k]);
        c.dcb.set_call_word(t, k as u64, word);
    }
    for (k, word) in (0..).zip(object.emit().0) {
        c.dcb.set_call_object(t, k, word);
    }
    c.dcb.set_state(t, DcbState::WaitingMonitor as u64);
    kcb.set_current_dcb(t, 0);
    t.commit();
}

/// What follows [`wait`]: the core is free, and the monitor hears of it.
pub(crate) fn after_wait<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    dispatch::leave(e);
    tell(e, e.os.monitor);
}

/// Sets a channel of the own notification page, given plus one.
pub(crate) fn tell<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, channel1: u64) {
    let Some(channel) = channel1.checked_sub(1) else {
        return;
    };
    let page = PhysAddr(e.kcb().notification(e.m));
    notify::signal(e.m, page, channel);
    notify::notified(e);
}

/// The registers of a waiting call.
pub(crate) fn call_of(m: &impl PhysMap, dcb: Dcb) -> [u64; 8] {
    core::array::from_fn(|k| dcb.call_word(m, k as u64))
}

/// The capability that a waiting call is about.
pub(crate) fn object_of(m: &impl PhysMap, dcb: Dcb) -> Option<Cap> {
    RawCap(core::array::from_fn(|k| dcb.call_object(m, k as u64))).parse()
}

/// The operation of a waiting call.
pub(crate) fn op_of(m: &impl PhysMap, dcb: Dcb) -> Option<Op> {
    Op::from_u8((dcb.call_word(m, 0) >> 8) as u8)
}

/// The dispatcher `id`, if its call waits for the monitor.
pub(crate) fn waiting(m: &impl PhysMap, kcb: Kcb, id: u64) -> Option<Dcb> {
    dispatchers(m, kcb).find(|d| d.id(m) == id && d.state(m) == DcbState::WaitingMonitor as u64)
}

/// The dispatchers of the OSnode.
pub(crate) fn dispatchers<M: PhysMap>(m: &M, kcb: Kcb) -> impl Iterator<Item = Dcb> + '_ {
    let link = |at: u64| (at != 0).then_some(Dcb(PhysAddr(at)));
    core::iter::successors(link(kcb.dcb_head(m)), move |d| link(d.next(m)))
}

/// Writes how a waiting call ended (the word for r0), and lets its dispatcher run. Logged as a whole: until the commit
/// the call waits.
pub(crate) fn write_end<M: Machine>(
    t: &mut Transaction<'_, M>,
    dcb: Dcb,
    status: u64,
    results: &[u64],
) {
    forget_call(t, dcb);
    dcb.set_state(t, DcbState::Runnable as u64);
    let Some(page) = dispatch::frame(t, dcb) else {
        return;
    };
    let area = live_area(t, page);
    t.store_at(area, M::SYSCALL_REGS[0], status);
    if status == 0 {
        for (k, word) in results.iter().enumerate() {
            t.store_at(area, M::SYSCALL_REGS[1 + k], *word);
        }
    }
}

/// Clears what [`wait`] kept of a call.
pub(crate) fn forget_call<M: PhysMap>(t: &mut Transaction<'_, M>, dcb: Dcb) {
    for k in 0..8 {
        if dcb.call_word(t, k) != 0 {
            dcb.set_call_word(t, k, 0);
        }
    }
    for k in 0..4 {
        if dcb.call_object(t, k) != 0 {
            dcb.set_call_object(t, k, 0);
        }
    }
}

/// Ends a waiting call for the monitor, whose own call is over with that.
pub(crate) fn end_call<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    monitor: &Caller,
    dcb: Dcb,
    status: u64,
) {
    let mut t = e.begin();
    write_end(&mut t, dcb, status, &[]);
    commit(t, monitor, &[status]);
    dispatch::wake(e, dcb);
}

/// The monitor is told no more: what waits for it ends as if there had been none.
pub(crate) fn end_all<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let kcb = e.kcb();
    let owed = kcb.flush_owed(e.m);
    kcb.set_flush_done(e.m, owed);
    shootdown::release(e);
    let mut at = kcb.dcb_head(e.m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        at = dcb.next(e.m);
        if dcb.state(e.m) != DcbState::WaitingMonitor as u64 {
            continue;
        }
        let status = match op_of(e.m, dcb) {
            Some(Op::Unmap | Op::Protect) => 0,
            _ => SysError::SharedRemote as u64,
        };
        let mut t = e.begin();
        write_end(&mut t, dcb, status, &[]);
        t.commit();
        dispatch::wake(e, dcb);
    }
}

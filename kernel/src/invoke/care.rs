//! Which OSnodes this one cares for while they are stopped ([`crate::care`]).

use abi::SysError;
use capfmt::undo::Transaction;
use capfmt::{Attachment, CapType, Dcb, DcbState, Kcb, PhysAddr, PhysMap, Rights, kcb_check};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Machine, Osnode, Policy, attach, care, dispatch, notify};

/// `KcbCare`.
///
/// # Rights
/// READ on the Kcb.
pub(crate) fn care<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kcb, Rights::READ)?;
    let other = Kcb(PhysAddr(i.cap.extra));
    match c.reg(e.m, 2) {
        0 => {
            forget(e.os, e.m, other);
            e.reply(c, &[]);
            Ok(())
        }
        1 => take_up(e, c, other),
        _ => refuse(SysError::BadArgument),
    }
}

fn take_up<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, other: Kcb) -> Res {
    let kcb = e.kcb();
    let me = kcb.osnode(e.m);
    let page = PhysAddr(other.notification(e.m));
    let sound = kcb_check(e.m, other, M::ISA, e.m.features()).is_ok()
        && page.is_aligned(4096)
        && e.m.covers(page, 4096);
    if !sound || other == kcb {
        return refuse(SysError::BadObject);
    }
    let by = other.cared_by(e.m);
    if by == me {
        e.reply(c, &[]);
        return Ok(());
    }
    // One that no kernel ever ran has told nobody of itself yet: its first words are for who starts it.
    let attachment = other.attachment(e.m);
    let detached = matches!(attachment, Some(Attachment::Detached { epoch }) if epoch != 0);
    // One that cares for others is not cared for: lists would hang on lists.
    if by != 0 || !detached || other.care_head(e.m) != 0 || kcb.cared_by(e.m) != 0 {
        return refuse(SysError::Attached);
    }
    let head = kcb.care_head(e.m);
    let now = e.counter();
    let mut t = e.begin();
    other.set_left_at(&mut t, now);
    other.set_cared_by(&mut t, me);
    other.set_care_next(&mut t, head);
    kcb.set_care_head(&mut t, other.0.0);
    commit(t, c, &[]);
    let epoch = (kcb.state(e.m) >> 32) as u32;
    let here = attach::location(e.m, epoch);
    notify::set_location(e.m, page, here);
    if is_at_work(e.m, other) {
        // Nobody signals to who is awake.
        notify::bring_up(e.m, page);
    }
    e.os.cares = true;
    // What was signalled before is seen at the end of this entry.
    e.os.attention = true;
    Ok(())
}

/// Whether somebody who would run in visits was stopped while it ran.
fn is_at_work(m: &impl PhysMap, other: Kcb) -> bool {
    let some = |at: u64| Some(Dcb(PhysAddr(at))).filter(|_| at != 0);
    core::iter::successors(some(other.dcb_head(m)), |d| some(d.next(m)))
        .any(|d| dispatch::runs_in_visits(m, other, d) && d.state_of(m) == Some(DcbState::Runnable))
}

/// Cares for `other` no longer, if it does.
pub(crate) fn forget<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M, other: Kcb) {
    let kcb = os.kcb;
    if other.cared_by(m) != kcb.osnode(m) {
        return;
    }
    let before = care::list(m, kcb).find(|k| k.care_next(m) == other.0.0);
    let after = other.care_next(m);
    let page = PhysAddr(other.notification(m));
    if matches!(other.attachment(m), Some(Attachment::Detached { .. })) {
        notify::set_location(m, page, 0);
    }
    let mut t = Transaction::begin(m, kcb);
    match before {
        Some(before) => before.set_care_next(&mut t, after),
        None => kcb.set_care_head(&mut t, after),
    }
    other.set_care_next(&mut t, 0);
    other.set_cared_by(&mut t, 0);
    t.commit();
    os.cares = kcb.care_head(m) != 0;
}

//! CNodes: copy, move, delete, revoke.

use abi::SysError;
use capfmt::{Cap, CapType, Cte, MdbFlags, Rights, mdb};

use super::{Invoked, move_cap};
use crate::entry::{Caller, Entry, Res, commit, refuse, write_results};
use crate::{Effect, Machine, Policy, decode, delete, dispatch, longop, share, shootdown};

/// Bit of r4 of `Copy`: set the badge in r5.
const SET_BADGE: u64 = 1 << 8;

/// `Copy`: a copy with fewer or equal rights, perhaps a badge, below the invoked CNode.
///
/// # Rights
/// WRITE on the CNode.
pub(crate) fn copy<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::CNode, Rights::WRITE)?;
    let (from, source) = decode::lookup(e, c, c.reg(e.m, 2))?;
    let how = c.reg(e.m, 4);
    if how & !(SET_BADGE | u64::from(Rights::ALL.0)) != 0 {
        return refuse(SysError::BadArgument);
    }
    if !source.kind.info().copy {
        return refuse(SysError::WrongType);
    }
    let mut cap = source;
    cap.rights = Rights(source.rights.0 & how as u8);
    if how & SET_BADGE != 0 {
        cap.extra = decode_badge(&source, c.reg(e.m, 5))?;
    }
    let to = decode::empty_below(e.m, &i.cap, c.reg(e.m, 3))?;
    decode::ensure_derivable(e, from, &source)?;
    let kcb = e.kcb();
    let mut t = e.begin();
    let node = decode::copied(&t, from);
    decode::place(&mut t, kcb, &node, to, &cap);
    commit(t, c, &[]);
    Ok(())
}

/// A badge is 32 bits, and is given once.
fn decode_badge(source: &Cap, badge: u64) -> Res<u64> {
    if source.kind != CapType::Endpoint {
        return refuse(SysError::WrongType);
    }
    if source.extra != 0 || badge >> 32 != 0 {
        return refuse(SysError::BadArgument);
    }
    Ok(badge)
}

/// `Move`.
///
/// # Rights
/// WRITE on the CNode.
pub(crate) fn move_to<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::CNode, Rights::WRITE)?;
    let (from, cap) = decode::lookup(e, c, c.reg(e.m, 2))?;
    let to = decode::empty_below(e.m, &i.cap, c.reg(e.m, 3))?;
    decode::ensure_not_target(e, from)?;
    let kcb = e.kcb();
    let mut t = e.begin();
    move_cap(&mut t, kcb, from, &cap, to);
    commit(t, c, &[]);
    e.os.attention = true;
    Ok(())
}

/// The used slot at `address` below the invoked CNode, which nothing is deleting.
pub(crate) fn decode_used<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    i: &Invoked,
    address: u64,
) -> Res<Invoked> {
    i.ensure(CapType::CNode, Rights::WRITE)?;
    let Ok(address) = u32::try_from(address) else {
        return refuse(SysError::NoCapability);
    };
    let cte = capfmt::cnode::slot(e.m, &i.cap, address)?;
    let cap = cte.cap(e.m);
    if cap.kind == CapType::Null {
        return refuse(SysError::NoCapability);
    }
    if decode::flags(e.m, cte).contains(MdbFlags::IN_DELETE) {
        return refuse(SysError::InDelete);
    }
    Ok(Invoked { cte, cap })
}

/// `Delete`: at once, or as a long operation if the last capability of an object with contents goes.
///
/// # Rights
/// WRITE on the CNode.
pub(crate) fn delete<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let doomed = decode_used(e, i, c.reg(e.m, 2))?;
    decode::ensure_not_target(e, doomed.cte)?;
    let removal = delete::decide(e.m, e.os.kcb, doomed.cte, &doomed.cap);
    match removal {
        delete::Removal::Refused(error) => refuse(error),
        delete::Removal::Contents => longop::start_delete(e, c, doomed.cte),
        delete::Removal::Simple => {
            let kcb = e.kcb();
            let Some(back) = delete::comes_back(e.m, kcb, doomed.cte, &doomed.cap) else {
                return longop::start_parts(e, c, doomed.cte, &doomed.cap);
            };
            let mut t = e.begin();
            let shared = share::is_shared(&t, doomed.cte);
            let owed = kcb.flush_owed(&t);
            let effect = delete::remove(&mut t, kcb, doomed.cte, &doomed.cap);
            back.give(&mut t, kcb);
            let number = kcb.flush_owed(&t);
            let waits = number != owed && shootdown::may_wait(&t, kcb, c.dcb);
            if waits {
                write_results(t.inner_mut(), c.area, &[]);
                shootdown::wait(&mut t, c.dcb, number);
                kcb.set_current_dcb(&mut t, 0);
                t.commit();
                dispatch::leave(e);
            } else {
                commit(t, c, &[]);
            }
            e.os.dropped |= shared || number != owed;
            e.os.reclaimed |= back.is_some();
            push(e, effect);
            Ok(())
        }
    }
}

/// Notes what a removal wants done.
pub(crate) fn push<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, effect: Option<Effect>) {
    if let Some(effect) = effect {
        e.os.effects.push(effect);
    }
    e.os.attention = true;
}

/// `Revoke`: deletes all descendants and all other copies.
///
/// # Rights
/// WRITE on the CNode; every one on what is revoked, since others may have been given a copy with fewer.
pub(crate) fn revoke<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let target = decode_used(e, i, c.reg(e.m, 2))?;
    if !target.cap.rights.contains(Rights::ALL) {
        return refuse(SysError::NoRight);
    }
    // What no Retype makes (a Mapping, an Endpoint) does not leave, whatever it was made from: no other OSnode has
    // any of it, and no owner elsewhere has heard of it.
    let is_known = !target.cap.kind.info().from.is_empty();
    if is_known && share::is_shared(e.m, target.cte) {
        return share::ask_monitor(e, &target.cap);
    }
    if !mdb::descendants_exist(e.m, e.os.kcb, target.cte)
        && !mdb::copies_exist(e.m, e.os.kcb, target.cte)
    {
        e.reply(c, &[]);
        return Ok(());
    }
    longop::start_revoke(e, c, None, target.cte)
}

/// The revoke of `client` that waited for the monitor `c`, here and now.
pub(crate) fn revoke_for<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    client: &Caller,
    target: Cte,
) -> Res {
    longop::start_revoke(e, c, Some(client), target)
}

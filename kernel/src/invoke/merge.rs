//! `Merge`: two neighbouring pieces of RAM become one.

use abi::SysError;
use capfmt::schema::Class;
use capfmt::{Cap, CapType, MdbFlags, Rights, mdb};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, commit, refuse};
use crate::{Machine, Policy, decode, share};

/// `Merge`: the invoked RAM and the RAM in r2 that begins where it ends become one capability, in the slot of
/// the invoked one; the other slot is empty then. Whatever else covers any of their bytes must cover all of them
/// and more: there is no copy of either and nothing made of them. So no capability's range ever cuts another's.
///
/// # Rights
/// WRITE on both; the result has the rights that both have.
pub(crate) fn merge<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Ram, Rights::WRITE)?;
    let address = c.reg(e.m, 2);
    let (next, after) = decode::lookup_as(e, c, address, CapType::Ram, Rights::WRITE)?;
    for cte in [i.cte, next] {
        decode::ensure_not_target(e, cte)?;
        if share::is_shared(e.m, cte) {
            return refuse(SysError::SharedRemote);
        }
        if decode::flags(e.m, cte) != MdbFlags::default() || cte.node(e.m).owner != 0 {
            return refuse(SysError::StillInUse);
        }
    }
    if i.cap.last().checked_add(1) != Some(after.base.0) {
        return refuse(SysError::BadArgument);
    }
    let bytes = i.cap.size + after.size;
    let end = after.last();
    let cuts = |n, other: &Cap| {
        let around = other.base <= i.cap.base && other.last() >= end;
        let same = other.kind == CapType::Ram && other.size == bytes;
        n != i.cte && n != next && (!around || same)
    };
    let class = Class::Physical;
    let other = mdb::any_overlap(e.m, e.os.kcb, class, i.cap.base.0, bytes, cuts);
    if other.is_some() {
        return refuse(SysError::StillInUse);
    }
    let mut whole = Cap::region(CapType::Ram, i.cap.base, bytes);
    whole.rights = Rights(i.cap.rights.0 & after.rights.0);
    let kcb = e.kcb();
    let mut t = e.begin();
    mdb::clear(&mut t, kcb, next);
    mdb::replace(&mut t, kcb, i.cte, &whole);
    commit(t, c, &[]);
    Ok(())
}

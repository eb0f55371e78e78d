//! What a monitor asks about objects that other OSnodes know, too.
//!
//! All need every right on the Kernel capability. An object is named by the words of a
//! capability; rights and badge do not count.

use abi::{Op, SysError};
use capfmt::schema::{Class, RetypeRequest, retype_check};
use capfmt::{
    Cap, CapType, Cte, Dcb, DcbState, Kcb, MdbFlags, PhysAddr, PhysMap, RawCap, Rights,
    VNODE_BYTES, mdb, schema,
};
use mdb::{OfObject, Position};

use super::{Invoked, cnode, retype};
use crate::entry::{Caller, Entry, Res, Stop, commit, live_area, refuse};
use crate::family::{self, Action};
use crate::{Effect, Machine, Policy, decode, delete, dispatch, longop, peers, share, shootdown};

/// Most members of a family looked at in one entry.
const LOOK: usize = 256;

fn ensure<M: Machine, P: Policy>(e: &Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res<Cap> {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let words = [2, 3, 4, 5].map(|k| c.reg(e.m, k));
    let Some(cap) = RawCap(words).parse() else {
        return refuse(SysError::BadArgument);
    };
    if cap.kind == CapType::Null || !schema::is_well_formed(&cap) {
        return refuse(SysError::BadArgument);
    }
    Ok(cap)
}

/// A slot that shows that `object` is held: a copy, or a Mapping made from it. An object of which too much is
/// derived to look through counts as held.
pub(crate) fn held(m: &impl PhysMap, kcb: Kcb, object: &Cap) -> Option<Cte> {
    if let Some(copy) = mdb::copy_of(m, kcb, object) {
        return Some(copy);
    }
    use CapType::{DevFrame, Frame, UmpEndpoint, VNode};
    if !matches!(object.kind, Frame | DevFrame | UmpEndpoint | VNode) {
        return None;
    }
    match mdb::next_of_object(m, kcb, object, &Position::before(object), LOOK) {
        OfObject::Found(cte, _) => Some(cte),
        OfObject::Further(position) => mdb::following(m, kcb, &position),
        OfObject::End => None,
    }
}

/// The flags of all copies of what stands in `cte`, a Mapping's its own.
fn flags_of_copies(m: &impl PhysMap, kcb: Kcb, cte: Cte) -> MdbFlags {
    let cap = cte.cap(m);
    let mut flags = decode::flags(m, cte);
    let mut at = cte;
    for _ in 0..LOOK {
        let Some(next) = mdb::next(m, kcb, at).filter(|n| schema::is_copy(&n.cap(m), &cap)) else {
            break;
        };
        flags.0 |= decode::flags(m, next).0;
        at = next;
    }
    flags
}

/// Who owns what stands in a slot.
fn owner_id(m: &impl PhysMap, kcb: Kcb, cte: Cte) -> u64 {
    match share::owner(m, cte) {
        0 => kcb.osnode(m),
        peer => kcb.peer(m, peer % 256),
    }
}

/// `CapOwner`.
///
/// # Rights
/// Every one.
pub(crate) fn owner<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let object = ensure(e, c, i)?;
    let kcb = e.kcb();
    let results = match held(e.m, kcb, &object) {
        None => [0; 3],
        Some(cte) => {
            let flags = flags_of_copies(e.m, kcb, cte);
            [1, owner_id(e.m, kcb, cte), flags.0.into()]
        }
    };
    e.reply(c, &results);
    Ok(())
}

/// `CapNext`: r7 = 0 if what was found is to be skipped, being a Mapping of what is listed itself.
///
/// # Rights
/// Every one.
pub(crate) fn next<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let how = c.reg(e.m, 4);
    let classes = [Class::Physical, Class::Irq, Class::IoPort, Class::Nowhere];
    let Some(class) = classes.into_iter().find(|k| *k as u64 == how & 0xff) else {
        return refuse(SysError::BadArgument);
    };
    let cursor = RawCap([
        how >> 8 & 0xff | how & !0xffff_ffff,
        c.reg(e.m, 5),
        c.reg(e.m, 6),
        c.reg(e.m, 7),
    ]);
    let mut from = match cursor.parse() {
        Some(cap) if cap.kind == CapType::Null => Position::start_of(class),
        Some(cap) if cap.kind.info().class == class => Position::after(&cap),
        _ => return refuse(SysError::BadArgument),
    };
    let (base, end) = (c.reg(e.m, 2), c.reg(e.m, 3));
    let kcb = e.kcb();
    for _ in 0..LOOK {
        let last = end.saturating_sub(1).min((1 << PhysAddr::BITS) - 1);
        let Some(cte) = mdb::overlapping_after(e.m, kcb, class, base, last, &from) else {
            return refuse(SysError::NoCapability);
        };
        let cap = cte.cap(e.m);
        let named = cap.kind == CapType::Mapping && family::is_mapped_object_here(e.m, kcb, cte);
        if !named {
            let flags = flags_of_copies(e.m, kcb, cte);
            let owner = owner_id(e.m, kcb, cte);
            return found(e, c, &cap, owner, flags, true);
        }
        from = Position::of(e.m, cte);
    }
    // So many Mappings of one object: go on after the last of them.
    let [place, size, kind, extra, _] = from.words();
    let cap = Cap {
        kind: CapType::Mapping,
        rights: Rights::ALL,
        param: kind as u32,
        base: PhysAddr(place & ((1 << 56) - 1)),
        size: !size,
        extra,
    };
    found(e, c, &cap, kcb.osnode(e.m), MdbFlags(0), false)
}

fn found<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    cap: &Cap,
    owner: u64,
    flags: MdbFlags,
    counts: bool,
) -> Res {
    let object = Cap {
        rights: Rights::ALL,
        ..*cap
    };
    let [a, b, d, f] = object.emit().0;
    e.reply(c, &[a, b, d, f, owner, flags.0.into(), counts.into()]);
    Ok(())
}

/// `CapRemove`: deletes own slot r2; r1 = 1 if its object is still held.
///
/// # Rights
/// Every one.
pub(crate) fn remove<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let (cte, cap) = decode::lookup(e, c, c.reg(e.m, 2))?;
    decode::ensure_not_target(e, cte)?;
    let kcb = e.kcb();
    match delete::decide_here(e.m, kcb, cte, &cap) {
        delete::Removal::Refused(error) => refuse(error),
        delete::Removal::Contents => longop::start_remove(e, c, cte, &cap),
        delete::Removal::Simple => {
            let mut t = e.begin();
            let effect = delete::remove_quietly(&mut t, kcb, cte, &cap);
            let held = held(&t, kcb, &cap).is_some();
            commit(t, c, &[held.into()]);
            cnode::push(e, effect);
            Ok(())
        }
    }
}

/// Checks that the object is held here.
fn ensure_held<M: Machine, P: Policy>(e: &Entry<'_, M, P>, object: &Cap) -> Res {
    match held(e.m, e.os.kcb, object) {
        Some(_) => Ok(()),
        None => refuse(SysError::NoCapability),
    }
}

/// `CapSetOwner`.
///
/// # Rights
/// Every one.
pub(crate) fn set_owner<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let object = ensure(e, c, i)?;
    ensure_held(e, &object)?;
    let osnode = c.reg(e.m, 6);
    let peer = peers::place_for(e, c, osnode)?;
    family::start(e, c, Action::Owner, peer, &object, None, |t, kcb| {
        peers::enter(t, kcb, peer, osnode);
    })
}

/// `CapSetRemote`.
///
/// # Rights
/// Every one.
pub(crate) fn set_remote<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let object = ensure(e, c, i)?;
    let remote = c.reg(e.m, 6);
    if remote & !u64::from(MdbFlags::REMOTE.0) != 0 {
        return refuse(SysError::BadArgument);
    }
    ensure_held(e, &object)?;
    if is_known(e.m, e.os.kcb, &object, remote) {
        e.reply(c, &[]);
        return Ok(());
    }
    family::start(e, c, Action::Remote, remote, &object, None, |_, _| {})
}

/// Whether all copies, of which there are some, say already that others hold this beside the object. What stands for
/// it besides got its flags when they changed, or has those of a part: enough to tell that it is shared.
fn is_known(m: &impl PhysMap, kcb: Kcb, object: &Cap, remote: u64) -> bool {
    let mut at = mdb::copy_of(m, kcb, object);
    for _ in 0..LOOK {
        let Some(copy) = at else { return false };
        if u64::from(decode::flags(m, copy).0 & MdbFlags::REMOTE.0) != remote {
            return false;
        }
        at = mdb::next(m, kcb, copy).filter(|n| schema::is_copy(&n.cap(m), object));
        if at.is_none() {
            return true;
        }
    }
    false
}

/// `CapLock`.
///
/// # Rights
/// Every one.
pub(crate) fn lock<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let object = ensure(e, c, i)?;
    let action = match c.reg(e.m, 6) {
        0 => Action::Unlock,
        1 => Action::Lock,
        _ => return refuse(SysError::BadArgument),
    };
    family::start(e, c, action, 0, &object, None, |_, _| {})
}

/// `CapMark`.
///
/// # Rights
/// Every one.
pub(crate) fn mark<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let object = ensure(e, c, i)?;
    let kcb = e.kcb();
    let keep = match c.reg(e.m, 6) {
        0 => None,
        1 => mdb::copy_of(e.m, kcb, &object),
        n => named_by(e, n - 2, &object).or_else(|| mdb::copy_of(e.m, kcb, &object)),
    };
    family::start(e, c, Action::Mark, 0, &object, keep, |_, _| {})
}

/// The copy of `object` that the waiting Revoke of dispatcher `id` names.
fn named_by<M: Machine, P: Policy>(e: &Entry<'_, M, P>, id: u64, object: &Cap) -> Option<Cte> {
    let dcb = share::waiting(e.m, e.os.kcb, id)?;
    let call = share::call_of(e.m, dcb);
    let revoked = revoked_by(e, dcb, &call).ok()?;
    let fits = share::op_of(e.m, dcb) == Some(Op::Revoke) && schema::is_copy(&revoked.cap, object);
    fits.then_some(revoked.cte)
}

/// What a Revoke with these registers is about.
fn revoked_by<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    dcb: Dcb,
    call: &[u64; 8],
) -> Res<Invoked> {
    let (cte, _) = decode::used_slot(e, dcb, call[1])?;
    let root = Invoked {
        cte,
        cap: cte.cap(e.m),
    };
    cnode::decode_used(e, &root, call[2])
}

/// `CapUnmark`.
///
/// # Rights
/// Every one.
pub(crate) fn unmark<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let object = ensure(e, c, i)?;
    family::start(e, c, Action::Unmark, 0, &object, None, |_, _| {})
}

/// `CapSweep`.
///
/// # Rights
/// Every one.
pub(crate) fn sweep<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let object = ensure(e, c, i)?;
    family::start(e, c, Action::Sweep, 0, &object, None, |_, _| {})
}

/// `CapPending`.
///
/// # Rights
/// Every one.
pub(crate) fn pending<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let (id, child) = (c.reg(e.m, 2), c.reg(e.m, 3));
    let kcb = e.kcb();
    let drops = kcb.shared_drops(e.m);
    let dcb = match child {
        0 => share::dispatchers(e.m, kcb)
            .filter(|d| d.state(e.m) == DcbState::WaitingMonitor as u64 && d.id(e.m) > id)
            .min_by_key(|d| d.id(e.m)),
        1 => share::waiting(e.m, kcb, id),
        _ => return refuse(SysError::BadArgument),
    };
    let Some(dcb) = dcb else {
        let flushes = [kcb.flush_owed(e.m), kcb.flush_done(e.m)];
        e.reply(c, &[0, flushes[0], flushes[1], 0, 0, 0, drops]);
        return Ok(());
    };
    let op = share::op_of(e.m, dcb).map_or(0, |op| op as u64);
    let object = share::object_of(e.m, dcb).unwrap_or(Cap::NULL);
    let (made, count) = child_of(e.m, kcb, dcb, &object);
    let shown = if child == 1 { made } else { object };
    let words = Cap {
        rights: Rights::ALL,
        ..shown
    };
    let [a, b, d, f] = words.emit().0;
    let id = dcb.id(e.m);
    e.reply(c, &[id, op | count << 16, a, b, d, f, drops]);
    Ok(())
}

/// What the waiting call makes first, and how many; or the table that it takes something out of.
fn child_of<M: Machine>(m: &M, kcb: Kcb, dcb: Dcb, object: &Cap) -> (Cap, u64) {
    match share::op_of(m, dcb) {
        Some(Op::Retype) => {
            let call = share::call_of(m, dcb);
            let request = retype::request::<M>(&call);
            let plan = request.and_then(|r: RetypeRequest| retype_check(object, &r).ok());
            plan.map_or((Cap::NULL, 0), |p| (p.object(0), p.count))
        }
        Some(Op::Unmap | Op::Protect) => {
            let at = PhysAddr(object.extra & !(VNODE_BYTES - 1));
            let table = share::shared_table(m, kcb, at);
            (table.unwrap_or(Cap::NULL), 1)
        }
        Some(Op::Flushed) => (Cap::NULL, shootdown::awaited(m, dcb).unwrap_or(0)),
        _ => (Cap::NULL, 1),
    }
}

/// `CapAnswer`.
///
/// # Rights
/// Every one.
pub(crate) fn answer<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    let Some(dcb) = share::waiting(e.m, e.os.kcb, c.reg(e.m, 2)) else {
        return refuse(SysError::NoCapability);
    };
    let how = c.reg(e.m, 3);
    // What waits for flushes is done, but can be told not to wait for them.
    if how != 2 && shootdown::awaited(e.m, dcb).is_some() {
        return refuse(SysError::BadArgument);
    }
    match how {
        0 => match carry_out(e, c, dcb) {
            Err(Stop::Refused(error)) => {
                share::end_call(e, c, dcb, error as u64);
                Ok(())
            }
            outcome => outcome,
        },
        1 => {
            share::end_call(e, c, dcb, 0);
            Ok(())
        }
        2 => {
            let word = c.reg(e.m, 4);
            let plain = u16::try_from(word).ok().and_then(SysError::from_code);
            if plain.is_none() && abi::late_view(word).is_none() {
                return refuse(SysError::BadArgument);
            }
            share::end_call(e, c, dcb, word);
            Ok(())
        }
        _ => refuse(SysError::BadArgument),
    }
}

/// Carries a waiting call out for the monitor.
fn carry_out<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, dcb: Dcb) -> Res {
    let Some(page) = dispatch::frame(e.m, dcb) else {
        return refuse(SysError::NoCapability);
    };
    let client = Caller {
        dcb,
        page,
        area: live_area(e.m, page),
    };
    let Some(object) = share::object_of(e.m, dcb) else {
        return refuse(SysError::BadObject);
    };
    match share::op_of(e.m, dcb) {
        Some(Op::Revoke) => {
            let call = share::call_of(e.m, dcb);
            let target = revoked_by(e, dcb, &call)?;
            if !schema::is_copy(&target.cap, &object) {
                return refuse(SysError::NoCapability);
            }
            cnode::revoke_for(e, c, &client, target.cte)
        }
        Some(Op::Retype) => retype::retype_for(e, c, &client, &object),
        Some(Op::Unmap | Op::Protect) => {
            share::end_call(e, c, dcb, 0);
            Ok(())
        }
        _ => refuse(SysError::BadCall),
    }
}

/// `TlbFlush`.
///
/// # Rights
/// Every one.
pub(crate) fn flush<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    i.ensure(CapType::Kernel, Rights::ALL)?;
    e.reply_with_effect(c, Effect::TlbAll, &[]);
    Ok(())
}

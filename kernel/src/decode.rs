//! From capability addresses to slots and capabilities, with every check.

use abi::SysError;
use capfmt::cnode::{self, SlotError};
use capfmt::undo::{Step, Transaction};
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, Dcb, Kcb, MdbFlags, MdbNode, PhysAddr, PhysMap, Rights, mdb,
    schema,
};

use crate::entry::{Caller, Entry, Res, Stop, refuse};
use crate::osnode::Current;
use crate::{Machine, Policy, family};

impl From<SlotError> for Stop {
    fn from(e: SlotError) -> Stop {
        Stop::Refused(match e {
            SlotError::RootNotCNode | SlotError::OutOfRange | SlotError::NotCNode => {
                SysError::NoCapability
            }
            SlotError::InDelete => SysError::InDelete,
        })
    }
}

/// The flags of a slot, without unpacking the rest of its MDB part.
#[inline]
pub(crate) fn flags(m: &impl PhysMap, cte: Cte) -> MdbFlags {
    MdbFlags((m.load_at(cte.0, 32) >> 52) as u16)
}

/// Number of the type of what stands in a slot.
#[inline]
pub(crate) fn kind_of(m: &impl PhysMap, cte: Cte) -> u8 {
    m.load(cte.0) as u8
}

/// The CSpace root of a dispatcher.
#[inline]
pub(crate) fn cspace(m: &impl PhysMap, dcb: Dcb) -> Res<Cap> {
    let word = m.load(dcb.cspace().0);
    if word as u8 != CapType::CNode as u8 {
        return refuse(SysError::NoCapability);
    }
    let base = PhysAddr(m.load(dcb.cspace().0.add(8)));
    Ok(Cap::cnode(base, (word >> 32 & 31) as u32))
}

/// The slot that `addr` names in the CSpace of `dcb`; it may be empty. Only while the OSnode is `guarded` can
/// anything be marked as being deleted.
#[inline]
fn slot_in(m: &impl PhysMap, guarded: bool, dcb: Dcb, addr: u64) -> Res<Cte> {
    let root = cspace(m, dcb)?;
    if guarded && flags(m, dcb.cspace()).contains(MdbFlags::IN_DELETE) {
        return refuse(SysError::InDelete);
    }
    let Ok(addr) = u32::try_from(addr) else {
        return refuse(SysError::NoCapability);
    };
    Ok(cnode::slot(m, &root, addr)?)
}

/// The slot that `addr` names in the two-level CSpace of the dispatcher that runs, while nothing can be marked;
/// `None` for any address that needs a closer look.
#[inline(always)]
pub(crate) fn quick_slot(m: &impl PhysMap, current: &Current, addr: u64) -> Option<Cte> {
    let (high, low) = (addr >> 8, addr & 0xff);
    if addr == 0 || high >= current.slots {
        return None;
    }
    let way = current.cspace.add(high * CTE_BYTES);
    let word = m.load(way);
    if word as u8 != CapType::CNode as u8 || low >> (word >> 32 & 31) != 0 {
        return None;
    }
    Some(Cte(PhysAddr(m.load_at(way, 8)).add(low * CTE_BYTES)))
}

/// The slot that `addr` names in the CSpace of `dcb`; it may be empty.
#[inline]
pub(crate) fn slot<M: Machine, P: Policy>(e: &Entry<'_, M, P>, dcb: Dcb, addr: u64) -> Res<Cte> {
    slot_in(e.m, e.os.guarded, dcb, addr)
}

/// The slot at `addr`, which holds a capability that is not being deleted, and the capability's first word.
#[inline]
pub(crate) fn used_slot<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    dcb: Dcb,
    addr: u64,
) -> Res<(Cte, u64)> {
    used_slot_in(e.m, e.os.guarded, dcb, addr)
}

/// As [`used_slot`], without an entry.
#[inline]
pub(crate) fn used_slot_in(
    m: &impl PhysMap,
    guarded: bool,
    dcb: Dcb,
    addr: u64,
) -> Res<(Cte, u64)> {
    let cte = slot_in(m, guarded, dcb, addr)?;
    let word = m.load(cte.0);
    if word as u8 == CapType::Null as u8 {
        return refuse(SysError::NoCapability);
    }
    if guarded && flags(m, cte).contains(MdbFlags::IN_DELETE) {
        return refuse(SysError::InDelete);
    }
    Ok((cte, word))
}

/// The capability at `addr` in the caller's CSpace.
pub(crate) fn lookup<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    addr: u64,
) -> Res<(Cte, Cap)> {
    let (cte, _) = used_slot(e, c.dcb, addr)?;
    Ok((cte, cte.cap(e.m)))
}

/// The capability at `addr`, of type `kind` and with `rights`.
pub(crate) fn lookup_as<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    addr: u64,
    kind: CapType,
    rights: Rights,
) -> Res<(Cte, Cap)> {
    let (cte, cap) = lookup(e, c, addr)?;
    ensure(&cap, kind, rights)?;
    Ok((cte, cap))
}

/// Checks type and rights.
pub(crate) fn ensure(cap: &Cap, kind: CapType, rights: Rights) -> Res {
    if cap.kind != kind {
        return refuse(SysError::WrongType);
    }
    if !cap.rights.contains(rights) {
        return refuse(SysError::NoRight);
    }
    Ok(())
}

/// The empty slot at `addr` below the CNode `root`.
pub(crate) fn empty_below(m: &impl PhysMap, root: &Cap, addr: u64) -> Res<Cte> {
    let Ok(addr) = u32::try_from(addr) else {
        return refuse(SysError::NoCapability);
    };
    let cte = cnode::slot(m, root, addr)?;
    if m.load(cte.0) as u8 != CapType::Null as u8 {
        return refuse(SysError::SlotInUse);
    }
    Ok(cte)
}

/// The empty slot at `addr` in the caller's CSpace.
pub(crate) fn empty_slot<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    addr: u64,
) -> Res<Cte> {
    let cte = slot(e, c.dcb, addr)?;
    if e.m.load(cte.0) as u8 != CapType::Null as u8 {
        return refuse(SysError::SlotInUse);
    }
    Ok(cte)
}

/// Checks that nothing is in the way of making a copy or descendant of `cap`, which stands in `cte`:
/// while its object is being revoked, nothing new may appear behind the cursor, or unmarked.
#[inline]
pub(crate) fn ensure_derivable<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    cte: Cte,
    cap: &Cap,
) -> Res {
    if !e.os.guarded {
        return Ok(());
    }
    if flags(e.m, cte).contains(MdbFlags::MARKED) {
        return Err(Stop::Busy);
    }
    ensure_not_in_progress(e, cap)
}

/// Whether `cap` is `object` or derived from it.
fn is_within(cap: &Cap, object: &Cap) -> bool {
    schema::is_copy(cap, object) || schema::is_descendant(cap, object)
}

/// Checks that the long operation in progress, if there is one, is none that meets all copies and descendants of
/// an object that `cap` belongs to.
pub(crate) fn ensure_not_in_progress<M: Machine, P: Policy>(e: &Entry<'_, M, P>, cap: &Cap) -> Res {
    if family::object(e.m, e.kcb()).is_some_and(|object| is_within(cap, &object)) {
        return Err(Stop::Busy);
    }
    let target = Cte(PhysAddr(e.kcb().op_target(e.m)));
    if e.kcb().op_kind(e.m) != capfmt::LongOpKind::Revoke as u64 || target.0.is_null() {
        return Ok(());
    }
    let target = target.cap(e.m);
    if is_within(cap, &target) {
        return Err(Stop::Busy);
    }
    Ok(())
}

/// Checks that no long operation works on the slot itself, or walks over what belongs to one object with it.
pub(crate) fn ensure_not_target<M: Machine, P: Policy>(e: &Entry<'_, M, P>, cte: Cte) -> Res {
    if !e.os.op_active {
        return Ok(());
    }
    let walked = family::object(e.m, e.kcb());
    if e.kcb().op_target(e.m) == cte.0.0
        || walked.is_some_and(|object| is_within(&cte.cap(e.m), &object))
    {
        return Err(Stop::Busy);
    }
    Ok(())
}

/// A transaction in which some consecutive slots, known to be empty, are restored as a whole: stores to them
/// need no log of their own.
struct Filling<'a, 'b, M: PhysMap> {
    t: &'a mut Transaction<'b, M>,
    first: Cte,
    bytes: u64,
}

impl<M: PhysMap> PhysMap for Filling<'_, '_, M> {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        self.t.load(at)
    }
    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        if at.0.wrapping_sub(self.first.0.0) < self.bytes {
            self.t.inner_mut().store(at, value);
        } else {
            self.t.store(at, value);
        }
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        self.t.compare_exchange(at, old, new)
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        self.t.covers(at, len)
    }
}

/// Puts `cap` into the empty slot `to`, with this MDB part.
pub(crate) fn place<M: PhysMap>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    node: &MdbNode,
    to: Cte,
    cap: &Cap,
) {
    log_empty(t, to, 1);
    fill(t, kcb, (to, 1), to, cap, node);
}

/// What a copy of the capability in `from` knows about other OSnodes: the same.
pub(crate) fn copied(m: &impl PhysMap, from: Cte) -> MdbNode {
    let old = from.node(m);
    MdbNode {
        flags: MdbFlags(old.flags.0 & (MdbFlags::REMOTE.0 | MdbFlags::LOCKED.0)),
        owner: old.owner,
        ..MdbNode::default()
    }
}

/// What a Mapping of the capability in `from`, or something derived from it, knows about other OSnodes: a family
/// has one owner, and who holds what it was made from holds an ancestor.
pub(crate) fn derived(m: &impl PhysMap, from: Cte, mapping: bool) -> MdbNode {
    let mut node = copied(m, from);
    let above = MdbFlags::REMOTE_COPIES.0 | MdbFlags::REMOTE_ANCESTORS.0;
    if !mapping && node.flags.0 & MdbFlags::REMOTE.0 != 0 {
        let inherited = node.flags.0 & above != 0;
        node.flags.0 &= MdbFlags::LOCKED.0;
        if inherited {
            node.flags.0 |= MdbFlags::REMOTE_ANCESTORS.0;
        }
    }
    node
}

/// Logs that `count` consecutive slots from `first` on are empty.
pub(crate) fn log_empty<M: PhysMap>(t: &mut Transaction<'_, M>, first: Cte, count: u64) {
    t.log_restore(first.0, count * (CTE_BYTES / 8), 0, Step::Same);
}

/// Puts `cap` into the slot `to`, one of the `empty` ones (first, count) that [`log_empty`] logged.
pub(crate) fn fill<M: PhysMap>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    empty: (Cte, u64),
    to: Cte,
    cap: &Cap,
    node: &MdbNode,
) {
    let mut filling = Filling {
        t,
        first: empty.0,
        bytes: empty.1 * CTE_BYTES,
    };
    to.set_cap(&mut filling, cap);
    to.set_node(&mut filling, node);
    mdb::insert(&mut filling, kcb, to);
}

//! `Retype`: new objects from memory (or parts of a numbered range).

use abi::SysError;
use capfmt::schema::{Class, RetypeError, RetypePlan, RetypeRequest, retype_check};
use capfmt::undo::Transaction;
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, Dcb, Kcb, MdbFlags, MdbNode, Notification, PhysAddr, PhysMap,
    Rights, mdb,
};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, Stop, refuse};
use crate::{Machine, Policy, decode, longop};

/// Most objects of one retype. Dispatchers, or slots of several CNodes, may be too many for the undo log before
/// that: then none is made, and the answer is `TableFull`.
pub(crate) const MAX_COUNT: u64 = 256;
/// Log entries that one more insertion may need.
const ROOM: u64 = 200;
/// Bytes zeroed at once; more is a long operation.
const ZERO_AT_ONCE: u64 = 0x8000;

/// A retype with everything checked but the overlap.
struct Plan {
    made: RetypePlan,
    kind: CapType,
    root: Cap,
    first: u64,
}

impl Plan {
    fn slot(&self, m: &impl PhysMap, index: u64) -> Res<Cte> {
        decode::empty_below(m, &self.root, self.first + index)
    }
}

/// `Retype`: all or none.
///
/// # Rights
/// WRITE on the source, unless only a part of the same type is made; WRITE on the destination's CNode.
pub(crate) fn retype<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let plan = decode_plan::<M>(e.m, e.os.op_active, c, i)?;
    decode::ensure_derivable(e, &i.cap)?;
    // Objects that are cleared but not yet removed still have capabilities in their memory.
    if e.os.op_active && e.kcb().op_delete_head(e.m) != 0 {
        return Err(Stop::Busy);
    }
    let total = plan.made.total();
    ensure_free(e.m, e.os.kcb, i.cte, plan.made.base.0, total)?;
    if plan.made.zero && total > ZERO_AT_ONCE {
        return longop::start_zero(e, c, i.cte, plan.made.base, total);
    }
    let kcb = e.kcb();
    let mut t = e.begin();
    if plan.made.zero {
        t.zero_unlogged(plan.made.base, total);
    }
    if let Err(error) = make(&mut t, kcb, &plan) {
        t.abort();
        return Err(error);
    }
    crate::entry::commit(t, c, &[plan.made.count]);
    Ok(())
}

/// Completes the retype whose memory was zeroed: decodes the waiting caller's registers again, and makes the
/// objects if they are still about that memory. Logged; the caller's results are written.
pub(crate) fn complete<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    c: &Caller,
    zeroed: PhysAddr,
    bytes: u64,
) -> Result<(), SysError> {
    let again = |t: &mut Transaction<'_, M>| -> Res<u64> {
        let (cte, _) = decode::used_slot_in(t, true, c.dcb, reg::<M>(t, c, 1))?;
        let i = Invoked {
            cte,
            cap: cte.cap(t),
        };
        let plan = decode_plan::<M>(t, true, c, &i)?;
        if plan.made.base != zeroed || plan.made.total() != bytes {
            return refuse(SysError::BadArgument);
        }
        ensure_free(t, kcb, cte, zeroed.0, bytes)?;
        make(t, kcb, &plan)?;
        Ok(plan.made.count)
    };
    match again(t) {
        Ok(count) => {
            crate::entry::write_results(t.inner_mut(), c.area, &[count]);
            Ok(())
        }
        Err(Stop::Refused(error)) => {
            t.abort();
            Err(error)
        }
        Err(Stop::Busy) => unreachable!("no long operation is in the way of its own end"),
    }
}

fn reg<M: Machine>(m: &impl PhysMap, c: &Caller, i: usize) -> u64 {
    m.load(c.area.add(M::SYSCALL_REGS[i]))
}

fn decode_plan<M: Machine>(
    m: &impl PhysMap,
    op_active: bool,
    c: &Caller,
    i: &Invoked,
) -> Res<Plan> {
    let what = reg::<M>(m, c, 3);
    let Some(kind) = CapType::from_u8(what as u8) else {
        return refuse(SysError::BadArgument);
    };
    let Ok(param) = u32::try_from(what >> 8) else {
        return refuse(SysError::BadArgument);
    };
    let request = RetypeRequest {
        kind,
        param,
        offset: reg::<M>(m, c, 2),
        size: reg::<M>(m, c, 4),
        count: reg::<M>(m, c, 5),
        isa: M::ISA,
    };
    if request.count > MAX_COUNT || (kind == CapType::VNode && param > M::ROOT_LEVEL) {
        return refuse(SysError::BadArgument);
    }
    let made = retype_check(&i.cap, &request).map_err(|e| match e {
        RetypeError::NotFrom => SysError::BadRetype,
        RetypeError::BadSize | RetypeError::Misaligned | RetypeError::OutOfRange => {
            SysError::BadArgument
        }
    })?;
    if kind != i.cap.kind && !i.cap.rights.contains(Rights::WRITE) {
        return refuse(SysError::NoRight);
    }
    if decode::is_remote(m, i.cte) {
        return refuse(SysError::SharedRemote);
    }
    // What becomes memory must be memory: the kernel will write to it.
    let memory = kind.info().class == Class::Physical
        && !matches!(kind, CapType::PhysAddr | CapType::DevFrame);
    if memory && !m.covers(made.base, made.total()) {
        return refuse(SysError::BadObject);
    }
    let (root, _) = decode::used_slot_in(m, op_active, c.dcb, reg::<M>(m, c, 6))?;
    let root = root.cap(m);
    decode::ensure(&root, CapType::CNode, Rights::WRITE)?;
    let plan = Plan {
        made,
        kind,
        root,
        first: reg::<M>(m, c, 7),
    };
    for k in 0..plan.made.count {
        plan.slot(m, k)?;
    }
    Ok(plan)
}

/// Checks that `source` covers the range and that nothing was made from it yet.
pub(crate) fn ensure_free(
    m: &impl PhysMap,
    kcb: Kcb,
    source: Cte,
    first: u64,
    len: u64,
) -> Result<(), SysError> {
    let cap = source.cap(m);
    if cap.kind == CapType::Null || decode::flags(m, source).contains(MdbFlags::IN_DELETE) {
        return Err(SysError::NoCapability);
    }
    if first < cap.base.0 || first - cap.base.0 > cap.size || cap.size - (first - cap.base.0) < len
    {
        return Err(SysError::NoCapability);
    }
    match mdb::overlapping_descendant(m, kcb, source, first, len, |_, _| true) {
        Some(_) => Err(SysError::Overlaps),
        None => Ok(()),
    }
}

/// Makes the objects and their capabilities.
fn make<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, plan: &Plan) -> Res {
    let count = plan.made.count;
    let (first, last) = (plan.slot(t, 0)?, plan.slot(t, count - 1)?);
    // Slots of one CNode are one entry of the undo log.
    let together = last.0.0.wrapping_sub(first.0.0) == (count - 1) * CTE_BYTES;
    if together {
        decode::log_empty(t, first, count);
    }
    for k in 0..count {
        if t.room() < ROOM {
            return refuse(SysError::TableFull);
        }
        let cap = plan.made.object(k);
        init(t, kcb, plan.kind, &cap);
        if together {
            let slot = Cte(first.0.add(k * CTE_BYTES));
            let node = MdbNode::default();
            decode::fill(t, kcb, (first, count), slot, &cap, &node);
        } else {
            let slot = plan.slot(t, k)?;
            super::derive(t, kcb, slot, &cap);
        }
    }
    Ok(())
}

/// Writes what an object must hold beyond zeros. Its own memory is nobody's yet, so that is not logged.
fn init<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, kind: CapType, cap: &Cap) {
    match kind {
        CapType::Dispatcher => super::dispatcher::link(t, kcb, Dcb(cap.base)),
        CapType::VNode if cap.param == M::ROOT_LEVEL => t.inner_mut().init_root(cap.base),
        CapType::Notification => {
            let osnode = kcb.osnode(t);
            let page = Notification(cap.base);
            page.set_magic(t.inner_mut(), Notification::MAGIC);
            page.set_osnode(t.inner_mut(), osnode);
        }
        _ => {}
    }
}

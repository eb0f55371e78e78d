//! `Retype`: new objects from memory (or parts of a numbered range).

use abi::SysError;
use capfmt::schema::{self, Class, RetypeError, RetypePlan, RetypeRequest, retype_check};
use capfmt::undo::Transaction;
use capfmt::{
    CTE_BYTES, Cap, CapType, Cte, Dcb, Kcb, MdbFlags, Notification, PhysAddr, PhysMap, Rights, mdb,
};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, Stop, refuse};
use crate::{Machine, Policy, decode, dispatch, longop, share};

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
    let call = registers::<M>(e.m, c);
    let plan = decode_plan::<M>(e.m, e.os.guarded, c.dcb, &call, i)?;
    ensure_can_be(e, i.cte, &i.cap, &plan)?;
    if share::is_shared(e.m, i.cte) {
        return share::ask_monitor(e, &i.cap);
    }
    let total = plan.made.total();
    if plan.made.zero && total > ZERO_AT_ONCE {
        return longop::start_zero(e, c, None, i.cte, plan.made.base, total);
    }
    let t = begin_make(e, i.cte, &plan)?;
    crate::entry::commit(t, c, &[plan.made.count]);
    Ok(())
}

/// The retype of `client` that waited for the monitor `c`, here and now, from what is still a copy of `object`.
pub(crate) fn retype_for<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    client: &Caller,
    object: &Cap,
) -> Res {
    let call = share::call_of(e.m, client.dcb);
    let (cte, _) = decode::used_slot(e, client.dcb, call[1])?;
    let i = Invoked {
        cte,
        cap: cte.cap(e.m),
    };
    if !schema::is_copy(&i.cap, object) {
        return refuse(SysError::NoCapability);
    }
    let plan = decode_plan::<M>(e.m, e.os.guarded, client.dcb, &call, &i)?;
    if decode::flags(e.m, cte).contains(MdbFlags::MARKED) {
        return refuse(SysError::InDelete);
    }
    ensure_can_be(e, cte, &i.cap, &plan)?;
    let total = plan.made.total();
    if plan.made.zero && total > ZERO_AT_ONCE {
        return longop::start_zero(e, c, Some(client), cte, plan.made.base, total);
    }
    let mut t = begin_make(e, cte, &plan)?;
    share::write_end(&mut t, client.dcb, 0, &[plan.made.count]);
    crate::entry::commit(t, c, &[0]);
    dispatch::wake(e, client.dcb);
    Ok(())
}

/// Checks that nothing is in the way of the objects.
fn ensure_can_be<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    source: Cte,
    cap: &Cap,
    plan: &Plan,
) -> Res {
    decode::ensure_derivable(e, source, cap)?;
    // Objects that are cleared but not yet removed still have capabilities in their memory.
    if e.os.op_active && e.kcb().op_delete_head(e.m) != 0 {
        return Err(Stop::Busy);
    }
    let total = plan.made.total();
    ensure_free(e.m, e.os.kcb, source, plan.made.base.0, total)?;
    Ok(())
}

/// Makes the objects in a transaction that is still open.
fn begin_make<'e, M: Machine, P: Policy>(
    e: &'e mut Entry<'_, M, P>,
    source: Cte,
    plan: &Plan,
) -> Res<Transaction<'e, M>> {
    let kcb = e.kcb();
    let mut t = e.begin();
    if plan.made.zero {
        t.zero_unlogged(plan.made.base, plan.made.total());
    }
    match make(&mut t, kcb, source, plan) {
        Ok(()) => Ok(t),
        Err(error) => {
            t.abort();
            Err(error)
        }
    }
}

/// Completes the retype whose memory was zeroed: decodes the waiting caller's registers again, and makes the
/// objects if they are still about that memory. `passes`: the monitor allowed it. Logged.
pub(crate) fn complete<M: Machine>(
    t: &mut Transaction<'_, M>,
    kcb: Kcb,
    c: &Caller,
    passes: bool,
    zeroed: PhysAddr,
    bytes: u64,
) -> Result<u64, SysError> {
    let again = |t: &mut Transaction<'_, M>| -> Res<u64> {
        let call = if passes {
            share::call_of(t, c.dcb)
        } else {
            registers::<M>(t, c)
        };
        let (cte, _) = decode::used_slot_in(t, true, c.dcb, call[1])?;
        let i = Invoked {
            cte,
            cap: cte.cap(t),
        };
        let plan = decode_plan::<M>(t, true, c.dcb, &call, &i)?;
        let same =
            !passes || share::object_of(t, c.dcb).is_some_and(|o| schema::is_copy(&i.cap, &o));
        if plan.made.base != zeroed || plan.made.total() != bytes || !same {
            return refuse(SysError::BadArgument);
        }
        if !passes && share::is_shared(t, cte) {
            return refuse(SysError::SharedRemote);
        }
        ensure_free(t, kcb, cte, zeroed.0, bytes)?;
        make(t, kcb, cte, &plan)?;
        Ok(plan.made.count)
    };
    again(t).map_err(|stop| match stop {
        Stop::Refused(error) => error,
        Stop::Busy | Stop::Started | Stop::Monitor(_) => {
            unreachable!("no long operation is in the way of its own end")
        }
    })
}

/// The registers of a system call.
fn registers<M: Machine>(m: &impl PhysMap, c: &Caller) -> [u64; 8] {
    M::SYSCALL_REGS.map(|r| m.load_at(c.area, r))
}

/// What a call with these registers asks for.
pub(crate) fn request<M: Machine>(call: &[u64; 8]) -> Option<RetypeRequest> {
    let kind = CapType::from_u8(call[3] as u8)?;
    let param = u32::try_from(call[3] >> 8).ok()?;
    let sound = call[5] <= MAX_COUNT && (kind != CapType::VNode || param <= M::ROOT_LEVEL);
    sound.then_some(RetypeRequest {
        kind,
        param,
        offset: call[2],
        size: call[4],
        count: call[5],
        isa: M::ISA,
    })
}

fn decode_plan<M: Machine>(
    m: &impl PhysMap,
    guarded: bool,
    dcb: Dcb,
    call: &[u64; 8],
    i: &Invoked,
) -> Res<Plan> {
    let Some(request) = request::<M>(call) else {
        return refuse(SysError::BadArgument);
    };
    let kind = request.kind;
    let made = retype_check(&i.cap, &request).map_err(|e| match e {
        RetypeError::NotFrom => SysError::BadRetype,
        RetypeError::BadSize | RetypeError::Misaligned | RetypeError::OutOfRange => {
            SysError::BadArgument
        }
    })?;
    if kind != i.cap.kind && !i.cap.rights.contains(Rights::WRITE) {
        return refuse(SysError::NoRight);
    }
    // What becomes memory must be memory: the kernel will write to it.
    let memory = kind.info().class == Class::Physical
        && !matches!(kind, CapType::PhysAddr | CapType::DevFrame);
    if memory && !m.covers(made.base, made.total()) {
        return refuse(SysError::BadObject);
    }
    let (root, _) = decode::used_slot_in(m, guarded, dcb, call[6])?;
    let root = root.cap(m);
    decode::ensure(&root, CapType::CNode, Rights::WRITE)?;
    let plan = Plan {
        made,
        kind,
        root,
        first: call[7],
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
fn make<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, source: Cte, plan: &Plan) -> Res {
    let count = plan.made.count;
    let node = decode::derived(t, source, false);
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
            decode::fill(t, kcb, (first, count), slot, &cap, &node);
        } else {
            let slot = plan.slot(t, k)?;
            decode::place(t, kcb, &node, slot, &cap);
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

//! Dispatchers: what they run on, whether they run, how they are scheduled.

use abi::{SysError, WaitResult, disp};
use capfmt::undo::Transaction;
use capfmt::{Cap, CapType, Core, Cte, Dcb, DcbState, Kcb, PhysAddr, PhysMap, Rights};

use super::Invoked;
use crate::entry::{Caller, Entry, Res, commit, live_area, refuse};
use crate::{Arrival, Machine, Policy, decode, delete, dispatch, ending, share, shootdown, time};

/// Parts of the core that reserved budgets may take together, in thousandths.
const RESERVED_MOST: u64 = 950;
/// Shortest period of a reserved budget.
const PERIOD_LEAST_NS: u64 = 100_000;
/// Longest period.
const PERIOD_MOST_NS: u64 = 1 << 40;

/// Puts a fresh DCB into the OSnode's list.
pub(crate) fn link<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, dcb: Dcb) {
    let id = kcb.next_id(t);
    kcb.set_next_id(t, id + 1);
    let head = kcb.dcb_head(t);
    let m = t.inner_mut();
    dcb.set_magic(m, Dcb::MAGIC);
    dcb.set_id(m, id);
    dcb.set_wake_at_ns(m, u64::MAX);
    dcb.set_next(m, head);
    if head != 0 {
        Dcb(PhysAddr(head)).set_prev(t, dcb.0.0);
    }
    kcb.set_dcb_head(t, dcb.0.0);
}

/// Takes a DCB out of the list.
pub(crate) fn unlink<M: Machine>(t: &mut Transaction<'_, M>, kcb: Kcb, dcb: Dcb) {
    let (next, prev) = (dcb.next(t), dcb.prev(t));
    if next != 0 {
        Dcb(PhysAddr(next)).set_prev(t, prev);
    }
    if prev != 0 {
        Dcb(PhysAddr(prev)).set_next(t, next);
    } else {
        kcb.set_dcb_head(t, next);
    }
}

/// The DCB of the invoked Dispatcher capability; one that was being deleted in vain is none any more.
pub(crate) fn decode_dcb(m: &impl PhysMap, i: &Invoked, rights: Rights) -> Res<Dcb> {
    i.ensure(CapType::Dispatcher, rights)?;
    let dcb = Dcb(i.cap.base);
    if dcb.magic(m) != Dcb::MAGIC {
        return refuse(SysError::BadObject);
    }
    Ok(dcb)
}

/// One slot of a DCB that gets a new capability.
struct Part {
    slot: Cte,
    from: Cte,
    cap: Cap,
}

/// `DispConfigure`: CSpace root, root VNode, frame, fault endpoint; 0 leaves one as it is.
/// The first three only while it is stopped.
///
/// # Rights
/// WRITE on the Dispatcher and the Endpoint, READ and WRITE on the Frame.
pub(crate) fn configure<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let stopped = matches!(
        dcb.state_of(e.m),
        Some(DcbState::Stopped | DcbState::Faulted)
    );
    let mut parts = [None, None, None, None];
    let wanted = [
        (CapType::CNode, dcb.cspace()),
        (CapType::VNode, dcb.vspace()),
        (CapType::Frame, dcb.disp_frame()),
        (CapType::Endpoint, dcb.fault_endpoint()),
    ];
    for (k, (kind, slot)) in wanted.into_iter().enumerate() {
        let address = c.reg(e.m, 2 + k);
        if address == 0 {
            continue;
        }
        if !stopped && kind != CapType::Endpoint {
            return refuse(SysError::StillInUse);
        }
        parts[k] = Some(decode_part(e, c, address, kind, slot)?);
    }
    let kcb = e.kcb();
    let told = |m: &M| (kcb.shared_drops(m), kcb.reclaimed(m));
    let before = told(e.m);
    let mut t = e.begin();
    for part in parts.iter().flatten() {
        let old = part.slot.cap(&t);
        if old.kind != CapType::Null {
            // Another part may have taken the last slot.
            let Some(back) = delete::comes_back(&t, kcb, part.slot, &old) else {
                t.abort();
                return refuse(SysError::StillInUse);
            };
            delete::remove(&mut t, kcb, part.slot, &old);
            back.give(&mut t, kcb);
        }
        let node = decode::copied(&t, part.from);
        decode::place(&mut t, kcb, &node, part.slot, &part.cap);
    }
    commit(t, c, &[]);
    if before != told(e.m) {
        e.os.dropped = true;
        e.os.reclaimed = true;
        e.os.attention = true;
    }
    Ok(())
}

fn decode_part<M: Machine, P: Policy>(
    e: &Entry<'_, M, P>,
    c: &Caller,
    address: u64,
    kind: CapType,
    slot: Cte,
) -> Res<Part> {
    let rights = match kind {
        CapType::Frame => Rights(Rights::READ.0 | Rights::WRITE.0),
        CapType::Endpoint => Rights::WRITE,
        _ => Rights(0),
    };
    let (from, cap) = decode::lookup_as(e, c, address, kind, rights)?;
    let fit = match kind {
        CapType::VNode => cap.param == M::ROOT_LEVEL && cap.extra == M::ISA as u64,
        CapType::Frame => cap.size >= disp::FRAME_BYTES && e.m.covers(cap.base, disp::FRAME_BYTES),
        _ => true,
    };
    if !fit {
        return refuse(SysError::BadArgument);
    }
    decode::ensure_derivable(e, from, &cap)?;
    let old = slot.cap(e.m);
    let free = old.kind == CapType::Null
        || delete::decide(e.m, e.os.kcb, slot, &old) == delete::Removal::Simple
            && delete::comes_back(e.m, e.os.kcb, slot, &old).is_some();
    if !free {
        return refuse(SysError::StillInUse);
    }
    Ok(Part { slot, from, cap })
}

/// A dispatcher that was made runnable by hand, not by `DispRun`, starts from its disabled area, too.
pub(crate) fn first_start(m: &mut impl PhysMap, dcb: Dcb) {
    let flags = dcb.flags(m);
    if flags & Dcb::STARTED != 0 {
        return;
    }
    if let Some(page) = dispatch::frame(m, dcb) {
        m.store_at(page, disp::DISABLED, 1);
        dcb.set_flags(m, flags | Dcb::STARTED);
    }
}

/// `DispRun`: starts (r2 = 1) or stops (0) a dispatcher. One that runs or waits stays as it is when started.
///
/// # Rights
/// WRITE.
pub(crate) fn run<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let stopped = matches!(
        dcb.state_of(e.m),
        Some(DcbState::Stopped | DcbState::Faulted)
    );
    match c.reg(e.m, 2) {
        1 if stopped => start(e, c, dcb),
        0 if !stopped => {
            stop(e, c, dcb);
            Ok(())
        }
        0 | 1 => {
            e.reply(c, &[]);
            Ok(())
        }
        _ => refuse(SysError::BadArgument),
    }
}

fn start<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, dcb: Dcb) -> Res {
    let Some(next) = dispatch::runnable(e.m, dcb) else {
        return refuse(SysError::BadObject);
    };
    let kcb = e.kcb();
    let core = Core(e.m.core_object()).core_id(e.m);
    let (osnode, epoch) = (kcb.osnode(e.m), kcb.state(e.m) >> 32);
    dispatch::tell_place(e.m, next.page, osnode, core, epoch);
    if dcb.flags(e.m) & Dcb::STARTED == 0 {
        e.m.store_at(next.page, disp::DISABLED, 1);
    }
    let mut t = e.begin();
    let flags = dcb.flags(&t) & !Dcb::FAULT_UNTOLD | Dcb::STARTED;
    dcb.set_flags(&mut t, flags);
    dcb.set_upcalls(&mut t, 0);
    dcb.set_state(&mut t, DcbState::Runnable as u64);
    commit(t, c, &[]);
    dispatch::wake(e, dcb);
    Ok(())
}

/// Stops a dispatcher; a `wait` of it, or for the monitor, is over, a long operation goes on without it.
fn stop<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, dcb: Dcb) {
    let kcb = e.kcb();
    let state = dcb.state_of(e.m);
    let requester = e.os.op_active && kcb.op_requester(e.m) == dcb.0.0;
    let second = e.os.op_active && kcb.op_second(e.m) == dcb.0.0;
    let page = dispatch::frame(e.m, dcb);
    let mut t = e.begin();
    let waits = matches!(state, Some(DcbState::Waiting | DcbState::WaitingMonitor));
    if waits || requester || second {
        shootdown::abandon(&mut t, kcb, dcb);
        // Who waits for flushes has its answer already.
        if let Some(page) = page.filter(|_| shootdown::awaited(&t, dcb).is_none()) {
            let area = live_area(&t, page);
            let m = t.inner_mut();
            m.store_at(area, M::SYSCALL_REGS[0], SysError::TimedOut as u64);
            m.store_at(area, M::SYSCALL_REGS[1], WaitResult::NOTHING);
        }
        if requester {
            kcb.set_op_requester(&mut t, 0);
        }
        share::forget_call(&mut t, dcb);
        if second {
            kcb.set_op_second(&mut t, 0);
        }
    }
    dcb.set_state(&mut t, DcbState::Stopped as u64);
    ending::note(&mut t, kcb, dcb);
    if dcb == c.dcb {
        crate::entry::write_results(t.inner_mut(), c.area, &[]);
        kcb.set_current_dcb(&mut t, 0);
        t.commit();
        ending::look(e);
        return dispatch::leave(e);
    }
    commit(t, c, &[]);
    ending::look(e);
    if state == Some(DcbState::Runnable) {
        dispatch::dequeue(e, dcb);
    }
    time::forget_wait(e, dcb);
    e.os.dropped |= waits;
    e.os.attention = true;
}

/// `DispSchedule`: class, budget, period.
///
/// Reserved budgets may take 95 % of the core together; more is refused with `TableFull`.
///
/// # Rights
/// WRITE.
pub(crate) fn schedule<M: Machine, P: Policy>(
    e: &mut Entry<'_, M, P>,
    c: &Caller,
    i: &Invoked,
) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let (class, budget, period) = (c.reg(e.m, 2), c.reg(e.m, 3), c.reg(e.m, 4));
    match class {
        0 => {}
        1 => {
            let sound = (PERIOD_LEAST_NS..=PERIOD_MOST_NS).contains(&period)
                && budget != 0
                && budget <= period;
            if !sound {
                return refuse(SysError::BadArgument);
            }
            if reserved(e.m, e.os.kcb, dcb) + share(budget, period) > RESERVED_MOST {
                return refuse(SysError::TableFull);
            }
        }
        _ => return refuse(SysError::BadArgument),
    }
    // It must not stand in the queue of another class than it says.
    let queued = dcb.state(e.m) == DcbState::Runnable as u64 && dcb != c.dcb;
    if queued {
        dispatch::dequeue(e, dcb);
    }
    let mut t = e.begin();
    dcb.set_sched_class(&mut t, class);
    dcb.set_budget_ns(&mut t, budget);
    dcb.set_period_ns(&mut t, period);
    dcb.set_deadline_ns(&mut t, 0);
    dcb.set_budget_left_ns(&mut t, 0);
    commit(t, c, &[]);
    if queued {
        dispatch::enqueue(e, dcb, Arrival::Turn(0));
    } else if dcb == c.dcb {
        dispatch::requeue(e);
    }
    e.os.attention = true;
    Ok(())
}

/// Thousandths of the core, rounded up.
fn share(budget: u64, period: u64) -> u64 {
    (u128::from(budget) * 1000).div_ceil(u128::from(period)) as u64
}

/// What the reserved budgets of all others take together.
fn reserved(m: &impl PhysMap, kcb: Kcb, but: Dcb) -> u64 {
    let mut sum = 0;
    let mut at = kcb.dcb_head(m);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        if dcb != but && dcb.sched_class(m) == 1 {
            sum += share(dcb.budget_ns(m), dcb.period_ns(m));
        }
        at = dcb.next(m);
    }
    sum
}

/// `DispName`.
///
/// # Rights
/// WRITE.
pub(crate) fn name<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::WRITE)?;
    let words = (c.reg(e.m, 2), c.reg(e.m, 3));
    let mut t = e.begin();
    dcb.set_name0(&mut t, words.0);
    dcb.set_name1(&mut t, words.1);
    commit(t, c, &[]);
    Ok(())
}

/// `DispInfo`.
///
/// # Rights
/// READ.
pub(crate) fn info<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, i: &Invoked) -> Res {
    let dcb = decode_dcb(e.m, i, Rights::READ)?;
    if dcb == c.dcb {
        dispatch::charge(e);
    }
    let results = [
        dcb.state(e.m),
        dcb.used_ns(e.m),
        dcb.syscalls(e.m),
        dcb.preemptions(e.m),
        dcb.id(e.m),
        dcb.name0(e.m),
        dcb.name1(e.m),
    ];
    e.reply(c, &results);
    Ok(())
}

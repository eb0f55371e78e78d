//! System calls: which one, by whom, and what becomes of the caller.

use abi::{Op, SysError, Syscall, disp};
use capfmt::{CapType, Core, Cte, DcbState, Kcb, MdbFlags, PhysAddr, PhysMap, Rights};

use crate::entry::{Caller, Entry, Res, Stop, live_area, refuse};
use crate::osnode::Current;
use crate::{
    Effect, Machine, Osnode, Policy, Signal, decode, dispatch, invoke, notify, reclaim, send,
    share, upcall, wait,
};

/// Carries out the system call whose registers stand in the caller's save area.
///
/// From here until the KCB's word of the running dispatcher is written again, the
/// call is lost if the kernel dies, and had no effect.
#[inline]
pub(crate) fn syscall<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    let Some(saved) = e.saved else { return };
    let c = Caller {
        dcb: saved.dcb,
        page: saved.page,
        area: saved.area,
    };
    let kcb = e.kcb();
    kcb.set_current_dcb(e.m, c.dcb.0.0 | Kcb::IN_SYSCALL);
    e.os.calls += 1;
    let r0 = c.reg(e.m, 0);
    let done = call(e, &c, r0);
    let waits = matches!(done, Err(Stop::Busy | Stop::Monitor(_)));
    let done = match waits && reclaim::is_awaited(e.m, kcb, c.dcb) {
        true => refuse(SysError::BackFull),
        false => done,
    };
    match done {
        Ok(()) => {}
        Err(Stop::Refused(error)) => {
            e.m.store_at(c.area, M::SYSCALL_REGS[0], error as u64);
            kcb.set_current_dcb(e.m, c.dcb.0.0);
        }
        Err(Stop::Busy) => repeat_later(e, &c),
        Err(Stop::Started) => {}
        Err(Stop::Monitor(object)) => {
            let mut t = e.begin();
            share::wait(&mut t, &c, &object);
            share::after_wait(e);
        }
    }
}

#[inline]
fn call<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, r0: u64) -> Res {
    match Syscall::from_u8(r0 as u8) {
        Some(Syscall::Invoke) if r0 == 0 => identify(e, c),
        Some(Syscall::Invoke) => invoke::invoke(e, c, (r0 >> 8) as u8),
        Some(Syscall::Call) => send::call(e, c, r0),
        Some(Syscall::Send) => send::send(e, c, r0),
        Some(Syscall::Wait) => wait::wait(e, c),
        Some(Syscall::Poll) => wait::poll(e, c),
        Some(Syscall::Resume) => upcall::leave(e, c),
        Some(Syscall::Yield) => yield_core(e, c),
        None => refuse(SysError::BadCall),
    }
}

/// `Identify`: the capability's words as they stand, then MDB flags | owner << 16.
fn identify<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let cte = decode::slot(e, c.dcb, c.reg(e.m, 1))?;
    if e.m.load(cte.0) as u8 == CapType::Null as u8 {
        return refuse(SysError::NoCapability);
    }
    let results = identity(e.m, cte);
    e.reply(c, &results);
    Ok(())
}

#[inline(always)]
fn identity(m: &impl PhysMap, cte: Cte) -> [u64; 5] {
    let w: [u64; 6] = m.load_words(cte.0);
    let about = w[4] >> 52 | (w[5] >> 46 & 0xffff) << 16;
    [w[0], w[1], w[2], w[3], about]
}

/// What the shortest ways through the kernel end in.
pub(crate) enum Quick {
    /// The caller goes on.
    Same,
    /// Another dispatcher runs.
    Other,
    /// Nothing was done: it takes a closer look.
    No,
}

/// `Signal` as r0.
const SIGNAL: u64 = Syscall::Invoke as u64 | (Op::Signal as u64) << 8;

/// The shortest ways through the kernel, while nothing else is to be done: `Identify`, a `Call` whose
/// receiver waits for it, and a `Signal` to another OSnode.
#[inline]
pub(crate) fn quick<M: Machine, P: Policy>(os: &mut Osnode<P>, m: &mut M) -> Quick {
    let Some(current) = os.current else {
        return Quick::No;
    };
    let area = live_area(m, current.page);
    let r0 = m.load_at(area, M::SYSCALL_REGS[0]);
    if os.attention || os.guarded || os.in_effects || os.visited {
        return Quick::No;
    }
    let r1 = m.load_at(area, M::SYSCALL_REGS[1]);
    if r0 == 0 {
        return quick_identify(os, m, &current, area, r1);
    }
    // A Call without a capability.
    if r0 & 0x3_ffff_ffff == Syscall::Call as u64 {
        return match send::quick_call(os, m, &current, area, r0, r1) {
            Some(()) => Quick::Other,
            None => Quick::No,
        };
    }
    if r0 == SIGNAL {
        return quick_signal(os, m, &current, area, r1);
    }
    Quick::No
}

/// As `invoke::notify::signal`.
fn quick_signal<M: Machine, P: Policy>(
    os: &mut Osnode<P>,
    m: &mut M,
    current: &Current,
    area: PhysAddr,
    r1: u64,
) -> Quick {
    let Some(cte) = decode::quick_slot(m, current, r1) else {
        return Quick::No;
    };
    let w: [u64; 5] = m.load_words(cte.0);
    let usable = w[0] as u8 == CapType::Notify as u8 && (w[0] >> 8) as u8 & Rights::WRITE.0 != 0;
    let unusual = (w[4] >> 52) as u16 & (MdbFlags::IN_DELETE.0 | MdbFlags::LOCKED.0) != 0;
    let kcb = os.kcb;
    if !usable || unusual || w[1] == kcb.notification(m) || current.dcb.upcalls(m) != 0 {
        return Quick::No;
    }
    kcb.set_current_dcb(m, current.dcb.0.0 | Kcb::IN_SYSCALL);
    os.calls += 1;
    let target = notify::signal(m, PhysAddr(w[1]), w[0] >> 32);
    let here = Core(m.core_object()).hw_id(m);
    m.store_at(area, M::SYSCALL_REGS[0], 0);
    let mut word = current.dcb.0.0;
    // Who is cared for is where its caretaker is.
    if let Some(hw) = target.filter(|hw| *hw != here || os.cares) {
        word |= Kcb::IN_EFFECTS;
        os.in_effects = true;
        os.effects.push(Effect::Signal(hw, Signal::Notify, None));
    }
    kcb.set_current_dcb(m, word);
    Quick::Same
}

#[inline(always)]
fn quick_identify<M: Machine, P: Policy>(
    os: &mut Osnode<P>,
    m: &mut M,
    current: &Current,
    area: PhysAddr,
    r1: u64,
) -> Quick {
    let Some(cte) = decode::quick_slot(m, current, r1) else {
        return Quick::No;
    };
    if m.load(cte.0) as u8 == CapType::Null as u8 || current.dcb.upcalls(m) != 0 {
        return Quick::No;
    }
    let kcb = os.kcb;
    kcb.set_current_dcb(m, current.dcb.0.0 | Kcb::IN_SYSCALL);
    os.calls += 1;
    let [a, b, c, d, e] = identity(m, cte);
    let regs = M::SYSCALL_REGS;
    let offsets = [regs[0], regs[1], regs[2], regs[3], regs[4], regs[5]];
    m.store_each(area, offsets, [0, a, b, c, d, e]);
    kcb.set_current_dcb(m, current.dcb.0.0);
    Quick::Same
}

/// `Yield`: to the end of the queue.
fn yield_core<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    e.reply(c, &[]);
    if !e.os.policy.is_empty() {
        dispatch::requeue(e);
    }
    Ok(())
}

/// The caller waits for the end of the long operation and then repeats its call, registers unchanged.
fn repeat_later<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) {
    let kcb = e.kcb();
    let pc_at = c.area.add(disp::AREA_PC);
    let mut t = e.begin();
    let pc = t.load(pc_at);
    t.store(pc_at, pc.wrapping_sub(M::SYSCALL_BYTES));
    c.dcb.set_state(&mut t, DcbState::WaitingLongOp as u64);
    kcb.set_current_dcb(&mut t, 0);
    t.commit();
    dispatch::leave(e);
}

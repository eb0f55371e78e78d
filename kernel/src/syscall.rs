//! System calls: which one, by whom, and what becomes of the caller.

use abi::{SysError, Syscall, disp};
use capfmt::{CapType, DcbState, Kcb, PhysMap};

use crate::entry::{Caller, Entry, Res, Stop, refuse};
use crate::{Machine, Policy, decode, dispatch, invoke, lmp, upcall};

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
    let calls = c.dcb.syscalls(e.m);
    c.dcb.set_syscalls(e.m, calls.wrapping_add(1));
    let r0 = c.reg(e.m, 0);
    match call(e, &c, r0) {
        Ok(()) => {}
        Err(Stop::Refused(error)) => {
            e.m.store(c.area.add(M::SYSCALL_REGS[0]), error as u64);
            kcb.set_current_dcb(e.m, c.dcb.0.0);
        }
        Err(Stop::Busy) => repeat_later(e, &c),
    }
}

#[inline]
fn call<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller, r0: u64) -> Res {
    match Syscall::from_u8(r0 as u8) {
        Some(Syscall::Invoke) if r0 == 0 => identify(e, c),
        Some(Syscall::Invoke) => invoke::invoke(e, c, (r0 >> 8) as u8),
        Some(Syscall::Call) => lmp::call(e, c, r0),
        Some(Syscall::Send) => lmp::send(e, c, r0),
        Some(Syscall::Wait) => lmp::wait(e, c),
        Some(Syscall::Poll) => lmp::poll(e, c),
        Some(Syscall::Resume) => upcall::leave(e, c),
        Some(Syscall::Yield) => yield_core(e, c),
        None => refuse(SysError::BadCall),
    }
}

/// `Identify`: the capability's words as they stand, then MDB flags | owner << 16.
#[inline]
fn identify<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    let cte = decode::slot(e, c.dcb, c.reg(e.m, 1))?;
    let word = e.m.load(cte.0);
    if word as u8 == CapType::Null as u8 {
        return refuse(SysError::NoCapability);
    }
    let at = |i: u64| e.m.load(cte.0.add(8 * i));
    let about = at(4) >> 52 | (at(5) >> 46 & 0xffff) << 16;
    let results = [word, at(1), at(2), at(3), about];
    e.reply(c, &results);
    Ok(())
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

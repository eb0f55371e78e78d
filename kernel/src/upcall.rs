//! Upcalls, and faults that a dispatcher cannot take.

use abi::disp::{self, Upcall};
use abi::vaddr;
use capfmt::{CapType, Dcb, DcbState, PhysAddr, PhysMap};

use crate::entry::{Caller, Entry, Res, refuse};
use crate::osnode::Current;
use crate::{FaultAccess, Machine, Policy, dispatch, ending, lmp};

/// Notes an upcall for `dcb`, if its page asks for it.
#[inline]
pub(crate) fn post(m: &mut impl PhysMap, dcb: Dcb, page: PhysAddr, upcall: Upcall) {
    let bit = 1 << upcall as u8;
    if m.load_at(page, disp::UPCALLS_WANTED) & bit != 0 {
        let old = dcb.upcalls(m);
        dcb.set_upcalls(m, old | bit);
    }
}

/// Makes a noted upcall the next context of `current`, unless upcalls are off; whether it did.
#[inline]
pub(crate) fn deliver<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, current: Current) -> bool {
    let noted = current.dcb.upcalls(e.m);
    if noted == 0 || e.m.load_at(current.page, disp::DISABLED) != 0 {
        return false;
    }
    let number = u64::from(noted.trailing_zeros());
    enter(e.m, current.page, [number, 0, vaddr::DISP_FRAME, 0]);
    current.dcb.set_upcalls(e.m, noted & (noted - 1));
    true
}

/// Builds a fresh context in the disabled area and turns upcalls off, which makes it the live one.
fn enter<M: Machine>(m: &mut M, page: PhysAddr, arguments: [u64; 4]) {
    let area = page.add(disp::DISABLED_AREA);
    for (register, value) in M::ARGUMENT_REGS.into_iter().zip(arguments) {
        m.store_at(area, register, value);
    }
    let from_page = [
        (disp::AREA_PC, disp::UPCALL_ENTRY),
        (disp::AREA_SP, disp::UPCALL_STACK),
        (disp::AREA_TLS, disp::UPCALL_TLS),
    ];
    for (field, word) in from_page {
        let value = m.load_at(page, word);
        m.store_at(area, field, value);
    }
    m.store_at(area, disp::AREA_FLAGS, M::USER_FLAGS);
    for (offset, word) in m.fresh_fpu() {
        m.store_at(area, disp::AREA_FPU + offset, *word);
    }
    m.store_at(page, disp::DISABLED, 1);
}

/// `Resume`: leaves an upcall.
pub(crate) fn leave<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, c: &Caller) -> Res {
    if e.m.load_at(c.page, disp::DISABLED) == 0 {
        return refuse(abi::SysError::BadCall);
    }
    c.dcb.set_disabled_faults(e.m, 0);
    let kcb = e.kcb();
    // Both or none: which context is live, and that it is in no call.
    let mut t = e.begin();
    t.store_at(c.page, disp::DISABLED, 0);
    kcb.set_current_dcb(&mut t, c.dcb.0.0);
    t.commit();
    // The context that called is over, and its FPU registers with it.
    e.saved = None;
    Ok(())
}

/// What happened to a dispatcher that it did not ask for.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub upcall: Upcall,
    /// Address, or kind of trap.
    pub detail: u64,
    /// Access, or the ISA's detail of a trap.
    pub info: u64,
}

impl Fault {
    pub fn page(address: u64, access: FaultAccess) -> Fault {
        Fault {
            upcall: Upcall::PageFault,
            detail: address,
            info: u64::from(access.write) | u64::from(access.execute) << 1,
        }
    }
}

/// The current dispatcher faulted: an upcall if it wants one and can take it, else its end.
pub(crate) fn fault<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, fault: Fault) {
    let (Some(current), Some(saved)) = (e.os.current, e.saved) else {
        return;
    };
    let enabled = e.m.load_at(current.page, disp::DISABLED) == 0;
    let wanted = e.m.load_at(current.page, disp::UPCALLS_WANTED);
    if enabled && wanted >> fault.upcall as u8 & 1 != 0 {
        let arguments = [
            fault.upcall as u64,
            fault.detail,
            vaddr::DISP_FRAME,
            fault.info,
        ];
        enter(e.m, current.page, arguments);
        return;
    }
    if !enabled {
        let n = current.dcb.disabled_faults(e.m);
        current.dcb.set_disabled_faults(e.m, n + 1);
    }
    let pc = e.m.load_at(saved.area, disp::AREA_PC);
    let dcb = current.dcb;
    let kcb = e.kcb();
    let mut t = e.begin();
    dcb.set_fault_kind(&mut t, fault.upcall as u64);
    dcb.set_fault_detail(&mut t, fault.detail);
    dcb.set_fault_pc(&mut t, pc);
    dcb.set_fault_info(&mut t, fault.info);
    dcb.set_state(&mut t, DcbState::Faulted as u64);
    let flags = dcb.flags(&t);
    dcb.set_flags(&mut t, flags | Dcb::FAULT_UNTOLD);
    ending::note(&mut t, kcb, dcb);
    kcb.set_current_dcb(&mut t, 0);
    t.commit();
    ending::look(e);
    dispatch::leave(e);
    if !tell(e, dcb) {
        e.os.undelivered += 1;
    }
}

/// Tells the fault endpoint of `dcb`: [upcall, address or kind, pc, id, access or detail]; whether there is
/// nothing left to tell.
pub(crate) fn tell<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>, dcb: Dcb) -> bool {
    let cte = dcb.fault_endpoint();
    let cap = cte.cap(e.m);
    let words = [
        dcb.fault_kind(e.m),
        dcb.fault_detail(e.m),
        dcb.fault_pc(e.m),
        dcb.id(e.m),
        dcb.fault_info(e.m),
        0,
    ];
    let flags = dcb.flags(e.m) & !Dcb::FAULT_UNTOLD;
    if cap.kind != CapType::Endpoint {
        dcb.set_flags(e.m, flags);
        return true;
    }
    let to = lmp::To::of(&cap);
    let mut t = e.begin();
    let Ok(woke) = lmp::put(&mut t, &to, &words, false) else {
        let closed = lmp::is_closed(&t, &to);
        if closed {
            dcb.set_flags(e.m, flags);
        }
        return closed;
    };
    dcb.set_flags(&mut t, flags);
    t.commit();
    if woke {
        dispatch::wake_from_outside(e, to.dcb);
    }
    true
}

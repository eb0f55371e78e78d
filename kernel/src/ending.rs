//! The end of an OSnode: that of its monitor.
//!
//! The monitor holds the OSnode up, with memory service and spawn service, whose ends it answers with its own.
//! Without it nobody in other OSnodes would ever be answered again, and nothing of its state stands anywhere
//! else. So the kernel does not go on with an OSnode whose monitor runs no more (`Dcb::ANSWERS`): it notes that in
//! the KCB, for whoever might have the OSnode run again, and [`crate::Next::Ended`] follows.

use core::fmt;

use abi::disp::{TrapKind, Upcall};
use capfmt::{Dcb, DcbState, Kcb, PhysAddr, PhysMap};

use crate::entry::Entry;
use crate::{Machine, Policy, dispatch};

/// What is known of the end of an OSnode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The OSnode.
    pub osnode: u64,
    /// The fault that its monitor could not take, if that was it.
    fault: Option<[u64; 4]>,
}

impl Ending {
    /// What a KCB says; `None`: the OSnode has not ended.
    pub(crate) fn of(m: &impl PhysMap, kcb: Kcb) -> Option<Ending> {
        let dcb = match kcb.ended(m) {
            0 => return None,
            at => Dcb(PhysAddr(at)),
        };
        let fault = [
            dcb.fault_kind(m),
            dcb.fault_detail(m),
            dcb.fault_pc(m),
            dcb.fault_info(m),
        ];
        let faulted = dcb.state_of(m) == Some(DcbState::Faulted);
        Some(Ending {
            osnode: kcb.osnode(m),
            fault: faulted.then_some(fault),
        })
    }

    /// Whether the machine is of no use any more.
    #[must_use]
    pub const fn is_of_machine(&self) -> bool {
        self.osnode == Kcb::BOOT_OSNODE
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the monitor of o{} ended: ", self.osnode)?;
        let Some([kind, detail, pc, info]) = self.fault else {
            return f.write_str("it stopped");
        };
        if kind == Upcall::PageFault as u64 {
            let access = match info & 3 {
                0 => "read",
                1 => "write",
                _ => "instruction fetch",
            };
            write!(f, "page fault: {access} at {detail:#x}, pc {pc:#x}")
        } else if detail == TrapKind::Undefined as u64 {
            write!(f, "undefined instruction, pc {pc:#x}")
        } else {
            write!(f, "trap {detail} ({info:#x}), pc {pc:#x}")
        }
    }
}

/// `dcb` is about to run no more, as `t` says: is it the monitor, that is the end of the OSnode.
pub(crate) fn note(t: &mut impl PhysMap, kcb: Kcb, dcb: Dcb) {
    if dcb.flags(t) & Dcb::ANSWERS != 0 {
        kcb.set_ended(t, dcb.0.0);
    }
}

/// As [`note`], for a dispatcher that a kernel finds when it adopts the OSnode.
pub(crate) fn find(m: &mut impl PhysMap, kcb: Kcb, dcb: Dcb) {
    if matches!(dcb.state_of(m), Some(DcbState::Stopped | DcbState::Faulted)) {
        note(m, kcb, dcb);
    }
}

/// Takes over what the KCB says, after whatever may have noted it.
pub(crate) fn look<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) {
    e.os.ended = e.os.kcb.ended(e.m) != 0;
}

/// Whether the OSnode has ended: then nobody gets the core.
pub(crate) fn settle<M: Machine, P: Policy>(e: &mut Entry<'_, M, P>) -> bool {
    if !e.os.ended {
        return false;
    }
    let kcb = e.kcb();
    if e.os.current.is_some() {
        kcb.set_current_dcb(e.m, 0);
        dispatch::leave(e);
    }
    true
}

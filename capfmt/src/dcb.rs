//! The dispatcher control block.

use crate::layout::layout;
use crate::{Cte, PhysAddr, PhysMap};

/// Size of a DCB in bytes.
pub const DCB_BYTES: u64 = 2048;
/// Endpoints of one dispatcher.
pub const DCB_ENDPOINTS: u64 = 32;

/// What a dispatcher is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum DcbState {
    /// Made but never started, or stopped by its holder.
    Stopped = 0,
    /// Wants the core.
    Runnable = 1,
    /// In `wait`: a message, notification or time makes it runnable.
    Waiting = 2,
    /// Waits for the long operation of its OSnode, then repeats its system call.
    WaitingLongOp = 3,
    /// Ended by a fault that it could not take; its fault endpoint was told.
    Faulted = 4,
    /// Its system call waits for the monitor's decision.
    WaitingMonitor = 5,
}

layout! {
    /// A dispatcher control block: all that the kernel knows of one dispatcher.
    struct Dcb [DCB_BYTES] {
        /// [`Dcb::MAGIC`] in a live DCB.
        magic / set_magic @ 0x000,
        /// Next DCB of the OSnode, or 0.
        next / set_next @ 0x008,
        /// Previous DCB of the OSnode, or 0.
        prev / set_prev @ 0x010,
        /// Number of the dispatcher, unique in its OSnode, never reused.
        id / set_id @ 0x018,
        /// A [`DcbState`].
        state / set_state @ 0x020,
        /// Bits [`Dcb::STARTED`], [`Dcb::FAULT_UNTOLD`] and [`Dcb::ANSWERS`].
        flags / set_flags @ 0x028,
        /// 0 = round robin, 1 = reserved budget (EDF).
        sched_class / set_sched_class @ 0x030,
        /// Nanoseconds of core time per period (class 1).
        budget_ns / set_budget_ns @ 0x038,
        /// Period in nanoseconds (class 1).
        period_ns / set_period_ns @ 0x040,
        /// End of the current period in OSnode time (class 1).
        deadline_ns / set_deadline_ns @ 0x048,
        /// What is left of the budget in this period (class 1).
        budget_left_ns / set_budget_left_ns @ 0x050,
        /// OSnode time at which `wait` gives up; `u64::MAX` = never.
        wake_at_ns / set_wake_at_ns @ 0x058,
        /// Core time used so far.
        used_ns / set_used_ns @ 0x060,
        /// A link of the running kernel's scheduler: meaningless to the next kernel.
        sched_link / set_sched_link @ 0x068,
        /// A key of the running kernel's scheduler: meaningless to the next kernel.
        sched_key / set_sched_key @ 0x070,
        /// Bit i: endpoint i has messages.
        pending / set_pending @ 0x078,
        /// First eight bytes of the name.
        name0 / set_name0 @ 0x180,
        /// Last eight bytes of the name.
        name1 / set_name1 @ 0x188,
        /// Notification bits that came while it was not waiting for any event.
        notify_pending / set_notify_pending @ 0x190,
        /// Upcalls to deliver: bit = number of the upcall (`abi`).
        upcalls / set_upcalls @ 0x198,
        /// Notification word bound to it, plus one; 0 = none.
        notify_word / set_notify_word @ 0x1a0,
        /// Faults taken while disabled since the last clean resume.
        disabled_faults / set_disabled_faults @ 0x1a8,
        /// System calls made.
        syscalls / set_syscalls @ 0x1b0,
        /// Times preempted.
        preemptions / set_preemptions @ 0x1b8,
        /// Endpoint index whose reply a `call` waits for, plus one; 0 = any event.
        wait_for / set_wait_for @ 0x1c0,
        /// Last fault that it could not take: number of the upcall.
        fault_kind / set_fault_kind @ 0x1c8,
        /// Last fault: address, or kind of trap.
        fault_detail / set_fault_detail @ 0x1d0,
        /// Last fault: program counter.
        fault_pc / set_fault_pc @ 0x1d8,
        /// Last fault: access (1 write, 2 execute), or the ISA's detail of a trap.
        fault_info / set_fault_info @ 0x1e0,
    ;
        /// Endpoint records, four words each (see [`EndpointRecord`]).
        endpoint_word / set_endpoint_word @ 0x200 [4 * DCB_ENDPOINTS],
        /// Registers of the call that waits for the monitor.
        call_word / set_call_word @ 0x600 [8],
        /// Words of the capability that the waiting call is about.
        call_object / set_call_object @ 0x640 [4],
    }
}

impl Dcb {
    /// First word of a live DCB: "NKDCB" and the format version.
    pub const MAGIC: u64 = 0x0142_4344_4b4e;
    /// Offset of the endpoint records.
    pub const ENDPOINTS_OFFSET: u64 = 0x200;
    /// Bit of `flags`: it was started once; a later start goes on where it was stopped.
    pub const STARTED: u64 = 1;
    /// Bit of `flags`: it faulted, and its fault endpoint had no room for the message yet.
    pub const FAULT_UNTOLD: u64 = 2;
    /// Bit of `flags`: it runs while another kernel cares for its OSnode, which is stopped: the monitor.
    pub const ANSWERS: u64 = 4;
    /// Slot of the CSpace root.
    #[must_use]
    pub const fn cspace(self) -> Cte {
        Cte(self.0.add(0x080))
    }
    /// Slot of the root VNode.
    #[must_use]
    pub const fn vspace(self) -> Cte {
        Cte(self.0.add(0x0c0))
    }
    /// Slot of the dispatcher frame (`abi::disp`).
    #[must_use]
    pub const fn disp_frame(self) -> Cte {
        Cte(self.0.add(0x100))
    }
    /// Slot of the endpoint that is told of a fault that the dispatcher cannot take.
    #[must_use]
    pub const fn fault_endpoint(self) -> Cte {
        Cte(self.0.add(0x140))
    }
    /// The state, or `None` for a number that no kernel wrote.
    #[must_use]
    pub fn state_of(self, mem: &impl PhysMap) -> Option<DcbState> {
        Some(match self.state(mem) {
            0 => DcbState::Stopped,
            1 => DcbState::Runnable,
            2 => DcbState::Waiting,
            3 => DcbState::WaitingLongOp,
            4 => DcbState::Faulted,
            5 => DcbState::WaitingMonitor,
            _ => return None,
        })
    }
    /// Reads endpoint record `index` (< [`DCB_ENDPOINTS`]).
    #[must_use]
    pub fn endpoint(self, mem: &impl PhysMap, index: u64) -> EndpointRecord {
        let w = |k| self.endpoint_word(mem, 4 * index + k);
        EndpointRecord {
            head: w(0),
            tail: w(1),
            ring: w(2),
            recv_slot: w(3),
        }
    }
    /// Writes endpoint record `index` (< [`DCB_ENDPOINTS`]).
    pub fn set_endpoint(self, mem: &mut impl PhysMap, index: u64, r: &EndpointRecord) {
        for (k, w) in [r.head, r.tail, r.ring, r.recv_slot]
            .into_iter()
            .enumerate()
        {
            self.set_endpoint_word(mem, 4 * index + k as u64, w);
        }
    }
    /// Address of the DCB whose embedded slot `cte` is, given a DCB-aligned object.
    #[must_use]
    pub const fn of_slot(cte: Cte) -> Dcb {
        Dcb(PhysAddr(cte.0.0 & !(DCB_BYTES - 1)))
    }
}

/// Trusted state of one LMP endpoint. The ring's slots stand in the dispatcher frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointRecord {
    /// Messages taken so far.
    pub head: u64,
    /// Messages put so far; `tail - head` are waiting.
    pub tail: u64,
    /// First ring slot | number of slots (a power of two) << 32; 0 = endpoint not open.
    pub ring: u64,
    /// Capability address of the slot for the next arriving capability; 0 = none.
    pub recv_slot: u64,
}

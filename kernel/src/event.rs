//! What enters a kernel, and what leaves it.

use abi::disp::TrapKind;
use capfmt::PhysAddr;

/// Why an access faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultAccess {
    /// The access was a write.
    pub write: bool,
    /// The access was an instruction fetch.
    pub execute: bool,
}

/// One cause of kernel entry. The user's registers stand in the save area by then
/// (enabled or disabled area of the current dispatcher, as its page says).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A system call; its registers are in the save area.
    Syscall,
    /// The timer reached the deadline that was set.
    Timer,
    /// The notification interrupt: bits of the notification page may be set.
    Notified,
    /// The stop interrupt: a command stands on the home line. If it interrupted a
    /// dispatcher, the entry code has saved the live FPU registers into its save
    /// area *before* the step: afterwards the OSnode may be another core's.
    StopRequested,
    /// Interrupt source `0` fired.
    Irq(u64),
    /// The user faulted at this address.
    PageFault(u64, FaultAccess),
    /// The user trapped; detail is ISA-specific (error code, ESR).
    Trap(TrapKind, u64),
    /// Nothing happened; the kernel is about to idle or was just attached.
    Idle,
}

/// Signals to a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Interrupt without meaning: wakes a core in the pen.
    Wake,
    /// Notification interrupt.
    Notify,
    /// Stop interrupt.
    Stop,
    /// x86: NMI. Arm: the stop SGI at highest priority.
    Nmi,
    /// x86: INIT. Arm: refused with a firmware status.
    Init,
    /// x86: SIPI with this page number; Arm: PSCI CPU_ON at this physical address.
    PowerOn(u64),
}

/// Something for the ISA's kernel to do after the commit. All are idempotent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Invalidate the TLB for this user page on this core (all address spaces).
    TlbPage(u64),
    /// Invalidate the whole user part of this core's TLB.
    TlbAll,
    /// Signal the core with this hardware id; store the status (0 = done) at the given word, if any
    /// (a save-area register of the caller: r1 result).
    Signal(u64, Signal, Option<PhysAddr>),
    /// Core object at address: set `home_seq` to the value (release), after its other home words were written.
    PublishHome(PhysAddr, u64),
    /// Interrupt source: route to this core and unmask.
    IrqUnmask(u64),
    /// Interrupt source: mask.
    IrqMask(u64),
    /// Read an I/O port (port, width in bytes) into the given save-area word. x86 only.
    PortIn(u16, u8, PhysAddr),
    /// Write an I/O port (port, width in bytes, value). x86 only.
    PortOut(u16, u8, u32),
    /// Halt the machine with this exit code.
    Halt(u64),
}

/// Most effects of one step.
pub const MAX_EFFECTS: usize = 4;

/// The effects of one step, in order.
#[derive(Clone, Copy, Debug)]
pub struct Effects {
    items: [Option<Effect>; MAX_EFFECTS],
    len: usize,
}

impl Effects {
    /// No effects.
    pub const NONE: Effects = Effects {
        items: [None; MAX_EFFECTS],
        len: 0,
    };

    /// Adds one; a step must stop at a preemption point before it would exceed [`MAX_EFFECTS`].
    /// TLB effects collapse into [`Effect::TlbAll`] when there is no room, and one of that is enough.
    #[inline]
    pub fn push(&mut self, e: Effect) {
        if e == Effect::TlbAll && self.iter().any(|old| old == Effect::TlbAll) {
            return;
        }
        if self.len < MAX_EFFECTS {
            self.items[self.len] = Some(e);
            self.len += 1;
            return;
        }
        let tlb = |e: &Effect| matches!(e, Effect::TlbPage(_) | Effect::TlbAll);
        assert!(tlb(&e), "a step has more effects than MAX_EFFECTS");
        let last_tlb = self.items.iter_mut().flatten().rev().find(|e| tlb(e));
        *last_tlb.expect("a step has more effects than MAX_EFFECTS") = Effect::TlbAll;
    }

    /// The effect at a place in the order.
    #[must_use]
    #[inline]
    pub fn get(&self, place: usize) -> Option<Effect> {
        match place < self.len {
            true => self.items.get(place).copied().flatten(),
            false => None,
        }
    }

    /// The effects, in order.
    pub fn iter(&self) -> impl Iterator<Item = Effect> + '_ {
        self.items[..self.len].iter().copied().flatten()
    }

    /// Forgets them: a new step begins.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Room left.
    #[must_use]
    pub const fn room(&self) -> usize {
        MAX_EFFECTS - self.len
    }
}

/// What runs after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Restore this save area (physical address in a dispatcher frame) under this root VNode.
    Run {
        /// DCB that runs.
        dcb: PhysAddr,
        /// Physical address of its dispatcher page (the kernel's entry code saves there).
        page: PhysAddr,
        /// Physical address of the save area to restore.
        area: PhysAddr,
        /// Root VNode.
        root: PhysAddr,
    },
    /// Nothing is runnable: sleep until an interrupt. x86: on the kernel's own root table, since the last
    /// user's may be reused while nobody runs.
    Idle,
    /// Detached: go to the pen.
    Pen,
    /// Its OSnode has ended, and is attached still: halt the machine ([`crate::Ending::is_of_machine`], with exit code 1
    /// and the log), or go to the pen as a kernel that crashed, with [`crate::Osnode::ending`] for an epitaph.
    Ended,
}

/// Where to go on, and what to do first.
///
/// [`crate::Osnode::effects`] come first, in order. The step may have filled entries of page
/// tables: Arm needs a `dsb ishst` before it resumes.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// What runs.
    pub next: Next,
    /// Save area (add [`abi::disp::AREA_FPU`]) that the live FPU registers belong to, if it is not
    /// the one to be restored: save them there first. `None`: keep them, or they belong to nobody
    /// any more. Live registers always belong to the area that the entry code saved into.
    pub save_fpu: Option<PhysAddr>,
    /// Whether `next` needs its FPU state loaded from its area.
    pub load_fpu: bool,
    /// Program the timer for this counter value; `None` = no deadline, timer off.
    pub deadline: Option<u64>,
}

impl Resume {
    /// To the pen.
    pub(crate) const PEN: Resume = Resume::none(Next::Pen);

    /// Nobody runs any more.
    pub(crate) const fn none(next: Next) -> Resume {
        Resume {
            next,
            save_fpu: None,
            load_fpu: false,
            deadline: None,
        }
    }
}

//! The token of an attached OSnode: its KCB, and scratch that may die with the kernel.

use capfmt::{Dcb, Kcb, PhysAddr, PhysMap};

use crate::time::Clock;
use crate::{Effects, Policy, Resume};

/// Who the running kernel is, from its own ELF note: what `KernelIdentify` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelIdentity {
    /// Build id, up to 24 bytes.
    pub build_id: [u64; 3],
    /// Name of the kernel, up to 16 bytes.
    pub name: [u64; 2],
    /// Newest KCB format | oldest << 16.
    pub formats: u64,
}

/// The dispatcher that runs (or ran when the kernel was entered).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Current {
    /// Its DCB.
    pub dcb: Dcb,
    /// Physical address of its dispatcher frame.
    pub page: PhysAddr,
    /// Its root VNode.
    pub root: PhysAddr,
    /// First slot of its CSpace root.
    pub cspace: PhysAddr,
    /// Slots of its CSpace root; 0 = it has none.
    pub slots: u64,
}

/// The OSnode that this kernel runs: a unique token, made by [`crate::attach`] alone.
///
/// Everything in it but the KCB's address is scratch, rebuilt at the next attach.
pub struct Osnode<P: Policy> {
    pub(crate) kcb: Kcb,
    pub(crate) identity: KernelIdentity,
    pub(crate) policy: P,
    pub(crate) clock: Clock,
    /// Who has the core; `None` = nobody.
    pub(crate) current: Option<Current>,
    /// System calls of `current` that its DCB does not count yet.
    pub(crate) calls: u64,
    /// Counter since which `current` has not been charged.
    pub(crate) charged_at: u64,
    /// Counter at which `current` got the core.
    pub(crate) picked_at: u64,
    /// Counter at which `current` must give way to those queued.
    pub(crate) slice_end: u64,
    /// `slice_end` counts even if nobody is queued.
    pub(crate) strict: bool,
    /// First DCB of the list of those that wait with a time-out (earliest first), or 0.
    pub(crate) wake_head: u64,
    /// Counter at which the first of them wakes; `u64::MAX` = none.
    pub(crate) wake_at: u64,
    /// A long operation is in progress.
    pub(crate) op_active: bool,
    /// Capabilities may be marked as being deleted: by the long operation in progress, or by the monitors.
    pub(crate) guarded: bool,
    /// The channel that tells the monitor, plus one; 0 = none.
    pub(crate) monitor: u64,
    /// The last copy of a shared object went away, and the monitor was not told yet.
    pub(crate) dropped: bool,
    /// Memory came back, and nobody was told yet.
    pub(crate) reclaimed: bool,
    /// It is stopped, and this kernel only cares for it: none but those who answer run.
    pub(crate) visited: bool,
    /// This kernel cares for other OSnodes.
    pub(crate) cares: bool,
    /// The long operation stands still until memory has a slot to come back to.
    pub(crate) op_paused: bool,
    /// Something changed that decides who runs next, or what: look at everything before resuming.
    pub(crate) attention: bool,
    /// The KCB says that the OSnode has ended.
    pub(crate) ended: bool,
    /// Interrupts and faults that found their ring full.
    pub(crate) undelivered: u64,
    /// The next interrupt binding to be unmasked after attach; 64 = all done.
    pub(crate) unmask_next: u64,
    /// `Kcb::IN_EFFECTS` is set.
    pub(crate) in_effects: bool,
    /// What the last step asks the hardware for.
    pub(crate) effects: Effects,
    /// What follows the last entry.
    pub(crate) resume: Resume,
}

impl<P: Policy> Osnode<P> {
    /// Physical address of the KCB.
    #[must_use]
    pub const fn kcb(&self) -> PhysAddr {
        self.kcb.0
    }

    /// What the last step asks the hardware for, in order, before anything runs.
    #[must_use]
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Where to go on after the last entry, once its effects are carried out.
    #[must_use]
    pub const fn resume(&self) -> &Resume {
        &self.resume
    }

    /// What is known of the end of the OSnode; `None`: it goes on.
    #[must_use]
    pub fn ending(&self, m: &impl PhysMap) -> Option<crate::Ending> {
        crate::Ending::of(m, self.kcb)
    }

    /// The scheduler, with what its event ring recorded.
    #[must_use]
    pub const fn policy(&self) -> &P {
        &self.policy
    }
}

//! The token of an attached OSnode: its KCB, and scratch that may die with the kernel.

use capfmt::{Dcb, Kcb, PhysAddr};

use crate::Policy;
use crate::time::Clock;

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
}

/// The OSnode that this kernel runs: a unique token, made by [`crate::attach`] alone.
///
/// Everything in it but the KCB's address is scratch, rebuilt at the next attach.
pub struct Osnode<P: Policy> {
    pub(crate) kcb: Kcb,
    pub(crate) identity: KernelIdentity,
    pub(crate) policy: P,
    pub(crate) clock: Clock,
    pub(crate) current: Option<Current>,
}

impl<P: Policy> Osnode<P> {
    /// Physical address of the KCB.
    #[must_use]
    pub const fn kcb(&self) -> PhysAddr {
        self.kcb.0
    }

    /// The scheduler, with what its event ring recorded.
    #[must_use]
    pub const fn policy(&self) -> &P {
        &self.policy
    }
}

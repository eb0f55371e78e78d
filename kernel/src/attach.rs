//! Adopting a KCB: the one place where an OSnode comes to a kernel.

use capfmt::{Attachment, CoreId, FORMAT_VERSION, Kcb, PhysAddr};

use crate::osnode::KernelIdentity;
use crate::time::Clock;
use crate::{Machine, Osnode, Policy};

/// Why a KCB was not adopted. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// The address is not a KCB-sized piece of memory that this kernel reaches.
    BadAddress(PhysAddr),
    /// No KCB stands there; this is its first word.
    BadMagic(u64),
    /// A format that this kernel cannot read.
    BadFormat(u64),
    /// The OSnode is for another instruction set.
    WrongIsa(u64),
    /// Features that the OSnode needs and this kernel or core lacks.
    MissingFeatures(u64),
    /// The words that must not change have changed.
    BadChecksum,
    /// The state word is none that a kernel writes.
    BadState(u64),
    /// Another kernel runs it, or won the race for it.
    Attached {
        /// On this core.
        core: CoreId,
        /// In this epoch.
        epoch: u32,
    },
    /// The Core object's clock words cannot be used (mult 0, or shift above 63).
    BadClock,
}

/// Checks the KCB at `kcb` and wins its state word, so that this kernel runs the OSnode.
///
/// To be followed by `step(…, Event::Idle)`, which says what runs first.
///
/// # Errors
/// Why it was refused; the KCB is as it was.
pub fn attach<M: Machine, P: Policy>(
    m: &mut M,
    kcb: PhysAddr,
    identity: KernelIdentity,
) -> Result<Osnode<P>, AttachError> {
    let kcb = Kcb(kcb);
    check(m, kcb)?;
    Ok(Osnode {
        kcb,
        identity,
        policy: P::new(),
        clock: Clock::new(0, 0, 1, 0),
        current: None,
    })
}

fn check<M: Machine>(m: &M, kcb: Kcb) -> Result<(), AttachError> {
    if !kcb.0.is_aligned(4096) || !m.covers(kcb.0, Kcb::BYTES) {
        return Err(AttachError::BadAddress(kcb.0));
    }
    if kcb.magic(m) != Kcb::MAGIC {
        return Err(AttachError::BadMagic(kcb.magic(m)));
    }
    if kcb.format(m) != FORMAT_VERSION {
        return Err(AttachError::BadFormat(kcb.format(m)));
    }
    if kcb.isa(m) != M::ISA as u64 {
        return Err(AttachError::WrongIsa(kcb.isa(m)));
    }
    let missing = kcb.features(m) & !m.features();
    if missing != 0 {
        return Err(AttachError::MissingFeatures(missing));
    }
    if kcb.checksum(m) != kcb.compute_checksum(m) {
        return Err(AttachError::BadChecksum);
    }
    match kcb.attachment(m) {
        None => Err(AttachError::BadState(kcb.state(m))),
        Some(Attachment::Attached { core, epoch }) => Err(AttachError::Attached { core, epoch }),
        Some(Attachment::Detached { .. }) => Ok(()),
    }
}

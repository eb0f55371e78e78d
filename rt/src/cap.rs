//! Capability slots: addresses, owned capabilities, the slot allocator.

use abi::{CapAddr, SysError};

/// A capability that this process owns: dropped, it is deleted and its slot is free again.
#[derive(Debug)]
pub struct Capability(CapAddr);

impl Capability {
    /// Takes over the capability standing in a slot of the allocator.
    #[must_use]
    pub const fn from_slot(slot: CapAddr) -> Capability {
        Capability(slot)
    }
    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> CapAddr {
        self.0
    }
    /// Gives up ownership: the capability stays until somebody deletes it.
    #[must_use]
    pub fn leak(self) -> CapAddr {
        todo!()
    }
    /// A second capability to the same object, with the same rights.
    ///
    /// # Errors
    /// Any of `Op::Copy`.
    pub fn duplicate(&self) -> Result<Capability, SysError> {
        todo!()
    }
    /// Deletes it now.
    ///
    /// # Errors
    /// Any of `Op::Delete`; the capability is then still there, and leaked.
    pub fn delete(self) -> Result<(), SysError> {
        todo!()
    }
}

/// An empty slot from the allocator.
///
/// # Errors
/// `TableFull` when neither free slots nor RAM for another CNode are left.
pub fn alloc_slot() -> Result<CapAddr, SysError> {
    todo!()
}

/// Returns an empty slot to the allocator (slots that it did not give out are ignored).
pub fn free_slot(_slot: CapAddr) {
    todo!()
}

/// A copy of `source` in a fresh slot, with all rights that it has.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn copy(_source: CapAddr) -> Result<Capability, SysError> {
    todo!()
}

/// A copy of an Endpoint or Notify capability with a badge (or channel), or with fewer rights.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn mint(
    _source: CapAddr,
    _rights: capfmt::Rights,
    _badge: Option<u32>,
) -> Result<Capability, SysError> {
    todo!()
}

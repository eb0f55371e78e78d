//! Capability slots: owned capabilities, and the allocator of the slots that they stand in.

use core::marker::PhantomData;

use abi::{CapAddr, SysError, slots};
use capfmt::{CapType, Rights};

use crate::invoke::{self, Retype};
pub use crate::plan::slots::CNODE_SLOTS;
use crate::plan::slots::SlotMap;
use crate::ram;
use crate::single::Single;

/// Slots kept back for what the making of another CNode itself needs.
const RESERVE: u32 = 16;
/// log2 of [`CNODE_SLOTS`].
pub(crate) const CNODE_LOG2: u32 = 8;
/// Bytes of a CNode of [`CNODE_SLOTS`] slots.
pub(crate) const CNODE_BYTES: u64 = capfmt::CTE_BYTES * CNODE_SLOTS as u64;

#[cfg_attr(nekton_user, thread_local)]
static SLOTS: Single<SlotMap> = Single::new(SlotMap::new());
#[cfg_attr(nekton_user, thread_local)]
static GROWING: Single<bool> = Single::new(false);

/// A capability that this dispatcher owns: dropped, it is deleted and its slot is free again. Another
/// dispatcher of the process has other slots: it cannot be sent there.
#[derive(Debug)]
pub struct Capability(CapAddr, PhantomData<*const ()>);

impl Capability {
    /// Takes over the capability standing in a slot.
    #[must_use]
    pub const fn from_slot(slot: CapAddr) -> Capability {
        Capability(slot, PhantomData)
    }
    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> CapAddr {
        self.0
    }
    /// Gives up ownership: the capability stays until somebody deletes it.
    pub fn leak(self) -> CapAddr {
        let addr = self.0;
        core::mem::forget(self);
        addr
    }
    /// A second capability to the same object, with the same rights.
    ///
    /// # Errors
    /// Any of `Op::Copy`.
    pub fn duplicate(&self) -> Result<Capability, SysError> {
        copy(self.0)
    }
    /// Deletes it now.
    ///
    /// # Errors
    /// Any of `Op::Delete`; the capability then stays, and its slot with it.
    pub fn delete(self) -> Result<(), SysError> {
        delete_in(self.leak())
    }
}

impl Drop for Capability {
    fn drop(&mut self) {
        // A capability that cannot be deleted (`SharedRemote`) stays in its slot: nothing is lost
        // but the slot. Whoever cares calls `delete`.
        let _ = delete_in(self.0);
    }
}

fn delete_in(slot: CapAddr) -> Result<(), SysError> {
    match invoke::delete(slot) {
        // Empty already: its object was revoked.
        Ok(()) | Err(SysError::NoCapability) => {
            free_slot(slot);
            Ok(())
        }
        Err(e) => Err(e),
    }
}

/// Tells the allocator which slots are free at the start.
pub(crate) fn init() {
    let log2 = |cap| match invoke::identify(cap) {
        Ok(id) if id.cap.kind == CapType::CNode => 1 << id.cap.param.min(CNODE_LOG2),
        _ => 0,
    };
    let root = log2(slots::ROOT_CNODE);
    let free = log2(CapAddr::root(slots::FREE_CNODE));
    let pages = log2(CapAddr::root(slots::PAGE_CNODE));
    SLOTS.with(|s| {
        s.add(slots::FREE_CNODE, 0, free);
        s.add(slots::PAGE_CNODE, slots::PAGE_FREE, pages);
        s.add_root(slots::PAGE_CNODE + 1, root);
    });
}

/// An empty slot from the allocator.
///
/// # Errors
/// `TableFull` when neither free slots nor RAM for another CNode are left.
pub fn alloc_slot() -> Result<CapAddr, SysError> {
    if SLOTS.with(|s| s.free()) <= RESERVE && !GROWING.with(|g| core::mem::replace(g, true)) {
        // What cannot be added now is missed only when the reserve is used up, too.
        let _ = grow();
        GROWING.with(|g| *g = false);
    }
    SLOTS.with(SlotMap::take).ok_or(SysError::TableFull)
}

/// Adds a CNode of empty slots.
fn grow() -> Result<(), SysError> {
    let l1 = SLOTS.with(SlotMap::take_root).ok_or(SysError::TableFull)?;
    let made = ram::make(CapType::CNode, CNODE_LOG2, CNODE_BYTES, CapAddr::root(l1));
    match made {
        Ok(()) => SLOTS.with(|s| s.add(l1, 0, CNODE_SLOTS)),
        Err(_) => SLOTS.with(|s| s.give_back_root(l1)),
    }
    made
}

/// Returns an empty slot to the allocator (slots that it did not give out are ignored).
pub fn free_slot(slot: CapAddr) {
    SLOTS.with(|s| s.give_back(slot));
}

/// An empty slot of the root CNode, for a CNode whose slots are to be addressed.
pub(crate) fn alloc_root_slot() -> Result<u32, SysError> {
    SLOTS.with(SlotMap::take_root).ok_or(SysError::TableFull)
}

/// A CNode in a slot of the root CNode, so that its slots can be addressed. Dropped, it is taken out of there again.
#[derive(Debug)]
pub struct Mount(u32);

impl Mount {
    /// A place for a CNode that is yet to be made in [`Mount::cnode`].
    ///
    /// # Errors
    /// `TableFull`.
    pub(crate) fn empty() -> Result<Mount, SysError> {
        alloc_root_slot().map(Mount)
    }
    /// A copy of a CNode of [`CNODE_SLOTS`] slots that is there already.
    ///
    /// # Errors
    /// `TableFull`; any of `Op::Copy`.
    pub fn of(cnode: CapAddr) -> Result<Mount, SysError> {
        let mount = Mount::empty()?;
        invoke::cnode_copy(slots::ROOT_CNODE, cnode, mount.cnode(), Rights::ALL, None)?;
        Ok(mount)
    }
    /// The slot of the CNode itself.
    #[must_use]
    pub fn cnode(&self) -> CapAddr {
        CapAddr::root(self.0)
    }
    /// A slot in it, by its address in a process of which it is the first CNode (only the lowest 8 bits count).
    #[must_use]
    pub fn at(&self, slot: CapAddr) -> CapAddr {
        CapAddr::new(self.0, slot.0 & (CNODE_SLOTS - 1))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        match invoke::delete(self.cnode()) {
            Ok(()) | Err(SysError::NoCapability) => SLOTS.with(|s| s.give_back_root(self.0)),
            // The slot stays in use for ever; nothing else is lost.
            Err(_) => {}
        }
    }
}

/// Runs `make` on an empty slot; the slot is free again if it fails.
///
/// # Errors
/// Those of `make`; `TableFull` without a slot.
pub fn in_slot(make: impl FnOnce(CapAddr) -> Result<(), SysError>) -> Result<Capability, SysError> {
    let slot = alloc_slot()?;
    match make(slot) {
        Ok(()) => Ok(Capability::from_slot(slot)),
        Err(e) => {
            free_slot(slot);
            Err(e)
        }
    }
}

/// A copy of `source` in a fresh slot, with all rights that it has.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn copy(source: CapAddr) -> Result<Capability, SysError> {
    mint(source, Rights::ALL, None)
}

/// A copy for somebody who must not be able to revoke it.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn share(source: CapAddr) -> Result<Capability, SysError> {
    mint(source, Rights::SHARED, None)
}

/// A copy with at most these rights and, for an Endpoint without one, a badge.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn mint(source: CapAddr, rights: Rights, badge: Option<u32>) -> Result<Capability, SysError> {
    in_slot(|slot| invoke::cnode_copy(slots::ROOT_CNODE, source, slot, rights, badge))
}

/// One object made of part of `source`.
///
/// # Errors
/// Any of `Op::Retype`.
pub fn retype(source: CapAddr, what: Retype) -> Result<Capability, SysError> {
    in_slot(|slot| invoke::retype(source, what, slots::ROOT_CNODE, slot).map(|_| ()))
}

//! Memory that all dispatchers of the process see at the same address.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::SysError;

use super::owner::{self, What};
use crate::cap::Capability;
use crate::mem;
use crate::single::Single;
use crate::vspace::{self, Access, Mapped};

/// A piece of memory and its mapping.
struct Piece {
    mapped: Mapped,
    frame: Capability,
}

/// Kept by the first dispatcher, by address.
#[cfg_attr(nekton_user, thread_local)]
static PIECES: Single<BTreeMap<u64, Piece>> = Single::new(BTreeMap::new());

pub(super) fn map(bytes: u64) -> Result<u64, SysError> {
    let frame = mem::alloc_frame(bytes).map_err(|_| SysError::TableFull)?;
    let bytes = bytes.next_multiple_of(4096);
    let mapped = vspace::map(frame.addr(), 0, bytes, Access::ReadWrite)?;
    let at = mapped.address();
    PIECES.with(|p| p.insert(at, Piece { mapped, frame }));
    Ok(at)
}

pub(super) fn unmap(at: u64) -> Result<(), SysError> {
    let piece = PIECES.with(|p| p.remove(&at)).ok_or(SysError::NotMapped)?;
    let Piece { mapped, frame } = piece;
    mapped.unmap()?;
    // What the memory service does not take back stays with this process.
    let _ = mem::free_ram(frame);
    Ok(())
}

pub(super) fn protect(at: u64, write: bool) -> Result<(), SysError> {
    let access = if write {
        Access::ReadWrite
    } else {
        Access::Read
    };
    PIECES.with(|p| match p.get(&at) {
        Some(piece) => piece.mapped.protect(access),
        None => Err(SysError::NotMapped),
    })
}

/// Zeroed memory that all dispatchers see, reached by atomic words. Dropped, it is unmapped: once
/// that returns, no dispatcher on any OSnode can reach it.
#[derive(Debug)]
pub struct SharedMemory {
    at: u64,
    bytes: u64,
}

impl SharedMemory {
    /// `bytes` of it (rounded up to whole pages).
    ///
    /// # Errors
    /// `TableFull` without memory; any of `Op::Map`.
    pub fn new(bytes: u64) -> Result<SharedMemory, SysError> {
        let bytes = bytes.max(1).next_multiple_of(4096);
        let at = owner::ask(What::Map, bytes, 0)?;
        Ok(SharedMemory { at, bytes })
    }

    /// Address of the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.at
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Word at a byte offset.
    ///
    /// # Panics
    /// Past the end, or not at a multiple of 8. Writing while it is read only is a page fault.
    #[must_use]
    pub fn word(&self, offset: u64) -> &AtomicU64 {
        assert!(
            offset.is_multiple_of(8) && offset.checked_add(8).is_some_and(|end| end <= self.bytes),
            "no word at {offset:#x} of {:#x} bytes",
            self.bytes
        );
        // SAFETY: mapped until `self` is dropped, aligned, and reached by atomics only.
        unsafe { &*((self.at + offset) as *const AtomicU64) }
    }

    /// Makes it read only, or writable again, for all dispatchers.
    ///
    /// # Errors
    /// Any of `Op::Protect`.
    pub fn set_writable(&self, writable: bool) -> Result<(), SysError> {
        owner::ask(What::Protect, self.at, writable.into()).map(|_| ())
    }

    /// Unmaps it: when this returns, no dispatcher on any OSnode can reach it.
    ///
    /// # Errors
    /// Any of `Op::Unmap`.
    pub fn unmap(self) -> Result<(), SysError> {
        let at = self.at;
        core::mem::forget(self);
        owner::ask(What::Unmap, at, 0).map(|_| ())
    }

    /// Fills it with zeros.
    pub fn clear(&self) {
        for at in (0..self.bytes).step_by(8) {
            self.word(at).store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // What cannot be unmapped stays mapped until the process ends.
        let _ = owner::ask(What::Unmap, self.at, 0);
    }
}

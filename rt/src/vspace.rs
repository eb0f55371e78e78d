//! The address space: Frames mapped at run time.

use abi::{CapAddr, SysError};

/// How to map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Device registers: read and write, uncached.
    Device,
}

/// A mapped region; dropped, it is unmapped. Its memory may be shared with others, so it is
/// reached by copies and atomic words, never by reference.
#[derive(Debug)]
pub struct Mapped(());

/// Maps `bytes` from `offset` of a Frame, DevFrame or UmpEndpoint (page multiples).
///
/// # Errors
/// Any of `Op::Map`; `TableFull` without address space or memory for tables.
pub fn map(
    _region: CapAddr,
    _offset: u64,
    _bytes: u64,
    _access: Access,
) -> Result<Mapped, SysError> {
    todo!()
}

impl Mapped {
    /// Bytes mapped.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// User address of the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        todo!()
    }
    /// Copies out. Panics past the end, as all below.
    pub fn read(&self, _at: u64, _to: &mut [u8]) {
        todo!()
    }
    /// Copies in.
    pub fn write(&self, _at: u64, _from: &[u8]) {
        todo!()
    }
    /// Loads a word (8-aligned, acquire).
    #[must_use]
    pub fn load(&self, _at: u64) -> u64 {
        todo!()
    }
    /// Stores a word (8-aligned, release).
    pub fn store(&self, _at: u64, _value: u64) {
        todo!()
    }
    /// Compare-exchanges a word, sequentially consistent.
    ///
    /// # Errors
    /// The word found.
    pub fn compare_exchange(&self, _at: u64, _old: u64, _new: u64) -> Result<(), u64> {
        todo!()
    }
    /// Fills with zeros.
    pub fn zero(&self, _at: u64, _bytes: u64) {
        todo!()
    }
    /// Cleans the data caches of the range and invalidates instruction fetch (after writing code).
    pub fn sync_code(&self, _at: u64, _bytes: u64) {
        todo!()
    }
    /// Keeps it mapped for ever.
    pub fn leak(self) -> u64 {
        todo!()
    }
}

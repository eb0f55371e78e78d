//! Memory: RAM from the memory service, Frames and other objects made of it.

use abi::{CapAddr, SysError};
use capfmt::CapType;
use proto::PeerError;

use crate::Capability;

/// Figures of the OSnode's memory service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Bytes managed.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Largest free block.
    pub largest: u64,
    /// Blocks given out.
    pub blocks: u64,
}

/// Serves the allocations of this process itself instead of asking a memory service: for an
/// OSnode's first process and for the memory service. `refill(bytes)` gives a RAM capability of
/// at least that many bytes (a power of two).
pub fn set_source(_refill: alloc::boxed::Box<dyn FnMut(u64) -> Option<Capability>>) {
    todo!()
}
/// RAM of `bytes` (rounded up to a power of two, at least 4 KiB), aligned to its size.
///
/// # Errors
/// [`PeerError`]; `Refused(OutOfMemory)` when there is none.
pub fn alloc_ram(_bytes: u64) -> Result<Capability, PeerError> {
    todo!()
}
/// Gives RAM back that [`alloc_ram`] gave.
///
/// # Errors
/// [`PeerError`].
pub fn free_ram(_ram: Capability) -> Result<(), PeerError> {
    todo!()
}
/// A zeroed Frame of `bytes` (as for [`alloc_ram`]).
///
/// # Errors
/// [`PeerError`].
pub fn alloc_frame(_bytes: u64) -> Result<Capability, PeerError> {
    todo!()
}
/// One object made of the whole RAM capability (or Frame), which it replaces for this process.
///
/// # Errors
/// Any of `Op::Retype`.
pub fn retype_one(
    _source: CapAddr,
    _kind: CapType,
    _param: u32,
    _offset: u64,
    _bytes: u64,
) -> Result<Capability, SysError> {
    todo!()
}
/// The memory service's figures.
///
/// # Errors
/// [`PeerError`].
pub fn stats() -> Result<Stats, PeerError> {
    todo!()
}

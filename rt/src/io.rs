//! Output and device access: console text, memory-mapped registers, I/O ports, interrupts.

use abi::{CapAddr, SysError};

use crate::Capability;

/// Prints to the console service if one is set, else to the kernel log.
pub fn print(_text: core::fmt::Arguments<'_>) {
    todo!()
}
/// Sends further output of this process to the console service of this connection.
pub fn set_console(_client: crate::chan::Client) {
    todo!()
}
/// Writes to the kernel log, whatever console there is.
pub fn log(_text: core::fmt::Arguments<'_>) {
    todo!()
}

/// Registers of a device, mapped uncached (or any shared frame, accessed word by word).
#[derive(Debug)]
pub struct Registers(());
impl Registers {
    /// Maps `bytes` from `offset` of a DevFrame.
    ///
    /// # Errors
    /// As [`crate::vspace::map`].
    pub fn map(_frame: CapAddr, _offset: u64, _bytes: u64) -> Result<Registers, SysError> {
        todo!()
    }
    /// Reads 8 bits at a byte offset. Panics past the end, as all below.
    #[must_use]
    pub fn read8(&self, _at: u64) -> u8 {
        todo!()
    }
    /// Reads 16 bits.
    #[must_use]
    pub fn read16(&self, _at: u64) -> u16 {
        todo!()
    }
    /// Reads 32 bits.
    #[must_use]
    pub fn read32(&self, _at: u64) -> u32 {
        todo!()
    }
    /// Reads 64 bits.
    #[must_use]
    pub fn read64(&self, _at: u64) -> u64 {
        todo!()
    }
    /// Writes 8 bits.
    pub fn write8(&self, _at: u64, _value: u8) {
        todo!()
    }
    /// Writes 16 bits.
    pub fn write16(&self, _at: u64, _value: u16) {
        todo!()
    }
    /// Writes 32 bits.
    pub fn write32(&self, _at: u64, _value: u32) {
        todo!()
    }
    /// Writes 64 bits.
    pub fn write64(&self, _at: u64, _value: u64) {
        todo!()
    }
}

/// A device's interrupt.
#[derive(Debug)]
pub struct Interrupt(());
impl Interrupt {
    /// Mints and binds interrupt `source` from an IrqSource capability.
    ///
    /// # Errors
    /// Any of `Op::IrqMint`, `Op::IrqBind`.
    pub fn mint(_sources: CapAddr, _source: u64) -> Result<Interrupt, SysError> {
        todo!()
    }
    /// Binds an IrqDest capability.
    ///
    /// # Errors
    /// Any of `Op::IrqBind`.
    pub fn bind(_irq: Capability) -> Result<Interrupt, SysError> {
        todo!()
    }
    /// Waits for it; it stays masked until [`Interrupt::acknowledge`].
    pub async fn next(&self) {
        todo!()
    }
    /// Unmasks it.
    ///
    /// # Errors
    /// Any of `Op::IrqAck`.
    pub fn acknowledge(&self) -> Result<(), SysError> {
        todo!()
    }
}

//! Builds processes from ELF files: used by the monitor and the spawn service.

use abi::{CapAddr, SysError};
use proto::{Name, PeerError, Pid};

use crate::Capability;

/// Why a process could not be built.
#[derive(Clone, Debug)]
pub enum SpawnError {
    /// The file is not a program for this machine; says what is wrong.
    BadProgram(&'static str),
    /// The process's memory block is too small for the program.
    TooBig {
        /// Bytes that it needs.
        needed: u64,
    },
    /// Arguments or given capabilities do not fit the start block.
    Start(proto::start::StartError),
    /// No memory.
    Memory(PeerError),
    /// A system call failed: what was being done.
    Sys(&'static str, SysError),
}

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// The ELF file.
    pub image: &'a [u8],
    /// Program name and arguments.
    pub args: &'a [&'a str],
    /// Capabilities to give (copied), by name.
    pub given: &'a [(Name, CapAddr)],
    /// Bytes of the process's memory block (a power of two; 0 = what the program needs plus 1 MiB).
    pub memory: u64,
    /// The process's id.
    pub pid: Pid,
    /// Endpoint capability for `PARENT` (its badge names the process).
    pub parent: CapAddr,
    /// Endpoint capability for `MEMORY`, or null.
    pub memory_service: CapAddr,
    /// Kernel capability to copy (log only), or null.
    pub kernel: CapAddr,
    /// Archive frame, or null.
    pub archive: CapAddr,
    /// Notification capability, or null.
    pub notification: CapAddr,
    /// `proto::start::FLAG_*`.
    pub flags: u64,
}

/// A process built by [`build`]. Dropped, it is destroyed.
#[derive(Debug)]
pub struct Process(());

impl Process {
    /// Builds the process in one RAM block (`ram`), stopped.
    ///
    /// # Errors
    /// [`SpawnError`]; the block is free again.
    pub fn build(_program: &Program<'_>, _ram: Capability) -> Result<Process, SpawnError> {
        todo!()
    }
    /// Bytes of RAM that the program needs for [`Process::build`].
    ///
    /// # Errors
    /// [`SpawnError::BadProgram`].
    pub fn memory_needed(_image: &[u8]) -> Result<u64, SpawnError> {
        todo!()
    }
    /// Starts it.
    ///
    /// # Errors
    /// Any of `Op::DispRun`.
    pub fn start(&self) -> Result<(), SysError> {
        todo!()
    }
    /// Stops it (it may be started again).
    ///
    /// # Errors
    /// Any of `Op::DispRun`.
    pub fn stop(&self) -> Result<(), SysError> {
        todo!()
    }
    /// Its dispatcher.
    #[must_use]
    pub fn dispatcher(&self) -> CapAddr {
        todo!()
    }
    /// Its endpoint 0, for [`crate::chan::Client::bind`]-less control requests (`proto::iface::process`).
    #[must_use]
    pub fn endpoint(&self) -> CapAddr {
        todo!()
    }
    /// Bytes of its memory block.
    #[must_use]
    pub fn memory(&self) -> u64 {
        todo!()
    }
    /// Ends it: revokes its memory block and returns the block's RAM capability, whole again.
    ///
    /// # Errors
    /// Any of `Op::Revoke`.
    pub fn destroy(self) -> Result<Capability, SysError> {
        todo!()
    }
}

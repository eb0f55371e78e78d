//! Builds processes from ELF files: used by an OSnode's first process and the spawn service.
//!
//! A process lives in one block of RAM: its CNodes, page tables, dispatcher, frames and the RAM
//! that it starts with are all made from it. Revoking that block ends the process, whatever
//! it did with its capabilities, and gives all of it back. Its capabilities go with it: what
//! other memory they were the last of comes back to the memory service.

mod build;
mod member;
mod space;

use abi::{CapAddr, SysError, slots};
use capfmt::{CapType, Rights};
use genesis::{ImageError, UserImage};
use proto::start::StartError;
use proto::{Name, Pid};

use crate::cap::{self, Capability, Mount};
use crate::invoke::{self, DispInfo};
use crate::isa;
use crate::plan::block;
pub use member::Member;
pub use space::Context;
use space::Made;

/// What a process's block of RAM is aligned to, and a multiple of.
const BLOCK_ALIGN: u64 = 64 << 10;

/// RAM that a process gets beyond what it needs, if its starter names no size.
const USUAL_RAM: u64 = 1 << 20;

/// Why a process could not be built.
#[derive(Clone, Copy, Debug)]
pub enum SpawnError {
    /// The file is not a program for this machine.
    BadProgram(ImageError),
    /// The process's memory block is too small for the program.
    TooBig {
        /// Bytes that it needs.
        needed: u64,
    },
    /// Arguments or given capabilities do not fit the start block.
    Start(StartError),
    /// A system call failed: what was being done.
    Sys(&'static str, SysError),
}

impl core::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SpawnError::BadProgram(e) => write!(f, "not a program that runs here: {e}"),
            SpawnError::TooBig { needed } => {
                write!(
                    f,
                    "the program needs {needed} bytes of memory: give it more"
                )
            }
            SpawnError::Start(StartError::Arguments) => {
                f.write_str("the arguments are too long, or have a zero byte")
            }
            SpawnError::Start(StartError::Given) => f.write_str("too many capabilities given"),
            SpawnError::Sys(what, e) => write!(f, "cannot {what}: {}", e.message()),
        }
    }
}

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// The ELF file.
    pub image: &'a [u8],
    /// Program name and arguments.
    pub args: &'a [&'a str],
    /// Capabilities to give (copied, with the rights that the starter has), by name.
    pub given: &'a [(Name, CapAddr)],
    /// The process's id.
    pub pid: Pid,
    /// Endpoint capability for `PARENT`; its badge names the process
    /// ([`crate::chan::Server::introduction`]).
    pub parent: CapAddr,
    /// Endpoint that the kernel tells of a fault that the process cannot take itself
    /// ([`crate::chan::Server::fault_introduction`]), or null.
    pub fault: CapAddr,
    /// Endpoint capability for `MEMORY`, or null.
    pub memory_service: CapAddr,
    /// Kernel capability to copy without the right to halt, seal or import, or null.
    pub kernel: CapAddr,
    /// Archive frame, or null.
    pub archive: CapAddr,
    /// Notification capability, or null (a process binds its own word without it).
    pub notification: CapAddr,
    /// `proto::start::FLAG_*`; usually [`crate::env::flags`].
    pub flags: u64,
}

/// A failed build, and the RAM block, whole again.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: SpawnError,
    /// The block.
    pub ram: Capability,
}

/// A process built by [`Process::build`]. Dropped, it is destroyed.
#[derive(Debug)]
pub struct Process {
    task: Capability,
    dispatcher: Capability,
    endpoint: Capability,
    memory: u64,
    /// `None` once destroyed. Dropped last: its revocation empties the other slots.
    ram: Option<Capability>,
}

/// Bytes of RAM that [`Process::build`] needs for a program to start, with `extra` bytes for
/// itself (0 = the usual): a power of two.
///
/// # Errors
/// [`SpawnError::BadProgram`].
pub fn memory_needed(image: &[u8], extra: u64) -> Result<u64, SpawnError> {
    let image = parse(image)?;
    let extra = if extra == 0 { USUAL_RAM } else { extra };
    let needed = block::plan(0, image.bytes()).rest.saturating_add(extra);
    needed
        .checked_next_multiple_of(BLOCK_ALIGN)
        .ok_or(SpawnError::TooBig { needed })
}

fn parse(file: &[u8]) -> Result<UserImage<'_>, SpawnError> {
    let image = UserImage::parse(file, isa::ISA).map_err(SpawnError::BadProgram)?;
    if image.bytes() > block::IMAGE_MAX {
        return Err(SpawnError::BadProgram(ImageError::TooLarge {
            bytes: image.bytes(),
            limit: block::IMAGE_MAX,
        }));
    }
    Ok(image)
}

/// Bytes of RAM that [`Process::build_member`] needs, with some for the dispatcher itself.
#[must_use]
pub fn member_memory() -> u64 {
    (block::plan_member(0).rest + USUAL_RAM).next_multiple_of(BLOCK_ALIGN)
}

fn failed(error: SpawnError, ram: Capability) -> Failed {
    // What was made so far goes; a block without descendants revokes at once.
    let _ = invoke::revoke(ram.addr());
    Failed { error, ram }
}

impl Process {
    /// Builds the process in one RAM block, stopped.
    ///
    /// # Errors
    /// [`Failed`], which has the block.
    pub fn build(program: &Program<'_>, ram: Capability) -> Result<Process, Failed> {
        match build::build(program, &ram) {
            Ok(made) => Ok(Process::of(made, ram)),
            Err(error) => Err(failed(error, ram)),
        }
    }

    /// Builds a further dispatcher of a process of another OSnode in one RAM block, stopped.
    ///
    /// # Errors
    /// [`Failed`], which has the block.
    pub fn build_member(
        program: &Program<'_>,
        member: &Member,
        ram: Capability,
    ) -> Result<Process, Failed> {
        match member::build(program, member, &ram) {
            Ok(made) => Ok(Process::of(made, ram)),
            Err(error) => Err(failed(error, ram)),
        }
    }

    fn of(made: Made, ram: Capability) -> Process {
        Process {
            task: made.task,
            dispatcher: made.dispatcher,
            endpoint: made.endpoint,
            memory: made.memory,
            ram: Some(ram),
        }
    }

    /// The process that an earlier starter left, by copies of the capabilities that [`Process::caps`] names.
    ///
    /// # Errors
    /// `WrongType` when one of them is none of such a process; any of `Op::Copy`.
    pub fn found(caps: [CapAddr; 4]) -> Result<Process, SysError> {
        use CapType::{CNode, Dispatcher, Endpoint, Ram};
        for (cap, kind) in caps.into_iter().zip([Ram, CNode, Dispatcher, Endpoint]) {
            if invoke::identify(cap)?.cap.kind != kind {
                return Err(SysError::WrongType);
            }
        }
        let [ram, task, dispatcher, endpoint] = caps;
        Ok(Process {
            task: cap::copy(task)?,
            dispatcher: cap::copy(dispatcher)?,
            endpoint: cap::copy(endpoint)?,
            memory: invoke::identify(ram)?.cap.size,
            ram: Some(cap::copy(ram)?),
        })
    }

    /// Its block of RAM, first CNode, dispatcher and endpoint 0: with copies of them it can be found again
    /// ([`Process::found`]).
    #[must_use]
    pub fn caps(&self) -> [CapAddr; 4] {
        let ram = self.ram.as_ref().map_or(CapAddr::NULL, Capability::addr);
        let [task, dispatcher, endpoint] =
            [&self.task, &self.dispatcher, &self.endpoint].map(Capability::addr);
        [ram, task, dispatcher, endpoint]
    }

    /// Gives it another starter: its `PARENT`, and whom the kernel tells of its fault, as in [`Program`].
    ///
    /// # Errors
    /// Any of `Op::Copy` and `Op::DispConfigure`.
    pub fn adopt(&self, parent: CapAddr, fault: CapAddr) -> Result<(), SysError> {
        let task = Mount::of(self.task.addr())?;
        match invoke::delete(task.at(slots::PARENT)) {
            Ok(()) | Err(SysError::NoCapability) => {}
            Err(e) => return Err(e),
        }
        let (root, to) = (slots::ROOT_CNODE, task.at(slots::PARENT));
        invoke::cnode_copy(root, parent, to, Rights::SHARED, None)?;
        let null = CapAddr::NULL;
        invoke::disp_configure(self.dispatcher.addr(), null, null, null, fault)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Any of `Op::DispRun`.
    pub fn start(&self) -> Result<(), SysError> {
        invoke::disp_run(self.dispatcher.addr(), true)
    }

    /// Stops it (it may be started again).
    ///
    /// # Errors
    /// Any of `Op::DispRun`.
    pub fn stop(&self) -> Result<(), SysError> {
        invoke::disp_run(self.dispatcher.addr(), false)
    }

    /// State and figures of its dispatcher.
    ///
    /// # Errors
    /// Any of `Op::DispInfo`.
    pub fn info(&self) -> Result<DispInfo, SysError> {
        invoke::disp_info(self.dispatcher.addr())
    }

    /// Its dispatcher.
    #[must_use]
    pub fn dispatcher(&self) -> CapAddr {
        self.dispatcher.addr()
    }

    /// Its endpoint 0, to bind a [`crate::chan::Client`] for `proto::iface::process` requests to.
    #[must_use]
    pub fn endpoint(&self) -> CapAddr {
        self.endpoint.addr()
    }

    /// Bytes of its memory block.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Ends it: revokes its memory block and returns the block's RAM capability, whole again.
    ///
    /// # Errors
    /// Any of `Op::Revoke`, with the process, which is still there (`SharedRemote`: another
    /// OSnode holds a copy of a frame of it).
    pub fn destroy(mut self) -> Result<Capability, (SysError, Process)> {
        let Some(ram) = self.ram.take() else {
            return Err((SysError::NoCapability, self));
        };
        // The revoke may have to wait in its middle: what still ran then would find its code gone, and be told of as a fault.
        let _ = self.stop();
        match invoke::revoke(ram.addr()) {
            Ok(()) => Ok(ram),
            Err(e) => {
                self.ram = Some(ram);
                Err((e, self))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(ram) = self.ram.take() {
            // A block that other OSnodes share stays as it is: stopped at least.
            let _ = self.stop();
            let _ = invoke::revoke(ram.addr());
        }
    }
}

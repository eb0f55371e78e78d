//! What the process was started with.

use abi::CapAddr;
use proto::Pid;

/// Program name and arguments.
pub fn args() -> impl Iterator<Item = &'static str> {
    core::iter::empty()
}
/// The program's name.
#[must_use]
pub fn program() -> &'static str {
    todo!()
}
/// The capability given under this name.
#[must_use]
pub fn given(_name: &str) -> Option<CapAddr> {
    todo!()
}
/// The process's id (0.0 for an OSnode's first process).
#[must_use]
pub fn pid() -> Pid {
    todo!()
}
/// Whether spins must pause (instruction counting).
#[must_use]
pub fn is_icount() -> bool {
    todo!()
}
/// OSnode that the process belongs to.
#[must_use]
pub fn osnode() -> u64 {
    todo!()
}
/// Core that the OSnode runs on now.
#[must_use]
pub fn core() -> u32 {
    todo!()
}
/// Attach epoch of the OSnode.
#[must_use]
pub fn epoch() -> u64 {
    todo!()
}
/// Boot information (an OSnode's first process only).
#[must_use]
pub fn boot_info() -> Option<BootInfo> {
    todo!()
}
/// The boot archive's bytes, mapped at the first call (`None` without its Frame).
#[must_use]
pub fn archive() -> Option<&'static [u8]> {
    todo!()
}

/// The boot information frame.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo(&'static [u8]);
impl BootInfo {
    /// Word at a byte offset (`abi::bootinfo::word`); 0 past the end.
    #[must_use]
    pub fn word(&self, _offset: u64) -> u64 {
        todo!()
    }
    /// The command line.
    #[must_use]
    pub fn command_line(&self) -> &'static str {
        todo!()
    }
}

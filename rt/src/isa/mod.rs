//! The instructions of the user side: system call, start, upcall entry, TLS base, counter, marker.
//! One folder for each ISA, same names in both.

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::*;

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
pub use arm::*;

/// What a suspended context says about itself, read from its save area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub fp: u64,
}

//! What kernel and user space agree on at a system call.
//!
//! System call numbers and registers, invocations, errors, the dispatcher page,
//! the layout of a process's address space and first CNode, and the boot
//! information of an OSnode's first process. Not here: what crosses OSnodes or
//! processes as a message (`proto`), and what survives a kernel (`capfmt`).

#![no_std]
#![forbid(unsafe_code)]

pub mod bootinfo;
pub mod disp;
mod error;
mod invoke;
pub mod marker;
pub mod slots;
mod syscall;
pub mod vaddr;

pub use error::{SysError, late, late_view};
pub use invoke::Op;
pub use syscall::{CapAddr, MESSAGE_WORDS, MessageTag, SYSCALL_WORDS, Syscall, WaitResult};

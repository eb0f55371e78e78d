//! What the loader does alike on every board.
//!
//! Firmware enters the binary of this package (`main.rs`, `x86/`, `arm/`); it
//! describes the machine as a [`Handover`] and a [`Board`], and
//! [`handover::start`] does the rest: memory, the first `Core` object,
//! the first kernel, the first OSnode. Nothing of the loader stays.
//!
//! Not here: how an archive is read (`archive`), the instructions of any ISA (`x86/`, `arm/`), how a kernel or an
//! OSnode is laid out (`genesis`).
//!
//! Key types: [`CommandLine`], [`MemoryList`], [`Handover`], [`Board`].

#![no_std]

#[path = "arm/blob.rs"]
pub mod blob;
pub mod cmdline;
pub mod handover;
pub mod memory;
#[path = "arm/tree.rs"]
pub mod tree;

pub use cmdline::CommandLine;
pub use handover::{Board, BootCore, Handover};
pub use memory::{MemoryList, Range};

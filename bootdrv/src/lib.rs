//! What the boot drivers of both instruction sets share.
//!
//! A boot driver is a process with the control of cores. It serves operations
//! ([`serve`]): for each it runs one `bootseq::Sequence` and carries its actions out
//! by invocations on the core's `CoreControl`. What only the instruction set knows
//! stands behind [`Platform`]. Not here: which OSnode executes (the device
//! manager), the order of the steps (`bootseq`), how things are laid out (`genesis`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod actions;
mod burial;
mod cores;
mod driver;
mod guard;
mod image;
mod marks;
mod moving;
mod osnode;
mod pause;
mod platform;
mod report;
mod requests;
mod survey;
mod together;
mod window;

pub use cores::Description;
pub use driver::serve;
pub use platform::{Pen, Platform};
pub use window::Window;

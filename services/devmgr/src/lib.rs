//! The device manager's knowledge: which cores exist, what they do, and who may drive them.
//!
//! - [`acpi`] and [`tree`]: cores as the firmware's tables describe them;
//! - [`Registry`]: state of every core and the checks before an operation.
//!
//! Pure: tables come through a reader, operations are carried out by `main.rs` and
//! the boot drivers. Not here: the sequences of an operation (`bootseq`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acpi;
mod machine;
mod registry;
pub mod tree;

pub use machine::{CoreDescription, Interrupts, MachineDescription, NodeMemory};
pub use registry::{CoreRecord, Operation, Plan, Refusal, Registry, state_word};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

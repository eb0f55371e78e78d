//! The device manager's knowledge: which cores exist, what they do, and who may drive them.
//!
//! - [`MachineDescription`]: cores, interrupts and memory, from either kind of firmware;
//! - [`sound`]: what a machine boots with whose tables are damaged;
//! - [`Registry`]: state of every core and the checks before an operation;
//! - [`Ledger`]: what the knowledge base is told; [`choice`]: what its answers decide.
//!
//! Pure: operations are carried out by `main.rs` and the boot drivers. Not here: the sequences of
//! an operation (`bootseq`), and how firmware's tables are read (`firmware`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod choice;
mod ledger;
mod machine;
mod refusal;
mod registry;
pub mod sound;

pub use ledger::{Ledger, PART_BYTES, Part};
pub use machine::{CoreDescription, Interrupts, MachineDescription, NodeMemory, Unusable};
pub use refusal::Refusal;
pub use registry::{CoreRecord, MovePlan, Operation, Plan, Registry};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

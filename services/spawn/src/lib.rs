//! The process table of an OSnode, and who is started again when it ends.
//!
//! Pure; `main.rs` builds and ends processes. Not here: the processes of other
//! OSnodes (asked of their spawn services).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod supervise;
mod table;

pub use accounts::{Misfit, fit_together};
pub use supervise::{End, MAX_RESTARTS, Rules, Service, Supervisor, Verdict};
pub use table::{Entry, NameError, Table};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

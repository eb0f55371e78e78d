//! The process table of an OSnode, and who is started again when it ends.
//!
//! Pure; `main.rs` builds and ends processes. Not here: the processes of other
//! OSnodes (asked of their spawn services).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod books;
mod records;
mod supervise;
mod table;

pub use accounts::{Misfit, fit_together};
pub use books::{Books, Custody, Left, Unheld, is_block, latest};
pub use records::{KeptRecord, Key, ProcessRecord, Record, ServiceRecord, Slots};
pub use supervise::{End, MAX_RESTARTS, Rules, Service, Supervisor, Verdict};
pub use table::{Entry, NameError, Table};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

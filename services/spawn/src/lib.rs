//! The process table of an OSnode.
//!
//! Pure; `main.rs` builds and ends processes. Not here: the processes of other
//! OSnodes (asked of their spawn services).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod table;

pub use command::{join_words, split_words};
pub use table::{Entry, NameError, Table};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

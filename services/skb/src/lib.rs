//! The system knowledge base: what is known of the machine, and what follows from it.
//!
//! - [`datalog`]: facts, rules and questions ([`datalog::Base`]).
//!
//! Pure and total: no text, no facts and no bytes make it panic or run without end. Not here:
//! who asks and who tells (the process around it), and how firmware's tables are read.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod datalog;

#[cfg(test)]
extern crate std;

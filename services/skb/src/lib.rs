//! The system knowledge base: what is known of the machine, and what follows from it.
//!
//! - [`datalog`]: facts, rules and questions ([`datalog::Base`]);
//! - [`collect`]: facts from firmware's tables;
//! - [`service`]: what it answers to messages; [`typed`]: the questions that need no text;
//!   [`news`]: who waits for the answers to change;
//! - [`RULES`]: what follows from them (`docs/book/skb.md` is the reference).
//!
//! Pure and total: no text, no facts and no bytes make it panic or run without end. Not here:
//! who asks and who tells (`main.rs`, the process around it), and how firmware's tables are read (`firmware`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod collect;
pub mod datalog;
pub mod news;
pub mod service;
pub mod typed;

/// Inputs and rules about machines.
pub const RULES: &str = include_str!("../rules/machine.dl");

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

//! The memory service of an OSnode: who has which piece of its RAM.
//!
//! The library is the bookkeeping and knows no capability: regions, grants,
//! quotas. The binary holds the RAM capabilities and carries grants out by
//! retype, copy, revoke. Not here: how a process asks (`rt`, `proto`).
//!
//! Key types: [`Allocator`], [`Grant`], [`Totals`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod allocator;

pub use allocator::{AllocError, Allocator, FreeError, Grant, PAGE, Totals};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

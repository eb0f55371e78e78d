//! The memory server: who has which piece of RAM.
//!
//! The library is the bookkeeping and knows no capability: free pieces, grants, accounts with limits and
//! promises, what other OSnodes have, what is known of NUMA nodes, and all that written down for the server's next life. The binary holds the RAM capabilities of what is free, carries out what
//! the books say by retype and merge, enters what the kernel says has come back, and asks other servers. Not here:
//! how a process asks (`rt`, `proto`).
//!
//! Key types: [`Allocator`], [`Cut`], [`Account`], [`Topology`], [`Ledger`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod allocator;
mod ledger;
mod lent;
mod pieces;
mod topology;

pub use accounts::{Account, Accounts, Promise};
pub use allocator::{AllocError, Allocator, Grant, Origin, PAGE, Rest, Totals};
pub use ledger::{Change, Entry, Key, Ledger, RECORD_BYTES, RECORD_WORDS, Store};
pub use lent::{Lent, without};
pub use pieces::{ALIGN, BLOCK, Cut, Piece, Pieces};
pub use topology::{Fact, Topology};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

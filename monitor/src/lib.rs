//! What a monitor knows: names of services, OSnodes and where they run; and how
//! monitors agree about what several OSnodes share ([`agree`]).
//!
//! Pure; `main.rs` and its rooms carry it out. Not here: the messages (`proto`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod agree;
mod lives;
mod names;
mod osnodes;
mod pieces;
mod tree;

pub use lives::Lives;
pub use names::{NameTable, is_private};
pub use osnodes::OsnodeTable;
pub use pieces::{Piece, around, fit};
pub use tree::{Fan, Placement, Way};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

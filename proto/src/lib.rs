//! What crosses OSnodes or processes as a message.
//!
//! Three layers, each pure and total on any words:
//! - [`ump`]: the ring of a UMP channel over any kind of atomic words;
//! - [`wire`]: the header, the field encoding and the [`messages!`] declaration from which every
//!   interface's encoder and decoder are made; [`blob`]: byte strings longer than a message;
//! - [`iface`]: the interfaces of the services themselves, [`start`]: the start block of a process.
//!
//! Not here: how a message is carried (`rt` for LMP and UMP), what a service does with it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod blob;
mod error;
pub mod iface;
pub mod start;
pub mod ump;
pub mod wire;

pub use error::{PeerError, ServiceError};
pub use wire::{Header, Name, Pid, Wire, WireError};

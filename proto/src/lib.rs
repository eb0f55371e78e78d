//! What crosses OSnodes or processes as a message.
//!
//! Three layers, each pure and total on any words:
//! - [`ump`]: the ring of a UMP channel over any kind of atomic words;
//! - [`wire`]: the header and the field encoding; [`messages!`] and [`interface!`], the interface
//!   language, from which encoders, decoders and the stubs of both ends are made ([`stub`] has
//!   what they stand on); [`blob`]: byte strings longer than a message;
//! - [`iface`]: the interfaces of the services themselves, [`start`]: the start block of a process.
//!
//! Not here: how a message is carried (`rt` for LMP and UMP), what a service does with it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod blob;
mod error;
pub mod iface;
mod interface;
pub mod list;
mod messages;
pub mod start;
pub mod stub;
pub mod ump;
pub mod wire;

pub use error::{CallError, PeerError, Refusal, ServiceError, Versions};
pub use stub::{
    Answering, Ask, Call, Dispatch, Interface, InterfaceId, Later, Member, Operation, Pass, Raw,
};
pub use wire::{Header, Name, Pid, Wire, WireError};

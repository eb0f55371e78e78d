//! One interface over LMP and UMP: clients ask, servers answer.
//!
//! A connection carries messages of any interface ([`proto::iface`]), with blobs, and over LMP
//! with one capability each. LMP: the client binds to a badged endpoint of the service and
//! gets one badged with the connection; answers come to one endpoint of the client, badged
//! with the connection's number there. UMP: the monitors make the channel
//! ([`Client::lookup_on`]), a ring line carries a message.

mod client;
mod outbox;
mod request;
mod server;

use alloc::vec::Vec;

use abi::CapAddr;

use crate::cap::Capability;

pub use client::Client;
pub(crate) use client::look_after_services;
pub use request::Request;
pub use server::Server;
pub(crate) use server::tell_starter;

/// What goes with a message besides its fields.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attach<'a> {
    /// Bytes (at most [`proto::blob::MAX_BLOB`]; longer ones are refused).
    pub blob: &'a [u8],
    /// Capability to copy to the peer (LMP only).
    pub cap: Option<CapAddr>,
}

impl<'a> Attach<'a> {
    /// Nothing.
    pub const NONE: Attach<'static> = Attach {
        blob: &[],
        cap: None,
    };
    /// Bytes only.
    #[must_use]
    pub const fn blob(blob: &'a [u8]) -> Attach<'a> {
        Attach { blob, cap: None }
    }
    /// A capability only.
    #[must_use]
    pub const fn cap(cap: CapAddr) -> Attach<'static> {
        Attach {
            blob: &[],
            cap: Some(cap),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer<R> {
    /// The message.
    pub message: R,
    /// Its blob.
    pub blob: Vec<u8>,
    /// Its capability.
    pub cap: Option<Capability>,
}

/// Badge bit of a connection; without it the badge is an introduction.
const CONNECTION: u32 = 1 << 31;
/// Badge bit of an introduction, so that no badge is 0.
const INTRODUCTION: u32 = 1 << 30;
/// Badge bit of an introduction that the kernel tells faults to.
const FAULT: u32 = 1 << 29;

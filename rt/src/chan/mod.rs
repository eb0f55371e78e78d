//! One interface over LMP and UMP: clients ask, servers answer.
//!
//! A connection carries messages of any interface ([`proto::iface`]), with blobs and one capability
//! each. LMP: the client binds to a badged endpoint of the service and gets one badged with the
//! connection; answers come to one endpoint of the client, badged with the connection's number
//! there. UMP: the monitors make the channel ([`Client::lookup_on`]) and take capabilities across,
//! a ring line carries a message. [`connect`], [`connect_on`] and [`serve`] are for the stubs of
//! [`proto::interface!`], and refuse programs of another version of an interface.

mod accept;
mod ask;
mod client;
mod find;
mod lasting;
mod outbox;
mod request;
mod serve;
mod server;
mod transfer;

use alloc::vec::Vec;

use abi::{CapAddr, SysError};
use capfmt::Rights;

use proto::Pass;

use crate::cap::{self, Capability};

pub use ask::{Leaving, Unprobed, Until};
pub use client::Client;
pub(crate) use client::look_after_services;
pub use find::{BindError, connect, connect_now, connect_on};
pub use lasting::{Again, Lasting};
pub use request::Request;
pub use serve::{serve, serve_side_by_side};
pub use server::{Closings, Server};

/// What goes with a message besides its fields.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attach<'a> {
    /// Bytes (at most [`proto::blob::MAX_BLOB`]; longer ones are refused).
    pub blob: &'a [u8],
    /// Capability for the peer. Over UMP only on connections that the monitors made.
    pub cap: Option<CapAddr>,
    /// The peer gets the capability itself instead of a copy: once the call has returned `Ok`, its
    /// slot is empty.
    pub give: bool,
}

impl<'a> Attach<'a> {
    /// Nothing.
    pub const NONE: Attach<'static> = Attach {
        blob: &[],
        cap: None,
        give: false,
    };
    /// Bytes only.
    #[must_use]
    pub const fn blob(blob: &'a [u8]) -> Attach<'a> {
        Attach {
            blob,
            ..Attach::NONE
        }
    }
    /// Bytes and a copy of a capability, if there is one.
    #[must_use]
    pub const fn with(blob: &'a [u8], cap: Option<CapAddr>) -> Attach<'a> {
        Attach {
            blob,
            cap,
            give: false,
        }
    }
    /// A copy of a capability only.
    #[must_use]
    pub const fn cap(cap: CapAddr) -> Attach<'static> {
        Attach {
            cap: Some(cap),
            ..Attach::NONE
        }
    }
    /// A capability itself only.
    #[must_use]
    pub const fn give(cap: CapAddr) -> Attach<'static> {
        Attach {
            give: true,
            ..Attach::cap(cap)
        }
    }
    /// As a stub says it.
    fn of(blob: &'a [u8], cap: Option<&Pass<Capability>>) -> Attach<'a> {
        let (cap, give) = match cap {
            None => (None, false),
            Some(Pass::Copy(addr)) => (Some(*addr), false),
            Some(Pass::Give(own)) => (Some(own.addr()), true),
        };
        Attach { blob, cap, give }
    }
}

/// A capability was sent: of one that was given away only the slot is left.
fn given(cap: Option<Pass<Capability>>) {
    if let Some(Pass::Give(own)) = cap {
        cap::free_slot(own.leak());
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
/// Number of the introduction that a monitor keeps to itself: channels come by no other.
const MONITOR: u32 = FAULT - 1;

/// What is bound by to the service that registered `endpoint`: for its clients, or for a monitor itself, which alone may
/// bring it channels. An endpoint that has a badge already is for clients only.
///
/// # Errors
/// Any of `Op::Copy`.
pub fn introduction_to(endpoint: CapAddr, monitor: bool) -> Result<Capability, SysError> {
    let number = if monitor { MONITOR } else { 0 };
    match cap::mint(endpoint, Rights::SHARED, Some(INTRODUCTION | number)) {
        Err(SysError::BadArgument) => cap::share(endpoint),
        made => made,
    }
}

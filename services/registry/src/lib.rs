//! Records with watches, locks and barriers, for whoever wants to find or wait for one another.
//!
//! Pure: requests and the ends of connections in, answers out, some of them later ([`Ticket`]).
//! `main.rs` speaks to clients. Not here: names of endpoints (the monitor's), and restarting what
//! died (the spawn services', which tell of it in records `service.*`).
//!
//! Key types: [`Registry`], [`language::Record`], [`language::Query`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod language;
mod locks;
mod machine;
mod store;
mod watches;

use alloc::string::String;

use proto::ServiceError;

pub use locks::{CLIENT_LOCKS, MAX_PARTIES};
pub use machine::{Answer, MAX_CLIENTS, Registry};
pub use store::{CLIENT_BYTES, CLIENT_RECORDS, MAX_RECORDS};
pub use watches::{CLIENT_EVENTS, CLIENT_WATCHES};

/// Records whose names begin so are written by the system only.
pub const SYSTEM_PREFIX: &str = "service.";

/// A connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(u64);

impl ClientId {
    const SYSTEM: u64 = 1 << 32;
    /// A connection to `registry`.
    #[must_use]
    pub const fn program(connection: u32) -> ClientId {
        ClientId(connection as u64)
    }
    /// A connection to `.registry`, which only the system finds.
    #[must_use]
    pub const fn system(connection: u32) -> ClientId {
        ClientId(ClientId::SYSTEM | connection as u64)
    }
    /// Whether it is the system's.
    #[must_use]
    pub const fn is_system(self) -> bool {
        self.0 >= ClientId::SYSTEM
    }
}

/// A request whose answer may come later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Why a request is refused: an error, and a sentence.
pub type Refusal = (ServiceError, String);

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

//! What channels say to each other: binding, liveness, blobs, refusals of the channel's own.

use crate::ServiceError;
use crate::wire::{Header, Wire};

crate::messages! {
    /// Messages of the channel layer itself; never seen by a service.
    pub enum Transport: 0 (Transport 2) {
        /// Client → server: make a connection (LMP: with a capability of the client's reply
        /// endpoint), or check one that the monitors made (UMP). Answer: `Bound` (LMP: on that
        /// endpoint, with a capability of the server's endpoint badged with the connection, to be
        /// used from then on), or `Refused`.
        Bind = 1 {
            /// Interface wanted (0 = any that the server has).
            interface: u8,
            /// Version that the client speaks.
            version: u8,
        },
        /// The connection stands.
        Bound = 0x8001 {},
        /// The connection is refused, or the request that had the same tag: it never reached the
        /// service, or it got no answer from it.
        Refused = 0x8002 {
            /// Why.
            error: ServiceError,
            /// The interface concerned.
            interface: u8,
            /// Version of it that the server speaks.
            version: u8,
        },
        /// Are you there? Needs no answer: a send that succeeds is the answer.
        Ping = 3 {},
        /// The sender closes the connection.
        Close = 4 {},
        /// 32 bytes of the blob of the message that follows with the same tag.
        Fragment = 5 {
            /// Position of the first byte | bytes of the whole blob << 32.
            place: u64,
            /// Bytes, little-endian words.
            low: (u64, u64),
            /// Bytes, going on.
            high: (u64, u64),
        },
    }
}

impl Transport {
    /// Reads a `Bind` or `Refused` of any version: their words are the same in every one, so that
    /// ends of different versions can tell each other.
    #[must_use]
    pub fn negotiation(words: [u64; 6]) -> Option<(u32, Transport)> {
        let header = Header::unpack(words[0]);
        if header.interface != Transport::INTERFACE {
            return None;
        }
        let fields = [words[1], words[2], words[3], words[4], words[5]];
        match Transport::decode(header.op, fields) {
            Ok(m @ (Transport::Bind { .. } | Transport::Refused { .. })) => Some((header.tag, m)),
            _ => None,
        }
    }
}

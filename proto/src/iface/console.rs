//! Console: bytes out; lines or keys in.

use crate::ServiceError;

crate::messages! {
    /// Requests.
    pub enum ConsoleRequest: 4 {
        /// Writes up to 32 bytes. Answer (if the tag asks for one): `Written`, when the driver took them.
        Write = 1 {
            /// How many of the bytes count (at most 32).
            len: u8,
            /// Bytes, little-endian words.
            low: (u64, u64),
            /// Bytes, going on.
            high: (u64, u64),
        },
        /// Writes the blob. Answer as for `Write`.
        WriteBlob = 2 {},
        /// Reads one line, with editing and history by the service; the blob is the prompt.
        /// Answer: `Line` (blob) or `Refused(End)`.
        ReadLine = 3 {},
        /// Reads one key without echo. Answer: `Key`.
        ReadKey = 4 {},
        /// Answers `Written` when everything written before has left the machine.
        Flush = 5 {},
    }
}

crate::messages! {
    /// Replies.
    pub enum ConsoleReply: 4 {
        /// Done.
        Written = 0x8001 {},
        /// The line stands in the blob.
        Line = 0x8002 {},
        /// One byte.
        Key = 0x8003 {
            /// The byte.
            byte: u8,
        },
        /// Refused.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

/// The `Write` for up to 32 bytes (`None` if there are more).
#[must_use]
pub fn write_message(bytes: &[u8]) -> Option<ConsoleRequest> {
    let mut b = [0u8; 32];
    b.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let w = |i: usize| {
        let mut x = [0; 8];
        x.copy_from_slice(&b[8 * i..8 * i + 8]);
        u64::from_le_bytes(x)
    };
    Some(ConsoleRequest::Write {
        len: bytes.len() as u8,
        low: (w(0), w(1)),
        high: (w(2), w(3)),
    })
}

/// The bytes of a `Write`: an array and how many of it count.
#[must_use]
pub fn written_bytes(len: u8, low: (u64, u64), high: (u64, u64)) -> ([u8; 32], usize) {
    let mut b = [0u8; 32];
    for (i, w) in [low.0, low.1, high.0, high.1].into_iter().enumerate() {
        b[8 * i..8 * i + 8].copy_from_slice(&w.to_le_bytes());
    }
    (b, usize::from(len).min(32))
}

//! Console: bytes out; lines or keys in.

use crate::ServiceError;

crate::interface! {
    /// Text out; lines or keys in.
    pub interface Console = 4, version 2, errors ServiceError;
    messages ConsoleRequest, ConsoleReply;
    stubs ConsoleClient, ConsoleServer;
    replies {
        /// Done.
        Written = 0x8001 {};
        /// The line.
        Line = 0x8002 {} blob text;
        /// One byte.
        Key = 0x8003 {
            /// The byte.
            byte: u8,
        };
        /// Somebody typed Ctrl-C.
        Interrupted = 0x8004 {};
    }
    requests {
        /// Writes up to 32 bytes. Answered (if the tag asks for it) when the driver took them.
        Write = 1 write {
            /// How many of the bytes count (at most 32).
            len: u8,
            /// Bytes, little-endian words.
            low: (u64, u64),
            /// Bytes, going on.
            high: (u64, u64),
        } => Written;
        /// Writes text. Answered as `Write`.
        WriteBlob = 2 write_text {} blob text => Written;
        /// Reads one line, with editing and history by the service; refused with `End` at the
        /// end of the input.
        ReadLine = 3 read_line {} blob prompt => Line;
        /// Reads one key without echo.
        ReadKey = 4 read_key {} => Key;
        /// Answered when everything written before has left the machine.
        Flush = 5 flush {} => Written;
        /// Answered when Ctrl-C is typed while nobody reads a line or a key; keys typed ahead before
        /// it are forgotten. One asker waits at a time: another one has the first refused with `End`.
        AwaitInterrupt = 6 await_interrupt {} => Interrupted;
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

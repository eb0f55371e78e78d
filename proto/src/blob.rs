//! Byte strings that go with a message: split into fragments before it, joined after.

use alloc::vec::Vec;

use crate::iface::transport::Transport;
use crate::wire::{Wire, WireError};

/// Bytes in one fragment.
pub const FRAGMENT_BYTES: usize = 32;
/// Most bytes of a blob.
pub const MAX_BLOB: usize = 8192;

/// The messages that carry `blob`, to be sent before the message with the same tag.
pub fn fragments(blob: &[u8], tag: u32) -> impl Iterator<Item = [u64; 6]> + '_ {
    let total = blob.len().min(MAX_BLOB);
    blob[..total]
        .chunks(FRAGMENT_BYTES)
        .enumerate()
        .map(move |(i, chunk)| {
            let mut b = [0u8; FRAGMENT_BYTES];
            b[..chunk.len()].copy_from_slice(chunk);
            let word = |k: usize| {
                let mut w = [0; 8];
                w.copy_from_slice(&b[8 * k..8 * k + 8]);
                u64::from_le_bytes(w)
            };
            Transport::Fragment {
                place: (i * FRAGMENT_BYTES) as u64 | (total as u64) << 32,
                low: (word(0), word(1)),
                high: (word(2), word(3)),
            }
            .to_words(tag)
        })
}

/// Gathers the fragments of one blob at a time.
#[derive(Default, Debug)]
pub struct Joiner {
    bytes: Vec<u8>,
    total: usize,
    tag: u32,
}

impl Joiner {
    /// A joiner without a blob.
    #[must_use]
    pub const fn new() -> Joiner {
        Joiner {
            bytes: Vec::new(),
            total: 0,
            tag: 0,
        }
    }

    /// Takes one fragment. A fragment at offset 0 begins a new blob.
    ///
    /// # Errors
    /// [`WireError::BadBlob`] when it does not go on where the last one ended; the blob is dropped.
    pub fn add(&mut self, tag: u32, place: u64, words: [u64; 4]) -> Result<(), WireError> {
        let (offset, total) = (place as u32 as usize, (place >> 32) as usize);
        if offset == 0 {
            *self = Joiner {
                bytes: Vec::new(),
                total,
                tag,
            };
        }
        let fits = total <= MAX_BLOB
            && total == self.total
            && tag == self.tag
            && offset == self.bytes.len()
            && offset < total;
        if !fits {
            *self = Joiner::new();
            return Err(WireError::BadBlob);
        }
        let take = (total - offset).min(FRAGMENT_BYTES);
        let bytes = words.into_iter().flat_map(u64::to_le_bytes);
        self.bytes.extend(bytes.take(take));
        Ok(())
    }

    /// The blob that goes with a message of this tag: what was gathered, or nothing. A blob
    /// of another tag is dropped: its sender gave its message up.
    ///
    /// # Errors
    /// [`WireError::BadBlob`] when the gathered blob is incomplete.
    pub fn take(&mut self, tag: u32) -> Result<Vec<u8>, WireError> {
        let j = core::mem::take(self);
        if j.total == 0 || j.tag != tag {
            return Ok(Vec::new());
        }
        if j.bytes.len() != j.total {
            return Err(WireError::BadBlob);
        }
        Ok(j.bytes)
    }
}

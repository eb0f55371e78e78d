//! Numbers and entries in a table.

use crate::problem::Problems;
use alloc::format;

/// Bytes of a table's header.
pub const HEADER: usize = 36;

/// The little-endian number of `bytes` bytes at `at`; what lies outside counts as zero.
pub fn word(table: &[u8], at: usize, bytes: usize) -> u64 {
    let byte = |i: usize| u64::from(table.get(at + i).copied().unwrap_or(0));
    (0..bytes).fold(0, |w, i| w | byte(i) << (8 * i))
}

/// Adds up to zero in a sound table.
pub fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |s, b| s.wrapping_add(*b))
}

/// An entry of MADT or SRAT: type, length, contents.
pub struct Entry<'a> {
    /// Counted from 0.
    pub number: usize,
    /// Its type.
    pub kind: u8,
    /// All of it, type and length included.
    pub bytes: &'a [u8],
}

impl Entry<'_> {
    /// True if it has at least `bytes` bytes; notes a problem if not.
    pub fn has(&self, bytes: usize, table: &'static str, problems: &mut Problems) -> bool {
        let enough = self.bytes.len() >= bytes;
        if !enough {
            problems.note(
                table,
                format!("length of entry {} (type {})", self.number, self.kind),
                format!("{} is less than {bytes}: left out", self.bytes.len()),
            );
        }
        enough
    }
}

/// The entries of `table` from byte `first` on; ends at the first that is not whole.
pub fn entries<'a>(
    table: &'a [u8],
    first: usize,
    name: &'static str,
    problems: &mut Problems,
) -> alloc::vec::Vec<Entry<'a>> {
    let mut all = alloc::vec::Vec::new();
    let mut rest = table.get(first..).unwrap_or(&[]);
    while !rest.is_empty() {
        let number = all.len();
        let len = rest.get(1).map_or(0, |b| usize::from(*b));
        if len < 2 || len > rest.len() {
            problems.note(
                name,
                format!(
                    "length of entry {number} (at byte {})",
                    table.len() - rest.len()
                ),
                format!(
                    "{len}, with {} bytes left: the rest is not read",
                    rest.len()
                ),
            );
            break;
        }
        let (bytes, after) = rest.split_at(len);
        rest = after;
        all.push(Entry {
            number,
            kind: bytes[0],
            bytes,
        });
    }
    all
}

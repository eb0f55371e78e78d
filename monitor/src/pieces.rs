//! Cutting a block out of a range of RAM.

/// A run of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The last block of `bytes` (a power of two), aligned to its size, in `range`.
#[must_use]
pub fn fit(range: Piece, bytes: u64) -> Option<Piece> {
    let end = range.base.checked_add(range.bytes)?;
    let base = end.checked_sub(bytes)? / bytes * bytes;
    (base >= range.base).then_some(Piece { base, bytes })
}

/// What is left of `range` before and after `block`.
#[must_use]
pub fn around(range: Piece, block: Piece) -> [Option<Piece>; 2] {
    let piece = |base: u64, end: u64| {
        (end > base).then_some(Piece {
            base,
            bytes: end - base,
        })
    };
    [
        piece(range.base, block.base),
        piece(block.base + block.bytes, range.base + range.bytes),
    ]
}

//! Free RAM: pieces, each of which is one capability.
//!
//! A piece is split when part of it is given away, and joined with its neighbours when it comes back; which
//! capability is which piece is known by a handle that means something to the caller only.

use alloc::collections::BTreeMap;

use crate::{PAGE, Topology};

/// What is promised is counted in blocks of this size, aligned to [`ALIGN`].
pub const BLOCK: u64 = 256 << 10;
/// Largest alignment of what is not placed on purpose.
pub const ALIGN: u64 = 64 << 10;
// One block that is cut where [`Pieces::find`] says leaves room for just one less.
const _: () = assert!(BLOCK.is_multiple_of(ALIGN));

/// A free piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First byte.
    pub base: u64,
    /// Bytes, a multiple of [`PAGE`].
    pub size: u64,
    /// The caller's name for its capability.
    pub handle: u32,
}

impl Piece {
    /// First byte after it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base + self.size
    }
}

/// Where a block is to be cut out of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The piece.
    pub piece: Piece,
    /// First byte of the block.
    pub base: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Cut {
    /// Bytes of the piece before the block.
    #[must_use]
    pub const fn before(&self) -> u64 {
        self.base - self.piece.base
    }
    /// Bytes of the piece after the block.
    #[must_use]
    pub const fn after(&self) -> u64 {
        self.piece.end() - self.base - self.bytes
    }
    /// Whether the block is all of the piece.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bytes == self.piece.size
    }
}

/// Free pieces by their first byte.
#[derive(Clone, Default, Debug)]
pub struct Pieces {
    by_base: BTreeMap<u64, (u64, u32)>,
    bytes: u64,
    blocks: u64,
}

/// Blocks of [`BLOCK`] bytes that a free run has room for.
const fn blocks(base: u64, end: u64) -> u64 {
    let first = base.div_ceil(ALIGN) * ALIGN;
    end.saturating_sub(first) / BLOCK
}

impl Pieces {
    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = Piece> + '_ {
        let piece = |(&base, &(size, handle)): (&u64, &(u64, u32))| Piece { base, size, handle };
        self.by_base.iter().map(piece)
    }
    /// Bytes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
    /// Blocks of [`BLOCK`] bytes that there is room for.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }
    /// The piece that begins at `base`.
    #[must_use]
    pub fn at(&self, base: u64) -> Option<Piece> {
        let (size, handle) = self.by_base.get(&base).copied()?;
        Some(Piece { base, size, handle })
    }
    /// The last piece that begins before `at`.
    fn before(&self, at: u64) -> Option<Piece> {
        let (&base, &(size, handle)) = self.by_base.range(..at).next_back()?;
        Some(Piece { base, size, handle })
    }
    /// Whether a piece has a byte of this range.
    #[must_use]
    pub fn overlaps(&self, base: u64, end: u64) -> bool {
        self.before(end).is_some_and(|p| p.end() > base)
    }
    /// Adds a piece that overlaps none.
    pub fn insert(&mut self, piece: Piece) {
        self.bytes += piece.size;
        self.blocks += blocks(piece.base, piece.end());
        self.by_base.insert(piece.base, (piece.size, piece.handle));
    }
    /// Takes a piece out.
    pub fn remove(&mut self, base: u64) -> Option<Piece> {
        let piece = self.at(base)?;
        self.by_base.remove(&base);
        self.bytes -= piece.size;
        self.blocks -= blocks(piece.base, piece.end());
        Some(piece)
    }
    /// Two pieces of which the second begins where the first ends, one of them the piece at `base`.
    #[must_use]
    pub fn neighbours(&self, base: u64) -> Option<(Piece, Piece)> {
        let piece = self.at(base)?;
        let before = self.before(base).filter(|p| p.end() == base);
        match (before, self.at(piece.end())) {
            (Some(before), _) => Some((before, piece)),
            (None, Some(after)) => Some((piece, after)),
            (None, None) => None,
        }
    }
    /// Makes two neighbours one piece, under the first one's handle.
    pub fn join(&mut self, first: u64, second: u64) {
        let adjacent = self.at(first).filter(|p| p.end() == second).is_some();
        if !adjacent || self.at(second).is_none() {
            return;
        }
        if let (Some(a), Some(b)) = (self.remove(first), self.remove(second)) {
            let size = a.size + b.size;
            self.insert(Piece { size, ..a });
        }
    }
    /// Where a block of `bytes`, aligned, on `node` if one is named, is best cut: in the smallest piece that does.
    #[must_use]
    pub fn find(
        &self,
        topology: &Topology,
        bytes: u64,
        align: u64,
        node: Option<u8>,
    ) -> Option<Cut> {
        let mut best: Option<Cut> = None;
        for piece in self.iter().filter(|p| p.size >= bytes) {
            if best.is_some_and(|b| b.piece.size <= piece.size) {
                continue;
            }
            for (from, to) in topology.parts(piece.base, piece.end(), node) {
                let from = from.checked_next_multiple_of(PAGE);
                let base = from.and_then(|f| f.checked_next_multiple_of(align));
                let fits = base.filter(|b| *b <= to && to - b >= bytes);
                if let Some(base) = fits {
                    best = Some(Cut { piece, base, bytes });
                    break;
                }
            }
        }
        best
    }
    /// Bytes of the largest run on a node.
    #[must_use]
    pub fn largest(&self, topology: &Topology, node: Option<u8>) -> u64 {
        let runs = self
            .iter()
            .flat_map(|p| topology.parts(p.base, p.end(), node));
        runs.map(|(from, to)| to - from).max().unwrap_or(0)
    }
    /// Blocks of [`BLOCK`] bytes that there is room for when this one is cut.
    #[must_use]
    pub const fn blocks_after(&self, cut: &Cut) -> u64 {
        self.blocks - blocks(cut.piece.base, cut.piece.end())
            + blocks(cut.piece.base, cut.base)
            + blocks(cut.base + cut.bytes, cut.piece.end())
    }
}

//! Into which leaf tables a mapping falls.

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes that one level-0 table maps.
pub const LEAF_SPAN: u64 = 512 * PAGE;

/// The part of a mapping that one level-0 table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First address that the table maps.
    pub table: u64,
    /// First entry.
    pub index: u64,
    /// Entries.
    pub count: u64,
    /// Bytes from the start of the mapping.
    pub offset: u64,
}

/// The pieces of a mapping of `bytes` at `va` (page multiples), ascending.
pub fn pieces(va: u64, bytes: u64) -> impl Iterator<Item = Piece> {
    let mut at = va;
    core::iter::from_fn(move || {
        let end = va + bytes;
        if at >= end {
            return None;
        }
        let table = at & !(LEAF_SPAN - 1);
        let stop = end.min(table + LEAF_SPAN);
        let piece = Piece {
            table,
            index: (at - table) / PAGE,
            count: (stop - at) / PAGE,
            offset: at - va,
        };
        at = stop;
        Some(piece)
    })
}

/// Index of `va` in its table of `level` (0 = leaf).
#[must_use]
pub const fn index(level: u32, va: u64) -> u64 {
    va >> (12 + 9 * level) & 511
}

/// First address mapped by the level-`level` table that maps `va`.
#[must_use]
pub const fn table_base(level: u32, va: u64) -> u64 {
    va & !((1 << (21 + 9 * level)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_mapping_once() {
        for (va, pages) in [(0x8000_0000, 1), (0x801f_f000, 2), (0x8010_0000, 1500)] {
            let mut next = va;
            for p in pieces(va, pages * PAGE) {
                assert_eq!(p.table + p.index * PAGE, next);
                assert_eq!(p.offset, next - va);
                assert!(p.count > 0 && p.index + p.count <= 512);
                assert_eq!(table_base(0, next), p.table);
                assert_eq!(index(0, next), p.index);
                next += p.count * PAGE;
            }
            assert_eq!(next, va + pages * PAGE);
        }
    }

    #[test]
    fn indices_by_level() {
        let va = 3 << 39 | 5 << 30 | 7 << 21 | 9 << 12;
        assert_eq!([0, 1, 2, 3].map(|l| index(l, va)), [9, 7, 5, 3]);
        assert_eq!(table_base(1, va), 3 << 39 | 5 << 30);
    }
}

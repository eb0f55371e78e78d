//! The free RAM that the loader knows of: a short sorted list of ranges.

use arrayvec::ArrayVec;

/// Most ranges that are kept.
pub const MAX_RANGES: usize = 64;
const PAGE: u64 = 4096;

/// Bytes from `base` to before `end`, physical.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// First byte.
    pub base: u64,
    /// First byte after it.
    pub end: u64,
}

impl Range {
    /// `bytes` bytes from `base` on; cut at the end of the address space.
    #[must_use]
    pub const fn new(base: u64, bytes: u64) -> Range {
        Range {
            base,
            end: base.saturating_add(bytes),
        }
    }
    /// Bytes in it.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.base)
    }
}

/// Sorted, disjoint, page-aligned ranges of free RAM.
#[derive(Clone, Default)]
pub struct MemoryList {
    ranges: ArrayVec<Range, MAX_RANGES>,
}

impl MemoryList {
    /// No memory.
    #[must_use]
    pub fn new() -> MemoryList {
        MemoryList::default()
    }

    /// Adds the whole pages of a range that firmware calls usable. Overlaps with
    /// what is there are cut off first; ranges beyond [`MAX_RANGES`] are lost.
    pub fn add(&mut self, range: Range) {
        let range = Range {
            base: range.base.next_multiple_of(PAGE),
            end: range.end & !(PAGE - 1),
        };
        if range.bytes() == 0 {
            return;
        }
        self.remove(range);
        let at = self.ranges.partition_point(|r| r.base < range.base);
        if self.ranges.try_insert(at, range).is_err() {
            return;
        }
        self.join();
    }

    /// Takes every page that `range` touches out of the list.
    pub fn remove(&mut self, range: Range) {
        if range.bytes() == 0 {
            return;
        }
        let base = range.base & !(PAGE - 1);
        let end = range.end.saturating_add(PAGE - 1) & !(PAGE - 1);
        let mut kept = ArrayVec::new();
        for r in &self.ranges {
            let below = Range {
                base: r.base,
                end: r.end.min(base),
            };
            let above = Range {
                base: r.base.max(end),
                end: r.end,
            };
            for part in [below, above] {
                if part.bytes() > 0 {
                    // A split of the last free entry loses the upper part: memory unused, never misused.
                    let _ = kept.try_push(part);
                }
            }
        }
        self.ranges = kept;
    }

    /// Takes `bytes` at a multiple of `align` from the highest end of the largest range that holds them.
    pub fn take(&mut self, bytes: u64, align: u64) -> Option<u64> {
        self.take_where(bytes, align, u64::MAX)
    }

    /// As [`MemoryList::take`], but ending at or below `limit`.
    pub fn take_where(&mut self, bytes: u64, align: u64, limit: u64) -> Option<u64> {
        let place = |r: &Range| {
            let base = r.end.min(limit).checked_sub(bytes)? & !(align - 1);
            (base >= r.base).then_some(base)
        };
        let fits = self.ranges.iter().filter(|r| place(r).is_some());
        let base = place(fits.max_by_key(|r| r.bytes())?)?;
        self.remove(Range::new(base, bytes));
        Some(base)
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// First byte after the last range.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.end)
    }

    fn join(&mut self) {
        let mut i = 1;
        while i < self.ranges.len() {
            if self.ranges[i - 1].end == self.ranges[i].base {
                self.ranges[i - 1].end = self.ranges[i].end;
                self.ranges.remove(i);
            } else {
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[(u64, u64)]) -> MemoryList {
        let mut m = MemoryList::new();
        for &(base, end) in ranges {
            m.add(Range { base, end });
        }
        m
    }

    #[test]
    fn adding_aligns_sorts_joins_and_never_overlaps() {
        let m = list(&[
            (0x10_0000, 0x20_0000),
            (0x500, 0x9_fc00),
            (0x20_0000, 0x30_0000),
        ]);
        let want = [
            Range {
                base: 0x1000,
                end: 0x9_f000,
            },
            Range {
                base: 0x10_0000,
                end: 0x30_0000,
            },
        ];
        assert_eq!(m.ranges(), want);
        let m = list(&[(0x1000, 0x4000), (0x2000, 0x6000)]);
        assert_eq!(
            m.ranges(),
            [Range {
                base: 0x1000,
                end: 0x6000
            }]
        );
    }

    #[test]
    fn removing_takes_touched_pages() {
        let mut m = list(&[(0x1000, 0x9000)]);
        m.remove(Range {
            base: 0x2fff,
            end: 0x4001,
        });
        let want = [
            Range {
                base: 0x1000,
                end: 0x2000,
            },
            Range {
                base: 0x5000,
                end: 0x9000,
            },
        ];
        assert_eq!(m.ranges(), want);
    }

    #[test]
    fn taking_aligns_and_respects_the_limit() {
        let mut m = list(&[(0x1000, 0x8000), (0x10_0000, 0x40_5000)]);
        assert_eq!(m.take(0x20_0000, 0x10_0000), Some(0x20_0000));
        assert_eq!(m.take(0x5000, 0x1000), Some(0x1f_b000));
        assert_eq!(m.take_where(0x1000, 0x1000, 0x10_0000), Some(0x7000));
        assert_eq!(m.take(0x100_0000, 0x1000), None);
        assert_eq!(m.end(), 0x40_5000);
    }
}

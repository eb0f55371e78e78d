//! Which addresses of a range are free.

use alloc::collections::BTreeMap;

/// Free ranges by first address; neighbours are merged.
#[derive(Debug, Default)]
pub struct Ranges {
    free: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Nothing free.
    #[must_use]
    pub const fn new() -> Ranges {
        Ranges {
            free: BTreeMap::new(),
        }
    }

    /// Makes `first..first + bytes` free.
    pub fn give_back(&mut self, mut first: u64, mut bytes: u64) {
        if let Some((&at, &len)) = self.free.range(..first).next_back()
            && at + len == first
        {
            self.free.remove(&at);
            (first, bytes) = (at, len + bytes);
        }
        if let Some(len) = self.free.remove(&(first + bytes)) {
            bytes += len;
        }
        self.free.insert(first, bytes);
    }

    /// Takes `bytes` bytes aligned to `align` (a power of two), lowest first.
    pub fn take(&mut self, bytes: u64, align: u64) -> Option<u64> {
        let (at, len, first) = self.free.iter().find_map(|(&at, &len)| {
            let first = at.checked_next_multiple_of(align)?;
            let end = first.checked_add(bytes)?;
            (end <= at + len).then_some((at, len, first))
        })?;
        self.free.remove(&at);
        if first > at {
            self.free.insert(at, first - at);
        }
        if first + bytes < at + len {
            self.free.insert(first + bytes, at + len - first - bytes);
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_aligned_and_merges() {
        let mut r = Ranges::new();
        r.give_back(0x1000, 0xf000);
        assert_eq!(r.take(0x1000, 0x4000), Some(0x4000));
        assert_eq!(r.take(0x3000, 0x1000), Some(0x1000));
        assert_eq!(r.take(0x1_0000, 0x1000), None);
        r.give_back(0x4000, 0x1000);
        r.give_back(0x1000, 0x3000);
        assert_eq!(r.free.len(), 1, "all merged");
        assert_eq!(r.take(0xf000, 0x1000), Some(0x1000));
        assert_eq!(r.take(1, 1), None);
    }
}

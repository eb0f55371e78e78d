//! What other OSnodes got: ranges, and no capability of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Ranges of bytes, each with an OSnode; no two overlap.
#[derive(Clone, Default, Debug)]
pub struct Lent {
    by_base: BTreeMap<u64, (u64, u64)>,
    /// First bytes of what may differ from what was written down.
    changed: Vec<u64>,
}

impl Lent {
    /// `osnode` has the range now, and nobody else any part of it.
    pub fn enter(&mut self, base: u64, end: u64, osnode: u64) {
        self.remove(base, end);
        self.insert(base, end, osnode);
    }

    fn insert(&mut self, base: u64, end: u64, osnode: u64) {
        self.by_base.insert(base, (end, osnode));
        self.changed.push(base);
    }

    /// What the ranges from these first bytes on are now, since the last call.
    pub fn take_changes(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.changed)
    }

    /// The range from this first byte on: first byte after, OSnode.
    #[must_use]
    pub fn get(&self, base: u64) -> Option<(u64, u64)> {
        self.by_base.get(&base).copied()
    }

    /// Nobody has anything of the range any more; bytes that somebody had.
    pub fn remove(&mut self, base: u64, end: u64) -> u64 {
        let first = self
            .by_base
            .range(..base)
            .next_back()
            .map_or(base, |(b, _)| *b);
        let hit = self.by_base.range(first..end.max(first));
        let hit: Vec<_> = hit.map(|(b, (e, o))| (*b, *e, *o)).collect();
        let mut bytes = 0;
        for (b, e, osnode) in hit.into_iter().filter(|(_, e, _)| *e > base) {
            self.by_base.remove(&b);
            self.changed.push(b);
            for (b, e) in [(b, e.min(base)), (b.max(end), e)] {
                if b < e {
                    self.insert(b, e, osnode);
                }
            }
            bytes += e.min(end) - b.max(base);
        }
        bytes
    }

    /// The first range that `osnode` has.
    #[must_use]
    pub fn first_of(&self, osnode: u64) -> Option<(u64, u64)> {
        let mut of = self.by_base.iter().filter(|(_, (_, o))| *o == osnode);
        of.next().map(|(b, (e, _))| (*b, *e))
    }

    /// All of them, by address: first byte, first byte after, OSnode.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.by_base.iter().map(|(b, (e, o))| (*b, *e, *o))
    }
}

/// The parts of a range that are in none of `taken`, by address.
#[must_use]
pub fn without(base: u64, end: u64, mut taken: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    taken.sort_unstable();
    taken.push((end, end));
    let mut parts = Vec::new();
    let mut at = base;
    for (from, to) in taken {
        let from = from.min(end);
        if at < from {
            parts.push((at, from));
        }
        at = at.max(to);
    }
    parts
}

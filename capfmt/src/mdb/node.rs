//! The tree words of a CTE, read and written one by one.
//!
//! A store is made only when the word changes: each costs four in the undo log.

use crate::cte::{LAST, LINK};
use crate::{Cte, PhysAddr, PhysMap};

const LEFT: u64 = 32;
const RIGHT: u64 = 40;
const SUBTREE_LAST: u64 = 48;
const LEVEL_SHIFT: u32 = 46;
const LEVEL: u64 = 63 << LEVEL_SHIFT;

#[inline]
pub(crate) fn left(mem: &impl PhysMap, n: Cte) -> Cte {
    Cte(PhysAddr((mem.load_at(n.0, LEFT) & LINK) << 6))
}

#[inline]
pub(crate) fn right(mem: &impl PhysMap, n: Cte) -> Cte {
    Cte(PhysAddr((mem.load_at(n.0, RIGHT) & LINK) << 6))
}

/// Left child and level of `n`, which is not null: one word holds both.
#[inline]
pub(crate) fn left_and_level(mem: &impl PhysMap, n: Cte) -> (Cte, u64) {
    let word = mem.load_at(n.0, LEFT);
    (
        Cte(PhysAddr((word & LINK) << 6)),
        (word & LEVEL) >> LEVEL_SHIFT,
    )
}

/// Level of `n`; 0 for the null node.
#[inline]
pub(crate) fn level(mem: &impl PhysMap, n: Cte) -> u64 {
    if n.0.is_null() {
        0
    } else {
        (mem.load_at(n.0, LEFT) & LEVEL) >> LEVEL_SHIFT
    }
}

/// Last byte covered in the subtree of `n`, which is not null.
#[inline]
pub(crate) fn subtree_last(mem: &impl PhysMap, n: Cte) -> u64 {
    mem.load_at(n.0, SUBTREE_LAST) & LAST
}

/// Changes `n`, and remembers whether anything really changed.
pub(crate) struct Edit<'m, M: PhysMap> {
    pub mem: &'m mut M,
    pub dirty: bool,
}

impl<M: PhysMap> Edit<'_, M> {
    #[inline]
    fn write(&mut self, at: PhysAddr, old: u64, new: u64) {
        if old != new {
            self.mem.store(at, new);
            self.dirty = true;
        }
    }

    #[inline]
    pub fn set_left(&mut self, n: Cte, to: Cte) {
        let old = self.mem.load_at(n.0, LEFT);
        self.write(n.0.add(LEFT), old, old & !LINK | to.0.0 >> 6);
    }

    #[inline]
    pub fn set_right(&mut self, n: Cte, to: Cte) {
        let old = self.mem.load_at(n.0, RIGHT);
        self.write(n.0.add(RIGHT), old, old & !LINK | to.0.0 >> 6);
    }

    /// Left link and level in one store.
    #[inline]
    pub fn set_left_level(&mut self, n: Cte, to: Cte, level: u64) {
        let old = self.mem.load_at(n.0, LEFT);
        let new = old & !(LINK | LEVEL) | to.0.0 >> 6 | level << LEVEL_SHIFT;
        self.write(n.0.add(LEFT), old, new);
    }

    #[inline]
    pub fn set_level(&mut self, n: Cte, level: u64) {
        let old = self.mem.load_at(n.0, LEFT);
        self.write(n.0.add(LEFT), old, old & !LEVEL | level << LEVEL_SHIFT);
    }

    #[inline]
    pub fn set_last(&mut self, n: Cte, last: u64) {
        let old = self.mem.load_at(n.0, SUBTREE_LAST);
        self.write(n.0.add(SUBTREE_LAST), old, last & LAST);
    }

    /// Recomputes the subtree end of `n` from its own and its children's (MDB-LAST).
    #[inline]
    pub fn update_last(&mut self, n: Cte) {
        let mut last = super::key::own_last(self.mem, n);
        for child in [left(self.mem, n), right(self.mem, n)] {
            if !child.0.is_null() {
                last = last.max(subtree_last(self.mem, child));
            }
        }
        self.set_last(n, last);
    }
}

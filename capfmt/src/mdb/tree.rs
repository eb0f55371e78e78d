//! Insertion and removal in the AA tree.
//!
//! An AA tree is a red-black tree whose red links go right only: a node's left
//! child is one level lower, its right child at most level with it, its right
//! grandchild lower (MDB-LEVEL). With 2^46 possible CTEs no path is longer than
//! [`MAX_DEPTH`], so both operations walk with a fixed array and no recursion.

use core::cmp::Ordering;

use super::key::{Key, NIL, own_last};
use super::node::{Edit, left, left_and_level, level, right, subtree_last};
use crate::{Cte, Kcb, PhysAddr, PhysMap};

/// Longest path from the root: two nodes per level, 46 levels for 2^46 CTEs.
pub(crate) const MAX_DEPTH: usize = 92;

/// The way from the root to a place in the tree.
struct Path {
    /// Addresses of the nodes; bit 0, which no CTE's address has set, says that the way goes right.
    steps: [u64; MAX_DEPTH],
    depth: usize,
}

impl Path {
    const fn new() -> Path {
        Path {
            steps: [0; MAX_DEPTH],
            depth: 0,
        }
    }

    #[inline]
    fn push(&mut self, node: Cte, goes_right: bool) {
        let Some(step) = self.steps.get_mut(self.depth) else {
            panic!("MDB-LEVEL: a path is longer than any tree's");
        };
        *step = node.0.0 | u64::from(goes_right);
        self.depth += 1;
    }

    /// Node `i`, and whether the way goes right there.
    #[inline]
    fn step(&self, i: usize) -> (Cte, bool) {
        let step = self.steps[i];
        (Cte(PhysAddr(step & !1)), step & 1 != 0)
    }
}

#[inline]
pub(crate) fn root(mem: &impl PhysMap, kcb: Kcb) -> Cte {
    Cte(PhysAddr(kcb.mdb_root(mem)))
}

fn set_root(mem: &mut impl PhysMap, kcb: Kcb, to: Cte) {
    if kcb.mdb_root(mem) != to.0.0 {
        kcb.set_mdb_root(mem, to.0.0);
    }
}

impl<M: PhysMap> Edit<'_, M> {
    fn set_child(&mut self, n: Cte, goes_right: bool, to: Cte) {
        if goes_right {
            self.set_right(n, to);
        } else {
            self.set_left(n, to);
        }
    }

    /// Turns a left child on the same level into the parent; returns the subtree's root.
    #[inline]
    fn skew(&mut self, t: Cte) -> Cte {
        let (l, lv) = left_and_level(self.mem, t);
        if l.0.is_null() || level(self.mem, l) != lv {
            return t;
        }
        self.set_left(t, right(self.mem, l));
        self.set_right(l, t);
        self.update_last(t);
        self.update_last(l);
        l
    }

    /// Lifts the middle of three nodes on one level; returns the subtree's root.
    #[inline]
    fn split(&mut self, t: Cte) -> Cte {
        let r = right(self.mem, t);
        if r.0.is_null() {
            return t;
        }
        let rr = right(self.mem, r);
        let lv = level(self.mem, t);
        if rr.0.is_null() || level(self.mem, rr) != lv {
            return t;
        }
        self.set_right(t, left(self.mem, r));
        self.set_left_level(r, t, lv + 1);
        self.update_last(t);
        self.update_last(r);
        r
    }

    /// Restores MDB-LEVEL at `t` after one of its subtrees may have lost a level.
    fn rebalance_lowered(&mut self, t: Cte) -> Cte {
        self.update_last(t);
        let (l, r) = (left(self.mem, t), right(self.mem, t));
        let right_level = level(self.mem, r);
        let fit = level(self.mem, l).min(right_level) + 1;
        if fit >= level(self.mem, t) {
            return t;
        }
        self.set_level(t, fit);
        if fit < right_level {
            self.set_level(r, fit);
        }
        let t = self.skew(t);
        let r = right(self.mem, t);
        if !r.0.is_null() {
            let r = self.skew(r);
            self.set_right(t, r);
            let rr = right(self.mem, r);
            if !rr.0.is_null() {
                let rr = self.skew(rr);
                self.set_right(r, rr);
            }
        }
        let t = self.split(t);
        let r = right(self.mem, t);
        if !r.0.is_null() {
            let r = self.split(r);
            self.set_right(t, r);
        }
        t
    }
}

/// Puts the capability in `cte` into the tree. Flags, owner and sharers stay as they are.
///
/// # Panics
/// MDB-ORDER: when it stands in the tree already.
pub fn insert(mem: &mut impl PhysMap, kcb: Kcb, cte: Cte) {
    let key = Key::of(mem, cte);
    let last = own_last(mem, cte);
    let mut e = Edit { mem, dirty: false };
    let mut path = Path::new();
    let mut t = root(e.mem, kcb);
    while !t.0.is_null() {
        if subtree_last(e.mem, t) < last {
            e.set_last(t, last);
        }
        let goes_right = match key.compare(e.mem, t) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => panic!("MDB-ORDER: the CTE is in the tree already"),
        };
        path.push(t, goes_right);
        t = if goes_right {
            right(e.mem, t)
        } else {
            left(e.mem, t)
        };
    }
    e.set_left_level(cte, NIL, 1);
    e.set_right(cte, NIL);
    e.set_last(cte, last);
    let mut child = cte;
    // A child that was lifted by a level matters to its grandparent even where
    // the parent needs no change.
    let mut lifted = false;
    for i in (0..path.depth).rev() {
        e.dirty = false;
        let (n, goes_right) = path.step(i);
        let level_before = level(e.mem, n);
        e.set_child(n, goes_right, child);
        // What changed on the right cannot have made the left child too high.
        let t = if goes_right { n } else { e.skew(n) };
        child = e.split(t);
        if !e.dirty && !lifted {
            return;
        }
        lifted = level(e.mem, child) != level_before;
    }
    set_root(e.mem, kcb, child);
}

/// Takes the capability in `cte` out of the tree. The slot keeps its capability, flags, owner and sharers.
///
/// # Panics
/// MDB-ORDER: when it does not stand in the tree.
pub fn remove(mem: &mut impl PhysMap, kcb: Kcb, cte: Cte) {
    let key = Key::of(mem, cte);
    let mut e = Edit { mem, dirty: false };
    let mut path = Path::new();
    let mut t = root(e.mem, kcb);
    while t != cte {
        assert!(!t.0.is_null(), "MDB-ORDER: the CTE is not in the tree");
        let goes_right = key.compare(e.mem, t) == Ordering::Greater;
        path.push(t, goes_right);
        t = if goes_right {
            right(e.mem, t)
        } else {
            left(e.mem, t)
        };
    }
    // Nothing above `place` needs a look once nothing changed below it; at and
    // below it the links around the hole must be closed.
    let place = path.depth;
    let mut child = unhook(&mut e, &mut path, cte);
    for i in (0..path.depth).rev() {
        e.dirty = false;
        let (n, goes_right) = path.step(i);
        e.set_child(n, goes_right, child);
        child = e.rebalance_lowered(n);
        if !e.dirty && i < place {
            child = path.step(0).0;
            break;
        }
    }
    set_root(e.mem, kcb, child);
    e.set_left_level(cte, NIL, 0);
    e.set_right(cte, NIL);
    e.set_last(cte, 0);
}

/// Leaves a hole where `cte` was, or, when it has two children, puts its
/// predecessor there and leaves the hole where that was. Extends the path to
/// the hole and returns what closes it.
fn unhook<M: PhysMap>(e: &mut Edit<'_, M>, path: &mut Path, cte: Cte) -> Cte {
    let (l, r) = (left(e.mem, cte), right(e.mem, cte));
    if l.0.is_null() {
        return r;
    }
    let place = path.depth;
    path.push(cte, false);
    let mut pred = l;
    loop {
        let next = right(e.mem, pred);
        if next.0.is_null() {
            break;
        }
        path.push(pred, true);
        pred = next;
    }
    let rest = left(e.mem, pred);
    let lv = level(e.mem, cte);
    e.set_left_level(pred, l, lv);
    e.set_right(pred, r);
    path.steps[place] = pred.0.0;
    rest
}

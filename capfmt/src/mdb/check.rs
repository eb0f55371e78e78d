//! The one checker of the tree's invariants.

use super::key::{Key, NIL, own_last};
use super::node::{left, level, right, subtree_last};
use super::tree::{MAX_DEPTH, root};
use crate::schema::{self, Class};
use crate::{CTE_BYTES, Cte, Kcb, PhysMap};

/// What a checked tree looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Capabilities in the tree.
    pub caps: u64,
    /// Nodes on the longest path.
    pub depth: u64,
}

/// A broken invariant, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// MDB-LINK: a link is misaligned or leads out of memory.
    Link(Cte),
    /// MDB-PARSES: words that no kernel wrote, or a size or base that the schema forbids.
    Parses(Cte),
    /// MDB-ORDER: a node stands before one that it must follow.
    Order(Cte),
    /// MDB-LEVEL: a level does not fit those of the children, or a path is too long.
    Level(Cte),
    /// MDB-LAST: the subtree's end is not the largest end in it.
    Last(Cte),
    /// MDB-NO-CONFLICT: two capabilities overlap that must not.
    Conflict(Cte, Cte),
}

impl Violation {
    /// The invariant's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Violation::Link(_) => "MDB-LINK",
            Violation::Parses(_) => "MDB-PARSES",
            Violation::Order(_) => "MDB-ORDER",
            Violation::Level(_) => "MDB-LEVEL",
            Violation::Last(_) => "MDB-LAST",
            Violation::Conflict(..) => "MDB-NO-CONFLICT",
        }
    }
}

/// Checks every invariant of the tree, in any state of memory.
///
/// Time grows with the number of capabilities and of overlapping pairs: for
/// tests, tools and attach in debug kernels.
///
/// # Errors
/// The first violation found.
pub fn check_invariants(mem: &impl PhysMap, kcb: Kcb) -> Result<Stats, Violation> {
    let mut stats = Stats::default();
    let mut before = None;
    subtree(mem, root(mem, kcb), 1, &mut stats, &mut before)?;
    let mut walk = Walk::from_first(mem, kcb);
    while let Some(cte) = walk.next(mem) {
        no_conflict(mem, cte, walk)?;
    }
    Ok(stats)
}

/// A place in the order of a tree whose links and levels are sound.
#[derive(Clone, Copy)]
struct Walk {
    /// Nodes still to come whose left subtrees are done, the nearest last.
    nodes: [Cte; MAX_DEPTH],
    depth: usize,
}

impl Walk {
    fn from_first(mem: &impl PhysMap, kcb: Kcb) -> Walk {
        let mut walk = Walk {
            nodes: [NIL; MAX_DEPTH],
            depth: 0,
        };
        walk.enter(mem, root(mem, kcb));
        walk
    }

    fn enter(&mut self, mem: &impl PhysMap, mut n: Cte) {
        while !n.0.is_null() {
            self.nodes[self.depth] = n;
            self.depth += 1;
            n = left(mem, n);
        }
    }

    fn next(&mut self, mem: &impl PhysMap) -> Option<Cte> {
        self.depth = self.depth.checked_sub(1)?;
        let n = self.nodes[self.depth];
        self.enter(mem, right(mem, n));
        Some(n)
    }
}

/// Checks one subtree in order; `before` is the position of the node before it. At most [`MAX_DEPTH`] deep.
fn subtree(
    mem: &impl PhysMap,
    n: Cte,
    depth: u64,
    stats: &mut Stats,
    before: &mut Option<Key>,
) -> Result<(), Violation> {
    if n.0.is_null() {
        return Ok(());
    }
    if !n.0.is_aligned(CTE_BYTES) || !mem.covers(n.0, CTE_BYTES) {
        return Err(Violation::Link(n));
    }
    if depth > MAX_DEPTH as u64 {
        return Err(Violation::Level(n));
    }
    let cap = n.raw(mem).parse().ok_or(Violation::Parses(n))?;
    if cap.kind.info().class == Class::Absent || !schema::is_well_formed(&cap) {
        return Err(Violation::Parses(n));
    }
    let (l, r) = (left(mem, n), right(mem, n));
    subtree(mem, l, depth + 1, stats, before)?;
    let key = Key::of(mem, n);
    if before.is_some_and(|b| b >= key) {
        return Err(Violation::Order(n));
    }
    *before = Some(key);
    subtree(mem, r, depth + 1, stats, before)?;
    stats.caps += 1;
    stats.depth = stats.depth.max(depth);
    levels(mem, n, l, r)?;
    let end = |c: Cte| {
        if c.0.is_null() {
            0
        } else {
            subtree_last(mem, c)
        }
    };
    if subtree_last(mem, n) != own_last(mem, n).max(end(l)).max(end(r)) {
        return Err(Violation::Last(n));
    }
    Ok(())
}

fn levels(mem: &impl PhysMap, n: Cte, l: Cte, r: Cte) -> Result<(), Violation> {
    let lv = level(mem, n);
    let rr = if r.0.is_null() { NIL } else { right(mem, r) };
    let (ll, rl, rrl) = (level(mem, l), level(mem, r), level(mem, rr));
    if lv == 0 || ll + 1 != lv || rl > lv || rl + 1 < lv || rrl >= lv {
        return Err(Violation::Level(n));
    }
    Ok(())
}

/// Checks `cte` against all that `after` it overlap it.
fn no_conflict(mem: &impl PhysMap, cte: Cte, mut after: Walk) -> Result<(), Violation> {
    let cap = cte.cap(mem);
    let class = cap.kind.info().class;
    if class == Class::Nowhere {
        return Ok(());
    }
    while let Some(n) = after.next(mem) {
        let other = n.cap(mem);
        // A copy that follows is compared with all that this one is.
        let past = other.kind.info().class != class || other.base.0 > cap.last();
        if past || schema::is_copy(&cap, &other) {
            break;
        }
        if !schema::may_overlap(&cap, &other) {
            return Err(Violation::Conflict(cte, n));
        }
    }
    Ok(())
}

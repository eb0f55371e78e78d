//! Searches in the tree. None needs a stack.
//!
//! Each answer costs one or two walks down the tree. Only Mappings can make a
//! search look at nodes that are no answer, because they alone may reach over
//! the end of a part that was made from the same Frame.

use core::cmp::Ordering;

use super::key::{Key, NIL, own_last, place};
use super::node::{left, right, subtree_last};
use super::tree::root;
use crate::schema::{self, Class};
use crate::{Cap, Cte, Kcb, PhysMap};

fn some(n: Cte) -> Option<Cte> {
    (!n.0.is_null()).then_some(n)
}

/// Whether `n` is no null node and its subtree reaches `last`.
#[inline]
fn reaches(mem: &impl PhysMap, n: Cte, last: u64) -> bool {
    !n.0.is_null() && subtree_last(mem, n) >= last
}

/// First node after `key`.
pub(crate) fn successor(mem: &impl PhysMap, kcb: Kcb, key: &Key) -> Option<Cte> {
    let mut found = NIL;
    let mut n = root(mem, kcb);
    while !n.0.is_null() {
        if key.compare(mem, n) == Ordering::Less {
            found = n;
            n = left(mem, n);
        } else {
            n = right(mem, n);
        }
    }
    some(found)
}

/// First node after `key` whose own range ends at `last` or later.
pub(crate) fn seek_after(mem: &impl PhysMap, kcb: Kcb, key: &Key, last: u64) -> Option<Cte> {
    // Candidates found deeper are earlier in the order: the last one found counts.
    let (mut found, mut whole) = (NIL, false);
    let mut n = root(mem, kcb);
    while reaches(mem, n, last) {
        if key.compare(mem, n) == Ordering::Less {
            if own_last(mem, n) >= last {
                (found, whole) = (n, false);
            } else if reaches(mem, right(mem, n), last) {
                (found, whole) = (right(mem, n), true);
            }
            n = left(mem, n);
        } else {
            n = right(mem, n);
        }
    }
    while whole {
        let l = left(mem, found);
        if reaches(mem, l, last) {
            found = l;
        } else if own_last(mem, found) >= last {
            whole = false;
        } else {
            found = right(mem, found);
        }
    }
    some(found)
}

/// Last node before `key` whose own range ends at `last` or later.
pub(crate) fn seek_before(mem: &impl PhysMap, kcb: Kcb, key: &Key, last: u64) -> Option<Cte> {
    let (mut found, mut whole) = (NIL, false);
    let mut n = root(mem, kcb);
    while reaches(mem, n, last) {
        if key.compare(mem, n) == Ordering::Greater {
            if own_last(mem, n) >= last {
                (found, whole) = (n, false);
            } else if reaches(mem, left(mem, n), last) {
                (found, whole) = (left(mem, n), true);
            }
            n = right(mem, n);
        } else {
            n = left(mem, n);
        }
    }
    while whole {
        let r = right(mem, found);
        if reaches(mem, r, last) {
            found = r;
        } else if own_last(mem, found) >= last {
            whole = false;
        } else {
            found = left(mem, found);
        }
    }
    some(found)
}

/// The capability after `cte` in the order.
#[must_use]
pub fn next(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> Option<Cte> {
    successor(mem, kcb, &Key::of(mem, cte))
}

/// The capability before `cte` in the order.
#[must_use]
pub fn prev(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> Option<Cte> {
    seek_before(mem, kcb, &Key::of(mem, cte), 0)
}

/// The first capability in the order.
#[must_use]
pub fn first(mem: &impl PhysMap, kcb: Kcb) -> Option<Cte> {
    let mut n = root(mem, kcb);
    loop {
        let l = left_or_nil(mem, n);
        if l.0.is_null() {
            return some(n);
        }
        n = l;
    }
}

fn left_or_nil(mem: &impl PhysMap, n: Cte) -> Cte {
    if n.0.is_null() { NIL } else { left(mem, n) }
}

/// Another capability in the tree for the same object, or `None` when `cte` is the last one.
#[must_use]
pub fn other_copy(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> Option<Cte> {
    let key = Key::of(mem, cte);
    let mut n = root(mem, kcb);
    while !n.0.is_null() && n != cte {
        n = match key.compare_object(mem, n) {
            Ordering::Less => left(mem, n),
            Ordering::Greater => right(mem, n),
            Ordering::Equal => return Some(n),
        };
    }
    if n.0.is_null() {
        return None;
    }
    // Copies stand side by side. Those on the way were seen; the others are the
    // neighbours below.
    let mut below = left(mem, n);
    let mut before = NIL;
    while !below.0.is_null() {
        before = below;
        below = right(mem, below);
    }
    let mut after = NIL;
    below = right(mem, n);
    while !below.0.is_null() {
        after = below;
        below = left(mem, below);
    }
    [before, after]
        .into_iter()
        .find(|c| !c.0.is_null() && key.compare_object(mem, *c) == Ordering::Equal)
}

/// Whether another capability in the tree names the same object.
#[must_use]
pub fn copies_exist(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> bool {
    other_copy(mem, kcb, cte).is_some()
}

/// The first descendant of `cte` in the order.
#[must_use]
pub fn first_descendant(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> Option<Cte> {
    let cap = cte.cap(mem);
    if !schema::may_have_descendants(cap.kind) {
        return None;
    }
    descendant_after(mem, kcb, &cap, Key::after(&cap))
}

/// The descendant of `cte` that follows its descendant `after` in the order.
#[must_use]
pub fn next_descendant(mem: &impl PhysMap, kcb: Kcb, cte: Cte, after: Cte) -> Option<Cte> {
    descendant_after(mem, kcb, &cte.cap(mem), Key::of(mem, after))
}

/// Whether anything in the tree descends from `cte`.
#[must_use]
pub fn descendants_exist(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> bool {
    first_descendant(mem, kcb, cte).is_some()
}

fn descendant_after(mem: &impl PhysMap, kcb: Kcb, cap: &Cap, mut key: Key) -> Option<Cte> {
    let end = place(cap.kind.info().class, cap.last());
    loop {
        let n = successor(mem, kcb, &key)?;
        key = Key::of(mem, n);
        if key.place > end {
            return None;
        }
        if schema::is_descendant(&n.cap(mem), cap) {
            return Some(n);
        }
    }
}

/// The first descendant of `cte` that covers any of `size` bytes from `base` on and that `wanted` accepts.
///
/// What a retype of that part of `cte` must not find.
#[must_use]
pub fn overlapping_descendant<M: PhysMap>(
    mem: &M,
    kcb: Kcb,
    cte: Cte,
    base: u64,
    size: u64,
    mut wanted: impl FnMut(Cte, &Cap) -> bool,
) -> Option<Cte> {
    let cap = cte.cap(mem);
    let end = place(
        cap.kind.info().class,
        base.checked_add(size.checked_sub(1)?)?,
    );
    let mut key = Key::after(&cap);
    loop {
        let n = seek_after(mem, kcb, &key, base)?;
        key = Key::of(mem, n);
        if key.place > end {
            return None;
        }
        let c = n.cap(mem);
        if schema::is_descendant(&c, &cap) && wanted(n, &c) {
            return Some(n);
        }
    }
}

/// The nearest ancestor of `cte`: the last in the order that it descends from.
#[must_use]
pub fn ancestor(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> Option<Cte> {
    let cap = cte.cap(mem);
    if !schema::may_have_ancestors(cap.kind) {
        return None;
    }
    let mut key = Key::before(&cap);
    loop {
        let n = seek_before(mem, kcb, &key, cap.last())?;
        let c = n.cap(mem);
        if c.kind.info().class != cap.kind.info().class {
            return None;
        }
        if schema::is_descendant(&cap, &c) {
            return Some(n);
        }
        key = Key::of(mem, n);
    }
}

/// The first capability in the order that covers any of `size` numbers from `base` on in `class`
/// and that `wanted` accepts.
#[must_use]
pub fn any_overlap<M: PhysMap>(
    mem: &M,
    kcb: Kcb,
    class: Class,
    base: u64,
    size: u64,
    mut wanted: impl FnMut(Cte, &Cap) -> bool,
) -> Option<Cte> {
    let end = place(class, base.checked_add(size.checked_sub(1)?)?);
    let mut key = Key::first_at(place(class, 0));
    loop {
        let n = seek_after(mem, kcb, &key, base)?;
        key = Key::of(mem, n);
        if key.place > end {
            return None;
        }
        if wanted(n, &n.cap(mem)) {
            return Some(n);
        }
    }
}

/// The innermost capability that covers all of `size` numbers from `base` on in `class`:
/// the last in the order, which is the smallest where ranges nest.
#[must_use]
pub fn covering(mem: &impl PhysMap, kcb: Kcb, class: Class, base: u64, size: u64) -> Option<Cte> {
    let last = base.checked_add(size.checked_sub(1)?)?;
    let n = seek_before(mem, kcb, &Key::last_at(place(class, base)), last)?;
    (n.cap(mem).kind.info().class == class).then_some(n)
}

/// The innermost capability that covers the physical address `addr`.
#[must_use]
pub fn smallest_covering(mem: &impl PhysMap, kcb: Kcb, addr: u64) -> Option<Cte> {
    covering(mem, kcb, Class::Physical, addr, 1)
}

/// How capabilities lie over a range; the CTE is the first of its sort in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeHit {
    /// None overlaps it.
    Free,
    /// All that overlap cover it whole; this is the innermost.
    Covered(Cte),
    /// This one lies inside it, smaller; none cuts its ends.
    Inside(Cte),
    /// This one reaches over one end of it only.
    Cut(Cte),
}

/// How capabilities lie over `size` numbers from `base` on in `class`.
#[must_use]
pub fn find_range(mem: &impl PhysMap, kcb: Kcb, class: Class, base: u64, size: u64) -> RangeHit {
    let Some(last) = size.checked_sub(1).and_then(|n| base.checked_add(n)) else {
        return RangeHit::Free;
    };
    let mut inside = None;
    let cut = any_overlap(mem, kcb, class, base, size, |n, c| {
        let covers = c.base.0 <= base && c.last() >= last;
        let within = c.base.0 >= base && c.last() <= last;
        if within && !covers && inside.is_none() {
            inside = Some(n);
        }
        !covers && !within
    });
    match (cut, inside) {
        (Some(n), _) => RangeHit::Cut(n),
        (None, Some(n)) => RangeHit::Inside(n),
        (None, None) => {
            covering(mem, kcb, class, base, size).map_or(RangeHit::Free, RangeHit::Covered)
        }
    }
}

//! Walks over the tree that go on from a remembered place, whatever happened to what stood there.

use super::key::{Key, own_last, place};
use super::query::{ancestor, seek_after, seek_before, successor};
use crate::schema::{self, Class};
use crate::{Cap, CapType, Cte, Kcb, PhysAddr, PhysMap};

/// A place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position(Key);

impl Position {
    /// Before everything of `class`.
    #[must_use]
    pub const fn start_of(class: Class) -> Position {
        Position(Key::first_at(place(class, 0)))
    }
    /// Before all copies of `cap`.
    #[must_use]
    pub fn before(cap: &Cap) -> Position {
        Position(Key::before(cap))
    }
    /// After all copies of `cap`.
    #[must_use]
    pub fn after(cap: &Cap) -> Position {
        Position(Key::after(cap))
    }
    /// Where the capability in `cte` stands.
    #[must_use]
    pub fn of(mem: &impl PhysMap, cte: Cte) -> Position {
        Position(Key::of(mem, cte))
    }
    /// As words, to be kept in a KCB.
    #[must_use]
    pub const fn words(&self) -> [u64; 5] {
        let Key {
            place,
            size,
            kind,
            extra,
            cte,
        } = self.0;
        [place, size, kind, extra, cte]
    }
    /// Reads back what [`Position::words`] gave.
    #[must_use]
    pub const fn from_words(w: [u64; 5]) -> Position {
        Position(Key {
            place: w[0],
            size: w[1],
            kind: w[2],
            extra: w[3],
            cte: w[4],
        })
    }
}

/// The first capability after `from`.
#[must_use]
pub fn following(mem: &impl PhysMap, kcb: Kcb, from: &Position) -> Option<Cte> {
    successor(mem, kcb, &from.0)
}

/// The first copy of `cap`.
#[must_use]
pub fn copy_of(mem: &impl PhysMap, kcb: Kcb, cap: &Cap) -> Option<Cte> {
    let first = successor(mem, kcb, &Key::before(cap))?;
    schema::is_copy(&first.cap(mem), cap).then_some(first)
}

/// Whether the database holds the capability in `cte`, which is readable memory with a capability's words.
#[must_use]
pub fn holds(mem: &impl PhysMap, kcb: Kcb, cte: Cte) -> bool {
    let mut before = Key::of(mem, cte);
    before.cte = before.cte.saturating_sub(1);
    successor(mem, kcb, &before) == Some(cte)
}

/// The first copy or descendant of `cap` after `from`, which is no place before the first copy.
#[must_use]
pub fn next_of_family(
    mem: &impl PhysMap,
    kcb: Kcb,
    cap: &Cap,
    from: &Position,
) -> Option<(Cte, Cap)> {
    let end = place(cap.kind.info().class, cap.last());
    let mut key = from.0;
    loop {
        let n = successor(mem, kcb, &key)?;
        key = Key::of(mem, n);
        if key.place > end {
            return None;
        }
        let found = n.cap(mem);
        if schema::is_copy(&found, cap) || schema::is_descendant(&found, cap) {
            return Some((n, found));
        }
    }
}

/// Next of what stands for one object: see [`next_of_object`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfObject {
    /// A copy, or a Mapping that stands for it.
    Found(Cte, Cap),
    /// None so far; the search goes on from here.
    Further(Position),
    /// No more.
    End,
}

/// Whether a Mapping stands for `object`: it was made from it, or from a part that has no capability here any more.
#[must_use]
pub fn is_mapping_of(mem: &impl PhysMap, kcb: Kcb, cte: Cte, mapping: &Cap, object: &Cap) -> bool {
    if mapping.kind != CapType::Mapping || !schema::is_descendant(mapping, object) {
        return false;
    }
    let nearest = ancestor(mem, kcb, cte).map(|a| a.cap(mem));
    nearest.is_none_or(|a| !schema::is_descendant(&a, object))
}

/// The first copy of `cap`, or Mapping that stands for it ([`is_mapping_of`]), after `from`, which is no place before
/// the first copy. Looks at `looks` capabilities at most; what lies within a part that has a capability of its own
/// is passed over, since a Mapping there stands for the part.
#[must_use]
pub fn next_of_object(
    mem: &impl PhysMap,
    kcb: Kcb,
    cap: &Cap,
    from: &Position,
    looks: usize,
) -> OfObject {
    let end = place(cap.kind.info().class, cap.last());
    // Only a Mapping can begin within a part and reach over its end.
    let (mut key, mut reach) = (from.0, 0);
    for _ in 0..looks {
        let next = seek_after(mem, kcb, &key, reach);
        let Some(n) = next.filter(|n| Key::of(mem, *n).place <= end) else {
            return OfObject::End;
        };
        key = Key::of(mem, n);
        let found = n.cap(mem);
        if schema::is_copy(&found, cap) || is_mapping_of(mem, kcb, n, &found, cap) {
            return OfObject::Found(n, found);
        }
        let part = schema::may_descend(found.kind, CapType::Mapping);
        if part && schema::is_descendant(&found, cap) {
            reach = reach.max(found.last().saturating_add(1));
        }
    }
    OfObject::Further(Position(key))
}

/// The first capability after `from` with numbers in `class` in common with the range from `base` to `last`.
#[must_use]
pub fn overlapping_after(
    mem: &impl PhysMap,
    kcb: Kcb,
    class: Class,
    base: u64,
    last: u64,
    from: &Position,
) -> Option<Cte> {
    let n = seek_after(mem, kcb, &from.0, base)?;
    debug_assert!(own_last(mem, n) >= base);
    (Key::of(mem, n).place <= place(class, last)).then_some(n)
}

/// The last capability in the order, beside `but`, that covers `at`.
#[must_use]
pub fn last_covering(mem: &impl PhysMap, kcb: Kcb, class: Class, at: u64, but: Cte) -> Option<Cte> {
    let mut n = seek_before(mem, kcb, &Key::last_at(place(class, at)), at)?;
    if n == but {
        n = seek_before(mem, kcb, &Key::of(mem, n), at)?;
    }
    (n.cap(mem).kind.info().class == class).then_some(n)
}

/// The one before `n`, which covers `at`, that covers it, too, and is of the same class: around it, or beside it.
#[must_use]
pub fn covering_before(mem: &impl PhysMap, kcb: Kcb, n: Cte, at: u64) -> Option<Cte> {
    let class = n.cap(mem).kind.info().class;
    let before = seek_before(mem, kcb, &Key::of(mem, n), at)?;
    (before.cap(mem).kind.info().class == class).then_some(before)
}

/// The first capability, beside `but`, that begins after `at`.
#[must_use]
pub fn next_after(mem: &impl PhysMap, kcb: Kcb, class: Class, at: u64, but: Cte) -> Option<Cte> {
    let mut n = successor(mem, kcb, &Key::last_at(place(class, at)))?;
    if n == but {
        n = successor(mem, kcb, &Key::of(mem, n))?;
    }
    (n.cap(mem).kind.info().class == class).then_some(n)
}

/// A capability to the VNode at `at`.
#[must_use]
pub fn vnode_at(mem: &impl PhysMap, kcb: Kcb, at: PhysAddr) -> Option<Cte> {
    let first = Key {
        kind: (CapType::VNode as u64) << 32,
        extra: 0,
        cte: 0,
        ..Key::before(&Cap::region(CapType::VNode, at, crate::VNODE_BYTES))
    };
    let n = successor(mem, kcb, &first)?;
    let found = n.cap(mem);
    (found.kind == CapType::VNode && found.base == at).then_some(n)
}

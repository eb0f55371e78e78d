//! The order of the MDB (MDB-ORDER).

use core::cmp::Ordering;

use crate::schema::{Class, class_of_word, extra_of, kind_key};
use crate::{Cap, Cte, PhysAddr, PhysMap};

/// A position in the order. Fields compare from the first to the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    /// Class << 56 | base.
    pub place: u64,
    /// Inverted size: larger ones first.
    pub size: u64,
    /// Type << 32 | telling part of `param`.
    pub kind: u64,
    /// Telling part of `extra`.
    pub extra: u64,
    /// Address of the CTE: tells copies apart.
    pub cte: u64,
}

pub(crate) const fn place(class: Class, base: u64) -> u64 {
    (class as u64) << 56 | base
}

impl Key {
    /// Position of the capability that stands in `cte`.
    #[inline]
    pub fn of(mem: &impl PhysMap, cte: Cte) -> Key {
        let w0 = mem.load(cte.0);
        Key {
            place: class_of_word(w0) << 56 | mem.load_at(cte.0, 8),
            size: !mem.load_at(cte.0, 16),
            kind: kind_key(w0),
            extra: extra_of(w0, mem.load_at(cte.0, 24)),
            cte: cte.0.0,
        }
    }

    /// Position before every copy of `cap`.
    pub fn before(cap: &Cap) -> Key {
        let w = cap.emit().0;
        Key {
            place: class_of_word(w[0]) << 56 | w[1],
            size: !w[2],
            kind: kind_key(w[0]),
            extra: extra_of(w[0], w[3]),
            cte: 0,
        }
    }

    /// Position after every copy of `cap`.
    pub fn after(cap: &Cap) -> Key {
        Key {
            cte: u64::MAX,
            ..Key::before(cap)
        }
    }

    /// Position before everything at `place`.
    pub const fn first_at(place: u64) -> Key {
        Key {
            place,
            size: 0,
            kind: 0,
            extra: 0,
            cte: 0,
        }
    }

    /// Position after everything at `place`.
    pub const fn last_at(place: u64) -> Key {
        Key {
            place,
            size: u64::MAX,
            kind: u64::MAX,
            extra: u64::MAX,
            cte: u64::MAX,
        }
    }

    /// How this position compares with the capability in `node`; reads only as far as it must.
    #[inline]
    pub fn compare(&self, mem: &impl PhysMap, node: Cte) -> Ordering {
        self.compare_object(mem, node)
            .then_with(|| self.cte.cmp(&node.0.0))
    }

    /// As [`Key::compare`], but copies are equal.
    #[inline]
    pub fn compare_object(&self, mem: &impl PhysMap, node: Cte) -> Ordering {
        let w0 = mem.load(node.0);
        let place = class_of_word(w0) << 56 | mem.load_at(node.0, 8);
        if self.place != place {
            return self.place.cmp(&place);
        }
        let size = !mem.load_at(node.0, 16);
        if self.size != size {
            return self.size.cmp(&size);
        }
        let kind = kind_key(w0);
        if self.kind != kind {
            return self.kind.cmp(&kind);
        }
        self.extra.cmp(&extra_of(w0, mem.load_at(node.0, 24)))
    }
}

/// Last byte (or number) that the capability in `cte` covers.
#[inline]
pub(crate) fn own_last(mem: &impl PhysMap, cte: Cte) -> u64 {
    mem.load_at(cte.0, 8)
        .wrapping_add(mem.load_at(cte.0, 16).saturating_sub(1))
}

/// The null CTE.
pub(crate) const NIL: Cte = Cte(PhysAddr::NULL);

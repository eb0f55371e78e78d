//! How an object's words move between two formats, computed from their field tables by the compiler.

use crate::Field;

/// Consecutive words; offsets in bytes, length in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Where they stand in the format converted from.
    pub from: u16,
    /// Where they belong in the format converted to.
    pub to: u16,
    /// How many.
    pub words: u16,
}

/// Most spans of each sort in a plan.
const SPANS: usize = 72;

/// A list of spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    items: [Span; SPANS],
    len: usize,
}

impl Spans {
    const EMPTY: Spans = Spans {
        items: [Span {
            from: 0,
            to: 0,
            words: 0,
        }; SPANS],
        len: 0,
    };

    const fn with(mut self, from: u64, to: u64, words: u64) -> Spans {
        assert!(self.len < SPANS && from < 1 << 16 && to < 1 << 16 && words < 1 << 16);
        self.items[self.len] = Span {
            from: from as u16,
            to: to as u16,
            words: words as u16,
        };
        self.len += 1;
        self
    }

    /// The spans.
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.items.iter().take(self.len).copied()
    }
}

/// What to do with one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Words that stand elsewhere in the new format.
    pub moves: Spans,
    /// Words of the new format without counterpart: become 0 (`to` counts).
    pub fresh: Spans,
    /// Words of the old format without counterpart: must be 0 (`from` counts).
    pub lost: Spans,
    /// Words of the old format that no field of the new one covers: become 0 (`to` counts).
    pub stale: Spans,
}

pub(super) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The field called `name`, if the table has one.
pub(super) const fn find(fields: &[Field], name: &str) -> Option<Field> {
    let mut i = 0;
    while i < fields.len() {
        if same(fields[i].name, name) {
            return Some(fields[i]);
        }
        i += 1;
    }
    None
}

const fn covered(fields: &[Field], offset: u64) -> bool {
    let mut i = 0;
    while i < fields.len() {
        let f = &fields[i];
        if f.offset <= offset && offset < f.offset + 8 * f.words {
            return true;
        }
        i += 1;
    }
    false
}

const fn less(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

/// The plan that turns an object with fields `old` into one with fields `new`.
pub(super) const fn plan(old: &[Field], new: &[Field]) -> Plan {
    let mut p = Plan {
        moves: Spans::EMPTY,
        fresh: Spans::EMPTY,
        lost: Spans::EMPTY,
        stale: Spans::EMPTY,
    };
    let mut i = 0;
    while i < new.len() {
        let n = new[i];
        let kept = match find(old, n.name) {
            Some(o) => {
                let kept = less(o.words, n.words);
                if o.offset != n.offset {
                    p.moves = p.moves.with(o.offset, n.offset, kept);
                }
                kept
            }
            None => 0,
        };
        if kept < n.words {
            p.fresh = p.fresh.with(0, n.offset + 8 * kept, n.words - kept);
        }
        i += 1;
    }
    i = 0;
    while i < old.len() {
        let o = old[i];
        let kept = match find(new, o.name) {
            Some(n) => less(o.words, n.words),
            None => 0,
        };
        if kept < o.words {
            p.lost = p.lost.with(o.offset + 8 * kept, 0, o.words - kept);
        }
        p = stale(p, o, new);
        i += 1;
    }
    p
}

/// Adds the runs of words of `o` that no field of `new` covers.
const fn stale(mut p: Plan, o: Field, new: &[Field]) -> Plan {
    let mut run = 0;
    let mut w = 0;
    while w <= o.words {
        let end = w == o.words || covered(new, o.offset + 8 * w);
        if !end {
            run += 1;
        } else if run > 0 {
            p.stale = p.stale.with(0, o.offset + 8 * (w - run), run);
            run = 0;
        }
        w += 1;
    }
    p
}

//! The derivation tree as a plain list, with every relation spelled out by hand.
//!
//! Slow and obvious on purpose: nothing here is computed from `capfmt::schema`,
//! so a wrong line in that table disagrees with this one.

use std::collections::HashMap;

use capfmt::{Cap, CapType, Cte};

/// Number space of a type, in the order of the tree.
#[must_use]
pub fn class(kind: CapType) -> u8 {
    use CapType::*;
    match kind {
        IrqSource | IrqDest => 1,
        IoPort => 2,
        Kernel | PerfMon | IommuDomain | Domain | Id => 3,
        _ => 0,
    }
}

/// What can be made from a type in one step.
#[must_use]
pub fn children(kind: CapType) -> &'static [CapType] {
    use CapType::*;
    match kind {
        PhysAddr => &[PhysAddr, Ram, DevFrame],
        Ram => &[
            Ram,
            Frame,
            CNode,
            Dispatcher,
            UmpEndpoint,
            VNode,
            Notification,
        ],
        Frame => &[Frame, Mapping, Kcb, Core],
        DevFrame => &[DevFrame, Mapping],
        UmpEndpoint | VNode => &[Mapping],
        Dispatcher => &[Endpoint],
        Notification => &[Notify],
        Core => &[CoreControl],
        IrqSource => &[IrqSource, IrqDest],
        IoPort => &[IoPort],
        _ => &[],
    }
}

fn descends(from: CapType, to: CapType) -> bool {
    children(from)
        .iter()
        .any(|k| *k == to || (*k != from && descends(*k, to)))
}

/// The words beside type, base and size that tell objects apart: `param`, then `extra`, 0 where they do not.
#[must_use]
pub fn telling(cap: &Cap) -> (u32, u64) {
    use CapType::*;
    match cap.kind {
        CNode | Endpoint => (cap.param, 0),
        VNode | Mapping | Notify => (cap.param, cap.extra),
        Kcb | IommuDomain | Domain | Id => (0, cap.extra),
        _ => (0, 0),
    }
}

fn last(cap: &Cap) -> u64 {
    if cap.size == 0 {
        cap.base.0
    } else {
        cap.base.0 + cap.size - 1
    }
}

/// Whether both name one object.
#[must_use]
pub fn is_copy(a: &Cap, b: &Cap) -> bool {
    (a.kind, a.base, a.size, telling(a)) == (b.kind, b.base, b.size, telling(b))
}

fn covers(a: &Cap, b: &Cap) -> bool {
    class(a.kind) == class(b.kind) && a.base <= b.base && last(b) <= last(a)
}

/// Whether `d` descends from `a`.
#[must_use]
pub fn is_descendant(d: &Cap, a: &Cap) -> bool {
    let smaller = a.size != d.size;
    descends(a.kind, d.kind) && covers(a, d) && (a.kind != d.kind || smaller)
}

fn overlap(a: &Cap, b: &Cap) -> bool {
    class(a.kind) == class(b.kind) && a.base.0 <= last(b) && b.base.0 <= last(a)
}

/// Whether the two must not stand in one tree.
#[must_use]
pub fn conflict(a: &Cap, b: &Cap) -> bool {
    use CapType::*;
    let right = |k| matches!(k, Endpoint | Mapping | IrqDest | Notify | CoreControl);
    // What an OSnode lets others have of the region that its Kcb covers.
    let exported = |k: &Cap, c: &Cap| {
        k.kind == Kcb && matches!(c.kind, Ram | Frame | UmpEndpoint | VNode | Notify)
    };
    overlap(a, b)
        && !exported(a, b)
        && !exported(b, a)
        && class(a.kind) != 3
        && a.kind != Mapping
        && b.kind != Mapping
        && !(right(a.kind) && right(b.kind))
        && !is_copy(a, b)
        && !is_descendant(a, b)
        && !is_descendant(b, a)
}

type Position = (u8, u64, core::cmp::Reverse<u64>, u8, u32, u64, u64);

fn position(cte: Cte, cap: &Cap) -> Position {
    let (param, extra) = telling(cap);
    (
        class(cap.kind),
        cap.base.0,
        core::cmp::Reverse(cap.size),
        cap.kind as u8,
        param,
        extra,
        cte.0.0,
    )
}

/// All capabilities of an OSnode, in the order of the tree.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    caps: Vec<(Cte, Cap)>,
    by_slot: HashMap<Cte, Cap>,
}

impl Reference {
    /// The capabilities, in order.
    #[must_use]
    pub fn caps(&self) -> &[(Cte, Cap)] {
        &self.caps
    }
    /// Adds one.
    pub fn insert(&mut self, cte: Cte, cap: Cap) {
        let p = position(cte, &cap);
        let at = self.caps.partition_point(|(c, k)| position(*c, k) < p);
        self.caps.insert(at, (cte, cap));
        assert_eq!(self.by_slot.insert(cte, cap), None, "the slot is in use");
    }
    /// Takes one out.
    pub fn remove(&mut self, cte: Cte) -> Cap {
        let i = self.index(cte);
        self.by_slot.remove(&cte);
        self.caps.remove(i).1
    }
    fn index(&self, cte: Cte) -> usize {
        let p = position(cte, &self.cap(cte));
        self.caps.partition_point(|(c, k)| position(*c, k) < p)
    }
    /// The capability in a slot, if there is one.
    #[must_use]
    pub fn get(&self, cte: Cte) -> Option<Cap> {
        self.by_slot.get(&cte).copied()
    }
    /// The capability in a slot.
    #[must_use]
    pub fn cap(&self, cte: Cte) -> Cap {
        self.by_slot[&cte]
    }
    /// The one after.
    #[must_use]
    pub fn next(&self, cte: Cte) -> Option<Cte> {
        self.caps.get(self.index(cte) + 1).map(|e| e.0)
    }
    /// The one before.
    #[must_use]
    pub fn prev(&self, cte: Cte) -> Option<Cte> {
        self.index(cte).checked_sub(1).map(|i| self.caps[i].0)
    }
    fn matching(&self, f: impl Fn(&Cap) -> bool) -> impl DoubleEndedIterator<Item = Cte> {
        self.caps.iter().filter(move |e| f(&e.1)).map(|e| e.0)
    }
    /// Other copies.
    pub fn copies(&self, cte: Cte) -> impl Iterator<Item = Cte> {
        let cap = self.cap(cte);
        self.matching(move |c| is_copy(c, &cap))
            .filter(move |c| *c != cte)
    }
    /// Descendants, in order.
    pub fn descendants(&self, cte: Cte) -> impl Iterator<Item = Cte> {
        let cap = self.cap(cte);
        self.matching(move |c| is_descendant(c, &cap))
    }
    /// The last in the order that it descends from.
    #[must_use]
    pub fn ancestor(&self, cte: Cte) -> Option<Cte> {
        let cap = self.cap(cte);
        self.matching(move |c| is_descendant(&cap, c)).next_back()
    }
    /// All that overlap a range, in order.
    pub fn overlapping(
        &self,
        space: u8,
        base: u64,
        size: u64,
    ) -> impl DoubleEndedIterator<Item = Cte> {
        self.matching(move |c| class(c.kind) == space && c.base.0 < base + size && base <= last(c))
    }
    /// The last in the order that covers a whole range.
    #[must_use]
    pub fn covering(&self, space: u8, base: u64, size: u64) -> Option<Cte> {
        self.matching(move |c| {
            class(c.kind) == space && c.base.0 <= base && base + size - 1 <= last(c)
        })
        .next_back()
    }
    /// Whether it may join.
    #[must_use]
    pub fn accepts(&self, cap: &Cap) -> bool {
        !self.caps.iter().any(|(_, c)| conflict(c, cap))
    }
}

//! Names of objects: a capability without its rights and badge, and how two of them relate.

use capfmt::{Cap, CapType, PhysAddr, Rights, schema};

/// An object, whoever holds capabilities to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Object {
    base: u64,
    size: u64,
    kind: CapType,
    param: u32,
    extra: u64,
}

impl Object {
    /// What the capability names.
    #[must_use]
    pub fn of(cap: &Cap) -> Object {
        let identity = cap.kind.info().identity;
        Object {
            base: cap.base.0,
            size: cap.size,
            kind: cap.kind,
            param: if identity.param { cap.param } else { 0 },
            extra: if identity.extra { cap.extra } else { 0 },
        }
    }
    /// A capability to it, with every right.
    #[must_use]
    pub fn cap(&self) -> Cap {
        Cap {
            kind: self.kind,
            rights: Rights::ALL,
            param: self.param,
            base: PhysAddr(self.base),
            size: self.size,
            extra: self.extra,
        }
    }
    /// First byte (or number) covered.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }
    /// First byte (or number) no longer covered.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }
    /// This and its neighbours of the same size, `count` in all.
    pub fn row(self, count: u32) -> impl Iterator<Item = Object> {
        (0..u64::from(count)).map(move |i| Object {
            base: self.base.saturating_add(self.size.saturating_mul(i)),
            ..self
        })
    }
    /// All bytes of a [`Object::row`].
    #[must_use]
    pub fn span(self, count: u32) -> Object {
        Object {
            size: self.size.saturating_mul(count.into()),
            ..self
        }
    }
    /// Whether this is derived from `other`.
    #[must_use]
    pub fn descends_from(&self, other: &Object) -> bool {
        schema::is_descendant(&self.cap(), &other.cap())
    }
    /// Whether this is `other` or derived from it.
    #[must_use]
    pub fn is_within(&self, other: &Object) -> bool {
        self == other || self.descends_from(other)
    }
    /// Whether it is the right to make device frames of addresses: it goes over all memory, and memory does not
    /// come from it.
    #[must_use]
    pub fn is_address_right(&self) -> bool {
        self.kind == CapType::PhysAddr
    }
    /// Whether what happens to `other` concerns it as an ancestor. The right to addresses goes over all RAM, and no RAM comes
    /// from it: else, while others hold or want that right, no kernel could make anything of its RAM alone, and a monitor,
    /// which nobody answers, nothing at all.
    #[must_use]
    pub fn comes_from(&self, other: &Object) -> bool {
        let right_over_ram = other.is_address_right() && self.kind == CapType::Ram;
        self.descends_from(other) && !right_over_ram
    }
    /// Whether it is the KCB of an OSnode in whose block the other one lies: an OSnode's first memory is what its
    /// block has besides.
    #[must_use]
    pub fn is_block_around(&self, other: &Object) -> bool {
        self.kind == CapType::Kcb && self.base <= other.base && other.end() <= self.end()
    }
    /// Whether they have bytes (or numbers) in common.
    #[must_use]
    pub fn overlaps(&self, other: &Object) -> bool {
        self.kind.info().class == other.kind.info().class
            && self.base < other.end()
            && other.base < self.end()
            || self == other
    }
    /// Whether one may exist beside the other.
    #[must_use]
    pub fn agrees_with(&self, other: &Object) -> bool {
        schema::may_overlap(&self.cap(), &other.cap())
    }
}

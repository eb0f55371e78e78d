//! Capability table entries: a capability and its place in the derivation tree.
//!
//! One cache line. Words 0–3 are the capability ([`RawCap`]); words 4–7 the MDB part:
//!
//! | word | bits 0–45 | bits 46–51 | bits 52–63 |
//! |---|---|---|---|
//! | 4 | left link | level | flags |
//! | 5 | right link | owner (46–61) | reserved |
//! | 6 | last byte covered in the subtree (52 bits) | | reserved |
//! | 7 | sharer-set link | | reserved |
//!
//! A link is a CTE's physical address divided by 64; 46 bits reach 52-bit addresses.

use crate::{Cap, PhysAddr, PhysMap, RawCap};

/// Size of a CTE in bytes: one cache line.
pub const CTE_BYTES: u64 = 64;
/// A link: address / 64.
pub(crate) const LINK: u64 = (1 << 46) - 1;
/// A subtree end.
pub(crate) const LAST: u64 = (1 << 52) - 1;

/// Flags of the MDB part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MdbFlags(pub u16);

impl MdbFlags {
    /// Other OSnodes hold copies.
    pub const REMOTE_COPIES: MdbFlags = MdbFlags(1);
    /// Other OSnodes hold ancestors.
    pub const REMOTE_ANCESTORS: MdbFlags = MdbFlags(2);
    /// Other OSnodes hold descendants.
    pub const REMOTE_DESCENDANTS: MdbFlags = MdbFlags(4);
    /// A distributed operation is in progress on it.
    pub const LOCKED: MdbFlags = MdbFlags(8);
    /// Being deleted: no invocation may use it.
    pub const IN_DELETE: MdbFlags = MdbFlags(16);
    /// On the delete or clear list of the long-operation record.
    pub const LISTED: MdbFlags = MdbFlags(32);
    /// A revoke by the monitors is under way: with `IN_DELETE` it will go, without it is the copy that stays.
    pub const MARKED: MdbFlags = MdbFlags(64);
    /// Any of the flags that say that other OSnodes know the object.
    pub const REMOTE: MdbFlags = MdbFlags(7);

    /// Whether all of `other` are set.
    #[must_use]
    #[inline]
    pub const fn contains(self, other: MdbFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The MDB part of a CTE, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MdbNode {
    /// Left child, or null.
    pub left: PhysAddr,
    /// Right child, or null.
    pub right: PhysAddr,
    /// Level in the balanced tree; 0 = not in the tree.
    pub level: u8,
    /// State flags.
    pub flags: MdbFlags,
    /// Index of the owner in the KCB's peer table; 0 = this OSnode.
    pub owner: u16,
    /// Last byte covered by any capability of this subtree.
    pub last: u64,
    /// Sharer-set object, or null.
    pub sharers: PhysAddr,
}

impl MdbNode {
    /// The four words as they stand in memory.
    #[must_use]
    #[inline]
    pub const fn pack(&self) -> [u64; 4] {
        [
            (self.left.0 >> 6) & LINK
                | (self.level as u64 & 63) << 46
                | (self.flags.0 as u64) << 52,
            (self.right.0 >> 6) & LINK | (self.owner as u64) << 46,
            self.last & LAST,
            (self.sharers.0 >> 6) & LINK,
        ]
    }

    /// Reads back what [`MdbNode::pack`] wrote; total on any words.
    #[must_use]
    #[inline]
    pub const fn unpack(w: [u64; 4]) -> MdbNode {
        MdbNode {
            left: PhysAddr((w[0] & LINK) << 6),
            right: PhysAddr((w[1] & LINK) << 6),
            level: (w[0] >> 46 & 63) as u8,
            flags: MdbFlags((w[0] >> 52) as u16),
            owner: (w[1] >> 46) as u16,
            last: w[2] & LAST,
            sharers: PhysAddr((w[3] & LINK) << 6),
        }
    }
}

/// A slot: the physical address of a CTE (64-byte aligned).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cte(pub PhysAddr);

impl Cte {
    /// Reads the capability's words.
    #[must_use]
    #[inline]
    pub fn raw(self, mem: &impl PhysMap) -> RawCap {
        RawCap([
            mem.load(self.0),
            mem.load_at(self.0, 8),
            mem.load_at(self.0, 16),
            mem.load_at(self.0, 24),
        ])
    }

    /// Reads the capability; words that do not parse are a broken invariant (MDB-PARSES).
    #[must_use]
    #[inline]
    pub fn cap(self, mem: &impl PhysMap) -> Cap {
        self.raw(mem)
            .parse()
            .expect("MDB-PARSES: a CTE holds words that no kernel wrote")
    }

    /// Writes the capability's words.
    #[inline]
    pub fn set_cap(self, mem: &mut impl PhysMap, cap: &Cap) {
        let RawCap(words) = cap.emit();
        for (i, w) in words.iter().enumerate() {
            mem.store_at(self.0, 8 * i as u64, *w);
        }
    }

    /// Reads the MDB part.
    #[must_use]
    #[inline]
    pub fn node(self, mem: &impl PhysMap) -> MdbNode {
        MdbNode::unpack([
            mem.load_at(self.0, 32),
            mem.load_at(self.0, 40),
            mem.load_at(self.0, 48),
            mem.load_at(self.0, 56),
        ])
    }

    /// Writes the words of the MDB part that differ from what stands there.
    #[inline]
    pub fn set_node(self, mem: &mut impl PhysMap, node: &MdbNode) {
        for (i, w) in node.pack().iter().enumerate() {
            let at = self.0.add(32 + 8 * i as u64);
            if mem.load(at) != *w {
                mem.store(at, *w);
            }
        }
    }
}

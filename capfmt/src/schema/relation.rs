//! How two capabilities relate: copy, descendant, conflict.

use super::table::{CapType, SCHEMA};
use super::{CNODE_MAX_LOG2, CNODE_MIN_LOG2, Class, SizeRule};
use crate::Cap;

const TYPES: usize = CapType::ALL.len();

/// Bit j of entry i: a capability of type j can descend from one of type i.
const DESCENDS: [u32; 32] = {
    let mut m = [0u32; 32];
    let mut j = 0;
    while j < TYPES {
        let info = &TABLE[j];
        let mut k = 0;
        while k < info.from.len() {
            m[info.from[k] as usize] |= 1 << j;
            k += 1;
        }
        k = 0;
        while k < info.made_from.len() {
            m[info.made_from[k] as usize] |= 1 << j;
            k += 1;
        }
        j += 1;
    }
    // The transitive closure: numbers only grow along a derivation (checked
    // below), so one pass from the highest type down completes it.
    let mut i = TYPES;
    while i > 0 {
        i -= 1;
        let mut j = i + 1;
        while j < TYPES {
            if m[i] & 1 << j != 0 {
                m[i] |= m[j];
            }
            j += 1;
        }
    }
    m
};

const TABLE: &[super::TypeInfo; TYPES] = &SCHEMA;

// MDB-ORDER puts an ancestor before its descendants: at equal ranges by the
// type number, which therefore may never fall along a derivation.
const _: () = {
    let mut i = 0;
    while i < TYPES {
        assert!(
            TABLE[i].kind as usize == i,
            "SCHEMA is indexed by the type number"
        );
        let mut j = 0;
        while j < i {
            assert!(
                DESCENDS[i] & 1 << j == 0,
                "a type descends from a higher number"
            );
            j += 1;
        }
        i += 1;
    }
};

const CLASSES: [u8; 32] = {
    let mut m = [Class::Absent as u8; 32];
    let mut i = 0;
    while i < TYPES {
        m[i] = TABLE[i].class as u8;
        i += 1;
    }
    m
};

/// Types with this property of their identity or overlap rule, as bit masks.
const fn mask(which: u32) -> u32 {
    let mut m = 0;
    let mut i = 0;
    while i < TYPES {
        let t = &TABLE[i];
        let set = match which {
            0 => t.identity.param,
            1 => t.identity.extra,
            _ => t.reference,
        };
        if set {
            m |= 1 << i;
        }
        i += 1;
    }
    m
}
const PARAM_TELLS: u32 = mask(0);
const EXTRA_TELLS: u32 = mask(1);
const REFERENCES: u32 = mask(2);

/// Class of the type in capability word 0, as a number.
#[inline]
pub(crate) const fn class_of_word(w0: u64) -> u64 {
    CLASSES[(w0 & 31) as usize] as u64
}

/// Type and telling part of `param` of capability word 0, as one number that orders by type first.
#[inline]
pub(crate) const fn kind_key(w0: u64) -> u64 {
    let kind = w0 & 31;
    if PARAM_TELLS >> kind & 1 != 0 {
        kind << 32 | w0 >> 32
    } else {
        kind << 32
    }
}

/// Telling part of `extra`.
#[inline]
pub(crate) const fn extra_of(w0: u64, extra: u64) -> u64 {
    if EXTRA_TELLS >> (w0 & 31) & 1 != 0 {
        extra
    } else {
        0
    }
}

/// Whether both name the same object: same type, range and telling words. Badge and rights do not count.
#[must_use]
pub fn is_copy(a: &Cap, b: &Cap) -> bool {
    a.kind == b.kind
        && a.base == b.base
        && a.size == b.size
        && (PARAM_TELLS >> a.kind as u32 & 1 == 0 || a.param == b.param)
        && (EXTRA_TELLS >> a.kind as u32 & 1 == 0 || a.extra == b.extra)
}

/// Whether a capability of type `b` can descend from one of type `a`.
#[must_use]
pub const fn may_descend(a: CapType, b: CapType) -> bool {
    DESCENDS[a as usize] >> b as u32 & 1 != 0
}

/// Whether anything at all can descend from this type.
#[must_use]
pub const fn may_have_descendants(kind: CapType) -> bool {
    DESCENDS[kind as usize] != 0
}

/// Whether anything at all can be an ancestor of this type.
pub(crate) const fn may_have_ancestors(kind: CapType) -> bool {
    let mut i = 0;
    while i < TYPES {
        if DESCENDS[i] >> kind as u32 & 1 != 0 {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether `d` descends from `a`: a derivable type, the range inside; for the same type, strictly inside.
#[must_use]
pub fn is_descendant(d: &Cap, a: &Cap) -> bool {
    may_descend(a.kind, d.kind)
        && CLASSES[a.kind as usize] == CLASSES[d.kind as usize]
        && a.base <= d.base
        && d.last() <= a.last()
        && (a.kind != d.kind || a.size != d.size)
}

/// Whether the two may stand in one MDB: disjoint, copies, related by descent, or both
/// mere references; a Mapping conflicts with nothing, and a Kcb not with what its OSnode exports.
#[must_use]
pub fn may_overlap(a: &Cap, b: &Cap) -> bool {
    let (ka, kb) = (a.kind as usize, b.kind as usize);
    let disjoint = CLASSES[ka] != CLASSES[kb]
        || CLASSES[ka] == Class::Nowhere as u8
        || a.last() < b.base.0
        || b.last() < a.base.0;
    disjoint
        || a.kind == CapType::Mapping
        || b.kind == CapType::Mapping
        || exported_from(a, b)
        || exported_from(b, a)
        || REFERENCES >> ka & REFERENCES >> kb & 1 != 0
        || is_copy(a, b)
        || is_descendant(a, b)
        || is_descendant(b, a)
}

/// Whether `c` is what an OSnode whose Kcb is `k` may have let others have of its region.
fn exported_from(k: &Cap, c: &Cap) -> bool {
    k.kind == CapType::Kcb && (c.kind.info().crosses || c.kind == CapType::Notify)
}

/// Whether base, size and param are what the schema allows for the type.
#[must_use]
pub fn is_well_formed(cap: &Cap) -> bool {
    let info = cap.kind.info();
    if cap.kind == CapType::CNode && !(CNODE_MIN_LOG2..=CNODE_MAX_LOG2).contains(&cap.param) {
        return false;
    }
    let size = match info.size {
        SizeRule::None => cap.size == 0 && cap.base.0 == 0,
        SizeRule::Fixed(n) => cap.size == n,
        SizeRule::Pages => cap.size != 0 && cap.size.is_multiple_of(super::PAGE_BYTES),
        SizeRule::Slots => cap.size == crate::CTE_BYTES << cap.param,
        SizeRule::Any => cap.size != 0,
    };
    size && cap.base.0.is_multiple_of(info.size.align(cap.param))
}

//! CNodes: objects of `1 << param` slots of 64 bytes; two of them on the way to every capability.

use crate::{CTE_BYTES, Cap, CapType, Cte, MdbFlags, PhysMap};

/// Why an address names no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotError {
    /// The root is not a CNode.
    RootNotCNode,
    /// The address is 0, has unknown bits, or an index past the end of a CNode.
    OutOfRange,
    /// The root's slot on the way holds no CNode.
    NotCNode,
    /// The CNode on the way is being deleted.
    InDelete,
}

/// Set in an address that names a slot of the root CNode itself.
pub const ROOT_SLOT: u32 = 1 << 24;

/// The slot that `addr` (the number in an `abi::CapAddr`) names in the CSpace of `root`.
///
/// Bits 0–7 are the slot in the second CNode, bits 8–15 that CNode's slot in the
/// root; with bit 24, bits 0–7 are the slot in the root. Address 0 is none.
///
/// # Errors
/// See [`SlotError`].
#[inline]
pub fn slot(mem: &impl PhysMap, root: &Cap, addr: u32) -> Result<Cte, SlotError> {
    if root.kind as u8 != CapType::CNode as u8 {
        return Err(SlotError::RootNotCNode);
    }
    let low = u64::from(addr & 0xff);
    if addr & ROOT_SLOT != 0 {
        let fits = addr & !(ROOT_SLOT | 0xff) == 0 && low >> (root.param & 63) == 0;
        return if fits {
            Ok(Cte(root.base.add(low * CTE_BYTES)))
        } else {
            Err(SlotError::OutOfRange)
        };
    }
    let high = u64::from(addr >> 8);
    if addr == 0 || high >> (root.param & 63) != 0 {
        return Err(SlotError::OutOfRange);
    }
    let way = root.base.add(high * CTE_BYTES);
    // The words are read as they stand: a full parse would cost more than the lookup.
    let word = mem.load(way);
    if word as u8 != CapType::CNode as u8 {
        return Err(SlotError::NotCNode);
    }
    if mem.load_at(way, 32) >> 52 & u64::from(MdbFlags::IN_DELETE.0) != 0 {
        return Err(SlotError::InDelete);
    }
    if low >> (word >> 32 & 63) != 0 {
        return Err(SlotError::OutOfRange);
    }
    Ok(Cte(
        crate::PhysAddr(mem.load_at(way, 8)).add(low * CTE_BYTES)
    ))
}

/// Slot `index` of a CNode, or `None` past its end.
#[must_use]
pub fn slot_of(cnode: &Cap, index: u64) -> Option<Cte> {
    (cnode.kind == CapType::CNode && index >> (cnode.param & 63) == 0)
        .then(|| Cte(cnode.base.add(index * CTE_BYTES)))
}

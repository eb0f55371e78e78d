//! Which capability slots are free: one bitmap for each CNode in the root CNode.

use abi::CapAddr;

/// Slots of a second-level CNode, and most slots of a root CNode (8 address bits each).
pub const CNODE_SLOTS: u32 = 256;

/// 256 bits, set = free.
#[derive(Clone, Copy, Debug)]
struct Bits([u64; 4]);

impl Bits {
    const NONE: Bits = Bits([0; 4]);
    fn set_from(&mut self, first: u32, end: u32) {
        for i in first..end {
            self.0[i as usize / 64] |= 1 << (i % 64);
        }
    }
    fn is_set(&self, i: u32) -> bool {
        self.0[i as usize / 64] >> (i % 64) & 1 != 0
    }
    fn take(&mut self) -> Option<u32> {
        let word = self.0.iter().position(|w| *w != 0)?;
        let bit = self.0[word].trailing_zeros();
        self.0[word] &= self.0[word] - 1;
        Some(word as u32 * 64 + bit)
    }
}

/// The free slots of a CSpace.
#[derive(Debug)]
pub struct SlotMap {
    cnodes: [Bits; CNODE_SLOTS as usize],
    /// Slots that this allocator manages in each CNode: only these may come back.
    managed: [Bits; CNODE_SLOTS as usize],
    root: Bits,
    free: u32,
    hint: u32,
}

impl SlotMap {
    /// No slots.
    #[must_use]
    pub const fn new() -> SlotMap {
        SlotMap {
            cnodes: [Bits::NONE; CNODE_SLOTS as usize],
            managed: [Bits::NONE; CNODE_SLOTS as usize],
            root: Bits::NONE,
            free: 0,
            hint: 0,
        }
    }

    /// Adds slots `first..end` of the CNode in root slot `l1`, all empty. Slot 0 of root slot 0
    /// would be the null address, so root slot 0 is never managed.
    pub fn add(&mut self, l1: u32, first: u32, end: u32) {
        let l1 = l1 as usize;
        if l1 == 0 || l1 >= CNODE_SLOTS as usize || first >= end || end > CNODE_SLOTS {
            return;
        }
        self.cnodes[l1].set_from(first, end);
        self.managed[l1].set_from(first, end);
        self.free += end - first;
    }

    /// Says which slots of the root CNode are empty.
    pub fn add_root(&mut self, first: u32, end: u32) {
        self.root.set_from(first, end.min(CNODE_SLOTS));
    }

    /// Free slots.
    #[must_use]
    pub const fn free(&self) -> u32 {
        self.free
    }

    /// Takes an empty slot.
    pub fn take(&mut self) -> Option<CapAddr> {
        for i in 0..CNODE_SLOTS {
            let l1 = (self.hint + i) % CNODE_SLOTS;
            if let Some(l2) = self.cnodes[l1 as usize].take() {
                self.hint = l1;
                self.free -= 1;
                return Some(CapAddr::new(l1, l2));
            }
        }
        None
    }

    /// Gives a slot back, empty. Slots that are not managed, or free already, are refused.
    pub fn give_back(&mut self, slot: CapAddr) -> bool {
        let (l1, l2) = (slot.0 >> 8, slot.0 & 0xff);
        if l1 >= CNODE_SLOTS || !self.managed[l1 as usize].is_set(l2) {
            return false;
        }
        if self.cnodes[l1 as usize].is_set(l2) {
            return false;
        }
        self.cnodes[l1 as usize].set_from(l2, l2 + 1);
        self.free += 1;
        true
    }

    /// Takes an empty slot of the root CNode.
    pub fn take_root(&mut self) -> Option<u32> {
        self.root.take()
    }

    /// Gives a root slot back, empty.
    pub fn give_back_root(&mut self, l1: u32) {
        self.root.set_from(l1, l1 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn hands_out_each_slot_once_and_takes_back_only_its_own() {
        let mut m = SlotMap::new();
        m.add(1, 0, 256);
        m.add(2, 96, 256);
        let mut seen = BTreeSet::new();
        while let Some(s) = m.take() {
            assert!(s != CapAddr::NULL && seen.insert(s));
        }
        assert_eq!(seen.len(), 256 + 160);
        assert_eq!(m.free(), 0);
        assert!(!m.give_back(CapAddr::new(2, 95)), "not managed");
        assert!(!m.give_back(CapAddr::new(0, 7)), "task CNode");
        assert!(!m.give_back(CapAddr::root(3)), "root slot");
        assert!(m.give_back(CapAddr::new(1, 255)));
        assert!(!m.give_back(CapAddr::new(1, 255)), "twice");
        assert_eq!(m.take(), Some(CapAddr::new(1, 255)));
    }

    #[test]
    fn root_slots_are_apart() {
        let mut m = SlotMap::new();
        m.add_root(3, 256);
        assert_eq!(m.take(), None);
        assert_eq!(m.take_root(), Some(3));
        assert_eq!(m.take_root(), Some(4));
        m.give_back_root(3);
        assert_eq!(m.take_root(), Some(3));
    }
}

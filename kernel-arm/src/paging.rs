//! Address spaces: which user root is loaded, under which ASID.
//!
//! ASIDs are scratch of this kernel. Translations are tagged by them, so a
//! change of root flushes nothing; whoever changes or frees a table has the step
//! order a flush, so what is cached under a root's ASID agrees with the tables.
//! The first root after the kernel's start meets an empty TLB.

use arch_arm::paging::{LeafRights, leaf, tlb};
use arch_arm::registers;
use capfmt::PhysAddr;
use kernel::PageRights;

/// Roots that have an ASID at the same time; the ASID is the place plus one.
const PLACES: usize = 128;

/// The loaded root and the ASIDs of recent ones.
#[derive(Debug)]
pub struct AddressSpaces {
    loaded: u64,
    empty: u64,
    roots: [u64; PLACES],
}

impl AddressSpaces {
    /// No user root; the TLB is empty. `empty` = physical address of a root without entries.
    pub fn new(empty: u64) -> AddressSpaces {
        registers::set_user_root(registers::ttbr(empty, 0));
        tlb::flush_all();
        AddressSpaces {
            loaded: empty,
            empty,
            roots: [0; PLACES],
        }
    }

    /// Loads a root VNode. The exception return that follows synchronises.
    #[inline]
    pub fn enter(&mut self, root: PhysAddr) {
        if root.0 != self.loaded {
            self.load(root.0);
        }
    }

    fn load(&mut self, root: u64) {
        // VNodes are 8 KiB and aligned to it.
        let place = (root >> 13) as usize % PLACES;
        let asid = place as u16 + 1;
        if self.roots[place] != root {
            tlb::flush_asid(asid);
            self.roots[place] = root;
        }
        registers::set_user_root(registers::ttbr(root, asid));
        self.loaded = root;
    }

    /// Loads the empty root: nobody's tables are walked while the core sleeps.
    pub fn leave(&mut self) {
        if self.loaded != self.empty {
            registers::set_user_root(registers::ttbr(self.empty, 0));
            self.loaded = self.empty;
        }
    }
}

/// The entry that maps `frame` in a user's table.
#[must_use]
pub const fn user_leaf(level: u32, frame: PhysAddr, rights: PageRights) -> u64 {
    leaf(
        level,
        frame.0,
        LeafRights {
            user: true,
            write: rights.write,
            execute: rights.execute,
            device: rights.device,
        },
    )
}

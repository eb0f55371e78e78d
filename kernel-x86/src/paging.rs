//! Address spaces: which root table is loaded, and the image slot in it.
//!
//! No PCIDs: a change of root forgets every translation, so the first root that
//! a kernel loads meets an empty TLB.

use arch_x86::paging::{LeafRights, leaf, tlb};
use capfmt::{PhysAddr, PhysMap};
use kernel::PageRights;

/// The loaded root.
#[derive(Debug)]
pub struct AddressSpace {
    loaded: u64,
    own: u64,
    slot_entry: u64,
}

impl AddressSpace {
    /// `own` = root that the kernel was entered with, which is loaded; `slot_entry` = what every
    /// root must hold at the image slot while this kernel runs.
    pub fn new(own: PhysAddr, slot_entry: u64) -> AddressSpace {
        AddressSpace {
            loaded: own.0,
            own: own.0,
            slot_entry,
        }
    }

    /// Loads a root VNode.
    #[inline]
    pub fn enter(&mut self, m: &mut impl PhysMap, root: PhysAddr) {
        if root.0 != self.loaded {
            self.load(m, root);
        }
    }

    fn load(&mut self, m: &mut impl PhysMap, root: PhysAddr) {
        // Another kernel may have run this address space since.
        let slot = root.add(8 * genesis::SLOT_INDEX);
        if m.load(slot) != self.slot_entry {
            m.store(slot, self.slot_entry);
        }
        // SAFETY: a root VNode has the window (`Machine::init_root`), and now this image with its
        // stack and the Core object.
        unsafe { tlb::set_root(root.0) }
        self.loaded = root.0;
    }

    /// Loads the kernel's own root: nobody's tables are walked while the core sleeps.
    pub fn leave(&mut self) {
        if self.loaded != self.own {
            // SAFETY: the root that this kernel was entered with.
            unsafe { tlb::set_root(self.own) }
            self.loaded = self.own;
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

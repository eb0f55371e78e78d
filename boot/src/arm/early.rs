//! The loader's own translation: its image and the devices it talks to, at their physical addresses
//! (TTBR0); the window (TTBR1). Made and switched on while translation is off.

use arch_arm::barrier;
use arch_arm::paging::{self, LeafRights};
use arch_arm::registers::{self, Features};
use boot::Range;
use core::cell::UnsafeCell;

/// Tables at hand: root, and three more for each of image, console and interrupt controller.
const TABLES: usize = 16;

#[repr(C, align(4096))]
struct Pool(UnsafeCell<[[u64; paging::ENTRIES as usize]; TABLES]>);

// SAFETY: only the one core that runs the loader reaches it, and through `Identity` alone.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([[0; paging::ENTRIES as usize]; TABLES]));

/// The identity mapping in the making.
pub struct Identity {
    used: usize,
}

/// Code of the loader.
pub const CODE: LeafRights = LeafRights {
    user: false,
    write: false,
    execute: true,
    device: false,
};
/// Constants of the loader.
pub const CONSTANTS: LeafRights = LeafRights {
    execute: false,
    ..CODE
};
/// Data of the loader.
pub const DATA: LeafRights = LeafRights {
    write: true,
    ..CONSTANTS
};
/// Device registers.
pub const DEVICE: LeafRights = LeafRights {
    device: true,
    ..DATA
};

impl Identity {
    /// An empty mapping.
    ///
    /// # Safety
    /// Once, by the core that runs the loader, before translation is on.
    pub unsafe fn new() -> Identity {
        Identity { used: 1 }
    }

    fn entry(table: u64, index: u64) -> *mut u64 {
        (table + 8 * index) as *mut u64
    }

    fn root() -> u64 {
        POOL.0.get() as u64
    }

    fn fresh(&mut self) -> u64 {
        assert!(self.used < TABLES, "out of early page tables");
        self.used += 1;
        Self::root() + (self.used as u64 - 1) * paging::PAGE_BYTES
    }

    /// Maps the pages that `range` touches at their own addresses.
    pub fn map(&mut self, range: Range, rights: LeafRights) {
        let mut at = range.base & !(paging::PAGE_BYTES - 1);
        while at < range.end {
            let mut table = Self::root();
            for level in (1..=paging::ROOT_LEVEL).rev() {
                let slot = Self::entry(table, paging::index(level, at));
                // SAFETY: a word of one of the pool's tables, which nobody else touches.
                let entry = unsafe { slot.read_volatile() };
                table = if paging::is_valid(entry) {
                    paging::output(entry)
                } else {
                    let lower = self.fresh();
                    // SAFETY: as above.
                    unsafe { slot.write_volatile(paging::kernel_table(lower)) }
                    lower
                };
            }
            let slot = Self::entry(table, paging::index(0, at));
            // SAFETY: as above.
            unsafe { slot.write_volatile(paging::leaf(0, at, rights)) }
            at += paging::PAGE_BYTES;
        }
    }

    /// A root table for TTBR1 that holds the window's level-2 table.
    pub fn window_root(&mut self, window: u64) -> u64 {
        let root = self.fresh();
        let slot = Self::entry(root, genesis::WINDOW_INDEX);
        // SAFETY: a word of a fresh table of the pool.
        unsafe { slot.write_volatile(paging::kernel_table(window)) }
        root
    }

    /// Switches translation on: this mapping below, `window_root` above.
    ///
    /// # Safety
    /// The mapping holds the code that runs, its stack and data; `window_root` is a root table;
    /// all tables, and the loader's data, were written with caches off and are in `written`.
    pub unsafe fn switch_on(self, window_root: u64, written: &[Range]) {
        for r in written {
            // SAFETY: all of it was written with caches off: memory is what counts.
            unsafe { barrier::discard_lines(r.base, r.bytes()) }
        }
        let features = Features::read();
        // SAFETY: the mapping holds what runs; the values are those that pen and kernels use.
        unsafe {
            core::arch::asm!(
                "msr mair_el1, {mair}",
                "msr tcr_el1, {tcr}",
                "msr ttbr0_el1, {low}",
                "msr ttbr1_el1, {high}",
                "ic iallu",
                "dsb sy",
                "isb",
                "tlbi vmalle1",
                "dsb sy",
                "isb",
                "msr sctlr_el1, {sctlr}",
                "isb",
                mair = in(reg) paging::MAIR,
                tcr = in(reg) features.tcr(),
                low = in(reg) registers::ttbr(Self::root(), 0),
                high = in(reg) registers::ttbr(window_root, 0),
                sctlr = in(reg) registers::sctlr::ON,
                options(nostack)
            );
        }
    }
}

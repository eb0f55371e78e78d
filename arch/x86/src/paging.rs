//! Four-level page tables (SDM vol. 3A, 4.5).
//!
//! Levels are numbered as everywhere in Nekton: 0 is the table of 4-KiB pages
//! (PT), 3 is the root (PML4).

/// Bytes of a page and of a table.
pub const PAGE_BYTES: u64 = 4096;
/// Entries of a table.
pub const ENTRIES: u64 = 512;
/// Level of a root table.
pub const ROOT_LEVEL: u32 = 3;

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// PWT and PCD: PAT entry 3, uncached at every reset value of the PAT (SDM vol. 3A, table 12-12).
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// In tables of level 1 and 2: the entry maps a block.
const BLOCK: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const OUTPUT: u64 = 0x000f_ffff_ffff_f000;

/// What a leaf permits. Everything is readable; `write` and `execute` exclude each other (W^X).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeafRights {
    /// Reachable from user mode.
    pub user: bool,
    /// Writable.
    pub write: bool,
    /// Executable (SMEP keeps the kernel from executing user pages).
    pub execute: bool,
    /// Device registers: uncached.
    pub device: bool,
}

/// Bytes that one entry of a table of this level covers.
#[must_use]
pub const fn entry_bytes(level: u32) -> u64 {
    PAGE_BYTES << (9 * level)
}

/// Index of `va` in its table of this level.
#[must_use]
pub const fn index(level: u32, va: u64) -> u64 {
    va >> (12 + 9 * level) & (ENTRIES - 1)
}

/// The entry of a level-`level` table (0: page, 1: 2 MiB, 2: 1 GiB) that maps `phys`.
///
/// A leaf asked to be both writable and executable is made writable only, and
/// device registers are never executable. No leaf is global: kernels of one
/// core stand at the same address one after the other, and a load of CR3 must
/// be enough to forget the former one.
#[must_use]
pub const fn leaf(level: u32, phys: u64, rights: LeafRights) -> u64 {
    // Accessed and dirty are set from the start: the processor never writes a table.
    let mut e = PRESENT | ACCESSED | phys & OUTPUT & !(entry_bytes(level) - 1);
    if level > 0 {
        e |= BLOCK;
    }
    if rights.write {
        e |= WRITE | DIRTY;
    }
    if rights.user {
        e |= USER;
    }
    if rights.device {
        e |= UNCACHED;
    }
    if !rights.execute || rights.write || rights.device {
        e |= NO_EXECUTE;
    }
    e
}

/// The entry that links the lower table at `phys` in a user's tables: leaves alone limit rights.
#[must_use]
pub const fn user_table(phys: u64) -> u64 {
    PRESENT | WRITE | USER | ACCESSED | phys & OUTPUT
}

/// The entry that links the lower table at `phys` in a kernel's tables: user mode reaches nothing below it.
#[must_use]
pub const fn kernel_table(phys: u64) -> u64 {
    PRESENT | WRITE | ACCESSED | phys & OUTPUT
}

/// Whether the entry maps or links anything.
#[must_use]
pub const fn is_valid(entry: u64) -> bool {
    entry & PRESENT != 0
}

/// Whether the entry of a level-`level` table links a lower table.
#[must_use]
pub const fn is_table(level: u32, entry: u64) -> bool {
    level > 0 && entry & (PRESENT | BLOCK) == PRESENT
}

/// The physical address that the entry leads to.
#[must_use]
pub const fn output(entry: u64) -> u64 {
    entry & OUTPUT
}

/// Local TLB maintenance: this core only (DESIGN §4; other cores are their own kernels' business).
#[cfg(target_arch = "x86_64")]
pub mod tlb {
    use core::arch::asm;

    /// Forgets every translation of this core (there are no global ones).
    #[inline]
    pub fn flush_all() {
        // SAFETY: writing back CR3's own value changes no mapping, it only drops cached translations.
        unsafe {
            asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
        }
    }

    /// Forgets the translation of the page at `va` in the current address space.
    #[inline]
    pub fn flush_page(va: u64) {
        // SAFETY: dropping a cached translation changes no mapping.
        unsafe { asm!("invlpg [{0}]", in(reg) va, options(nostack, preserves_flags)) }
    }

    /// The root table in use.
    #[inline]
    #[must_use]
    pub fn root() -> u64 {
        let root: u64;
        // SAFETY: reading CR3 has no effect.
        unsafe { asm!("mov {0}, cr3", out(reg) root, options(nomem, nostack, preserves_flags)) }
        root
    }

    /// Goes on under another root table; drops all cached translations.
    ///
    /// # Safety
    /// The table must map the running code, its stack and its data as they are mapped now.
    #[inline]
    pub unsafe fn set_root(root: u64) {
        // SAFETY: the caller's promise.
        unsafe { asm!("mov cr3, {0}", in(reg) root, options(nostack, preserves_flags)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RX: LeafRights = LeafRights {
        user: true,
        write: false,
        execute: true,
        device: false,
    };
    const RW: LeafRights = LeafRights {
        write: true,
        execute: false,
        ..RX
    };

    #[test]
    fn user_pages() {
        assert_eq!(leaf(0, 0x1_2345_6000, RX), 0x0000_0001_2345_6025);
        assert_eq!(leaf(0, 0x1_2345_6000, RW), 0x8000_0001_2345_6067);
        let dev = LeafRights { device: true, ..RW };
        assert_eq!(leaf(0, 0xfee0_0000, dev), 0x8000_0000_fee0_007f);
    }

    #[test]
    fn kernel_blocks() {
        let rw = LeafRights { user: false, ..RW };
        assert_eq!(leaf(1, 0x4030_1000, rw), 0x8000_0000_4020_00e3);
        assert_eq!(leaf(2, 0x4030_1000, rw), 0x8000_0000_4000_00e3);
    }

    #[test]
    fn write_and_execute_exclude_each_other() {
        for (write, device) in [(true, false), (true, true), (false, true)] {
            let r = LeafRights {
                write,
                device,
                ..RX
            };
            assert_ne!(leaf(0, 0x1000, r) & NO_EXECUTE, 0);
        }
    }

    #[test]
    fn tables_are_no_leaves() {
        assert_eq!(user_table(0x8000), 0x8027);
        assert_eq!(kernel_table(0x8000), 0x8023);
        assert!(is_table(3, user_table(0x8000)) && !is_table(0, leaf(0, 0x1000, RX)));
        assert!(!is_table(1, leaf(1, 0x20_0000, RX)) && !is_valid(0));
        assert_eq!(output(leaf(0, 0xf_ffff_ffff_f000, RW)), 0xf_ffff_ffff_f000);
    }

    #[test]
    fn indices_of_the_fixed_places() {
        assert_eq!(index(3, 0xffff_8000_0000_0000), 256);
        assert_eq!(index(3, 0xffff_ff80_0000_0000), 511);
        assert_eq!(index(2, 0xffff_ff80_4000_0000), 1);
        assert_eq!(index(2, 0xffff_ffff_c000_0000), 511);
        assert_eq!(index(0, 0xffff_ffff_c001_0000), 16);
        assert_eq!(entry_bytes(1), 2 << 20);
    }
}

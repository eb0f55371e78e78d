//! Stage-1 translation tables, 4-KiB granule, 48-bit addresses (Arm ARM D8.3).
//!
//! Levels are numbered as everywhere in Nekton: 0 is the table of 4-KiB pages
//! (Arm's level 3), 3 is the root (Arm's level 0).

/// Bytes of a page and of a table.
pub const PAGE_BYTES: u64 = 4096;
/// Entries of a table.
pub const ENTRIES: u64 = 512;
/// Level of a root table.
pub const ROOT_LEVEL: u32 = 3;

const VALID: u64 = 1 << 0;
/// Table descriptor above level 0, page descriptor at level 0; clear = block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const AP_EL0: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const SH_INNER: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
/// Hierarchical: nothing below is executable at EL1.
const PXN_TABLE: u64 = 1 << 59;
/// Hierarchical: nothing below is executable at EL0.
const UXN_TABLE: u64 = 1 << 60;
/// Hierarchical: nothing below is accessible from EL0.
const AP_TABLE_NO_EL0: u64 = 1 << 61;
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;

/// MAIR index of ordinary write-back memory.
pub const NORMAL: u64 = 0;
/// MAIR index of device registers.
pub const DEVICE: u64 = 1;
/// MAIR_EL1: index 0 normal write-back allocating (0xff), index 1 device nGnRE (0x04).
///
/// The same in loader, pen and every kernel: tables outlive the one that made them.
pub const MAIR: u64 = 0xff << (8 * NORMAL) | 0x04 << (8 * DEVICE);

/// What a leaf permits. Everything is readable; `write` and `execute` exclude each other (W^X).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeafRights {
    /// For EL0, in a user's tables (TTBR0); otherwise for EL1 only, in the kernels' (TTBR1).
    pub user: bool,
    /// Writable.
    pub write: bool,
    /// Executable at the level that it is for, never at the other.
    pub execute: bool,
    /// Device registers: no caching, no gathering, no reordering.
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
/// device registers are never executable.
#[must_use]
pub const fn leaf(level: u32, phys: u64, rights: LeafRights) -> u64 {
    let mut e = VALID | ACCESSED | phys & OUTPUT & !(entry_bytes(level) - 1);
    if level == 0 {
        e |= TABLE_OR_PAGE;
    }
    // Shareability of device memory is ignored by the architecture, but some cores warn in traces.
    e |= if rights.device {
        DEVICE << 2
    } else {
        NORMAL << 2 | SH_INNER
    };
    if !rights.write {
        e |= AP_READ_ONLY;
    }
    let execute = rights.execute && !rights.write && !rights.device;
    if rights.user {
        e |= AP_EL0 | NOT_GLOBAL | PXN;
        if !execute {
            e |= UXN;
        }
    } else {
        e |= UXN;
        if !execute {
            e |= PXN;
        }
    }
    e
}

/// The entry that links the lower table at `phys` in a user's tables: EL1 never executes below it.
#[must_use]
pub const fn user_table(phys: u64) -> u64 {
    VALID | TABLE_OR_PAGE | phys & OUTPUT | PXN_TABLE
}

/// The entry that links the lower table at `phys` in a kernel's tables: EL0 reaches nothing below it.
#[must_use]
pub const fn kernel_table(phys: u64) -> u64 {
    VALID | TABLE_OR_PAGE | phys & OUTPUT | UXN_TABLE | AP_TABLE_NO_EL0
}

/// Whether the entry maps or links anything.
#[must_use]
pub const fn is_valid(entry: u64) -> bool {
    entry & VALID != 0
}

/// Whether the entry of a level-`level` table links a lower table.
#[must_use]
pub const fn is_table(level: u32, entry: u64) -> bool {
    level > 0 && entry & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
}

/// The physical address that the entry leads to.
#[must_use]
pub const fn output(entry: u64) -> u64 {
    entry & OUTPUT
}

/// Local TLB maintenance: this core only (DESIGN §4; other cores are their own kernels' business).
#[cfg(target_arch = "aarch64")]
pub mod tlb {
    use core::arch::asm;

    /// Makes table writes visible to the walker, before entries that were invalid are used.
    #[inline]
    pub fn publish() {
        // SAFETY: barriers have no precondition.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) }
    }

    /// Forgets every translation of this core at EL1 and EL0.
    #[inline]
    pub fn flush_all() {
        // SAFETY: dropping cached translations changes no mapping.
        unsafe {
            asm!(
                "dsb nshst",
                "tlbi vmalle1",
                "dsb nsh",
                "isb",
                options(nostack, preserves_flags)
            );
        }
    }

    /// Forgets the translations of the page at `va` in every address space.
    #[inline]
    pub fn flush_page(va: u64) {
        let operand = va << 8 >> 20;
        // SAFETY: as `flush_all`.
        unsafe {
            asm!(
                "dsb nshst",
                "tlbi vaae1, {0}",
                "dsb nsh",
                "isb",
                in(reg) operand,
                options(nostack, preserves_flags)
            );
        }
    }

    /// Forgets the translations of one address space.
    #[inline]
    pub fn flush_asid(asid: u16) {
        // SAFETY: as `flush_all`.
        unsafe {
            asm!(
                "dsb nshst",
                "tlbi aside1, {0}",
                "dsb nsh",
                "isb",
                in(reg) u64::from(asid) << 48,
                options(nostack, preserves_flags)
            );
        }
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

    #[test]
    fn user_code_page() {
        // valid, page, index 0, AP = 0b11 (EL0 read only), inner shareable, AF, nG, PXN, not UXN.
        let e = leaf(0, 0x1_2345_6000, RX);
        assert_eq!(e, 0x0020_0001_2345_6fc3);
    }

    #[test]
    fn user_data_and_device() {
        let rw = LeafRights {
            write: true,
            execute: false,
            ..RX
        };
        assert_eq!(leaf(0, 0x4000_0000, rw), 0x0060_0000_4000_0f43);
        let dev = LeafRights { device: true, ..rw };
        assert_eq!(leaf(0, 0x0900_0000, dev), 0x0060_0000_0900_0c47);
    }

    #[test]
    fn kernel_leaves_are_global_and_closed_to_el0() {
        let rx = LeafRights { user: false, ..RX };
        assert_eq!(leaf(0, 0x5000, rx), 0x0040_0000_0000_5783);
        let rw = LeafRights {
            write: true,
            execute: false,
            ..rx
        };
        assert_eq!(leaf(2, 0x4000_0000, rw), 0x0060_0000_4000_0701);
    }

    #[test]
    fn write_and_execute_exclude_each_other() {
        for user in [false, true] {
            for device in [false, true] {
                let wx = LeafRights {
                    user,
                    write: true,
                    execute: true,
                    device,
                };
                let e = leaf(0, 0x1000, wx);
                assert_eq!(e & (PXN | UXN), PXN | UXN);
                let dx = LeafRights {
                    write: false,
                    device: true,
                    ..wx
                };
                assert_eq!(leaf(0, 0x1000, dx) & (PXN | UXN), PXN | UXN);
            }
        }
    }

    #[test]
    fn blocks_drop_low_bits_and_are_no_tables() {
        let e = leaf(1, 0x4030_1000, RX);
        assert_eq!(output(e), 0x4020_0000);
        assert!(is_valid(e) && !is_table(1, e) && !is_table(0, leaf(0, 0x1000, RX)));
        assert!(is_table(1, user_table(0x8000)) && is_table(3, kernel_table(0x8000)));
        assert_eq!(user_table(0x8000), 0x0800_0000_0000_8003);
        assert_eq!(kernel_table(0x8000), 0x3000_0000_0000_8003);
        assert!(!is_valid(0));
    }

    #[test]
    fn indices_of_the_fixed_places() {
        assert_eq!(index(3, 0xffff_8000_0000_0000), 256);
        assert_eq!(index(3, 0xffff_ff80_0000_0000), 511);
        assert_eq!(index(2, 0xffff_ff80_4000_0000), 1);
        assert_eq!(index(3, 0xffff_ffff_c000_0000), 511);
        assert_eq!(index(2, 0xffff_ffff_c000_0000), 511);
        assert_eq!(index(1, 0xffff_ffff_c000_0000), 0);
        assert_eq!(index(0, 0x0000_0000_4020_3000), 3);
        assert_eq!(entry_bytes(1), 2 << 20);
    }
}

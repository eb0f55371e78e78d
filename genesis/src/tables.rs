//! Page tables as arrays of words.

use capfmt::{PhysAddr, PhysMap};

/// Index of `va` in its level-`level` table.
pub(crate) const fn index(level: u32, va: u64) -> u64 {
    va >> (12 + 9 * level) & 511
}

/// Writes entry `index` of the table at `table`.
pub(crate) fn set_entry(mem: &mut impl PhysMap, table: PhysAddr, index: u64, entry: u64) {
    mem.store(table.add(8 * index), entry);
}

/// Bytes that one entry of a level-`level` table covers.
pub(crate) const fn reach(level: u32) -> u64 {
    1 << (12 + 9 * level)
}

/// Reads entry `index` of the table at `table`; 0 = nothing there.
pub(crate) fn entry(mem: &impl PhysMap, table: PhysAddr, index: u64) -> u64 {
    mem.load(table.add(8 * index))
}

/// Address of the table that an entry links: both ISAs keep it in bits 12–51
/// (Intel SDM 325462, vol. 3 §5.5; ARM DDI 0487, D8.3, 4-KiB granule without LPA2).
pub(crate) const fn table_of(entry: u64) -> PhysAddr {
    PhysAddr(entry & 0x000f_ffff_ffff_f000)
}

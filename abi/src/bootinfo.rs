//! Boot information: one frame of words, read only, for an OSnode's first process.
//!
//! Word offsets in bytes; strings are (address in the frame, length) pairs.

/// First word.
pub const MAGIC: u64 = 0x0149_544f_4f42_4b4e;
/// Bytes of the frame.
pub const BYTES: u64 = 0x4000;
/// Offsets of the words.
pub mod word {
    /// [`super::MAGIC`].
    pub const MAGIC: u64 = 0;
    /// Physical address of the boot archive.
    pub const ARCHIVE: u64 = 8;
    /// Bytes of the archive.
    pub const ARCHIVE_BYTES: u64 = 16;
    /// Physical address of the ACPI RSDP, or 0.
    pub const RSDP: u64 = 24;
    /// Physical address of the device tree, or 0.
    pub const FDT: u64 = 32;
    /// OSnode id.
    pub const OSNODE: u64 = 40;
    /// Number of RAM capabilities from `slots::RAM` on.
    pub const RAM_COUNT: u64 = 48;
    /// Offset of the command line in the frame.
    pub const CMDLINE: u64 = 56;
    /// Bytes of the command line.
    pub const CMDLINE_BYTES: u64 = 64;
    /// Core index that the OSnode was made for.
    pub const CORE: u64 = 72;
    /// 1 if this is the OSnode made by the loader.
    pub const IS_BOOT: u64 = 80;
    /// Home OSnode (who made this one), or 0.
    pub const HOME: u64 = 88;
    /// Physical address and bytes of the low page(s) reserved for the SIPI trampoline (x86), or 0.
    pub const TRAMPOLINE: u64 = 96;
    /// Counter when the loader was entered.
    pub const ENTRY_COUNTER: u64 = 104;
    /// NUMA node of the memory region.
    pub const NODE: u64 = 112;
    /// Physical memory: first byte after the last RAM byte.
    pub const RAM_END: u64 = 120;
    /// Root of the shared window's tables (the lower-level table that every root links at `vaddr::WINDOW`).
    pub const WINDOW_TABLE: u64 = 128;
    /// First of the RAM records: pairs (base, bytes | node << 56), `RAM_COUNT` of them.
    pub const RAM_RECORDS: u64 = 0x200;
    /// Cores whose control a non-boot OSnode is given: count, then core ids (capabilities: `slots::CORE_RECORDS`).
    pub const CORES: u64 = 0x400;
}

//! The address space of a process at its start, and the fixed places of kernels.
//!
//! What lies under entry 0 of the root VNode is one for all dispatchers of a process; what lies
//! under entry 1 is each dispatcher's own, at the same addresses.

/// First address of what all dispatchers of a process share.
pub const SHARED: u64 = 0x4000_0000;
/// First address of what each dispatcher has for itself.
pub const PRIVATE: u64 = 0x80_0000_0000;
/// Read-only time page.
pub const TIME_PAGE: u64 = PRIVATE;
/// Read-only start block (see `proto`): arguments, names of given capabilities.
pub const START_BLOCK: u64 = PRIVATE + 0x1000;
/// Dispatcher frame, four pages.
pub const DISP_FRAME: u64 = PRIVATE + 0x1_0000;
/// Read-only boot information (first process of an OSnode only), four pages.
pub const BOOT_INFO: u64 = PRIVATE + 0x2_0000;
/// First address for mappings that a dispatcher makes at run time for itself alone.
pub const PRIVATE_DYNAMIC: u64 = PRIVATE + 0x4000_0000;
/// First address after those.
pub const PRIVATE_END: u64 = 2 * PRIVATE;
/// Lowest byte of the first stack; the page below is never mapped.
pub const STACK_BASE: u64 = 0x4010_0000;
/// Bytes of the first stack.
pub const STACK_BYTES: u64 = 0x4_0000;
/// Load address of the (static PIE) program.
pub const IMAGE: u64 = 0x4020_0000;
/// First address of the heap.
pub const HEAP: u64 = 0x6000_0000;
/// First address for mappings made at run time and seen by all dispatchers of the process.
pub const DYNAMIC: u64 = 0x8000_0000;
/// First address after those.
pub const DYNAMIC_END: u64 = PRIVATE;
/// First address that is never the user's.
pub const USER_END: u64 = 0x0000_8000_0000_0000;

/// Kernels: physical address 0 of the RAM window.
pub const WINDOW: u64 = 0xffff_8000_0000_0000;
/// Kernels: first address of the image slot (one top-level entry).
pub const IMAGE_SLOT: u64 = 0xffff_ff80_0000_0000;
/// Kernels and pen: where the Core object of the core is mapped (64 KiB).
pub const CORE_VA: u64 = 0xffff_ffff_c000_0000;

/// Time page: generation (odd while it changes), then the words below.
pub mod time_page {
    /// Generation.
    pub const GENERATION: u64 = 0;
    /// OSnode time (ns) at `COUNTER_START`.
    pub const BASE_NS: u64 = 8;
    /// Counter at the last attach.
    pub const COUNTER_START: u64 = 16;
    /// ns = base + ((counter − start) × mult >> shift).
    pub const MULT: u64 = 24;
    /// See `MULT`.
    pub const SHIFT: u64 = 32;
    /// System time = counter × mult >> shift + this offset.
    pub const SYSTEM_OFFSET_NS: u64 = 40;
    /// OSnode id.
    pub const OSNODE: u64 = 48;
}

//! A core's control object: header, pen, and the tables under which the pen runs.

use capfmt::{PhysAddr, PhysMap};

use crate::IsaTables;

/// How firmware enters the pen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirmwareEntry {
    /// x86: at this low page (SIPI), identity-mapped readable, writable and executable-by-kernel
    /// in the pen's own root, which the trampoline loads.
    LowPage(PhysAddr),
    /// Arm: at this offset in the pen's code page, identity-mapped in a root of its own
    /// (`pen_identity_root`, for TTBR0).
    PenOffset(u64),
}

/// What a new core object says.
#[derive(Clone, Copy, Debug)]
pub struct CoreParams<'a> {
    /// APIC id or MPIDR affinity.
    pub hw_id: u64,
    /// Index of the core.
    pub core_id: u64,
    /// NUMA node.
    pub node: u64,
    /// `capfmt::Core::FLAG_*`.
    pub flags: u64,
    /// OSnode whose boot driver may command the core; 0 = none yet.
    pub holder: u64,
    /// Counter frequency in Hz.
    pub counter_hz: u64,
    /// Timer frequency in Hz.
    pub timer_hz: u64,
    /// ns = (counter × mult) >> shift.
    pub mult: u64,
    /// See `mult`.
    pub shift: u64,
    /// ISA parameters (`capfmt::Core::isa_param`).
    pub isa_param: [u64; 8],
    /// The pen's position-independent machine code, at most one page.
    pub pen_code: &'a [u8],
    /// Offset in `pen_code` where kernels enter.
    pub pen_kernel_entry: u64,
    /// Where firmware enters.
    pub firmware: FirmwareEntry,
    /// The window's shared level-2 table.
    pub window_table: PhysAddr,
}

/// Makes the 64 KiB at `core` (64-KiB aligned) a Core object: status Off, no command, no image.
///
/// # Panics
/// If `core` is misaligned or the pen's code exceeds its page: both are the caller's constants.
pub fn build_core<T: IsaTables>(mem: &mut impl PhysMap, core: PhysAddr, p: &CoreParams<'_>) {
    let _ = (mem, core, p);
    todo!()
}

/// Physical address of the level-1 table that slot tables link at [`crate::CORE_INDEX`].
#[must_use]
pub const fn core_slot_table(core: PhysAddr) -> PhysAddr {
    core.add(capfmt::Core::PEN_TABLES + 2 * crate::PAGE)
}

/// Physical address of the pen's code page.
#[must_use]
pub const fn pen_code_page(core: PhysAddr) -> PhysAddr {
    core.add(capfmt::Core::PEN_CODE)
}

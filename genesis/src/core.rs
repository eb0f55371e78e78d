//! A core's control object: header, pen, and the tables under which the pen runs.
//!
//! Pen tables, by page from `Core::PEN_TABLES` on: 0 root, 1 slot table, 2 level 1
//! and 3 level 0 of the Core object itself (kernels' slot tables link page 2 too,
//! so kernels and pen see the object at `vaddr::CORE_VA`); 4–7 the identity
//! mapping of the page that firmware enters at.

use capfmt::{CORE_OBJECT_BYTES, Core, CoreStatus, FORMAT_VERSION, PhysAddr, PhysMap};

use crate::DeviceRange;
use crate::isa::{EntryRights, IsaTables};
use crate::tables::{index, set_entry};
use crate::{CORE_INDEX, PAGE, SLOT_INDEX, WINDOW_INDEX};

/// How firmware enters the pen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirmwareEntry {
    /// x86: at this page below 1 MiB (SIPI). It is mapped at its own address, executable,
    /// not writable, in the pen's root, which the trampoline loads.
    LowPage(PhysAddr),
    /// Arm: at this offset in the pen's code page, identity-mapped in a root of its own
    /// (`Core::pen_identity_root`, for TTBR0).
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
    /// Registers that the pen needs (local interrupt controller), mapped uncached one after the
    /// other from `vaddr::CORE_VA` + [`CORE_DEVICES_OFFSET`] on.
    pub devices: &'a [DeviceRange],
}

/// Distance from `vaddr::CORE_VA` to the device registers that pen and kernels see there.
pub const CORE_DEVICES_OFFSET: u64 = 0x10_0000;

/// Makes the 64 KiB at `core` (64-KiB aligned) a Core object: status Off, no command, no image.
///
/// # Panics
/// If `core` is misaligned, the pen's code exceeds its page, the low page is not below 1 MiB,
/// or the devices exceed 1 MiB: all are the caller's constants.
pub fn build_core<T: IsaTables>(mem: &mut impl PhysMap, core: PhysAddr, p: &CoreParams<'_>) {
    assert!(core.is_aligned(CORE_OBJECT_BYTES), "misaligned Core object");
    assert!(p.pen_code.len() as u64 <= PAGE, "pen code exceeds a page");
    mem.zero(core, CORE_OBJECT_BYTES);
    mem.write_bytes(pen_code_page(core), p.pen_code);
    build_pen_tables::<T>(mem, core, p.window_table);
    map_devices::<T>(mem, core, p.devices);
    build_identity::<T>(mem, core, p.firmware);
    write_header::<T>(mem, Core(core), p);
}

const fn pen_table(core: PhysAddr, n: u64) -> PhysAddr {
    core.add(Core::PEN_TABLES + n * PAGE)
}

/// Physical address of the level-1 table that slot tables link at [`crate::CORE_INDEX`].
#[must_use]
pub const fn core_slot_table(core: PhysAddr) -> PhysAddr {
    pen_table(core, 2)
}

/// Physical address of the pen's code page.
#[must_use]
pub const fn pen_code_page(core: PhysAddr) -> PhysAddr {
    core.add(Core::PEN_CODE)
}

fn build_pen_tables<T: IsaTables>(mem: &mut impl PhysMap, core: PhysAddr, window: PhysAddr) {
    const VA: u64 = abi::vaddr::CORE_VA;
    const { assert!(index(3, VA) == SLOT_INDEX && index(2, VA) == CORE_INDEX) };
    let link = |n| T::table(pen_table(core, n), false);
    let root = pen_table(core, 0);
    set_entry(mem, root, WINDOW_INDEX, T::table(window, false));
    set_entry(mem, root, SLOT_INDEX, link(1));
    set_entry(mem, pen_table(core, 1), CORE_INDEX, link(2));
    set_entry(mem, pen_table(core, 2), index(1, VA), link(3));
    for off in (0..CORE_OBJECT_BYTES).step_by(PAGE as usize) {
        let rights = match off {
            Core::PEN_CODE => EntryRights::KERNEL_CODE,
            _ => EntryRights::KERNEL_DATA,
        };
        let entry = T::leaf(0, core.add(off), rights);
        set_entry(mem, pen_table(core, 3), index(0, VA + off), entry);
    }
}

fn map_devices<T: IsaTables>(mem: &mut impl PhysMap, core: PhysAddr, devices: &[DeviceRange]) {
    let mut at = CORE_DEVICES_OFFSET;
    for d in devices {
        for off in (0..d.bytes).step_by(PAGE as usize) {
            assert!(at < 0x20_0000, "too many device registers for the pen");
            let entry = T::leaf(0, d.base.add(off), EntryRights::KERNEL_DEVICE);
            set_entry(
                mem,
                pen_table(core, 3),
                index(0, abi::vaddr::CORE_VA + at),
                entry,
            );
            at += PAGE;
        }
    }
}

/// Maps the page that firmware enters at its own physical address.
fn build_identity<T: IsaTables>(mem: &mut impl PhysMap, core: PhysAddr, f: FirmwareEntry) {
    let link = |n| T::table(pen_table(core, n), false);
    let (page, top) = match f {
        FirmwareEntry::LowPage(page) => {
            assert!(page.0 < 1 << 20 && page.is_aligned(PAGE), "bad low page");
            (page, pen_table(core, 0))
        }
        FirmwareEntry::PenOffset(_) => (pen_code_page(core), pen_table(core, 4)),
    };
    set_entry(mem, top, index(3, page.0), link(5));
    set_entry(mem, pen_table(core, 5), index(2, page.0), link(6));
    set_entry(mem, pen_table(core, 6), index(1, page.0), link(7));
    let entry = T::leaf(0, page, EntryRights::KERNEL_CODE);
    set_entry(mem, pen_table(core, 7), index(0, page.0), entry);
}

fn write_header<T: IsaTables>(mem: &mut impl PhysMap, c: Core, p: &CoreParams<'_>) {
    c.set_magic(mem, Core::MAGIC);
    c.set_format(mem, FORMAT_VERSION);
    c.set_isa(mem, T::ISA as u64);
    c.set_hw_id(mem, p.hw_id);
    c.set_core_id(mem, p.core_id);
    c.set_node(mem, p.node);
    c.set_flags(mem, p.flags);
    c.set_holder(mem, p.holder);
    c.set_counter_hz(mem, p.counter_hz);
    c.set_timer_hz(mem, p.timer_hz);
    c.set_mult(mem, p.mult);
    c.set_shift(mem, p.shift);
    for (i, w) in p.isa_param.into_iter().enumerate() {
        c.set_isa_param(mem, i as u64, w);
    }
    c.set_target_status(mem, CoreStatus::Off as u64);
    c.set_pen_root(mem, pen_table(c.0, 0).0);
    let entry = abi::vaddr::CORE_VA + Core::PEN_CODE + p.pen_kernel_entry;
    c.set_pen_entry(mem, entry);
    match p.firmware {
        FirmwareEntry::LowPage(page) => c.set_pen_firmware_entry(mem, page.0),
        FirmwareEntry::PenOffset(off) => {
            c.set_pen_firmware_entry(mem, pen_code_page(c.0).add(off).0);
            c.set_pen_identity_root(mem, pen_table(c.0, 4).0);
        }
    }
}

//! A fresh OSnode in a region of memory.

use capfmt::{Cap, MdbFlags, PhysAddr, PhysMap};

use crate::{ImageError, IsaTables};

/// A range of RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RamRange {
    /// First byte (page aligned).
    pub base: PhysAddr,
    /// Bytes (a multiple of a page).
    pub bytes: u64,
    /// NUMA node.
    pub node: u8,
}

/// A capability to put into the first process's task CNode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// Its slot (a `slots` address of the task CNode).
    pub slot: abi::CapAddr,
    /// The capability.
    pub cap: Cap,
    /// OSnode that owns the object; 0 = the new OSnode itself.
    pub owner: u64,
    /// MDB flags (a copy of another OSnode's object says so).
    pub flags: MdbFlags,
}

/// What the new OSnode is to be.
#[derive(Clone, Copy, Debug)]
pub struct OsnodeSpec<'a> {
    /// Its identity.
    pub osnode: u64,
    /// Features that it needs of kernels (`capfmt::Kcb::features`).
    pub features: u64,
    /// Core that it is made for.
    pub core: u64,
    /// NUMA node of its memory: objects come from the first range there that has room.
    pub node: u8,
    /// Made by the loader: gets its own `Kcb` capability (`slots::OWN_KCB`), all RAM is its own.
    pub is_boot: bool,
    /// OSnode that made it; 0 = none.
    pub home: u64,
    /// All its memory, at most 32 ranges. Non-boot: one range, 64-KiB aligned, which the `Kcb` capability covers.
    pub ram: &'a [RamRange],
    /// First process: a static PIE.
    pub monitor: &'a [u8],
    /// Name of the first process, at most 16 bytes.
    pub name: &'a [u8],
    /// Contents of the start block (`proto`), at most a page.
    pub start_block: &'a [u8],
    /// Boot archive: address and bytes (a read-only Frame over its pages goes to `slots::ARCHIVE`); 0, 0 = none.
    pub archive: (PhysAddr, u64),
    /// Boot information: RSDP.
    pub rsdp: u64,
    /// Boot information: device tree.
    pub fdt: u64,
    /// Boot information: SIPI trampoline page.
    pub trampoline: u64,
    /// Boot information: counter at the loader's entry.
    pub entry_counter: u64,
    /// Boot information: first byte after all RAM.
    pub ram_end: u64,
    /// The window's shared level-2 table.
    pub window_table: PhysAddr,
    /// Command line.
    pub cmdline: &'a [u8],
    /// Boot information: ids of the cores whose control is given, in the order of `given`.
    pub cores: &'a [u64],
    /// System time minus counter time, in nanoseconds.
    pub system_offset_ns: u64,
    /// Interrupt sources that exist (count; 0 = none given).
    pub irq_sources: u64,
    /// Whether all I/O ports are given (x86).
    pub io_ports: bool,
    /// Rights of the `Kernel` capability (all for the boot OSnode: it may halt the machine).
    pub kernel_rights: capfmt::Rights,
    /// Capabilities from outside.
    pub given: &'a [Given],
}

/// Why an OSnode cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OsnodeError {
    /// The first process's file is refused.
    Monitor(ImageError),
}

/// Makes an OSnode: returns its KCB, detached, epoch 0, ready for `Seal` or a loader's jump.
///
/// # Errors
/// See [`OsnodeError`]; the region's contents are then undefined and nothing refers to them.
pub fn build_osnode<T: IsaTables>(
    mem: &mut impl PhysMap,
    spec: &OsnodeSpec<'_>,
) -> Result<PhysAddr, OsnodeError> {
    let _ = (mem, spec);
    todo!()
}

//! A fresh OSnode in memory of its own: everything that a kernel needs to run its first process.
//!
//! What is made, in this order: KCB, time page, notification page; root, task, free
//! and page CNode; the first process's address space (`vspace`), its dispatcher
//! (`process`), the boot information; last the capabilities over what RAM is left.
//! All capabilities are placed in the MDB by `capfmt`'s own operations. Objects
//! have no RAM capability above them: they live as long as the OSnode.

mod boot_info;
mod builder;
mod process;
mod vspace;

use core::fmt;

use abi::slots;
use capfmt::{
    Attachment, Cap, CapType, FORMAT_VERSION, KCB_BYTES, Kcb, MdbFlags, NOTIFICATION_BYTES,
    Notification, PhysAddr, PhysMap, Rights, mdb,
};

use crate::PAGE;
use crate::error::ImageError;
use crate::isa::IsaTables;
use crate::user_image::UserImage;
use builder::Builder;

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
    pub kernel_rights: Rights,
    /// Capabilities from outside.
    pub given: &'a [Given],
}

/// Why an OSnode cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OsnodeError {
    /// The first process's file is refused.
    Monitor(ImageError),
    /// No range of RAM has room for the OSnode's objects.
    OutOfMemory {
        /// Bytes that they need in one range.
        needed: u64,
    },
    /// A range is not made of whole pages, or the region of a non-boot OSnode is not 64-KiB aligned.
    BadRange(RamRange),
    /// More ranges of RAM than boot information and task CNode hold.
    TooManyRanges(usize),
    /// A given capability's slot is not in the task CNode, is taken, or holds it malformed.
    BadGiven(abi::CapAddr),
    /// More owners of given capabilities than the peer table holds.
    TooManyPeers,
    /// This does not fit its place.
    TooLong(&'static str),
    /// The capabilities do not form a sound MDB: a given one conflicts with another.
    Invariant(mdb::Violation),
}

impl fmt::Display for OsnodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OsnodeError::Monitor(e) => write!(f, "first process: {e}"),
            OsnodeError::OutOfMemory { needed } => {
                write!(
                    f,
                    "out of memory: the OSnode needs {needed} bytes in one range"
                )
            }
            OsnodeError::BadRange(r) => write!(
                f,
                "RAM at {:#x}, {:#x} bytes, is not aligned as an OSnode needs it",
                r.base.0, r.bytes
            ),
            OsnodeError::TooManyRanges(n) => {
                write!(f, "{n} ranges of RAM, {MAX_RANGES} are allowed")
            }
            OsnodeError::BadGiven(slot) => {
                write!(
                    f,
                    "the capability for slot {:#x} cannot be put there",
                    slot.0
                )
            }
            OsnodeError::TooManyPeers => f.write_str("too many owners of given capabilities"),
            OsnodeError::TooLong(what) => write!(f, "the {what} is too long"),
            OsnodeError::Invariant(v) => {
                write!(f, "the capabilities contradict each other: {}", v.name())
            }
        }
    }
}

/// Most ranges of RAM: what boot information has records for.
pub const MAX_RANGES: usize =
    ((abi::bootinfo::word::CORES - abi::bootinfo::word::RAM_RECORDS) / 16) as usize;
/// Alignment of the region of a non-boot OSnode.
const REGION_ALIGN: u64 = 0x1_0000;

/// Makes an OSnode: returns its KCB, detached, epoch 0, ready for `Seal` or a loader's jump.
/// `mem` covers all of `spec.ram`; only the objects' memory is written. Caches need no
/// care: an OSnode is only ever reached with translation on.
///
/// # Errors
/// See [`OsnodeError`]; the memory's contents are then undefined and nothing refers to them.
pub fn build_osnode<T: IsaTables>(
    mem: &mut impl PhysMap,
    spec: &OsnodeSpec<'_>,
) -> Result<PhysAddr, OsnodeError> {
    check_spec(spec)?;
    let image = UserImage::parse(spec.monitor, T::ISA).map_err(OsnodeError::Monitor)?;
    let tables = vspace::table_bytes(&image).map_err(OsnodeError::Monitor)?;
    // Ascending allocation loses less than the largest alignment at its start.
    let needed = builder::OBJECT_BYTES + process::OBJECT_BYTES + tables + image.bytes() + KCB_BYTES;
    let mut b = Builder::new(mem, spec, needed)?;
    write_kcb::<T>(&mut b, spec);
    let frames = process::Frames::allocate(&mut b);
    vspace::build::<T, _>(&mut b, spec, &image, &frames);
    process::build::<T, _>(&mut b, spec, &image, &frames);
    place_rights(&mut b, spec)?;
    let ram = builder::place_ram(&mut b, spec);
    boot_info::write(&mut b, spec, frames.boot_info, ram.iter());
    let checksum = b.kcb.compute_checksum(b.mem);
    b.kcb.set_checksum(b.mem, checksum);
    mdb::check_invariants(b.mem, b.kcb).map_err(OsnodeError::Invariant)?;
    Ok(b.kcb.0)
}

fn check_spec(spec: &OsnodeSpec<'_>) -> Result<(), OsnodeError> {
    if spec.ram.len() > MAX_RANGES || (!spec.is_boot && spec.ram.len() != 1) {
        return Err(OsnodeError::TooManyRanges(spec.ram.len()));
    }
    let align = if spec.is_boot { PAGE } else { REGION_ALIGN };
    let bad =
        |r: &&RamRange| !r.base.is_aligned(align) || !r.bytes.is_multiple_of(PAGE) || r.bytes == 0;
    if let Some(r) = spec.ram.iter().find(bad) {
        return Err(OsnodeError::BadRange(*r));
    }
    let texts = [
        (spec.name.len() as u64, 16, "name"),
        (spec.start_block.len() as u64, PAGE, "start block"),
        (
            spec.cmdline.len() as u64,
            boot_info::CMDLINE_MAX,
            "command line",
        ),
        (
            spec.cores.len() as u64,
            boot_info::CORES_MAX,
            "list of cores",
        ),
    ];
    match texts.iter().find(|(len, max, _)| len > max) {
        Some((.., what)) => Err(OsnodeError::TooLong(what)),
        None => Ok(()),
    }
}

fn write_kcb<T: IsaTables>(b: &mut Builder<'_, impl PhysMap>, spec: &OsnodeSpec<'_>) {
    let ends = spec.ram.iter().map(|r| r.base.0 + r.bytes);
    let first = spec.ram.iter().map(|r| r.base.0).min().unwrap_or(0);
    let (kcb, m) = (b.kcb, &mut *b.mem);
    kcb.set_magic(m, Kcb::MAGIC);
    kcb.set_format(m, FORMAT_VERSION);
    kcb.set_isa(m, T::ISA as u64);
    kcb.set_features(m, spec.features);
    kcb.set_osnode(m, spec.osnode);
    kcb.set_state(m, Attachment::Detached { epoch: 0 }.pack());
    kcb.set_mem_base(m, first);
    kcb.set_mem_size(m, ends.max().unwrap_or(first) - first);
    kcb.set_peer(m, 0, spec.osnode);
    kcb.set_peer_count(m, 1);
    kcb.set_next_id(m, 1);
    kcb.set_system_offset_ns(m, spec.system_offset_ns);
    let notification = Notification(b.allocate(NOTIFICATION_BYTES, PAGE));
    kcb.set_notification(b.mem, notification.0.0);
    notification.set_magic(b.mem, Notification::MAGIC);
    notification.set_osnode(b.mem, spec.osnode);
}

/// The rights of the first process that are not memory of its own.
fn place_rights(
    b: &mut Builder<'_, impl PhysMap>,
    spec: &OsnodeSpec<'_>,
) -> Result<(), OsnodeError> {
    let page = PhysAddr(b.kcb.notification(b.mem));
    let notification = Cap::region(CapType::Notification, page, NOTIFICATION_BYTES);
    b.place(slots::NOTIFICATION, &notification);
    let kernel = Cap {
        rights: spec.kernel_rights,
        ..Cap::region(CapType::Kernel, PhysAddr(0), 0)
    };
    b.place(slots::KERNEL, &kernel);
    if spec.irq_sources != 0 {
        let sources = Cap::region(CapType::IrqSource, PhysAddr(0), spec.irq_sources);
        b.place(slots::IRQ_SOURCES, &sources);
    }
    if spec.io_ports {
        let ports = Cap::region(CapType::IoPort, PhysAddr(0), 0x1_0000);
        b.place(slots::IO_PORTS, &ports);
    }
    if spec.is_boot {
        let own = Cap {
            extra: b.kcb.0.0,
            ..Cap::region(CapType::Kcb, b.kcb.0, KCB_BYTES)
        };
        b.place(slots::OWN_KCB, &own);
    }
    if let Some(archive) = archive_frame(spec) {
        b.give(&archive)?;
    }
    for given in spec.given {
        b.give(given)?;
    }
    Ok(())
}

/// The read-only frame over the archive's pages; it belongs to whoever made this OSnode.
fn archive_frame(spec: &OsnodeSpec<'_>) -> Option<Given> {
    let (at, bytes) = spec.archive;
    let first = at.0 & !(PAGE - 1);
    let end = at.0.checked_add(bytes)?.checked_next_multiple_of(PAGE)?;
    let flags = match spec.home {
        0 => MdbFlags::default(),
        _ => MdbFlags::REMOTE_COPIES,
    };
    (bytes != 0).then_some(Given {
        slot: slots::ARCHIVE,
        cap: Cap {
            rights: Rights(Rights::READ.0 | Rights::GRANT.0),
            ..Cap::region(CapType::Frame, PhysAddr(first), end - first)
        },
        owner: spec.home,
        flags,
    })
}

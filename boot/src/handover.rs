//! From firmware to the first kernel, the same steps on every board.

use crate::{CommandLine, MemoryList, Range};
use abi::slots;
use archive::{Archive, ArchiveError};
use arrayvec::ArrayVec;
use capfmt::{
    CORE_OBJECT_BYTES, Cap, CapType, Core, FORMAT_VERSION, ImageRecord, Kcb, MdbFlags, PhysAddr,
    PhysMap, Rights,
};
use core::fmt;
use genesis::{
    CoreParams, DeviceRange, FirmwareEntry, Given, IMAGE_AREA_BYTES, ImageError, IsaTables,
    KernelParams, OsnodeError, OsnodeSpec, RamRange, Requirements,
};

/// Most ranges of RAM that the first OSnode gets (its boot information holds no more).
const MAX_RAM: usize = 32;
/// The first process.
const MONITOR: &str = "bin/monitor";

/// What firmware told, copied out of firmware's memory.
pub struct Handover {
    /// Free RAM: what the loader, the archive and firmware use is taken out.
    pub memory: MemoryList,
    /// The loader's own memory, which nobody uses after the jump.
    pub loader: Range,
    /// First byte after the last RAM byte.
    pub ram_end: u64,
    /// Where the boot archive lies; empty if there is none.
    pub archive: Range,
    /// The command line.
    pub cmdline: CommandLine,
    /// Physical address of the ACPI RSDP, or 0.
    pub rsdp: u64,
    /// Physical address of the device tree, or 0.
    pub fdt: u64,
    /// Low pages for the SIPI trampoline (x86), or empty.
    pub trampoline: Range,
    /// Pages of the window's tables: nobody may ever have a capability over them.
    pub tables: Range,
    /// Root of the window's shared tables (`abi::bootinfo::word::WINDOW_TABLE`).
    pub window_table: PhysAddr,
    /// What the first process gets as device memory (`abi::slots::DEVICES`).
    pub devices: Range,
    /// Counter when the loader was entered.
    pub entry_counter: u64,
}

/// The core that the loader runs on, as its `Core` object will describe it.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootCore {
    /// APIC id or MPIDR affinity.
    pub hw_id: u64,
    /// Counter frequency in Hz.
    pub counter_hz: u64,
    /// Timer frequency in Hz.
    pub timer_hz: u64,
    /// `Core::FLAG_…`, but those that the command line decides.
    pub flags: u64,
    /// ISA parameters of the Core object.
    pub isa_param: [u64; 8],
    /// Features of the core (`capfmt::Kcb::features`).
    pub features: u64,
}

/// The pen's machine code.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    /// At most a page.
    pub code: &'static [u8],
    /// Offset where kernels enter.
    pub kernel_entry: u64,
    /// How firmware enters.
    pub firmware: FirmwareEntry,
}

/// What the shared steps need of a board.
pub trait Board {
    /// The window onto RAM.
    type Map: PhysMap;
    /// Encoders of page tables and contexts.
    type Tables: IsaTables;
    /// Interrupt sources that the first process may hand out.
    const IRQ_SOURCES: u64;
    /// Whether there are I/O ports to hand out.
    const IO_PORTS: bool;

    /// Prints on the early console.
    fn print(&mut self, text: fmt::Arguments<'_>);
    /// OSnode memory.
    fn map(&mut self) -> &mut Self::Map;
    /// The bytes of `range`, which nobody writes from now on.
    fn bytes(&self, range: Range) -> &'static [u8];
    /// The core that this runs on; `core` is where its Core object is being made.
    fn core(&self, core: PhysAddr) -> BootCore;
    /// The pen.
    fn pen(&self) -> Pen;
    /// Registers that pen and kernels see in the Core object's address space, in the order that they expect.
    fn devices(&self) -> ArrayVec<DeviceRange, 4>;
    /// Completes a Core object (what `genesis` cannot know of the ISA).
    fn finish_core(&mut self, core: PhysAddr);
    /// Makes `range` visible to instruction fetch and to table walks.
    fn publish(&mut self, range: Range);
    /// Leaves the machine with a failure status.
    fn fail(&mut self) -> !;
    /// Enters the kernel of image record 0 with the KCB on the home line, exactly as the pen would.
    fn enter(&mut self, core: Core) -> !;
}

/// Why there is no first kernel.
enum Trouble<'a> {
    NoArchive,
    Archive(ArchiveError<'a>),
    Kernel(ImageError),
    Osnode(OsnodeError),
    Memory(&'static str),
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoArchive => f.write_str("no boot archive was given (initrd or module)"),
            Trouble::Archive(e @ ArchiveError::NoFile(_)) => {
                write!(f, "the boot archive is not one for this machine: {e}")
            }
            Trouble::Archive(e) => write!(f, "the boot archive is damaged: {e}"),
            Trouble::Kernel(e) => write!(f, "the kernel cannot be used: {e}"),
            Trouble::Osnode(e) => write!(f, "the first OSnode cannot be made: {e}"),
            Trouble::Memory(what) => write!(f, "not enough memory for {what}"),
        }
    }
}

/// Loads the first kernel and the first OSnode and jumps. Trouble goes to the console.
pub fn start<B: Board>(board: &mut B, mut handover: Handover) -> ! {
    match prepare(board, &mut handover) {
        Ok(core) => board.enter(core),
        Err(trouble) => {
            board.print(format_args!("boot: {trouble}\n"));
            board.fail()
        }
    }
}

/// Memory of the first core: its Core object and the two image areas behind each other.
struct CorePlace {
    core: PhysAddr,
    areas: PhysAddr,
}

fn prepare<B: Board>(board: &mut B, h: &mut Handover) -> Result<Core, Trouble<'static>> {
    if h.archive.bytes() == 0 {
        return Err(Trouble::NoArchive);
    }
    let archive = Archive::open(board.bytes(h.archive)).map_err(Trouble::Archive)?;
    // Whoever reads another file checks that one: all of them would take most of the boot.
    let kernel = archive.verified("kernel/std").map_err(Trouble::Archive)?;
    let monitor = archive.verified(MONITOR).map_err(Trouble::Archive)?;
    let areas = h.memory.take(2 * IMAGE_AREA_BYTES, IMAGE_AREA_BYTES);
    let core = h.memory.take(CORE_OBJECT_BYTES, CORE_OBJECT_BYTES);
    let (Some(areas), Some(core)) = (areas, core) else {
        return Err(Trouble::Memory("the first core's objects"));
    };
    let place = CorePlace {
        core: PhysAddr(core),
        areas: PhysAddr(areas),
    };
    let me = board.core(place.core);
    make_core(board, h, &place, &me);
    load_kernel(board, h, &place, &me, kernel).map_err(Trouble::Kernel)?;
    let kcb = make_osnode(board, h, &place, &me, monitor).map_err(Trouble::Osnode)?;
    let core = Core(place.core);
    let m = board.map();
    core.set_home_kcb(m, kcb.0);
    core.set_home_image(m, 0);
    board.publish(Range::new(place.core.0, CORE_OBJECT_BYTES));
    board.publish(Range::new(place.areas.0, 2 * IMAGE_AREA_BYTES));
    Ok(core)
}

fn make_core<B: Board>(board: &mut B, h: &Handover, place: &CorePlace, me: &BootCore) {
    let pen = board.pen();
    let (mult, shift) = clock(me.counter_hz);
    let mut flags = me.flags | Core::FLAG_BOOT;
    for (word, flag) in [
        ("icount", Core::FLAG_PAUSE),
        ("klog", Core::FLAG_MIRROR_LOG),
    ] {
        if h.cmdline.has(word) {
            flags |= flag;
        }
    }
    let params = CoreParams {
        hw_id: me.hw_id,
        core_id: 0,
        node: 0,
        flags,
        holder: Kcb::BOOT_OSNODE,
        counter_hz: me.counter_hz,
        timer_hz: me.timer_hz,
        mult,
        shift,
        isa_param: me.isa_param,
        pen_code: pen.code,
        pen_kernel_entry: pen.kernel_entry,
        firmware: pen.firmware,
        window_table: h.window_table,
        devices: &board.devices(),
    };
    genesis::build_core::<B::Tables>(board.map(), place.core, &params);
    board.finish_core(place.core);
}

/// (mult, shift) with ns = (counter × mult) >> shift.
fn clock(hz: u64) -> (u64, u64) {
    const SHIFT: u64 = 32;
    ((1_000_000_000 << SHIFT) / hz.max(1), SHIFT)
}

fn load_kernel<B: Board>(
    board: &mut B,
    h: &Handover,
    place: &CorePlace,
    me: &BootCore,
    file: &[u8],
) -> Result<(), ImageError> {
    let needs = Requirements {
        isa: B::Tables::ISA,
        core_features: me.features,
        kcb_format: FORMAT_VERSION,
        kcb_features: me.features,
    };
    let image = genesis::verify_kernel(file, &needs)?;
    let params = KernelParams {
        core: place.core,
        window_table: h.window_table,
        devices: &[],
    };
    let m = board.map();
    let record = genesis::load_kernel::<B::Tables>(m, place.areas, &image, &params)?;
    let spare = ImageRecord {
        phys: place.areas.add(IMAGE_AREA_BYTES),
        size: IMAGE_AREA_BYTES,
        ..ImageRecord::default()
    };
    Core(place.core).set_image(m, 0, &record);
    Core(place.core).set_image(m, 1, &spare);
    Ok(())
}

fn ram_ranges(h: &Handover) -> ArrayVec<RamRange, MAX_RAM> {
    // The loader's own memory comes last: objects are made from the first range that has room.
    let ranges = h.memory.ranges().iter().copied();
    let ranges = ranges.chain(core::iter::once(h.loader));
    let mut out = ArrayVec::new();
    for r in ranges.filter(|r| r.bytes() > 0) {
        // More ranges than boot information holds are left unused.
        let _ = out.try_push(RamRange {
            base: PhysAddr(r.base),
            bytes: r.bytes(),
            node: 0,
        });
    }
    out
}

fn given(slot: abi::CapAddr, kind: CapType, range: Range, rights: Rights) -> Given {
    Given {
        slot,
        cap: Cap {
            rights,
            ..Cap::region(kind, PhysAddr(range.base), range.bytes())
        },
        owner: 0,
        flags: MdbFlags::default(),
    }
}

/// What the first process gets beside its own memory.
fn given_list(h: &Handover, place: &CorePlace) -> ArrayVec<Given, 8> {
    let [image0, image1] = [0, 1].map(|i| abi::CapAddr(slots::CORE_IMAGES.0 + i));
    let area = |i: u64| Range::new(place.areas.0 + i * IMAGE_AREA_BYTES, IMAGE_AREA_BYTES);
    let core = Range::new(place.core.0, CORE_OBJECT_BYTES);
    let all = Rights::ALL;
    let mut list = ArrayVec::new();
    list.push(given(slots::CORE, CapType::Core, core, all));
    list.push(given(image0, CapType::Frame, area(0), all));
    list.push(given(image1, CapType::Frame, area(1), all));
    list.push(given(slots::DEVICES, CapType::PhysAddr, h.devices, all));
    list.push(given(slots::RESERVED, CapType::Frame, h.tables, Rights(0)));
    if h.trampoline.bytes() > 0 {
        list.push(given(slots::TRAMPOLINE, CapType::Frame, h.trampoline, all));
    }
    list
}

fn make_osnode<B: Board>(
    board: &mut B,
    h: &Handover,
    place: &CorePlace,
    me: &BootCore,
    monitor: &[u8],
) -> Result<PhysAddr, OsnodeError> {
    let ram = ram_ranges(h);
    let spec = OsnodeSpec {
        osnode: Kcb::BOOT_OSNODE,
        features: me.features,
        core: 0,
        node: 0,
        is_boot: true,
        home: 0,
        ram: &ram,
        monitor,
        name: b"monitor",
        start_block: &[],
        archive: (PhysAddr(h.archive.base), h.archive.bytes()),
        rsdp: h.rsdp,
        fdt: h.fdt,
        trampoline: h.trampoline.base,
        entry_counter: h.entry_counter,
        ram_end: h.ram_end,
        window_table: h.window_table,
        cmdline: h.cmdline.text().as_bytes(),
        cores: &[],
        system_offset_ns: 0,
        irq_sources: B::IRQ_SOURCES,
        io_ports: B::IO_PORTS,
        kernel_rights: Rights::ALL,
        given: &given_list(h, place),
    };
    genesis::build_osnode::<B::Tables>(board.map(), &spec)
}

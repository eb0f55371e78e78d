//! An AArch64 machine as the shared steps want it.

use crate::isa::early::{self, Identity};
use crate::isa::firmware::Told;
use crate::isa::map::Map;
use crate::isa::tables::Tables;
use abi::vaddr::WINDOW;
use arch_arm::psci::{self, Conduit};
use arch_arm::registers::{self, Features, HwId};
use arch_arm::uart::Pl011;
use arch_arm::{barrier, paging, pen};
use arrayvec::ArrayVec;
use boot::handover::{Board, BootCore, Handover, Pen};
use boot::{MemoryList, Range};
use capfmt::{Core, PhysAddr};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use genesis::{DeviceRange, FirmwareEntry, RamRange};

/// What the first process gets as device memory: everything. RAM is in it, too, but in other
/// capabilities of its own, which nothing made from this one may touch; the device tree is not.
const DEVICES: Range = Range {
    base: 0,
    end: 1 << 48,
};
/// Physical address of the PL011 for output, or 0.
static CONSOLE: AtomicU64 = AtomicU64::new(0);
/// Firmware's conduit, for switching the machine off.
static CONDUIT: AtomicU64 = AtomicU64::new(0);
/// The machine is being left: an exception means that there is no semihosting, or no console.
static LEAVING: AtomicBool = AtomicBool::new(false);

/// Where virtual machines have their PL011: it is tried where no tree tells of one, but only to say why nothing can be
/// booted.
const USUAL_CONSOLE: u64 = 0x900_0000;

/// Says where output goes from now on.
pub fn set_console(at: u64) {
    CONSOLE.store(at, Ordering::Relaxed);
}

/// Has output go where a console may be, on a machine that will be left.
pub fn set_last_console() {
    LEAVING.store(true, Ordering::Relaxed);
    set_console(USUAL_CONSOLE);
}

/// Says how firmware is called.
pub fn set_conduit(psci_method: &str) {
    CONDUIT.store(Conduit::from_method(psci_method) as u64, Ordering::Relaxed);
}

/// Prints on the early console, if there is one.
pub fn print(text: fmt::Arguments<'_>) {
    let at = CONSOLE.load(Ordering::Relaxed);
    if at != 0 {
        // SAFETY: the tree named it, or the machine is being left; it is reached at its physical address before and after
        // translation is switched on, and nobody else runs.
        let mut uart = unsafe { Pl011::new(at as usize) };
        // A formatter that fails loses its own text only.
        let _ = uart.write_fmt(text);
    }
}

/// Leaves the machine with a failure status.
pub fn leave() -> ! {
    LEAVING.store(true, Ordering::Relaxed);
    psci::semihosting_exit(1);
    switch_off()
}

fn switch_off() -> ! {
    let conduit = Conduit::from_u64(CONDUIT.load(Ordering::Relaxed));
    let refused = psci::system_off(conduit);
    print(format_args!(
        "boot: firmware does not switch off (status {refused})\n"
    ));
    loop {
        barrier::wfi();
    }
}

/// From `entry.S`: an exception in the loader itself.
#[unsafe(no_mangle)]
extern "C" fn loader_exception(esr: u64, pc: u64, address: u64) -> ! {
    if LEAVING.load(Ordering::Relaxed) {
        // Semihosting's instruction is undefined here, or nothing is where a console might be.
        CONSOLE.store(0, Ordering::Relaxed);
        switch_off();
    }
    print(format_args!(
        "boot: exception (syndrome {esr:#x}) at {pc:#x}, address {address:#x}\n"
    ));
    leave()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    print(format_args!("boot: {info}\n"));
    leave()
}

unsafe extern "C" {
    static image_start: u8;
    static image_constants: u8;
    static image_data: u8;
    static image_end: u8;
}

/// Where the loader's image lies: code, constants, data.
fn own_parts() -> [Range; 3] {
    let marks = [
        (&raw const image_start) as u64,
        (&raw const image_constants) as u64,
        (&raw const image_data) as u64,
        (&raw const image_end) as u64,
    ];
    let part = |i: usize| Range {
        base: marks[i],
        end: marks[i + 1],
    };
    [part(0), part(1), part(2)]
}

/// The machine.
pub struct Machine {
    map: Map,
    isa_param: [u64; 8],
    flags: u64,
    features: Features,
}

impl Machine {
    /// Makes window and identity mapping and switches translation on.
    ///
    /// # Errors
    /// What there is no memory for, or what is wrong with the RAM.
    pub fn new(told: &Told, el: u64, entered: u64) -> Result<(Machine, Handover), &'static str> {
        let own = own_parts();
        let loader = Range {
            base: own[0].base,
            end: own[2].end,
        };
        let mut memory = told.ram.clone();
        for used in [loader, told.tree, told.archive] {
            memory.remove(used);
        }
        // One table for the window, two for each ragged end of a range at either level.
        let pages = 1 + 4 * told.ram.ranges().len() as u64;
        let tables = memory
            .take(pages * paging::PAGE_BYTES, paging::PAGE_BYTES)
            .ok_or("no memory for the window's tables")?;
        let tables = Range::new(tables, pages * paging::PAGE_BYTES);
        let window_table = make_window(told, tables)?;
        // SAFETY: once, by the one core that runs, with translation off.
        let mut identity = unsafe { Identity::new() };
        identity.map(own[0], early::CODE);
        identity.map(own[1], early::CONSTANTS);
        identity.map(own[2], early::DATA);
        if let Some(at) = told.console {
            identity.map(Range::new(at, 0x1000), early::DEVICE);
        }
        let root = identity.window_root(window_table.0);
        // SAFETY: all of the image is mapped; tables, data and stack are in these two ranges.
        unsafe { identity.switch_on(root, &[own[2], tables]) }
        let machine = Machine {
            // SAFETY: the window maps all RAM; the loader's own memory is in no list that is written.
            map: unsafe { Map::new(WINDOW, told.ram_end) },
            isa_param: told.isa_param,
            flags: if el == 2 { Core::FLAG_EL2 } else { 0 },
            features: Features::read(),
        };
        Ok((
            machine,
            handover(told, memory, loader, tables, window_table, entered),
        ))
    }
}

fn handover(
    told: &Told,
    memory: MemoryList,
    loader: Range,
    tables: Range,
    window_table: PhysAddr,
    entry_counter: u64,
) -> Handover {
    Handover {
        memory,
        loader,
        ram_end: told.ram_end,
        archive: told.archive,
        cmdline: told.cmdline.clone(),
        rsdp: 0,
        fdt: told.tree.base,
        trampoline: Range::default(),
        tables,
        window_table,
        devices: DEVICES,
        entry_counter,
    }
}

fn make_window(told: &Told, tables: Range) -> Result<PhysAddr, &'static str> {
    let ranges: ArrayVec<RamRange, { boot::memory::MAX_RANGES }> = told
        .ram
        .ranges()
        .iter()
        .map(|r| RamRange {
            base: PhysAddr(r.base),
            bytes: r.bytes(),
            node: 0,
        })
        .collect();
    let mut next = tables.base;
    let mut page = || {
        let at = next;
        next += paging::PAGE_BYTES;
        (at < tables.end).then_some(PhysAddr(at))
    };
    // SAFETY: translation is off: RAM is at its physical addresses.
    let mut map = unsafe { Map::new(0, told.ram_end) };
    genesis::build_window::<Tables>(&mut map, &ranges, true, &mut page).map_err(|e| {
        print(format_args!("boot: {e}\n"));
        "the window onto RAM cannot be made"
    })
}

impl Board for Machine {
    type Map = Map;
    type Tables = Tables;
    const IRQ_SOURCES: u64 = arch_arm::gic::SPURIOUS as u64;
    const IO_PORTS: bool = false;

    fn print(&mut self, text: fmt::Arguments<'_>) {
        print(text);
    }

    fn map(&mut self) -> &mut Map {
        &mut self.map
    }

    fn bytes(&self, range: Range) -> &'static [u8] {
        self.map.bytes(range.base, range.bytes())
    }

    fn core(&self, _core: PhysAddr) -> BootCore {
        let hz = registers::counter_hz();
        BootCore {
            hw_id: u64::from(HwId::own().0),
            counter_hz: hz,
            timer_hz: hz,
            flags: self.flags,
            isa_param: self.isa_param,
            features: self.features.mask(),
        }
    }

    fn pen(&self) -> Pen {
        Pen {
            code: pen::code(),
            kernel_entry: pen::KERNEL_ENTRY,
            firmware: FirmwareEntry::PenOffset(pen::FIRMWARE_ENTRY),
        }
    }

    fn devices(&self) -> ArrayVec<DeviceRange, 4> {
        pen::devices(&self.isa_param)
            .into_iter()
            .filter(|&(_, bytes)| bytes > 0)
            .map(|(base, bytes)| DeviceRange {
                base: PhysAddr(base),
                bytes,
            })
            .collect()
    }

    fn finish_core(&mut self, _core: PhysAddr) {}

    fn publish(&mut self, range: Range) {
        // SAFETY: RAM, which the window maps.
        unsafe { barrier::clean_for_execution(WINDOW + range.base, range.bytes()) }
    }

    fn fail(&mut self) -> ! {
        leave()
    }

    fn enter(&mut self, core: Core) -> ! {
        let image = core.image(&self.map, core.home_image(&self.map));
        let kcb = core.home_kcb(&self.map);
        barrier::forget_own_instructions();
        // SAFETY: genesis made tables, stack and image as the plan says; this code runs from TTBR0,
        // which the kernel replaces.
        unsafe {
            core::arch::asm!(
                "msr ttbr1_el1, {root}",
                "isb",
                "tlbi vmalle1",
                "dsb nsh",
                "isb",
                "mov sp, {stack}",
                "br {entry}",
                root = in(reg) registers::ttbr(image.root_table.0, 0),
                stack = in(reg) image.stack_top,
                entry = in(reg) image.entry_va,
                in("x0") core.0.0,
                in("x1") kcb,
                options(noreturn)
            )
        }
    }
}

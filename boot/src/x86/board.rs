//! The PC as the shared steps want it.

use super::clock::{self, Clock};
use super::firmware::{self, REACH, RSDP_BYTES, Told};
use super::map::Map;
use super::{own_range, tables::Tables};
use abi::vaddr::{CORE_VA, WINDOW};
use arch_x86::apic::{self, Lapic};
use arch_x86::paging::{self, tlb};
use arch_x86::registers::{self, Features};
use arch_x86::uart::Uart;
use arch_x86::{descriptors, pen, trampoline};
use arrayvec::ArrayVec;
use boot::handover::Pen;
use boot::{Board, BootCore, Handover, MemoryList, Range};
use capfmt::{Core, PhysAddr, PhysMap};
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use genesis::{DeviceRange, FirmwareEntry, RamRange, SLOT_INDEX, WINDOW_INDEX};
use x86_64::instructions::port::Port;

/// `isa-debug-exit`: the run failed.
pub const EXIT_FAILURE: u32 = 0x11;
/// Where every PC has its first IO-APIC; user space finds out if one has not.
const IOAPIC: u64 = 0xfec0_0000;
const LOW_END: u64 = 1 << 20;
/// First byte after conventional memory, at most.
const CONVENTIONAL_END: u64 = 0xa_0000;
/// The first process may make device memory of whatever is not RAM below this.
const DEVICES_END: u64 = 1 << 46;

/// The machine.
pub struct Pc {
    uart: Uart,
    map: Map,
    clock: Clock,
    apic: Lapic,
    apic_base: u64,
    ram_end: u64,
    trampoline: u64,
    features: Features,
}

/// Leaves the emulator with `code`, or stands still.
pub fn leave(code: u32) -> ! {
    // SAFETY: the debug-exit port, or no device at all.
    unsafe { Port::new(0xf4).write(code) }
    loop {
        x86_64::instructions::hlt();
    }
}

/// The interrupt table that `entry.S` loaded: zero (a fault shuts the machine down) until filled.
#[repr(C, align(16))]
pub struct Idt(UnsafeCell<[[u64; 2]; 32]>);
// SAFETY: written once, before anything else runs, and there is one processor.
unsafe impl Sync for Idt {}
/// See [`Idt`].
pub static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; 32]));

/// Makes exceptions speak.
pub fn install_exceptions() {
    unsafe extern "C" {
        static exception_stubs: u8;
    }
    let stubs = (&raw const exception_stubs) as u64;
    let entries = core::array::from_fn(|v| descriptors::gate(stubs + 16 * v as u64, 0, false));
    // SAFETY: nothing else refers to the table yet (`Idt`'s invariant).
    unsafe { IDT.0.get().write(entries) }
}

/// All RAM that stays RAM: the free list, and what must be taken out of it.
fn free_memory(told: &mut Told) -> (MemoryList, Range) {
    let mut free = told.ram.clone();
    free.remove(told.archive);
    free.remove(own_range());
    keep_rsdp(told, &mut free);
    // Below 1 MiB firmware may still have its hands in; only the trampoline lies there.
    let low = free.take_where(trampoline::BYTES, paging::PAGE_BYTES, CONVENTIONAL_END);
    let low = low.expect("boot: no memory below 640 KiB for the trampoline");
    free.remove(Range::new(0, LOW_END));
    (free, Range::new(low, trampoline::BYTES))
}

/// Moves an RSDP that the boot protocol left a copy of to a page of its own, which is no RAM any more: nobody else
/// has a part of it, so that it can be read later.
fn keep_rsdp(told: &mut Told, free: &mut MemoryList) {
    free.remove(told.copies);
    if told.rsdp < told.copies.base || told.rsdp >= told.copies.end {
        return;
    }
    // That of ACPI 1.0 is shorter.
    let bytes = RSDP_BYTES.min(told.copies.end - told.rsdp);
    let page = free.take_where(paging::PAGE_BYTES, paging::PAGE_BYTES, REACH);
    let page = page.expect("boot: no memory for a copy of the RSDP");
    // SAFETY: `entry.S` mapped everything below REACH at itself; the source lies in what the boot protocol left, the
    // page is free memory, which that was taken out of.
    unsafe {
        core::ptr::copy_nonoverlapping(told.rsdp as *const u8, page as *mut u8, bytes as usize);
    }
    told.rsdp = page;
}

/// Builds the window over all of `ram`; its tables come from one range, which is returned.
fn build_window(ram: &MemoryList, free: &mut MemoryList, gigabyte: bool) -> (PhysAddr, Range) {
    let ranges: ArrayVec<RamRange, { boot::memory::MAX_RANGES }> = ram
        .ranges()
        .iter()
        .map(|r| RamRange {
            base: PhysAddr(r.base),
            bytes: r.bytes(),
            node: 0,
        })
        .collect();
    // One level-2 table, then at most one level-1 table for each GiB and one level-0 table
    // for each end of a range.
    let pages = 1 + (ram.end() >> 30) + 1 + 2 * ranges.len() as u64;
    let bytes = pages * paging::PAGE_BYTES;
    let at = free.take_where(bytes, paging::PAGE_BYTES, REACH);
    let tables = Range::new(at.expect("boot: no memory for the window's tables"), bytes);
    // SAFETY: `entry.S` mapped everything below REACH at itself; the tables are free memory.
    let mut low = unsafe { Map::new(0, REACH) };
    let mut next = tables.base;
    let mut page = || {
        let at = next;
        next += paging::PAGE_BYTES;
        (at < tables.end).then_some(PhysAddr(at))
    };
    let built = genesis::build_window::<Tables>(&mut low, &ranges, gigabyte, &mut page);
    match built {
        Ok(top) => (top, tables),
        Err(e) => panic!("the window cannot be made: {e}"),
    }
}

/// Sets an entry of the loader's own root.
fn set_root_entry(index: u64, entry: u64) {
    let at = (tlb::root() + 8 * index) as *mut u64;
    // SAFETY: the root is the loader's, below REACH; the entries set are unused halves of it.
    unsafe { at.write_volatile(entry) }
    tlb::flush_all();
}

impl Pc {
    /// Makes the window and measures the clocks.
    pub fn new(mut uart: Uart, mut told: Told, entered: u64) -> (Pc, Handover) {
        if told.ram.ranges().is_empty() {
            let _ = writeln!(uart, "boot: firmware gave no memory map");
            leave(EXIT_FAILURE);
        }
        let features = Features::read();
        let (mut memory, low) = free_memory(&mut told);
        let (window, tables) = build_window(&told.ram, &mut memory, features.gigabyte_pages);
        set_root_entry(WINDOW_INDEX, paging::kernel_table(window.0));
        let ram_end = told.ram.end();
        // SAFETY: the window maps all RAM; what is written through it comes from `memory`.
        let map = unsafe { Map::new(WINDOW, ram_end) };
        let apic_base = registers::read_msr(registers::MSR_APIC_BASE) & 0xf_ffff_ffff_f000;
        // SAFETY: the 8259s were firmware's, which is gone.
        unsafe { apic::mask_8259() }
        // QEMU 10 ends with "Bad icount read" when a guest reaches the timer of an x2APIC by
        // MSR while instructions are counted: registers in memory then.
        let x2 = features.x2apic && !told.cmdline.has("icount");
        // SAFETY: the registers lie below REACH, mapped at themselves (their memory type is
        // the MTRRs'); x2APIC is asked for only when CPUID has it.
        let apic = unsafe { Lapic::enable(x2, apic_base) };
        let pc = Pc {
            uart,
            map,
            clock: clock::measure(apic),
            apic,
            apic_base,
            ram_end,
            trampoline: low.base,
            features,
        };
        let handover = Handover {
            memory,
            loader: own_range(),
            ram_end,
            archive: told.archive,
            cmdline: told.cmdline,
            rsdp: told.rsdp,
            fdt: 0,
            trampoline: low,
            tables,
            window_table: window,
            devices: Range::new(0, DEVICES_END),
            entry_counter: entered,
        };
        (pc, handover)
    }
}

impl Board for Pc {
    type Map = Map;
    type Tables = Tables;
    const IRQ_SOURCES: u64 = apic::IRQ_SOURCES;
    const IO_PORTS: bool = true;

    fn print(&mut self, text: fmt::Arguments<'_>) {
        // The UART never fails.
        let _ = self.uart.write_fmt(text);
    }

    fn map(&mut self) -> &mut Map {
        &mut self.map
    }

    fn bytes(&self, range: Range) -> &'static [u8] {
        if range.end <= REACH {
            return firmware::bytes(range.base, range.bytes());
        }
        self.map.bytes(range.base, range.bytes())
    }

    fn core(&self, core: PhysAddr) -> BootCore {
        let mut isa_param = [0; 8];
        isa_param[0] = self.apic_base;
        isa_param[1] = IOAPIC;
        isa_param[2] = core.add(pen::IOAPIC_LOCK).0;
        isa_param[7] = self.ram_end;
        let x2 = matches!(self.apic, Lapic::X2);
        BootCore {
            hw_id: u64::from(self.apic.id()),
            counter_hz: self.clock.counter_hz,
            timer_hz: self.clock.timer_hz,
            flags: if x2 { Core::FLAG_X2APIC } else { 0 },
            isa_param,
            features: self.features.mask(),
        }
    }

    fn pen(&self) -> Pen {
        Pen {
            code: pen::code::bytes(),
            kernel_entry: pen::code::kernel_entry(),
            firmware: FirmwareEntry::LowPage(PhysAddr(self.trampoline)),
        }
    }

    fn devices(&self) -> ArrayVec<DeviceRange, 4> {
        let page = |base| DeviceRange {
            base: PhysAddr(base),
            bytes: paging::PAGE_BYTES,
        };
        [page(self.apic_base), page(IOAPIC)].into_iter().collect()
    }

    fn finish_core(&mut self, core: PhysAddr) {
        let map = &mut self.map;
        pen::install(CORE_VA, core.0, &mut |offset, word| {
            map.store(core.add(offset), word);
        });
    }

    fn publish(&mut self, _range: Range) {
        // Instruction fetch and table walks are coherent with stores (SDM vol. 3A, 12.6, 4.10).
    }

    fn fail(&mut self) -> ! {
        leave(EXIT_FAILURE)
    }

    fn enter(&mut self, core: Core) -> ! {
        let slot = core.0.add(pen::SLOT_TABLE);
        set_root_entry(SLOT_INDEX, paging::kernel_table(slot.0));
        let door = CORE_VA + Core::PEN_CODE + pen::code::start_entry();
        // SAFETY: the door is the pen's code, mapped by the entry just set; it starts the
        // image on the home line and never returns.
        unsafe { core::arch::asm!("jmp {0}", in(reg) door, options(noreturn)) }
    }
}

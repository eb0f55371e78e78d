//! What the arm64 boot protocol hands over: the device tree, put into the terms of the shared steps.

use crate::isa::board;
use arch_arm::gic::{self, Gic};
use arch_arm::psci::Conduit;
use arch_arm::registers::HwId;
use arch_arm::{paging, pen};
use boot::tree::{self, Controller, Machine};
use boot::{CommandLine, MemoryList, Range, blob};
use core::fmt;

/// What firmware told; nothing in it lies in firmware's memory but tree and archive.
pub struct Told {
    /// RAM that may be mapped.
    pub ram: MemoryList,
    /// First byte after the last RAM byte.
    pub ram_end: u64,
    /// The boot archive, or empty.
    pub archive: Range,
    /// The device tree.
    pub tree: Range,
    /// Command line.
    pub cmdline: CommandLine,
    /// PL011 for early output.
    pub console: Option<u64>,
    /// ISA parameters of the Core object.
    pub isa_param: [u64; 8],
}

/// Why the tree is of no use.
pub type Refused = &'static str;

/// The tree at `at`, as firmware left it.
fn tree_bytes(at: u64) -> Result<&'static [u8], Refused> {
    let refuse = |problem: fmt::Arguments<'_>| {
        board::set_last_console();
        complain(problem);
        Err("firmware gave no device tree")
    };
    if at == 0 || !at.is_multiple_of(8) {
        return refuse(format_args!("address: there is none at {at:#x}"));
    }
    // SAFETY: the boot protocol puts the tree there, and memory behind an aligned address other
    // than 0 can be read with translation off.
    let head = unsafe { (at as *const [u8; 8]).read() };
    match blob::total_bytes(head) {
        // SAFETY: the tree says its own length, of which no more is taken than the protocol allows;
        // nobody writes it, it is taken out of the free memory.
        Ok(len) => Ok(unsafe { core::slice::from_raw_parts(at as *const u8, len as usize) }),
        Err(magic) => refuse(format_args!("magic: {magic:#x} at {at:#x}")),
    }
}

fn complain(problem: fmt::Arguments<'_>) {
    board::print(format_args!("boot: device tree: {problem}\n"));
}

/// What the tree at `at` says, and where it lies. Where output goes is looked for before anything is complained about.
pub fn machine(at: u64) -> Result<(Machine<'static>, Range), Refused> {
    let bytes = tree_bytes(at)?;
    match tree::read(bytes, &mut |_| {}) {
        Some(Machine {
            console: Some(at), ..
        }) => board::set_console(at),
        Some(machine) if machine.can_boot() => {}
        _ => board::set_last_console(),
    }
    let machine = tree::read(bytes, &mut complain).ok_or("the device tree cannot be read")?;
    board::set_conduit(machine.psci_method);
    Ok((machine, Range::new(at, bytes.len() as u64)))
}

/// Puts the tree's facts together, and brings the interrupt controller into its first state.
/// Translation is off: registers are at their physical addresses.
pub fn read(machine: &Machine<'_>, tree: Range) -> Result<Told, Refused> {
    let mut ram = MemoryList::new();
    let mut ram_end = 0;
    for &r in &machine.memory {
        // Address 0 is no object.
        let base = r.base.max(paging::PAGE_BYTES);
        ram.add(Range { base, ..r });
        ram_end = ram_end.max(r.end);
    }
    machine.reserved.iter().for_each(|&r| ram.remove(r));
    if ram.ranges().is_empty() {
        return Err("the device tree names no usable memory");
    }
    let mut isa_param = [0; 8];
    let controller = machine
        .controller
        .ok_or("the device tree names no interrupt controller that we know")?;
    start_controller(controller, &mut isa_param)?;
    isa_param[pen::PARAM_CONDUIT as usize] = Conduit::from_method(machine.psci_method) as u64;
    isa_param[pen::PARAM_UART as usize] = machine.console.unwrap_or(0);
    isa_param[pen::PARAM_RAM_END as usize] = ram_end;
    Ok(Told {
        ram,
        ram_end,
        archive: machine.initrd,
        tree,
        cmdline: CommandLine::copy(machine.bootargs),
        console: machine.console,
        isa_param,
    })
}

/// Everything off, and this core's part found.
fn start_controller(c: Controller, isa_param: &mut [u64; 8]) -> Result<(), Refused> {
    let mut set = |index: u64, value: u64| isa_param[index as usize] = value;
    match c {
        Controller::V2 { distributor, cpu } => {
            set(pen::PARAM_GICD, distributor);
            set(pen::PARAM_GICC, cpu);
            set(pen::PARAM_GIC_VERSION, 2);
            // SAFETY: translation is off, the registers stand at their physical addresses.
            unsafe { Gic::v2(distributor as usize, cpu as usize) }.init_distributor();
            Ok(())
        }
        Controller::V3 {
            distributor,
            redistributors,
        } => {
            let typer = |at: u64| {
                let typer = (redistributors.base + at + 8) as *const u64;
                // SAFETY: GICR_TYPER of a frame in the region that the tree names.
                unsafe { typer.read_volatile() }
            };
            let own = gic::redistributor(typer, redistributors.bytes(), HwId::own())
                .ok_or("this core has no redistributor")?;
            let own = redistributors.base + own;
            set(pen::PARAM_GICD, distributor);
            set(pen::PARAM_GICR, own);
            set(pen::PARAM_GIC_VERSION, 3);
            // SAFETY: as above.
            unsafe { Gic::v3(distributor as usize, own as usize) }.init_distributor();
            Ok(())
        }
    }
}

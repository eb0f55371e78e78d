//! The PC: doors for PVH and Multiboot2, the machine as the shared steps want it.
//!
//! Runs on the boot processor, interrupts off, every address below 4 GiB mapped
//! at itself ([`entry.S`]). [`firmware`] reads what was handed over, [`clock`]
//! measures counter and timer, [`board`] is the rest.

mod board;
mod clock;
mod firmware;
mod map;
mod tables;

use arch_x86::registers;
use arch_x86::uart::Uart;
use board::Pc;
use boot::Range;
use core::fmt::Write;

core::arch::global_asm!(
    include_str!("entry.S"),
    CR4 = const registers::CR4_PAE | registers::CR4_OSFXSR | registers::CR4_OSXMMEXCPT,
    MSR_EFER = const registers::MSR_EFER,
    EFER = const registers::EFER,
    CR0 = const registers::CR0,
    MARKER = const abi::marker::X86_MAGIC << 16 | abi::marker::LOADER_ENTRY as u32,
    enter = sym enter,
    exception = sym exception,
    idt = sym board::IDT,
);

unsafe extern "C" {
    static loader_start: u8;
    static loader_end: u8;
}

/// The loader's own memory.
fn own_range() -> Range {
    Range {
        base: (&raw const loader_start) as u64,
        end: (&raw const loader_end) as u64,
    }
}

/// From `entry.S`: `protocol` is 0 for PVH and 1 for Multiboot2, `info` what its door was given.
extern "C" fn enter(protocol: u64, info: u64) -> ! {
    let entered = registers::counter();
    board::install_exceptions();
    // SAFETY: kernel mode, and nobody else runs.
    let uart = unsafe { Uart::init() };
    let told = if protocol == 0 {
        firmware::pvh(info)
    } else {
        firmware::multiboot2(info)
    };
    let (mut pc, handover) = Pc::new(uart, told, entered);
    boot::handover::start(&mut pc, handover)
}

/// From `entry.S`: an exception in the loader itself.
extern "C" fn exception(vector: u64, code: u64, pc: u64, address: u64) -> ! {
    // SAFETY: the loader does nothing any more but print.
    let mut uart = unsafe { Uart::as_is() };
    let _ = writeln!(
        uart,
        "boot: exception {vector} (code {code:#x}) at {pc:#x}, address {address:#x}"
    );
    board::leave(board::EXIT_FAILURE)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: as in `exception`.
    let mut uart = unsafe { Uart::as_is() };
    let _ = writeln!(uart, "boot: {info}");
    board::leave(board::EXIT_FAILURE)
}

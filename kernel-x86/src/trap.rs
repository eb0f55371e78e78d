//! What the entry stubs call: one handler per cause, on an empty stack, never returning.

use crate::context;
use crate::controller::Interrupt;
use crate::panic::{self, Epitaph};
use crate::run::{Kernel, Variant};
use crate::statics::{self, KernelCell};
use abi::disp::TrapKind;
use arch_x86::apic::{Command, VECTOR_FORCE};
use arch_x86::registers;
use kernel::{Event, FaultAccess};

const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;
const FIRST_INTERRUPT: u64 = 32;

/// A system call; its registers are at `area` (window), the FPU's are live.
#[inline]
pub fn syscall<V: Variant>(cell: &'static KernelCell<V>, area: u64) -> ! {
    // SAFETY: the one call of this entry.
    let kernel = unsafe { cell.enter() };
    kernel.system_call(area)
}

/// An exception or interrupt while the user ran, whose registers are at `area` (window).
pub fn trapped<V: Variant>(cell: &'static KernelCell<V>, area: u64, vector: u64, code: u64) -> ! {
    // SAFETY: the one call of this entry.
    let kernel = unsafe { cell.enter() };
    if vector >= FIRST_INTERRUPT {
        kernel.interrupted(area, vector);
    }
    let trap = |kind| Event::Trap(kind, vector << 32 | code);
    kernel.run(match vector {
        PAGE_FAULT => {
            let access = FaultAccess {
                write: code & 2 != 0,
                execute: code & 16 != 0,
            };
            Event::PageFault(registers::fault_address(), access)
        }
        0 => trap(TrapKind::Divide),
        1 | 3 => trap(TrapKind::Breakpoint),
        6 => trap(TrapKind::Undefined),
        12 | 13 => trap(TrapKind::Protection),
        16 | 19 => trap(TrapKind::Float),
        17 => trap(TrapKind::Alignment),
        NMI => forced("a user ran"),
        DOUBLE_FAULT | MACHINE_CHECK => panic::crash(
            Epitaph::Exception,
            0,
            0,
            format_args!("exception {vector} while a user ran: not the user's doing"),
        ),
        _ => trap(TrapKind::Other),
    })
}

/// An interrupt while the kernel slept.
pub fn interrupted_sleep<V: Variant>(cell: &'static KernelCell<V>, vector: u64) -> ! {
    // SAFETY: the one call of this entry.
    let kernel = unsafe { cell.enter() };
    match kernel.take_interrupt(vector) {
        Some(event) => kernel.run(event),
        None => kernel.sleep(),
    }
}

impl<V: Variant> Kernel<V> {
    /// An interrupt while the user ran.
    fn interrupted(&mut self, area: u64, vector: u64) -> ! {
        let Some(event) = self.take_interrupt(vector) else {
            // SAFETY: nothing has changed since the entry that saved there.
            unsafe { context::resume(area) }
        };
        if event == Event::StopRequested {
            // After the step the OSnode may be another core's.
            context::save_live(area);
        }
        self.run(event)
    }

    /// What the interrupt means to the OSnode, if anything; it is ended.
    fn take_interrupt(&mut self, vector: u64) -> Option<Event> {
        match self.controller.take(&mut self.machine, vector) {
            Interrupt::None | Interrupt::Wake => None,
            Interrupt::Timer => {
                self.timer.fired();
                Some(Event::Timer)
            }
            Interrupt::Notify => Some(Event::Notified),
            Interrupt::Stop => Some(Event::StopRequested),
            Interrupt::Device(source) => Some(Event::Irq(source)),
            Interrupt::Force => forced("a user ran or the core slept"),
        }
    }
}

fn forced(when: &str) -> ! {
    panic::crash(
        Epitaph::Forced,
        0,
        0,
        format_args!("taken back while {when}"),
    )
}

/// From entry.S: an NMI interrupted the few instructions that must not lose a register. It
/// comes again as an interrupt when a user runs.
pub extern "C" fn force_later() {
    if let Some(apic) = statics::apic() {
        // To oneself a command is always accepted.
        let _ = apic.send(Command::Fixed(VECTOR_FORCE), u64::from(apic.id()));
    }
}

/// From entry.S: an exception or NMI while the kernel ran.
pub extern "C" fn kernel_fault(vector: u64, code: u64, pc: u64, sp: u64) -> ! {
    let address = registers::fault_address();
    if vector == NMI {
        panic::crash(
            Epitaph::Forced,
            pc,
            sp,
            format_args!("taken back while the kernel ran"),
        );
    }
    panic::crash(
        Epitaph::Exception,
        pc,
        address,
        format_args!(
            "exception {vector} in the kernel: code {code:#x}, address {address:#x}, sp {sp:#x}"
        ),
    )
}

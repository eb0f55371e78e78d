//! What the entry stubs call: one handler per cause, on an empty stack, never returning.

use crate::context;
use crate::panic::{self, Epitaph};
use crate::run::{Kernel, Variant};
use crate::statics::{HALTING, KernelCell, LIVE_AREA};
use abi::disp::TrapKind;
use arch_arm::exception::{self, Cause};
use arch_arm::gic::Mask;
use core::sync::atomic::Ordering;
use kernel::{Event, FaultAccess};

/// The kernel, entered from EL0: `area` (window) holds the user's registers, the FPU's are live.
#[inline]
#[expect(clippy::mut_from_ref, reason = "ONE-ENTRY, as for the cell itself")]
fn enter<V: Variant>(cell: &'static KernelCell<V>, area: u64) -> &'static mut Kernel<V> {
    LIVE_AREA.store(area, Ordering::Relaxed);
    // SAFETY: the one call of this entry.
    unsafe { cell.enter() }
}

/// A synchronous exception from EL0.
#[inline(always)]
pub fn synchronous<V: Variant>(cell: &'static KernelCell<V>, area: u64, esr: u64, far: u64) -> ! {
    let kernel = enter(cell, area);
    kernel.shield();
    if exception::class(esr) == exception::CLASS_SVC {
        kernel.system_call(area)
    }
    fault(kernel, esr, far)
}

/// What a user did that it should not have done.
#[cold]
#[inline(never)]
fn fault<V: Variant>(kernel: &mut Kernel<V>, esr: u64, far: u64) -> ! {
    let trap = |kind| Event::Trap(kind, esr);
    kernel.run(match exception::decode(esr) {
        Cause::Svc => Event::Syscall,
        Cause::Page { write, execute } => Event::PageFault(far, FaultAccess { write, execute }),
        Cause::Undefined => trap(TrapKind::Undefined),
        Cause::Breakpoint => trap(TrapKind::Breakpoint),
        Cause::Protection => trap(TrapKind::Protection),
        Cause::Float => trap(TrapKind::Float),
        Cause::Alignment => trap(TrapKind::Alignment),
        Cause::Other => trap(TrapKind::Other),
    })
}

/// The entry that follows a sleep of the kernel.
pub fn woken<V: Variant>(cell: &'static KernelCell<V>) -> ! {
    // SAFETY: the one call of this entry: the sleeper's reference ended with its stack.
    let kernel = unsafe { cell.enter() };
    kernel.woken()
}

/// An interrupt while EL0 ran.
pub fn interrupt<V: Variant>(cell: &'static KernelCell<V>, area: u64) -> ! {
    let kernel = enter(cell, area);
    match kernel.take_interrupt() {
        None => kernel.go_on(area),
        Some(event) => {
            if event == Event::StopRequested {
                // After the step the OSnode may be another core's.
                context::save_fpu(area);
            }
            kernel.shield();
            kernel.run(event)
        }
    }
}

/// A system error while EL0 ran: by the mapping of some device, so that dispatcher's trouble.
pub fn system_error<V: Variant>(cell: &'static KernelCell<V>, area: u64, esr: u64, _far: u64) -> ! {
    let kernel = enter(cell, area);
    kernel.shield();
    kernel.run(Event::Trap(TrapKind::Other, esr))
}

impl<V: Variant> Kernel<V> {
    /// From the entry stub's world (PSTATE masks all) to the kernel's (the controller masks all but FORCE).
    #[inline]
    pub fn shield(&self) {
        self.controller.mask(Mask::Kernel);
        context::unmask_interrupts();
    }
}

/// An interrupt while the kernel ran: it passed the kernel's mask, so it is FORCE, or it was withdrawn.
#[unsafe(no_mangle)]
extern "C" fn nekton_forced() {
    if crate::entry::force_pending() {
        panic::crash(
            Epitaph::Forced,
            0,
            0,
            format_args!("taken back while the kernel ran"),
        );
    }
}

/// An exception that the kernel caused.
#[unsafe(no_mangle)]
extern "C" fn nekton_kernel_fault(esr: u64, far: u64, pc: u64, sp: u64) -> ! {
    if HALTING.load(Ordering::Relaxed) {
        // Semihosting's instruction is undefined here.
        crate::effects::power_off();
    }
    panic::crash(
        Epitaph::Exception,
        pc,
        far,
        format_args!("exception in the kernel: syndrome {esr:#x}, address {far:#x}, sp {sp:#x}"),
    )
}

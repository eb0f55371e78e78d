//! The one way out to EL0, and PSTATE's interrupt mask.

use arch_arm::fpu;
use core::arch::asm;

/// Loads a user's registers from the save area at `area` (window) and goes on there.
///
/// # Safety
/// `area` is a save area in the window; the user's root is loaded, TPIDR_EL1 names the dispatcher's
/// page, PSTATE masks interrupts, `stack_top` is the top of the kernel stack, and nothing on that
/// stack is needed any more. `spsr_mask` is `Features::user_spsr_mask`.
#[inline]
pub unsafe fn resume(area: u64, spsr_mask: u64, stack_top: u64) -> ! {
    // SAFETY: the caller's promise is the routine's contract.
    unsafe {
        asm!(
            "b nekton_resume",
            in("x0") area,
            in("x1") spsr_mask,
            in("x2") stack_top,
            options(noreturn, nostack)
        )
    }
}

/// Empties the stack and begins the entry that follows a sleep (`nekton_woken`).
///
/// # Safety
/// `stack_top` is the top of the kernel stack, and nothing on that stack is needed any more.
pub unsafe fn restart(stack_top: u64) -> ! {
    // SAFETY: the caller's promise; the routine never returns.
    unsafe {
        asm!(
            "mov sp, x0",
            "mov x29, xzr",
            "mov x30, xzr",
            "b nekton_woken",
            in("x0") stack_top,
            options(noreturn, nostack)
        )
    }
}

/// Masks interrupts in PSTATE: for the last instructions before EL0, and while sleeping.
#[inline]
pub fn mask_interrupts() {
    // SAFETY: masking interrupts affects no memory.
    unsafe { asm!("msr daifset, #0xf", options(nostack, preserves_flags)) }
}

/// Lets interrupts through PSTATE: what comes is up to the controller's mask. System errors stay
/// masked until EL0, whose mappings cause them.
#[inline]
pub fn unmask_interrupts() {
    // SAFETY: vectors are set; what may come is FORCE, which does not return, or a spurious one.
    unsafe { asm!("msr daifclr, #0x2", options(nostack, preserves_flags)) }
}

/// Sets the dispatcher page (window) that entries from EL0 save into.
#[inline]
pub fn set_page(page: u64) {
    // SAFETY: TPIDR_EL1 is read by our own entry code only.
    unsafe { asm!("msr tpidr_el1, {0}", in(reg) page, options(nostack, preserves_flags)) }
}

/// The marker `abi::marker::DISPATCHED`: writes the zero register.
#[inline(always)]
pub fn mark_dispatched() {
    // SAFETY: changes nothing.
    unsafe {
        asm!("movz xzr, #{n}", n = const abi::marker::DISPATCHED,
            options(nomem, nostack, preserves_flags));
    }
}

/// Writes the live FPU registers into the save area at `area` (window).
#[inline]
pub fn save_fpu(area: u64) {
    // SAFETY: save areas are 64-byte aligned, in the window, and have room for the state.
    unsafe { fpu::save((area + abi::disp::AREA_FPU) as *mut u8) }
}

/// Loads the FPU registers from the save area at `area` (window).
#[inline]
pub fn load_fpu(area: u64) {
    // SAFETY: as `save_fpu`; `restore` drops reserved bits.
    unsafe { fpu::restore((area + abi::disp::AREA_FPU) as *const u8) }
}

const _: () = assert!(fpu::BYTES <= abi::disp::AREA_FPU_BYTES);

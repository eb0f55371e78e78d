//! The one way out to user mode, and the registers that are switched only when needed.
//!
//! FPU registers and FS base stay in the processor while the same context goes
//! on; [`crate::statics::LIVE_AREA`] names the save area that they belong to.

use crate::statics::{FSGSBASE, LIVE_AREA, XSAVE};
use abi::disp::{AREA_FPU, AREA_TLS};
use arch_x86::fpu;
use arch_x86::registers::{MSR_FS_BASE, write_msr};
use core::arch::asm;
use core::sync::atomic::Ordering;

unsafe extern "C" {
    fn nekton_load_fpu(state: u64);
}

/// Loads a user's registers from the save area at `area` (window) and goes on there.
///
/// # Safety
/// `area` is a save area in the window; the user's root is loaded, [`crate::statics::PAGE`] names
/// the dispatcher's page, interrupts are off, and nothing on the kernel stack is needed any more.
#[inline]
pub unsafe fn resume(area: u64) -> ! {
    // SAFETY: the caller's promise is the routine's contract.
    unsafe { asm!("jmp nekton_resume", in("rdi") area, options(noreturn, nostack)) }
}

/// The marker `abi::marker::DISPATCHED`: a long no-operation.
#[inline(always)]
pub fn mark_dispatched() {
    // SAFETY: reads and writes nothing.
    unsafe {
        asm!("nop dword ptr [rax + {d}]",
            d = const abi::marker::X86_MAGIC << 16 | abi::marker::DISPATCHED as u32,
            options(nomem, nostack, preserves_flags));
    }
}

/// Writes the live FPU registers and FS base into the save area at `area` (window).
pub fn save_live(area: u64) {
    // SAFETY: save areas are 64-byte aligned, in the window, and have room for the state; XSAVE
    // says whether it is on.
    unsafe { fpu::state::save(area + AREA_FPU, XSAVE.load(Ordering::Relaxed)) }
    // Without the instruction users cannot change the base: what stands there is true.
    if FSGSBASE.load(Ordering::Relaxed) {
        let base = fs_base();
        // SAFETY: a word of a save area in the window.
        unsafe { ((area + AREA_TLS) as *mut u64).write_volatile(base) }
    }
}

/// Loads FPU registers and FS base from the save area at `area` (window), which users write.
pub fn load_live(area: u64) {
    // SAFETY: as `save_live`; what the instruction refuses is replaced (entry.S).
    unsafe { nekton_load_fpu(area + AREA_FPU) }
    load_fs_base(area);
}

/// Loads the FS base alone.
pub fn load_fs_base(area: u64) {
    // SAFETY: a word of a save area in the window, read once.
    let base = unsafe { ((area + AREA_TLS) as *const u64).read_volatile() };
    // Only the user's half is loaded: another value could fault here, and means nothing there.
    let base = if base >> 47 == 0 { base } else { 0 };
    if FSGSBASE.load(Ordering::Relaxed) {
        // SAFETY: CR4.FSGSBASE is on; a canonical address of the user's half.
        unsafe { asm!("wrfsbase {0}", in(reg) base, options(nomem, nostack, preserves_flags)) }
        // GS is no part of a user's state: what one left there is not for the next.
        // SAFETY: as before; kernels do not use GS.
        unsafe { asm!("wrgsbase {0}", in(reg) 0u64, options(nomem, nostack, preserves_flags)) }
    } else {
        // SAFETY: every x86_64 processor has the register; the value is canonical.
        unsafe { write_msr(MSR_FS_BASE, base) }
    }
}

fn fs_base() -> u64 {
    let base: u64;
    // SAFETY: CR4.FSGSBASE is on (the caller looked).
    unsafe { asm!("rdfsbase {0}", out(reg) base, options(nomem, nostack, preserves_flags)) }
    base
}

/// Whether the live registers belong to `area` (window).
#[inline]
pub fn is_live(area: u64) -> bool {
    LIVE_AREA.load(Ordering::Relaxed) == area
}

const _: () = assert!(fpu::BYTES <= abi::disp::AREA_FPU_BYTES);

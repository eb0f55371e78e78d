//! AArch64, user side (Arm Architecture Reference Manual; Procedure Call Standard AAPCS64).

use core::arch::asm;
#[cfg(nekton_user)]
use core::arch::global_asm;

use capfmt::Isa;

/// Instruction set, as the format numbers it.
pub const ISA: Isa = Isa::Arm;
/// Bytes of the thread control block at the TLS base: two words, then the TLS block.
pub const TCB_BYTES: usize = 16;
/// The TLS block stands above the TLS base (variant I).
pub const TLS_BELOW: bool = false;
/// SPSR of a fresh user context: EL0, AArch64, nothing masked.
pub const USER_FLAGS: u64 = 0;
/// Word of the frame pointer in a save area's general registers (x29).
pub const FRAME_POINTER_WORD: u64 = 29;
/// Word of the first argument in a save area's general registers (x0).
pub const FIRST_ARGUMENT_WORD: u64 = 0;
/// Words of a fresh FPU area that are not zero: none.
pub const FRESH_FPU: &[(u64, u64)] = &[];

#[cfg(nekton_user)]
global_asm!(include_str!("start.S"));

/// One system call, registers as in `abi::Syscall`.
#[inline(always)]
pub fn syscall(r: [u64; 8]) -> [u64; 8] {
    let [
        mut r0,
        mut r1,
        mut r2,
        mut r3,
        mut r4,
        mut r5,
        mut r6,
        mut r7,
    ] = r;
    // SAFETY: the kernel changes nothing but the eight registers and FPU data registers,
    // all declared; memory that it writes (the dispatcher frame) is reached by this
    // program through volatile or atomic accesses only.
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") r0, inlateout("x1") r1, inlateout("x2") r2, inlateout("x3") r3,
            inlateout("x4") r4, inlateout("x5") r5, inlateout("x6") r6, inlateout("x7") r7,
            clobber_abi("C"),
            options(nostack),
        );
    }
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

/// The virtual counter, which kernels use too (no offset: it equals the physical one).
#[inline(always)]
pub fn counter() -> u64 {
    let c;
    // SAFETY: kernels open CNTVCT_EL0 to EL0 (CNTKCTL_EL1.EL0VCTEN).
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", out(reg) c, options(nomem, nostack, preserves_flags))
    }
    c
}

/// `movz xzr, #N` (see `abi::marker`): writes the zero register.
#[inline(always)]
pub fn marker<const N: u16>() {
    // SAFETY: a write to the zero register has no effect.
    unsafe {
        asm!("movz xzr, #{n}", n = const N, options(nostack, preserves_flags));
    }
}

/// A marker, 999 instructions, a marker (`abi::marker::THOUSAND`).
pub fn thousand() {
    // SAFETY: changes a register that is declared; markers write the zero register.
    unsafe {
        asm!(
            "movz xzr, #{begin}",
            "mov {i:w}, #499",
            "2: subs {i:w}, {i:w}, #1",
            "b.ne 2b",
            "movz xzr, #{end}",
            begin = const abi::marker::THOUSAND_BEGIN,
            end = const abi::marker::THOUSAND_END,
            i = out(reg) _,
            options(nomem, nostack)
        );
    }
}

/// A spin's pause.
#[inline(always)]
pub fn pause() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// The caller's frame pointer.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let fp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) }
    fp
}

/// The TLS base in use.
#[inline(always)]
pub fn tls_base() -> u64 {
    let base;
    // SAFETY: TPIDR_EL0 may be read at EL0.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) base, options(nomem, nostack, preserves_flags)) }
    base
}

/// Makes freshly written code visible to instruction fetch (Arm ARM B2.4.4): clean the data
/// cache to the point of unification, invalidate the instruction cache, line by line.
pub fn sync_code(address: u64, bytes: u64) {
    let ctr: u64;
    // SAFETY: CTR_EL0 may be read at EL0 (kernels set SCTLR_EL1.UCT).
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) }
    let data_line = 4u64 << (ctr >> 16 & 15);
    let code_line = 4u64 << (ctr & 15);
    let end = address + bytes;
    let mut at = address & !(data_line - 1);
    while at < end {
        // SAFETY: cleans a line of memory that is mapped (the caller's range); SCTLR_EL1.UCI is set.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += data_line;
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) }
    at = address & !(code_line - 1);
    while at < end {
        // SAFETY: as for `dc`.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += code_line;
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) }
}

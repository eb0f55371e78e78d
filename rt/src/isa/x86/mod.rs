//! x86_64, user side (AMD64 Architecture Programmer's Manual vol. 2, 3; System V ABI AMD64).

use core::arch::asm;
#[cfg(nekton_user)]
use core::arch::global_asm;

use capfmt::Isa;

/// Instruction set, as the format numbers it.
pub const ISA: Isa = Isa::X86;
/// Bytes of the thread control block at the TLS base: its self pointer and room for the runtime.
pub const TCB_BYTES: usize = 64;
/// The TLS block stands below the TLS base (variant II).
pub const TLS_BELOW: bool = true;
/// RFLAGS of a fresh user context: the always-one bit and IF.
pub const USER_FLAGS: u64 = 0x202;
/// Word of the frame pointer in a save area's general registers (rbp).
pub const FRAME_POINTER_WORD: u64 = 6;
/// Word of the first argument in a save area's general registers (rdi).
pub const FIRST_ARGUMENT_WORD: u64 = 5;
/// Words of a fresh FPU area: FCW and MXCSR at their reset values, no other state (XSAVE header zero).
pub const FRESH_FPU: &[(u64, u64)] = &[(0, 0x037f), (24, 0x1f80)];

#[cfg(nekton_user)]
global_asm!(include_str!("start.S"), options(att_syntax));

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
    // SAFETY: the kernel changes nothing but the eight registers, rcx, r11 and FPU data
    // registers, all declared; memory that it writes (the dispatcher frame) is reached by
    // this program through volatile or atomic accesses only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") r0, inlateout("rdi") r1, inlateout("rsi") r2, inlateout("rdx") r3,
            inlateout("r10") r4, inlateout("r8") r5, inlateout("r9") r6, inlateout("r12") r7,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    [r0, r1, r2, r3, r4, r5, r6, r7]
}

/// The time-stamp counter.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: RDTSC is not privileged here: kernels leave CR4.TSD clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// `nopl disp32(%rax)` with the number in the displacement (see `abi::marker`).
#[inline(always)]
pub fn marker<const N: u16>() {
    // SAFETY: a long no-operation reads and writes nothing.
    unsafe {
        asm!("nopl {d}(%rax)", d = const abi::marker::X86_MAGIC << 16 | N as u32,
            options(att_syntax, nostack, preserves_flags));
    }
}

/// A marker, 999 instructions, a marker (`abi::marker::THOUSAND`).
pub fn thousand() {
    // SAFETY: changes a register that is declared; markers read and write nothing.
    unsafe {
        asm!(
            "nopl {begin}(%rax)",
            "movl $499, {i:e}",
            "2: decl {i:e}",
            "jnz 2b",
            "nopl {end}(%rax)",
            begin = const abi::marker::X86_MAGIC << 16 | abi::marker::THOUSAND_BEGIN as u32,
            end = const abi::marker::X86_MAGIC << 16 | abi::marker::THOUSAND_END as u32,
            i = out(reg) _,
            options(att_syntax, nomem, nostack)
        );
    }
}

/// A spin's pause.
#[inline(always)]
pub fn pause() {
    core::hint::spin_loop();
}

/// The caller's frame pointer.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let fp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) fp, options(nomem, nostack, preserves_flags)) }
    fp
}

/// The TLS base in use.
#[inline(always)]
pub fn tls_base() -> u64 {
    let base;
    // SAFETY: the word at the TLS base is its own address (System V ABI AMD64, 3.4.2), set up by `start`.
    unsafe { asm!("mov {}, fs:[0]", out(reg) base, options(readonly, nostack, preserves_flags)) }
    base
}

/// Makes freshly written code visible to instruction fetch: nothing to do, caches are coherent
/// and the code is entered through a system call.
pub fn sync_code(_address: u64, _bytes: u64) {}

//! Where registers stand in a save area (`abi::disp::AREA_GPR`), byte offsets.
//!
//! rax rbx rcx rdx rsi rdi rbp, a spare word, r8–r15.

/// rax.
pub const RAX: u64 = 0x00;
/// rbx.
pub const RBX: u64 = 0x08;
/// rcx.
pub const RCX: u64 = 0x10;
/// rdx.
pub const RDX: u64 = 0x18;
/// rsi.
pub const RSI: u64 = 0x20;
/// rdi.
pub const RDI: u64 = 0x28;
/// rbp.
pub const RBP: u64 = 0x30;
/// Not a register: the program counter at which the system call returns that this
/// context is in, 0 if it is in none. While it equals the program counter, rcx and
/// r11 mean nothing and SYSRET may restore the context. A user who lies harms itself only.
pub const QUICK: u64 = 0x38;
/// r8; r9–r15 follow.
pub const R8: u64 = 0x40;
/// r9.
pub const R9: u64 = 0x48;
/// r10.
pub const R10: u64 = 0x50;
/// r11.
pub const R11: u64 = 0x58;
/// r12.
pub const R12: u64 = 0x60;
/// r13.
pub const R13: u64 = 0x68;
/// r14.
pub const R14: u64 = 0x70;
/// r15.
pub const R15: u64 = 0x78;

/// System-call registers r0–r7 (`abi::Syscall`).
pub const SYSCALL_REGS: [u64; 8] = [RAX, RDI, RSI, RDX, R10, R8, R9, R12];
/// The first four C arguments (System V).
pub const ARGUMENT_REGS: [u64; 4] = [RDI, RSI, RDX, RCX];
/// Bytes of SYSCALL.
pub const SYSCALL_BYTES: u64 = 2;

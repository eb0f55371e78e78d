//! Where registers stand in a save area (`abi::disp::AREA_GPR`), byte offsets: x0 to x30 in order.

/// Offset of xN.
#[must_use]
pub const fn x(n: u64) -> u64 {
    8 * n
}

/// System-call registers r0–r7 (`abi::Syscall`).
pub const SYSCALL_REGS: [u64; 8] = [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)];
/// The first four C arguments (AAPCS64).
pub const ARGUMENT_REGS: [u64; 4] = [x(0), x(1), x(2), x(3)];
/// Bytes of SVC.
pub const SYSCALL_BYTES: u64 = 4;

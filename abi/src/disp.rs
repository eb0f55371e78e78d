//! The dispatcher frame: the page that kernel and dispatcher share, then the LMP rings.
//!
//! The user may write every byte of it; the kernel trusts none (DESIGN §4 "User state").
//! Frame: [`FRAME_BYTES`]; page 0 is the dispatcher page, pages 1–3 hold
//! [`RING_SLOTS`] message slots of 64 bytes: 6 words, then badge | flags << 32, then 0.

/// Bytes of a dispatcher frame.
pub const FRAME_BYTES: u64 = 0x4000;
/// Offset of ring slot 0.
pub const RING_OFFSET: u64 = 0x1000;
/// Message slots in the frame.
pub const RING_SLOTS: u64 = 192;

/// Non-zero while upcalls are off (kernel saves to the disabled area).
pub const DISABLED: u64 = 0x008;
/// Where upcalls enter: r1 (first C argument) = upcall number, second = detail, third = dispatcher page.
pub const UPCALL_ENTRY: u64 = 0x010;
/// Stack pointer for upcalls.
pub const UPCALL_STACK: u64 = 0x018;
/// TLS base for upcalls.
pub const UPCALL_TLS: u64 = 0x020;
/// Upcalls wanted: bit = upcall number. `PAGE_FAULT` and `TRAP` not wanted = the dispatcher ends.
pub const UPCALLS_WANTED: u64 = 0x028;
/// OSnode id (kernel writes at attach and start).
pub const OSNODE: u64 = 0x030;
/// Core index (kernel writes at attach and start).
pub const CORE: u64 = 0x038;
/// Attach epoch of the OSnode (kernel writes at attach and start).
pub const EPOCH: u64 = 0x040;
/// User word: the runtime's own (address of its state).
pub const USER_WORD: u64 = 0x048;

/// Save area used while enabled.
pub const ENABLED_AREA: u64 = 0x200;
/// Save area used while disabled; a new dispatcher starts from it.
pub const DISABLED_AREA: u64 = 0x680;
/// Save area of the state that faulted while disabled.
pub const TRAP_AREA: u64 = 0xb00;
/// Bytes of a save area.
pub const AREA_BYTES: u64 = 0x480;

/// In a save area: general registers, 32 words (x86: rax rbx rcx rdx rsi rdi rbp - r8..r15; Arm: x0..x30).
pub const AREA_GPR: u64 = 0x000;
/// In a save area: program counter.
pub const AREA_PC: u64 = 0x100;
/// In a save area: stack pointer.
pub const AREA_SP: u64 = 0x108;
/// In a save area: RFLAGS or SPSR.
pub const AREA_FLAGS: u64 = 0x110;
/// In a save area: TLS base (FS base, TPIDR_EL0).
pub const AREA_TLS: u64 = 0x118;
/// In a save area: FPU state, 64-byte aligned in memory (x86: XSAVE standard format, 832 bytes; Arm: q0–q31, FPCR, FPSR).
pub const AREA_FPU: u64 = 0x140;
/// Bytes of FPU state.
pub const AREA_FPU_BYTES: u64 = 0x340;

/// Upcall numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Upcall {
    /// Dispatched after being preempted.
    Run = 0,
    /// Page fault: detail = address | access in bits 0–2 of r4 (1 write, 2 execute).
    PageFault = 1,
    /// Trap: detail = `TrapKind`.
    Trap = 2,
    /// Message or notification arrived while not waiting.
    Message = 3,
    /// The OSnode runs on another core, or the set of cores changed.
    CoreSetChanged = 4,
    /// The kernel was replaced.
    KernelRestarted = 5,
}

/// What trapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TrapKind {
    /// Integer division error.
    Divide = 0,
    /// Undefined instruction.
    Undefined = 1,
    /// Breakpoint.
    Breakpoint = 2,
    /// Privileged or otherwise forbidden operation (x86 #GP).
    Protection = 3,
    /// Floating-point exception.
    Float = 4,
    /// Misaligned access, stack or program counter.
    Alignment = 5,
    /// Anything else.
    Other = 6,
}

//! What kernel logic must compute with and only the ISA knows (`isa-is-a-type`).

use capfmt::{Isa, PhysAddr, PhysMap};

/// Access rights of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRights {
    /// Writable.
    pub write: bool,
    /// Executable (never together with `write`: W^X).
    pub execute: bool,
    /// Device memory: uncached, strongly ordered.
    pub device: bool,
}

/// The ISA as kernel logic sees it. A method enters only when both ISAs implement it.
pub trait Machine: PhysMap {
    /// Instruction set, as the format numbers it.
    const ISA: Isa;
    /// Offsets in a save area of the system-call registers r0–r7 (`abi::Syscall`).
    const SYSCALL_REGS: [u64; 8];
    /// Offsets in a save area of the first four C arguments.
    const ARGUMENT_REGS: [u64; 4];
    /// Bytes of the system-call instruction, to repeat a call.
    const SYSCALL_BYTES: u64;
    /// RFLAGS / SPSR of a fresh user context.
    const USER_FLAGS: u64;
    /// Level of a root VNode (0 is a leaf table); tables of both ISAs have 512 entries.
    const ROOT_LEVEL: u32;
    /// Number of entries at the bottom of a root VNode that belong to the user
    /// (x86: 256, the upper half being the kernel's; Arm: 512, the kernel being behind TTBR1).
    const USER_ROOT_ENTRIES: u64;

    /// Entry of a level-`level` table that maps `frame` (levels 0, and 1 for 2-MiB blocks).
    fn leaf_entry(&self, level: u32, frame: PhysAddr, rights: PageRights) -> u64;
    /// Entry that links the lower-level table `table`.
    fn table_entry(&self, table: PhysAddr) -> u64;
    /// Fills the kernel's part of a fresh root VNode (x86: the window entry; Arm: nothing).
    fn init_root(&mut self, root: PhysAddr);
    /// The hardware counter (TSC, CNTPCT).
    fn counter(&self) -> u64;
    /// Features that this kernel and core offer (`capfmt::Kcb::features`).
    fn features(&self) -> u64;
    /// The Core object of the core that this kernel runs on.
    fn core_object(&self) -> PhysAddr;
    /// First word of the x87/SSE or FPSR state that a fresh context needs in its FPU area: (offset, word) pairs.
    fn fresh_fpu(&self) -> &'static [(u64, u64)];
}

//! What the making of tables and first contexts must know of an instruction set.

use capfmt::{Isa, PhysAddr};

/// Access rights and memory type of a leaf entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntryRights {
    /// Writable.
    pub write: bool,
    /// Executable, in user mode if `user`, else in kernel mode only (x86 NX; Arm PXN, UXN).
    pub execute: bool,
    /// Device registers: uncached, strongly ordered.
    pub device: bool,
    /// Reachable from user mode.
    pub user: bool,
    /// The same in every address space for as long as the machine runs (x86 G; Arm not nG).
    pub global: bool,
}

impl EntryRights {
    /// Kernel data: read and write.
    pub const KERNEL_DATA: EntryRights = EntryRights {
        write: true,
        execute: false,
        device: false,
        user: false,
        global: false,
    };
    /// Kernel code: read and execute.
    pub const KERNEL_CODE: EntryRights = EntryRights {
        write: false,
        execute: true,
        ..EntryRights::KERNEL_DATA
    };
    /// Kernel constants: read only.
    pub const KERNEL_CONST: EntryRights = EntryRights {
        write: false,
        ..EntryRights::KERNEL_DATA
    };
    /// Device registers for the kernel.
    pub const KERNEL_DEVICE: EntryRights = EntryRights {
        device: true,
        ..EntryRights::KERNEL_DATA
    };
    /// The RAM window: read and write, never executable, the same for ever.
    pub const WINDOW: EntryRights = EntryRights {
        global: true,
        ..EntryRights::KERNEL_DATA
    };
}

/// An instruction set as seen by [`crate`]: pure encoders and constants, no state.
///
/// Tables of both ISAs have 4 levels of 512 entries; level 3 is the root, level 0
/// holds 4-KiB pages. Entries made here carry the accessed flag (and on writable
/// entries the dirty flag), so that hardware never writes tables.
pub trait IsaTables {
    /// Instruction set, as the format numbers it.
    const ISA: Isa;
    /// Whether every user root holds the window entry
    /// (x86, at [`crate::WINDOW_INDEX`]; Arm has its kernel behind TTBR1).
    const ROOT_HOLDS_WINDOW: bool;
    /// Offsets in a save area (`abi::disp`) of the first four C arguments.
    const ARGUMENT_REGS: [u64; 4];
    /// RFLAGS / SPSR of a fresh user context.
    const USER_FLAGS: u64;
    /// Words that a fresh FPU area needs: (offset in the area, word).
    const FRESH_FPU: &'static [(u64, u64)];

    /// Entry of a level-`level` table (0: 4 KiB, 1: 2 MiB, 2: 1 GiB) that maps memory at `phys`.
    fn leaf(level: u32, phys: PhysAddr, rights: EntryRights) -> u64;
    /// Entry that links the lower table at `phys`; `user` = it leads to user pages.
    fn table(phys: PhysAddr, user: bool) -> u64;
}

/// ELF machine number of an instruction set.
#[must_use]
pub const fn elf_machine(isa: Isa) -> u16 {
    match isa {
        Isa::X86 => 62,
        Isa::Arm => 183,
    }
}

/// Number of an instruction set's RELATIVE relocation.
#[must_use]
pub const fn relative_relocation(isa: Isa) -> u32 {
    match isa {
        Isa::X86 => 8,
        Isa::Arm => 1027,
    }
}

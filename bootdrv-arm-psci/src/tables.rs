//! The encoders that `genesis` builds with.

use arch_arm::{context, fpu, paging, registers};
use capfmt::{Isa, PhysAddr};
use genesis::{EntryRights, IsaTables};

/// AArch64 as `genesis` sees it.
pub struct Tables;

impl IsaTables for Tables {
    const ISA: Isa = Isa::Arm;
    const ROOT_HOLDS_WINDOW: bool = false;
    const ARGUMENT_REGS: [u64; 4] = context::ARGUMENT_REGS;
    const USER_FLAGS: u64 = registers::SPSR_USER;
    const FRESH_FPU: &'static [(u64, u64)] = fpu::FRESH;

    fn leaf(level: u32, phys: PhysAddr, rights: EntryRights) -> u64 {
        let rights = paging::LeafRights {
            user: rights.user,
            write: rights.write,
            execute: rights.execute,
            device: rights.device,
        };
        paging::leaf(level, phys.0, rights)
    }

    fn table(phys: PhysAddr, user: bool) -> u64 {
        match user {
            true => paging::user_table(phys.0),
            false => paging::kernel_table(phys.0),
        }
    }
}

//! What the tests share: memory, the two instruction sets' entries, ELF files, a table walker.
#![allow(dead_code)]

pub mod elf;
pub mod walk;

use capfmt::{Isa, PhysAddr, PhysMap};
use genesis::{EntryRights, IsaTables};

/// A stretch of physical memory. Fresh memory is not zero.
pub struct Arena {
    pub base: u64,
    words: Vec<u64>,
}

impl Arena {
    pub fn new(base: u64, bytes: u64) -> Arena {
        Arena {
            base,
            words: vec![0xa5a5_a5a5_a5a5_a5a5; (bytes / 8) as usize],
        }
    }
    fn index(&self, at: PhysAddr) -> usize {
        assert!(at.is_aligned(8), "misaligned access at {:#x}", at.0);
        assert!(self.covers(at, 8), "access outside memory at {:#x}", at.0);
        ((at.0 - self.base) / 8) as usize
    }
    pub fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let byte = |a: u64| self.load(PhysAddr(a & !7)).to_le_bytes()[(a & 7) as usize];
        (at..at + len).map(byte).collect()
    }
}

impl PhysMap for Arena {
    fn load(&self, at: PhysAddr) -> u64 {
        self.words[self.index(at)]
    }
    fn store(&mut self, at: PhysAddr, value: u64) {
        let i = self.index(at);
        self.words[i] = value;
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        match self.load(at) {
            w if w == old => {
                self.store(at, new);
                Ok(())
            }
            w => Err(w),
        }
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        let end = self.base + 8 * self.words.len() as u64;
        at.0 >= self.base && at.0.checked_add(len).is_some_and(|e| e <= end)
    }
}

/// x86_64 entries, written from the manual for the tests alone.
pub struct X86;
/// AArch64 entries, written from the manual for the tests alone.
pub struct Arm;

/// What the walker must read back from an entry.
pub trait Decode: IsaTables {
    fn present(entry: u64) -> bool;
    fn is_leaf(level: u32, entry: u64) -> bool;
    fn rights(entry: u64) -> EntryRights;
    fn table_user(entry: u64) -> bool;
}

impl IsaTables for X86 {
    const ISA: Isa = Isa::X86;
    const ROOT_HOLDS_WINDOW: bool = true;
    const ARGUMENT_REGS: [u64; 4] = [5 * 8, 4 * 8, 3 * 8, 2 * 8];
    const USER_FLAGS: u64 = 0x202;
    const FRESH_FPU: &'static [(u64, u64)] = &[(0, 0x37f), (24, 0x1f80)];

    fn leaf(level: u32, phys: PhysAddr, r: EntryRights) -> u64 {
        let bit = |on: bool, n: u32| u64::from(on) << n;
        let memory = bit(r.device, 3) | bit(r.device, 4) | bit(level > 0, 7);
        phys.0
            | 1
            | bit(r.write, 1)
            | bit(r.user, 2)
            | memory
            | 1 << 5
            | bit(r.write, 6)
            | bit(r.global, 8)
            | bit(!r.execute, 63)
    }
    fn table(phys: PhysAddr, user: bool) -> u64 {
        phys.0 | 0x23 | u64::from(user) << 2
    }
}

impl Decode for X86 {
    fn present(e: u64) -> bool {
        e & 1 != 0
    }
    fn is_leaf(level: u32, e: u64) -> bool {
        level == 0 || e & 0x80 != 0
    }
    fn rights(e: u64) -> EntryRights {
        EntryRights {
            write: e & 2 != 0,
            execute: e >> 63 == 0,
            device: e & 0x18 == 0x18,
            user: e & 4 != 0,
            global: e & 0x100 != 0,
        }
    }
    fn table_user(e: u64) -> bool {
        e & 4 != 0
    }
}

impl IsaTables for Arm {
    const ISA: Isa = Isa::Arm;
    const ROOT_HOLDS_WINDOW: bool = false;
    const ARGUMENT_REGS: [u64; 4] = [0, 8, 16, 24];
    const USER_FLAGS: u64 = 0;
    const FRESH_FPU: &'static [(u64, u64)] = &[];

    fn leaf(level: u32, phys: PhysAddr, r: EntryRights) -> u64 {
        let bit = |on: bool, n: u32| u64::from(on) << n;
        let (pxn, uxn) = (!r.execute || r.user, !r.execute || !r.user);
        phys.0
            | 1
            | bit(level == 0, 1)
            | bit(r.device, 2)
            | bit(r.user, 6)
            | bit(!r.write, 7)
            | 3 << 8
            | 1 << 10
            | bit(!r.global, 11)
            | bit(pxn, 53)
            | bit(uxn, 54)
    }
    fn table(phys: PhysAddr, _user: bool) -> u64 {
        phys.0 | 3
    }
}

impl Decode for Arm {
    fn present(e: u64) -> bool {
        e & 1 != 0
    }
    fn is_leaf(level: u32, e: u64) -> bool {
        level == 0 || e & 2 == 0
    }
    fn rights(e: u64) -> EntryRights {
        let user = e & 0x40 != 0;
        EntryRights {
            write: e & 0x80 == 0,
            execute: e >> if user { 54 } else { 53 } & 1 == 0,
            device: e & 4 != 0,
            user,
            global: e & 0x800 == 0,
        }
    }
    fn table_user(_: u64) -> bool {
        true
    }
}

//! A machine that is nothing but memory and a counter.

use std::cell::Cell;
use std::rc::Rc;

use capfmt::{Isa, PhysAddr, PhysMap};
use kernel::{Machine, PageRights};
use model::Arena;

/// Words that several OSnodes reach, each by its own addresses: they stand in no arena.
pub trait SharedWords {
    /// Whether `len` bytes from `at` on are among them.
    fn covers(&self, at: PhysAddr, len: u64) -> bool;
    fn load(&self, at: PhysAddr) -> u64;
    fn store(&self, at: PhysAddr, value: u64);
    fn compare_exchange(&self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64>;
}

/// Memory, a counter that grows with each reading, and page-table entries whose meaning can be read back.
#[derive(Clone)]
pub struct TestMachine {
    pub arena: Arena,
    pub counter: Cell<u64>,
    pub core: PhysAddr,
    /// What others reach, too.
    pub shared: Option<Rc<dyn SharedWords>>,
}

impl TestMachine {
    fn shared_at(&self, at: PhysAddr, len: u64) -> Option<&dyn SharedWords> {
        self.shared.as_deref().filter(|s| s.covers(at, len))
    }
    pub fn advance(&self, ticks: u64) {
        self.counter.set(self.counter.get() + ticks);
    }
}

impl PhysMap for TestMachine {
    fn load(&self, at: PhysAddr) -> u64 {
        match self.shared_at(at, 8) {
            Some(words) => words.load(at),
            None => self.arena.load(at),
        }
    }
    fn store(&mut self, at: PhysAddr, value: u64) {
        match self.shared_at(at, 8) {
            Some(words) => words.store(at, value),
            None => self.arena.store(at, value),
        }
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        match self.shared_at(at, 8) {
            Some(words) => words.compare_exchange(at, old, new),
            None => self.arena.compare_exchange(at, old, new),
        }
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        self.arena.covers(at, len) || self.shared_at(at, len).is_some()
    }
}

impl Machine for TestMachine {
    const ISA: Isa = Isa::X86;
    const SYSCALL_REGS: [u64; 8] = [0, 40, 32, 24, 72, 56, 64, 88];
    const ARGUMENT_REGS: [u64; 4] = [40, 32, 24, 16];
    const SYSCALL_BYTES: u64 = 2;
    const USER_FLAGS: u64 = 0x202;
    const ROOT_LEVEL: u32 = 3;
    const USER_ROOT_ENTRIES: u64 = 256;

    fn leaf_entry(&self, level: u32, frame: PhysAddr, rights: PageRights) -> u64 {
        frame.0
            | 1
            | u64::from(rights.write) << 1
            | u64::from(rights.device) << 4
            | u64::from(level != 0) << 7
            | u64::from(!rights.execute) << 63
    }
    fn table_entry(&self, table: PhysAddr) -> u64 {
        table.0 | 7
    }
    fn init_root(&mut self, root: PhysAddr) {
        self.store(root.add(8 * 256), 0xdead_0007);
    }
    fn counter(&self) -> u64 {
        self.counter.set(self.counter.get() + 10);
        self.counter.get()
    }
    fn features(&self) -> u64 {
        3
    }
    fn core_object(&self) -> PhysAddr {
        self.core
    }
    fn fresh_fpu(&self) -> &'static [(u64, u64)] {
        &[(0, 0x37f), (0x18, 0x1f80)]
    }
}

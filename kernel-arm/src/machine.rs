//! The machine as kernel logic sees it.

use crate::paging;
use crate::run::Variant;
use crate::window::Window;
use arch_arm::context;
use capfmt::{Isa, PhysAddr, PhysMap};
use core::cell::Cell;
use core::marker::PhantomData;
use kernel::{Machine, PageRights};

/// This core: the window, the counter, the encoders.
#[derive(Debug)]
pub struct ArmMachine<V> {
    window: Window,
    core: PhysAddr,
    features: u64,
    /// An entry was made since the walker was last told (see [`ArmMachine::publish_tables`]).
    tables_changed: Cell<bool>,
    variant: PhantomData<V>,
}

impl<V: Variant> ArmMachine<V> {
    /// A machine whose Core object is `core`.
    pub const fn new(window: Window, core: PhysAddr, features: u64) -> Self {
        Self {
            window,
            core,
            features,
            tables_changed: Cell::new(false),
            variant: PhantomData,
        }
    }

    /// Lets the table walker see entries that this step wrote. An entry that was invalid is never
    /// cached, but a walk may overtake the store (Arm ARM D8.14.1).
    #[inline]
    pub fn publish_tables(&self) {
        if self.tables_changed.replace(false) {
            arch_arm::paging::tlb::publish();
        }
    }

    /// Writes the word at `at` after everything written before.
    pub fn store_release(&mut self, at: PhysAddr, value: u64) {
        self.window.store_release(at, value);
    }
}

impl<V: Variant> PhysMap for ArmMachine<V> {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        self.window.load(at)
    }
    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        self.window.store(at, value);
        V::store();
    }
    #[inline(always)]
    fn load_at(&self, base: PhysAddr, offset: u64) -> u64 {
        self.window.load_at(base, offset)
    }
    #[inline(always)]
    fn store_at(&mut self, base: PhysAddr, offset: u64, value: u64) {
        self.window.store_at(base, offset, value);
        V::store();
    }
    #[inline(always)]
    fn load_words<const N: usize>(&self, at: PhysAddr) -> [u64; N] {
        self.window.load_words(at)
    }
    #[inline(always)]
    fn store_each<const N: usize>(&mut self, at: PhysAddr, offsets: [u64; N], values: [u64; N]) {
        self.window.store_each(at, offsets, values);
    }
    #[inline]
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        self.window.compare_exchange(at, old, new)
    }
    #[inline]
    fn exchange(&mut self, at: PhysAddr, new: u64) -> u64 {
        self.window.exchange(at, new)
    }
    #[inline]
    fn set_bits(&mut self, at: PhysAddr, bits: u64) {
        self.window.set_bits(at, bits);
    }
    #[inline]
    fn clear_bits(&mut self, at: PhysAddr, bits: u64) {
        self.window.clear_bits(at, bits);
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        self.window.covers(at, len)
    }
    fn zero(&mut self, at: PhysAddr, len: u64) {
        self.window.zero(at, len);
    }
}

impl<V: Variant> Machine for ArmMachine<V> {
    const ISA: Isa = Isa::Arm;
    const SYSCALL_REGS: [u64; 8] = context::SYSCALL_REGS;
    const ARGUMENT_REGS: [u64; 4] = context::ARGUMENT_REGS;
    const SYSCALL_BYTES: u64 = context::SYSCALL_BYTES;
    const USER_FLAGS: u64 = arch_arm::registers::SPSR_USER;
    const ROOT_LEVEL: u32 = arch_arm::paging::ROOT_LEVEL;
    const USER_ROOT_ENTRIES: u64 = arch_arm::paging::ENTRIES;

    fn leaf_entry(&self, level: u32, frame: PhysAddr, rights: PageRights) -> u64 {
        self.tables_changed.set(true);
        paging::user_leaf(level, frame, rights)
    }
    fn table_entry(&self, table: PhysAddr) -> u64 {
        self.tables_changed.set(true);
        arch_arm::paging::user_table(table.0)
    }
    fn init_root(&mut self, _root: PhysAddr) {}
    #[inline]
    fn counter(&self) -> u64 {
        arch_arm::registers::counter()
    }
    fn features(&self) -> u64 {
        self.features
    }
    #[inline]
    fn core_object(&self) -> PhysAddr {
        self.core
    }
    fn fresh_fpu(&self) -> &'static [(u64, u64)] {
        arch_arm::fpu::FRESH
    }
}

const _: () = assert!(abi::disp::AREA_GPR == 0);

//! The machine as kernel logic sees it.

use crate::paging;
use crate::run::Variant;
use crate::window::Window;
use arch_x86::{context, fpu, registers};
use capfmt::{Isa, PhysAddr, PhysMap};
use core::marker::PhantomData;
use kernel::{Machine, PageRights};

/// This core: the window, the counter, the encoders.
#[derive(Debug)]
pub struct X86Machine<V> {
    window: Window,
    core: PhysAddr,
    features: u64,
    window_entry: u64,
    variant: PhantomData<V>,
}

impl<V: Variant> X86Machine<V> {
    /// A machine whose Core object is `core`; `window_entry` goes into every root.
    pub const fn new(window: Window, core: PhysAddr, features: u64, window_entry: u64) -> Self {
        Self {
            window,
            core,
            features,
            window_entry,
            variant: PhantomData,
        }
    }

    /// Writes the word at `at` after everything written before.
    pub fn store_release(&mut self, at: PhysAddr, value: u64) {
        self.window.store_release(at, value);
    }
}

impl<V: Variant> PhysMap for X86Machine<V> {
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
    fn fill(&mut self, at: PhysAddr, len: u64, word: u64) {
        self.window.fill(at, len, word);
    }
}

impl<V: Variant> Machine for X86Machine<V> {
    const ISA: Isa = Isa::X86;
    const SYSCALL_REGS: [u64; 8] = context::SYSCALL_REGS;
    const ARGUMENT_REGS: [u64; 4] = context::ARGUMENT_REGS;
    const SYSCALL_BYTES: u64 = context::SYSCALL_BYTES;
    const USER_FLAGS: u64 = registers::RFLAGS_FRESH;
    const ROOT_LEVEL: u32 = arch_x86::paging::ROOT_LEVEL;
    const USER_ROOT_ENTRIES: u64 = genesis::WINDOW_INDEX;

    fn leaf_entry(&self, level: u32, frame: PhysAddr, rights: PageRights) -> u64 {
        paging::user_leaf(level, frame, rights)
    }
    fn table_entry(&self, table: PhysAddr) -> u64 {
        arch_x86::paging::user_table(table.0)
    }
    fn init_root(&mut self, root: PhysAddr) {
        // Entry 511 is the business of whoever loads the root (`paging::AddressSpace`).
        let at = root.add(8 * genesis::WINDOW_INDEX);
        self.store(at, self.window_entry);
    }
    #[inline]
    fn counter(&self) -> u64 {
        registers::counter()
    }
    fn features(&self) -> u64 {
        self.features
    }
    #[inline]
    fn core_object(&self) -> PhysAddr {
        self.core
    }
    fn fresh_fpu(&self) -> &'static [(u64, u64)] {
        fpu::FRESH
    }
}

const _: () = assert!(abi::disp::AREA_GPR == 0);

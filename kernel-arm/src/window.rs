//! OSnode memory through the window: `WINDOW + physical address`.
//!
//! Tables made by the loader map exactly RAM there, never executable. An access
//! is checked for alignment and for the window's 512 GiB; one that hits a hole
//! between RAM banks faults and ends in the panic path, like any broken invariant.

use abi::vaddr::{CORE_VA, WINDOW};
use arch_arm::paging;
use capfmt::{CORE_OBJECT_BYTES, Core, OBJECT_BYTES, PhysAddr, PhysMap};
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the window reaches: one entry of a root table.
const BYTES: u64 = 1 << 39;
const PAGE_BYTES: u64 = 4096;

/// The window. It owns nothing; who holds it may reach all of RAM.
#[derive(Debug)]
pub struct Window(());

impl Window {
    /// The window onto all RAM.
    ///
    /// # Safety
    /// Once per kernel, in an image that was entered as `genesis` describes: tables with a window
    /// loaded, image and stack not handed to any OSnode.
    pub unsafe fn new() -> Window {
        Window(())
    }

    /// Where the word at `at` stands.
    ///
    /// # Panics
    /// If `at` is misaligned or above the window: a broken invariant of the caller.
    #[inline]
    pub fn word(at: PhysAddr) -> *mut u64 {
        if at.0 & !(BYTES - 8) != 0 {
            bad(at);
        }
        (WINDOW | at.0) as *mut u64
    }

    /// Where the `bytes` from `at` on stand, of which every word is in the window.
    ///
    /// # Panics
    /// As [`Window::word`].
    #[inline]
    fn words(at: PhysAddr, bytes: u64) -> *mut u64 {
        let last = at.0.wrapping_add(bytes - 8);
        if (at.0 | last) & !(BYTES - 8) != 0 {
            bad(at);
        }
        (WINDOW | at.0) as *mut u64
    }

    /// Where the word `offset` bytes into the object at `base` stands. Only `base` is checked, once for all fields
    /// that a function reaches; an object across the window's end faults, as one in a hole does.
    #[inline(always)]
    fn field(base: PhysAddr, offset: u64) -> *mut u64 {
        assert!(offset & !(OBJECT_BYTES - 8) == 0, "OBJECT-OFFSET");
        Self::word(base).wrapping_byte_add(offset as usize)
    }

    fn atomic(&mut self, at: PhysAddr) -> &AtomicU64 {
        // SAFETY: aligned and mapped (checked, window); every other access to the word while this
        // reference lives is atomic: kernels reach shared words by this method only.
        unsafe { AtomicU64::from_ptr(Self::word(at)) }
    }

    /// Writes the word at `at` after everything written before.
    pub fn store_release(&mut self, at: PhysAddr, value: u64) {
        self.atomic(at).store(value, Ordering::Release);
    }
}

#[cold]
#[inline(never)]
fn bad(at: PhysAddr) -> ! {
    panic!("PHYS-RANGE: {:#x} is not a word of RAM", at.0)
}

impl PhysMap for Window {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        // SAFETY: `word` checked it, the window maps it; a page that users write, too, is read as is.
        unsafe { Self::word(at).read_volatile() }
    }

    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        // SAFETY: as `load`; the image itself and its stack are in no OSnode's memory.
        unsafe { Self::word(at).write_volatile(value) }
    }

    #[inline(always)]
    fn load_at(&self, base: PhysAddr, offset: u64) -> u64 {
        // SAFETY: as `load`; nothing is mapped in the `OBJECT_BYTES` above the window.
        unsafe { Self::field(base, offset).read_volatile() }
    }

    #[inline(always)]
    fn store_at(&mut self, base: PhysAddr, offset: u64, value: u64) {
        // SAFETY: as `store`; nothing is mapped in the `OBJECT_BYTES` above the window.
        unsafe { Self::field(base, offset).write_volatile(value) }
    }

    #[inline(always)]
    fn load_words<const N: usize>(&self, at: PhysAddr) -> [u64; N] {
        let first = Self::words(at, 8 * N as u64);
        // SAFETY: as `load`; the last one is checked, too, and RAM between is mapped.
        core::array::from_fn(|i| unsafe { first.wrapping_add(i).read_volatile() })
    }

    #[inline(always)]
    fn store_each<const N: usize>(&mut self, at: PhysAddr, offsets: [u64; N], values: [u64; N]) {
        let first = Self::words(at, PAGE_BYTES);
        for i in 0..N {
            let offset = offsets[i];
            assert!(offset & !(PAGE_BYTES - 8) == 0, "PAGE-OFFSET");
            // SAFETY: as `store`; the whole page from `at` on is checked, the offset is in it.
            unsafe {
                first
                    .wrapping_add(offset as usize / 8)
                    .write_volatile(values[i])
            }
        }
    }

    #[inline]
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        self.atomic(at)
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
    }

    #[inline]
    fn exchange(&mut self, at: PhysAddr, new: u64) -> u64 {
        self.atomic(at).swap(new, Ordering::SeqCst)
    }

    #[inline]
    fn set_bits(&mut self, at: PhysAddr, bits: u64) {
        self.atomic(at).fetch_or(bits, Ordering::SeqCst);
    }

    #[inline]
    fn clear_bits(&mut self, at: PhysAddr, bits: u64) {
        self.atomic(at).fetch_and(!bits, Ordering::SeqCst);
    }

    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        let Some(end) = at.0.checked_add(len).filter(|&end| end <= BYTES) else {
            return false;
        };
        let mut from = at.0;
        while from < end {
            match mapped(from) {
                Some(bytes) => from = (from & !(bytes - 1)) + bytes,
                None => return false,
            }
        }
        true
    }

    fn zero(&mut self, at: PhysAddr, len: u64) {
        if len == 0 {
            return;
        }
        let first = Self::word(at);
        let _ = Self::word(at.add(len - 8));
        // SAFETY: first and last word are checked, RAM between them is contiguous in the window;
        // `len` is a multiple of 8 by the trait's contract.
        unsafe { core::ptr::write_bytes(first, 0, (len / 8) as usize) }
    }
}

/// This core's Core object at its fixed place, for code that has nothing else left (panic, log):
/// a map of 64 KiB in which [`OWN_CORE`] stands at 0.
#[derive(Clone, Copy, Debug)]
pub struct CoreView;

/// The Core object as [`CoreView`] shows it.
pub const OWN_CORE: Core = Core(PhysAddr(0));

impl CoreView {
    fn word(at: PhysAddr) -> *mut u64 {
        assert!(at.0 & 7 == 0 && at.0 < CORE_OBJECT_BYTES, "CORE-RANGE");
        (CORE_VA + at.0) as *mut u64
    }

    /// Writes the word at `at` after everything written before.
    pub fn store_release(self, at: PhysAddr, value: u64) {
        // SAFETY: aligned and mapped for as long as a kernel or the pen runs.
        let word = unsafe { AtomicU64::from_ptr(Self::word(at)) };
        word.store(value, Ordering::Release);
    }
}

impl PhysMap for CoreView {
    fn load(&self, at: PhysAddr) -> u64 {
        // SAFETY: as `store_release`; other cores write words of it whole.
        unsafe { Self::word(at).read_volatile() }
    }
    fn store(&mut self, at: PhysAddr, value: u64) {
        // SAFETY: as `load`; the pen's code page is no field of the object.
        unsafe { Self::word(at).write_volatile(value) }
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        // SAFETY: as `store_release`.
        let word = unsafe { AtomicU64::from_ptr(Self::word(at)) };
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at.0.checked_add(len)
            .is_some_and(|end| end <= CORE_OBJECT_BYTES)
    }
}

/// Size of the page or block that maps `at` in the window, by the tables that are loaded.
fn mapped(at: u64) -> Option<u64> {
    let va = WINDOW | at;
    let mut table = paging::output(arch_arm::registers::kernel_root());
    for level in (0..=paging::ROOT_LEVEL).rev() {
        let entry = table + 8 * paging::index(level, va);
        // SAFETY: tables in use are RAM, and RAM is in the window.
        let entry = unsafe { Window::word(PhysAddr(entry)).read_volatile() };
        if !paging::is_valid(entry) {
            return None;
        }
        if !paging::is_table(level, entry) {
            return Some(paging::entry_bytes(level));
        }
        table = paging::output(entry);
    }
    None
}

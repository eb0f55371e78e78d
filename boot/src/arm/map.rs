//! Physical memory as the loader reaches it.

use capfmt::{PhysAddr, PhysMap};
use core::sync::atomic::{AtomicU64, Ordering};

/// RAM below `limit`, mapped from `base` on: at first at its own address, translation being off,
/// then in the window.
pub struct Map {
    base: u64,
    limit: u64,
}

impl Map {
    /// RAM below `limit`, which is reached from virtual address `base` on.
    ///
    /// # Safety
    /// It is, writable, and the loader's own code and data are not reached through it.
    pub unsafe fn new(base: u64, limit: u64) -> Map {
        Map { base, limit }
    }

    fn word(&self, at: PhysAddr) -> *mut u64 {
        assert!(
            at.is_aligned(8) && at.0 < self.limit,
            "{:#x} is no word of RAM",
            at.0
        );
        (self.base + at.0) as *mut u64
    }

    /// `len` bytes at `at`, which nobody writes any more.
    pub fn bytes(&self, at: u64, len: u64) -> &'static [u8] {
        assert!(
            at.checked_add(len).is_some_and(|end| end <= self.limit),
            "bytes outside of RAM"
        );
        // SAFETY: mapped by `new`'s promise; the caller's range is the archive or the device tree,
        // which is taken out of the memory that the loader writes.
        unsafe { core::slice::from_raw_parts((self.base + at) as *const u8, len as usize) }
    }
}

impl PhysMap for Map {
    fn load(&self, at: PhysAddr) -> u64 {
        // SAFETY: `word` checked alignment and range; mapped by `new`'s promise.
        unsafe { self.word(at).read_volatile() }
    }

    fn store(&mut self, at: PhysAddr, value: u64) {
        // SAFETY: as in `load`.
        unsafe { self.word(at).write_volatile(value) }
    }

    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let word = self.word(at);
        // SAFETY: as in `load`; nobody else runs.
        let atomic = unsafe { AtomicU64::from_ptr(word) };
        let swapped = atomic.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst);
        swapped.map(|_| ())
    }

    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at.0.checked_add(len).is_some_and(|end| end <= self.limit)
    }
}

//! "Physical" memory on the host.

use capfmt::{PhysAddr, PhysMap};

/// The panic payload of an [`Arena`] that was told to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash;

/// Words of memory from a chosen address on.
///
/// Every access outside panics, as a kernel's window does. It can be told to die
/// at the n-th store from now on ([`Arena::crash_after`]), like a kernel that is
/// killed at an arbitrary instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arena {
    base: u64,
    words: Vec<u64>,
    stores_left: Option<u64>,
    stores: u64,
}

impl Arena {
    /// `bytes` of zeroed memory from `base` on, both multiples of 8.
    #[must_use]
    pub fn new(base: u64, bytes: u64) -> Arena {
        assert!(base.is_multiple_of(8) && bytes.is_multiple_of(8));
        Arena {
            base,
            words: vec![0; (bytes / 8) as usize],
            stores_left: None,
            stores: 0,
        }
    }
    /// First address.
    #[must_use]
    pub const fn base(&self) -> PhysAddr {
        PhysAddr(self.base)
    }
    /// Number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }
    /// All words, in order.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }
    /// Lets `n` more stores happen, then panics with [`Crash`] instead of the next; `None` lifts that.
    pub fn crash_after(&mut self, n: Option<u64>) {
        self.stores_left = n;
    }
    /// Stores made so far.
    #[must_use]
    pub const fn stores(&self) -> u64 {
        self.stores
    }

    #[inline]
    fn index(&self, at: PhysAddr) -> usize {
        assert!(
            at.is_aligned(8) && self.covers(at, 8),
            "access outside the arena: {:#x}",
            at.0
        );
        ((at.0 - self.base) / 8) as usize
    }

    fn count_store(&mut self) {
        if let Some(left) = &mut self.stores_left {
            if *left == 0 {
                std::panic::panic_any(Crash);
            }
            *left -= 1;
        }
        self.stores += 1;
    }
}

impl PhysMap for Arena {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        self.words[self.index(at)]
    }
    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        let i = self.index(at);
        self.count_store();
        self.words[i] = value;
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let i = self.index(at);
        if self.words[i] != old {
            return Err(self.words[i]);
        }
        self.count_store();
        self.words[i] = new;
        Ok(())
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        let size = self.words.len() as u64 * 8;
        at.0 >= self.base && len <= size && at.0 - self.base <= size - len
    }
}

//! A lock for a few instructions, between cores.

use core::sync::atomic::Ordering;

use super::atomic::{AtomicU32, UnsafeCell, me, relax};

/// A value that one dispatcher at a time works on, for a short time.
pub struct Spin<T> {
    /// Who holds it; 0 = nobody.
    holder: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: `with` lets one dispatcher at a time reach the value, and hands what was written to the next.
unsafe impl<T: Send> Sync for Spin<T> {}

// SAFETY: the value goes along.
unsafe impl<T: Send> Send for Spin<T> {}

impl<T> core::fmt::Debug for Spin<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Spin")
    }
}

impl<T> Spin<T> {
    /// Of its parts: `holder` must be 0.
    pub const fn of(holder: AtomicU32, value: UnsafeCell<T>) -> Spin<T> {
        Spin { holder, value }
    }

    /// Runs `f` on the value. `f` must not wait for anything.
    ///
    /// # Panics
    /// When the caller holds it already.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        struct Release<'a>(&'a AtomicU32);
        impl Drop for Release<'_> {
            fn drop(&mut self) {
                self.0.store(0, Ordering::Release);
            }
        }
        let own = me();
        let mut turn = 0;
        while let Err(holder) =
            self.holder
                .compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed)
        {
            assert!(
                holder != own,
                "a spin lock is taken twice by one dispatcher"
            );
            relax(turn);
            turn = turn.wrapping_add(1);
        }
        let _release = Release(&self.holder);
        // SAFETY: nobody else has the lock until `_release` is dropped, after `f`.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }
}

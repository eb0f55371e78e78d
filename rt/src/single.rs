//! State of a dispatcher: a value that is borrowed by one piece of code at a time.
//!
//! Each dispatcher of a process has its own: the globals of this type stand in thread-local
//! storage, and a dispatcher has one TLS base. On a host, where tests run, they are plain globals.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value of one dispatcher with one borrower at a time. The upcall handlers
/// use no `Single`, so a second borrower can only be the first one's own callee: a
/// mistake in `rt`, which panics.
pub struct Single<T> {
    borrowed: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` lets one borrower in at a time. Values that are not `Send` stay on the
// dispatcher (one thread) that has the `Single`; host tests keep to `Single`s of their own.
unsafe impl<T> Sync for Single<T> {}

// SAFETY: as above.
unsafe impl<T> Send for Single<T> {}

impl<T> Single<T> {
    /// A global with this value.
    pub const fn new(value: T) -> Single<T> {
        Single {
            borrowed: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` on the value.
    ///
    /// # Panics
    /// When it is borrowed already.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.try_with(f)
            .expect("runtime state is borrowed already: a callback re-entered the runtime")
    }

    /// As [`Single::with`]; `None` when it is borrowed already.
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        struct Release<'a>(&'a AtomicBool);
        impl Drop for Release<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        if self.borrowed.swap(true, Ordering::Acquire) {
            return None;
        }
        let _release = Release(&self.borrowed);
        // SAFETY: `borrowed` was false and is now ours, so no other reference to the value exists
        // until `_release` is dropped, after `f`.
        let value = unsafe { &mut *self.value.get() };
        Some(f(value))
    }
}

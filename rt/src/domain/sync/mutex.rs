//! Mutual exclusion between tasks of any dispatchers.

use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::task::{Context, Poll};

use super::super::atomic::UnsafeCell;
use super::super::spin::Spin;
use super::waiters::{Ticket, Waiters, wake};

/// Who has a mutex, and who wants it.
#[derive(Debug)]
pub struct Holding {
    held: bool,
    waiters: Waiters,
}

impl Holding {
    /// Nobody.
    pub const fn new() -> Holding {
        Holding {
            held: false,
            waiters: Waiters::new(),
        }
    }
}

/// A value that one task at a time reaches. A task that holds it may wait for other things.
pub struct Mutex<T> {
    state: Spin<Holding>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard, and there is one at a time; the spin lock hands over what was written.
unsafe impl<T: Send> Sync for Mutex<T> {}

// SAFETY: the value goes along.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// The right to reach the value; given back when dropped.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// It is the value, for `Send` and `Sync`: a shared guard lends the value to several dispatchers.
    value: PhantomData<&'a mut T>,
}

/// A task that waits: if it is given up after it was woken, the next one is woken.
struct Waiting<'a> {
    state: &'a Spin<Holding>,
    ticket: Ticket,
}

impl Waiting<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let taken = self.state.with(|s| {
            if !s.held {
                s.held = true;
                s.waiters.leave(self.ticket.take());
                return true;
            }
            s.waiters.enter(&mut self.ticket, cx.waker());
            false
        });
        if taken {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let next = self.state.with(|s| {
            let woken = !s.waiters.leave(self.ticket);
            (woken && !s.held).then(|| s.waiters.pop()).flatten()
        });
        wake(next);
    }
}

impl<T> Mutex<T> {
    /// Of its parts.
    pub const fn of(state: Spin<Holding>, value: UnsafeCell<T>) -> Mutex<T> {
        Mutex { state, value }
    }

    /// Waits until nobody else has it.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        let mut waiting = Waiting {
            state: &self.state,
            ticket: None,
        };
        poll_fn(|cx| waiting.poll(cx)).await;
        self.guard()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            value: PhantomData,
        }
    }

    /// Takes it if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let taken = self.state.with(|s| !core::mem::replace(&mut s.held, true));
        taken.then(|| self.guard())
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// What it guards.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this is the only guard, and it is borrowed.
        self.mutex.value.with_mut(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard, and it is borrowed for writing.
        self.mutex.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let next = self.mutex.state.with(|s| {
            s.held = false;
            s.waiters.pop()
        });
        wake(next);
    }
}

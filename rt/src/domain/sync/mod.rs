//! Synchronisation between tasks of any dispatchers of a process.
//!
//! A task that must wait gives its dispatcher to others; a dispatcher with nothing to do spins a
//! while, then sleeps until it is notified ([`super::bell`]). All of it is memory only: the
//! spin locks inside are held for a few instructions.

mod barrier;
mod channel;
mod condition;
mod mutex;
mod waiters;

pub use barrier::Barrier;
pub use channel::{Receiver, Sender};
pub use condition::Condition;
pub use mutex::{Mutex, MutexGuard};
pub(crate) use waiters::{Waiters, wake};

use super::atomic::{AtomicU32, UnsafeCell};
use super::spin::Spin;

impl<T> Spin<T> {
    /// Held by nobody.
    pub const fn new(value: T) -> Spin<T> {
        Spin::of(AtomicU32::new(0), UnsafeCell::new(value))
    }
}

impl<T> Mutex<T> {
    /// Held by nobody.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex::of(Spin::new(mutex::Holding::new()), UnsafeCell::new(value))
    }
}

impl Condition {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Condition {
        Condition::of(Spin::new(waiters::Waiters::new()))
    }
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl Barrier {
    /// For so many tasks.
    #[must_use]
    pub const fn new(parties: usize) -> Barrier {
        Barrier::of(parties, Spin::new(barrier::Round::new()))
    }
}

/// A queue with room for so many values (at least one).
#[must_use]
pub fn channel<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    channel::ends(Spin::new(channel::Queue::new(room)))
}

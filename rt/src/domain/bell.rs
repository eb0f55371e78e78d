//! How a dispatcher sleeps although others have things for it: store, fence, look again.

use core::sync::atomic::Ordering;

use super::atomic::{AtomicBool, fence};

/// The bell of one dispatcher.
#[derive(Debug)]
pub struct Bell {
    /// Something is there.
    rung: AtomicBool,
    /// The dispatcher sleeps, or is about to.
    asleep: AtomicBool,
}

impl Bell {
    /// Of its parts, both `false`.
    pub const fn of(rung: AtomicBool, asleep: AtomicBool) -> Bell {
        Bell { rung, asleep }
    }

    /// Something is there now; whether its dispatcher must be notified.
    #[must_use]
    pub fn ring(&self) -> bool {
        self.rung.store(true, Ordering::Release);
        // Whoever falls asleep stores `asleep` and then reads `rung`: one of the two sees the other.
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed)
    }

    /// Whether something is there.
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Whether something came since the last call. What came is looked for after this.
    pub fn take(&self) -> bool {
        self.is_rung() && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Announces sleep; `false` when something is there after all.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let sleep = !self.rung.load(Ordering::Acquire);
        if !sleep {
            self.awake();
        }
        sleep
    }

    /// The sleep is over.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

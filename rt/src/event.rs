//! What the kernel tells a dispatcher by upcall.

use core::sync::atomic::{AtomicU64, Ordering};

static RETRIES: AtomicU64 = AtomicU64::new(0);

/// System calls that were repeated because the kernel was replaced during them.
#[must_use]
pub fn retries() -> u64 {
    RETRIES.load(Ordering::Relaxed)
}

/// Events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The OSnode runs on another core, or the set of cores changed.
    CoreSetChanged,
    /// The kernel was replaced.
    KernelRestarted,
}

/// How often the event happened since the process started.
#[must_use]
pub fn count(_event: Event) -> u64 {
    todo!()
}
/// Waits until [`count`] is above `seen`; returns the new count.
pub async fn after(_event: Event, _seen: u64) -> u64 {
    todo!()
}

/// A system call was repeated because the kernel was replaced during it.
pub(crate) fn note_retry() {
    RETRIES.fetch_add(1, Ordering::Relaxed);
}

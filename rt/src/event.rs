//! What the kernel tells a dispatcher by upcall.

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

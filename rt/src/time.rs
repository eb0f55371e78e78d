//! Clocks: OSnode time (stands still while detached) and system time (never does).

/// OSnode time in nanoseconds.
#[must_use]
pub fn now_ns() -> u64 {
    todo!()
}
/// System time in nanoseconds.
#[must_use]
pub fn system_ns() -> u64 {
    todo!()
}
/// The hardware counter.
#[must_use]
pub fn counter() -> u64 {
    todo!()
}
/// Waits until this OSnode time.
pub async fn sleep_until(_at_ns: u64) {
    todo!()
}
/// Waits for this long in OSnode time.
pub async fn sleep(_ns: u64) {
    todo!()
}
/// The future's result, or `None` at this OSnode time.
pub async fn timeout<F: core::future::Future>(_at_ns: u64, _f: F) -> Option<F::Output> {
    todo!()
}
/// A spin's pause, where the machine needs one.
#[inline]
pub fn spin_pause() {
    todo!()
}

//! Memory order. x86 orders stores with stores and loads with loads by itself
//! (SDM vol. 3A, 9.2.2); only a store followed by a load needs an instruction.

use core::sync::atomic::{Ordering, compiler_fence, fence};

/// Orders everything before with everything after, store–load included.
#[inline]
pub fn full() {
    fence(Ordering::SeqCst);
}

/// Keeps later accesses behind earlier loads.
#[inline]
pub fn acquire() {
    compiler_fence(Ordering::Acquire);
}

/// Keeps earlier accesses before later stores.
#[inline]
pub fn release() {
    compiler_fence(Ordering::Release);
}

/// One turn of a loop that waits for another core.
///
/// With `pause`, as emulators need that run cores in turn on one thread: the
/// instruction hands over. Without it where cores really run in parallel:
/// there the same instruction costs milliseconds on a loaded host.
#[inline]
pub fn spin(pause: bool) {
    if pause {
        core::hint::spin_loop();
    }
}

//! What the algorithms of this folder are made of; loom's tests compile them over another such file.

pub use core::sync::atomic::{AtomicBool, AtomicU32, fence};

use crate::{isa, lmp, time};

/// Turns of a spin before the core is offered to others.
const TURNS: u32 = 64;

/// A cell that is reached by pointer.
#[derive(Debug)]
pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(core::cell::UnsafeCell::new(value))
    }
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// The dispatcher that runs, from 1 on.
pub fn me() -> u32 {
    super::place::current() as u32 + 1
}

/// One turn of a spin: whoever is waited for may want this very core.
pub fn relax(turn: u32) {
    if me() == 1 {
        super::owner::serve_heap();
    }
    if turn % TURNS == TURNS - 1 {
        lmp::yield_core();
    } else {
        time::spin_pause();
        isa::pause();
    }
}

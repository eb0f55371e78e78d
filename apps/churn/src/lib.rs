//! What `churn` keeps busy and checks: everything that a kernel update could damage.
//!
//! - [`fpu`]: floating-point values live in registers across preemptions;
//! - [`Rally`] and [`Peer`]: a numbered, hashed message always in flight, so that one lost
//!   or doubled message or notification shows;
//! - [`CapModel`]: capability operations against a small, obvious model.
//!
//! Pure; the system calls are made by `main.rs` and its rooms.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod caps;
pub mod fpu;
mod rally;
pub mod wire;

pub use caps::{CapModel, CapOp, CapView, Done, Mismatch};
pub use rally::{Ball, Peer, Rally, RallyFault};

/// A small generator of pseudo-random numbers (xorshift64*): the same sequence from the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts with any seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// A number below `n` (0 for `n` = 0).
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64().checked_rem(n).unwrap_or(0)
    }
}

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

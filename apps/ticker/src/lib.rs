//! The books of `ticker`: tick k is due at t0 + k·p in OSnode time, each delivered exactly once.
//!
//! A tick counts only when the kernel ended a wait for *its* due time; nothing is
//! ever computed from elapsed time, so a time-out that the kernel swallowed, gave
//! twice, or gave early shows. Pure: the clock's reading is an argument.
//! Key type: [`Ticks`]. Not here: waiting, and answering `ticker check` (`main.rs`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ticks;

pub use ticks::{Fault, Report, Ticks};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

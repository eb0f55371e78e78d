//! Reference models and the memory they are tried on: host only, never shipped.
//!
//! [`Arena`] is "physical" memory for host tests of everything that goes through
//! [`capfmt::PhysMap`]; [`Rng`] gives seeded, repeatable randomness.
//! [`explore`] is the model checker; [`agree`], [`bind`], [`connect`], [`unmap`] and [`membership`] put the
//! monitors' shipped machines into it.
//! Not here: the tested code itself; tests run the shipped crates.

#![forbid(unsafe_code)]

pub mod agree;
mod arena;
pub mod bind;
pub mod connect;
pub mod explore;
pub mod generate;
pub mod mdb;
pub mod membership;
pub mod mutants;
mod rng;
pub mod space;
pub mod unmap;

pub use arena::{Arena, Crash};
pub use rng::Rng;

/// How often a test repeats its work: `n`, ten times that when `NEKTON_FULL=1` is set.
#[must_use]
pub fn scaled(n: u64) -> u64 {
    if std::env::var_os("NEKTON_FULL").is_some_and(|v| v == "1") {
        10 * n
    } else {
        n
    }
}

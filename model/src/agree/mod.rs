//! The agreement protocols of the monitors, explored with the shipped machines.
//!
//! A [`World`] is some OSnodes with an [`Agent`](monitor::agree::Agent) and an obvious
//! set of capabilities each, channels between them that keep the order per pair, clients
//! that each ask something at any time, and a budget of faults. [`Scenario`] says where
//! it starts. What must be true stands in `check.rs` and in [`Caps`].

mod check;
mod event;
mod kernel;
mod narrow;
mod objects;
mod part;
mod said;
mod scenario;
mod world;

pub use event::Event;
pub use kernel::Caps;
pub use narrow::{narrow, telling};
pub use objects::{F, G, P, child_of_pages};
pub use scenario::{Act, Faults, Scenario, catalogue, kind, of_four, of_types, specials};
pub use world::{Broken, World};

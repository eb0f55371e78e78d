//! Flattened device trees.
//!
//! Source: Devicetree Specification 0.4; the bindings `arm/cpus`, `arm/psci`, `cpu/cpu-topology`,
//! `cpu-capacity`, `opp/opp-v2`, `numa`, `interrupt-controller/arm,gic` and `arm,gic-v3`.
//!
//! - [`Tree`]: nodes and properties (the reader is ours: it has to be total);
//! - [`Machine`]: what they say of cores, memory and interrupts.

mod blob;
mod cores;
mod machine;
mod nodes;
mod points;
mod topology;

pub use blob::{total_bytes, used};
pub use cores::{Core, EnableMethod};
pub use machine::{Conduit, Controller, Machine, Memory, Uart, read};
pub use nodes::{Node, Range, Tree};
pub use points::OperatingPoint;

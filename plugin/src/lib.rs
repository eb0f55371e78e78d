//! The TCG plugin that counts guest instructions per vCPU (DESIGN §8).
//!
//! Every executed instruction adds one to its vCPU's counter. A *marker*, an
//! instruction without effect that carries a number (see [`marker`]), makes the
//! plugin write one line of JSON to its output file: the marker, the vCPU that
//! executed it, and the counters of all vCPUs at that moment. Instructions
//! between a vCPU's own `WAIT_BEGIN` and `WAIT_END` are kept apart as waiting.
//!
//! Not here: what the figures mean (`xtask bench` subtracts and reports), and
//! where markers stand (`rt::marker`, the kernels).
//!
//! Arguments: `-plugin libplugin.so,out=FILE`; with `profile=FILE:BEGIN:END`, every single
//! instruction between the markers with these numbers is counted too (`profile`). Needs plugin API 4 (QEMU 10).

pub mod marker;
mod profile;
mod qemu;
mod record;

pub use record::{Counts, Recorder};

//! The kernel's logic, driven by system calls and events on the host. One program for all of it: what
//! they drive is generic, and each program would compile it again.

mod capabilities;
mod capops;
mod care;
mod cores;
mod crash;
mod dispatch;
mod ending;
mod fuzz;
mod losing;
mod messages;
mod reclaim;
mod scheduling;
mod shared;
#[path = "../support/mod.rs"]
mod support;
mod unmonitored;

//! Kernel logic true on every ISA.
//!
//! The heart is [`step`]: one kernel entry as a pure transaction on OSnode
//! memory, `step(&mut Osnode, &mut impl Machine, Event) -> Resume`. What touches
//! hardware comes back as [`Effect`]s for `kernel-x86` / `kernel-arm` to carry
//! out after the commit. Not here: page-table formats and instructions (`arch`),
//! entry and restore code (the kernels), policy of any service.

#![no_std]
#![forbid(unsafe_code)]

mod attach;
pub mod care;
mod clear;
mod core_line;
mod decode;
mod delete;
mod dispatch;
mod doomed;
mod ending;
mod entry;
mod event;
mod family;
mod invoke;
mod lmp;
mod longop;
mod machine;
mod notify;
mod osnode;
mod peers;
mod reclaim;
mod sched;
mod send;
mod share;
mod shootdown;
mod step;
mod syscall;
mod time;
mod upcall;
mod wait;

pub use attach::{AttachError, attach};
pub use core_line::report_status;
pub use ending::Ending;
pub use event::{Effect, Effects, Event, FaultAccess, MAX_EFFECTS, Next, Resume, Signal};
pub use machine::{Machine, PageRights};
pub use osnode::{KernelIdentity, Osnode};
pub use sched::{
    Arrival, Erring, FairShare, Fault, Losing, Loss, NamedFault, OneNotification, OneTick, Picked,
    Policy, RoundRobin, Ruining, TIME_SLICE_NS, TheMemoryService, TheMonitor, TheSpawnService,
    TraceRecord, Victim, WakeUp,
};
pub use step::{step, system_call};

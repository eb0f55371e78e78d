//! The interfaces, one file each. Numbers are never reused:
//! 0 transport, 1 memory, 2 spawn, 3 names, 4 console, 5 process, 6 monitor, 7 files, 8 cores, 9 driver, 10 accept,
//! 11 system, 12 skb, 13 registry.
//! Operations below 0x8000 are requests, from 0x8000 on replies and notices.

pub mod console;
pub mod cores;
pub mod driver;
pub mod files;
pub mod memory;
pub mod monitor;
pub mod names;
pub mod process;
pub mod registry;
pub mod skb;
pub mod spawn;
pub mod system;
pub mod transport;

use crate::{Interface, InterfaceId, Operation};

/// All interfaces of services, and their requests.
pub const ALL: &[(InterfaceId, &[Operation])] = &[
    of::<memory::Memory>(),
    of::<spawn::Spawn>(),
    of::<names::Names>(),
    of::<console::Console>(),
    of::<process::Process>(),
    of::<monitor::Monitor>(),
    of::<files::Files>(),
    of::<cores::Cores>(),
    of::<driver::Driver>(),
    of::<names::Accept>(),
    of::<system::System>(),
    of::<skb::Skb>(),
    of::<registry::Registry>(),
];

const fn of<I: Interface>() -> (InterfaceId, &'static [Operation]) {
    (I::ID, I::REQUESTS)
}

//! The faults of scheduling that test kernels have, chosen by the kernel's name.

use capfmt::{Dcb, PhysMap};

use super::WakeUp;
use super::erring::Fault;
use super::losing::{Losing, OneNotification, OneTick};
use super::ruining::{
    EveryMemoryService, EverySpawnService, Ruining, TheMemoryService, TheMonitor, TheSpawnService,
};

/// What a test kernel does wrong when it schedules.
#[derive(Debug)]
pub enum NamedFault {
    /// Nothing.
    None,
    /// `t-tick` loses one time-out of each `ticker`.
    Tick(Losing<OneTick>),
    /// `t-notification` loses one notification of each process of `churn`.
    Notification(Losing<OneNotification>),
    /// `t-monitor` runs well for a while, then ruins the monitor.
    Monitor(Ruining<TheMonitor>),
    /// `t-memory` does so to the memory service, and every few seconds to the next one.
    Memory(Ruining<TheMemoryService>),
    /// `t-memories` ruins them so fast that they are given up.
    Memories(Ruining<EveryMemoryService>),
    /// `t-spawn` does so to the spawn service, and every few seconds to the next one.
    Spawn(Ruining<TheSpawnService>),
    /// `t-spawns` ruins them so fast that they are given up.
    Spawns(Ruining<EverySpawnService>),
}

impl NamedFault {
    /// The fault of the kernel `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "t-tick" => Self::Tick(Fault::new()),
            "t-notification" => Self::Notification(Fault::new()),
            "t-monitor" => Self::Monitor(Fault::new()),
            "t-memory" => Self::Memory(Fault::new()),
            "t-memories" => Self::Memories(Fault::new()),
            "t-spawn" => Self::Spawn(Fault::new()),
            "t-spawns" => Self::Spawns(Fault::new()),
            _ => Self::None,
        }
    }

    /// [`Fault::loses`].
    pub fn loses(&mut self, m: &impl PhysMap, dcb: Dcb, what: WakeUp) -> bool {
        match self {
            Self::Tick(fault) => fault.loses(m, dcb, what),
            Self::Notification(fault) => fault.loses(m, dcb, what),
            Self::None
            | Self::Monitor(_)
            | Self::Memory(_)
            | Self::Memories(_)
            | Self::Spawn(_)
            | Self::Spawns(_) => false,
        }
    }

    /// [`Fault::runs`].
    pub fn runs(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) {
        match self {
            Self::Monitor(fault) => fault.runs(m, dcb, now_ns),
            Self::Memory(fault) => fault.runs(m, dcb, now_ns),
            Self::Memories(fault) => fault.runs(m, dcb, now_ns),
            Self::Spawn(fault) => fault.runs(m, dcb, now_ns),
            Self::Spawns(fault) => fault.runs(m, dcb, now_ns),
            Self::None | Self::Tick(_) | Self::Notification(_) => {}
        }
    }

    /// [`Fault::until_ns`].
    pub fn until_ns(&self, m: &impl PhysMap, dcb: Dcb) -> Option<u64> {
        match self {
            Self::Monitor(fault) => fault.until_ns(m, dcb),
            Self::Memory(fault) => fault.until_ns(m, dcb),
            Self::Memories(fault) => fault.until_ns(m, dcb),
            Self::Spawn(fault) => fault.until_ns(m, dcb),
            Self::Spawns(fault) => fault.until_ns(m, dcb),
            Self::None | Self::Tick(_) | Self::Notification(_) => None,
        }
    }
}

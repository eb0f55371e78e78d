//! What firmware says of a machine, the same for both ways of saying it.

use alloc::vec::Vec;

/// One core that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreDescription {
    /// APIC id or MPIDR affinity.
    pub hw_id: u64,
    /// NUMA node.
    pub node: u32,
    /// Relative speed (1024 = the fastest kind, or nothing is known).
    pub capacity: u32,
}

/// The local interrupt hardware, as boot drivers need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupts {
    /// x86: physical address of the local APIC.
    Apic {
        /// Registers of every core's own APIC.
        local: u64,
    },
    /// Arm: the GIC's register blocks.
    Gic {
        /// 2 or 3.
        version: u32,
        /// Distributor.
        distributor: u64,
        /// Version 3: redistributors of all cores, one after the other; version 2: 0.
        redistributors: u64,
        /// Bytes of the redistributors.
        redistributor_bytes: u64,
        /// Version 2: CPU interface.
        cpu_interface: u64,
    },
}

/// Memory of a NUMA node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeMemory {
    /// First byte.
    pub base: u64,
    /// Bytes.
    pub bytes: u64,
    /// NUMA node.
    pub node: u32,
}

/// A machine's cores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineDescription {
    /// Cores that the firmware offers, in its order.
    pub cores: Vec<CoreDescription>,
    /// Interrupt hardware.
    pub interrupts: Interrupts,
    /// Which memory is on which node, if firmware says it.
    pub memory: Vec<NodeMemory>,
    /// Arm: PSCI conduit: 0 none, 1 SMC, 2 HVC.
    pub psci_conduit: u64,
}

impl MachineDescription {
    /// Puts the core with this hardware id first: it is core 0, which the loader started on.
    /// Whether there is one.
    pub fn boot_core_first(&mut self, hw_id: u64) -> bool {
        let Some(at) = self.cores.iter().position(|c| c.hw_id == hw_id) else {
            return false;
        };
        self.cores[..=at].rotate_right(1);
        true
    }
}

//! What firmware says of a machine, the same for both ways of saying it.

use alloc::vec::Vec;
use core::fmt;

use firmware::acpi::Acpi;
use firmware::tree::{Conduit, Controller, Machine};

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
    /// Distances between NUMA nodes (from, to, distance; 10 = local), if firmware says them.
    pub distances: Vec<(u32, u32, u32)>,
    /// Arm: PSCI conduit: 0 none, 1 SMC, 2 HVC.
    pub psci_conduit: u64,
}

/// Why a machine cannot be used, whatever else firmware says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// No core can be used.
    NoCores,
    /// The interrupt controller is none that a kernel drives.
    NoController,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCores => "firmware names no usable core",
            Self::NoController => "firmware names no usable interrupt controller",
        })
    }
}

/// Relative speed where nothing is known.
const FULL_CAPACITY: u32 = 1024;

/// What a SLIT says, pair by pair; unreachable nodes are left out.
fn slit_distances(slit: &firmware::acpi::Slit) -> Vec<(u32, u32, u32)> {
    let nodes = u32::try_from(slit.domains).unwrap_or(0).min(MAX_NODES);
    let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    let known = pairs.filter_map(|(a, b)| Some((a, b, slit.distance(a, b)?)));
    let reachable = known.filter(|(.., d)| *d != firmware::acpi::UNREACHABLE);
    reachable.map(|(a, b, d)| (a, b, d.into())).collect()
}

/// Most NUMA nodes that distances are kept of.
const MAX_NODES: u32 = 64;

impl MachineDescription {
    /// A machine with ACPI. Without a sound SRAT every core is on node 0.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn from_acpi(acpi: &Acpi) -> Result<Self, Unusable> {
        let madt = acpi.madt.as_ref().ok_or(Unusable::NoCores)?;
        let node = |hw_id: u32| {
            let srat = acpi.srat.as_ref();
            srat.and_then(|s| s.cores.get(&hw_id).copied()).unwrap_or(0)
        };
        let core = |c: &firmware::acpi::MadtCore| CoreDescription {
            hw_id: c.hw_id.into(),
            node: node(c.hw_id),
            capacity: FULL_CAPACITY,
        };
        let memory = |r: &firmware::acpi::MemoryRange| NodeMemory {
            base: r.base,
            bytes: r.bytes,
            node: r.domain,
        };
        let cores: Vec<_> = madt.cores.iter().map(core).collect();
        if cores.is_empty() {
            return Err(Unusable::NoCores);
        }
        let srat = acpi.srat.iter().flat_map(|s| &s.memory);
        Ok(Self {
            cores,
            interrupts: Interrupts::Apic {
                local: madt.local_apic,
            },
            memory: srat.map(memory).collect(),
            distances: acpi.slit.iter().flat_map(slit_distances).collect(),
            psci_conduit: 0,
        })
    }

    /// A machine with a device tree.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn from_tree(machine: &Machine) -> Result<Self, Unusable> {
        let core = |c: &firmware::tree::Core| CoreDescription {
            hw_id: c.hw_id,
            node: c.node.unwrap_or(0),
            capacity: c.capacity_dmips_mhz.unwrap_or(FULL_CAPACITY),
        };
        let memory = |m: &firmware::tree::Memory| {
            Some(NodeMemory {
                base: m.range.base,
                bytes: m.range.bytes,
                node: m.node?,
            })
        };
        let cores: Vec<_> = machine.cores.iter().map(core).collect();
        if cores.is_empty() {
            return Err(Unusable::NoCores);
        }
        let interrupts = match machine.controller.ok_or(Unusable::NoController)? {
            Controller::V2 {
                distributor,
                cpu_interface,
            } => Interrupts::Gic {
                version: 2,
                distributor,
                redistributors: 0,
                redistributor_bytes: 0,
                cpu_interface,
            },
            Controller::V3 {
                distributor,
                redistributors,
            } => Interrupts::Gic {
                version: 3,
                distributor,
                redistributors: redistributors.base,
                redistributor_bytes: redistributors.bytes,
                cpu_interface: 0,
            },
        };
        Ok(Self {
            cores,
            interrupts,
            memory: machine.memory.iter().filter_map(memory).collect(),
            distances: machine
                .distances
                .iter()
                .map(|(&(a, b), &d)| (a, b, d))
                .collect(),
            psci_conduit: match machine.psci {
                None => 0,
                Some(Conduit::Smc) => 1,
                Some(Conduit::Hvc) => 2,
            },
        })
    }

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

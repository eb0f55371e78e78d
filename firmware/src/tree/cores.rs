//! Cores.

use super::nodes::{Node, Tree, number};
use super::points::{self, OperatingPoint};
use crate::problem::Problems;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) const NAME: &str = "device tree";
/// Most cores.
const MAX_CORES: usize = 1024;

/// How a core is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EnableMethod {
    /// By firmware's CPU_ON.
    Psci,
    /// By writing an entry point to this address.
    SpinTable(u64),
    /// In another way, or the tree does not say.
    Other(String),
}

/// A core that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Core {
    /// Affinity fields 3 to 0 of its MPIDR in 32 bits.
    pub hw_id: u64,
    /// First of what it is compatible with (`arm,cortex-a53`).
    pub kind: String,
    /// How it is started.
    pub enable: EnableMethod,
    /// NUMA node.
    pub node: Option<u32>,
    /// Work per MHz, 1024 for the best kind.
    pub capacity_dmips_mhz: Option<u32>,
    /// Dynamic power in µW per MHz and V².
    pub power_coefficient: Option<u32>,
    /// Frequencies that it can run at, ascending.
    pub points: Vec<OperatingPoint>,
    /// Package, cluster and physical core, numbered through the machine.
    pub package: Option<u32>,
    /// Cluster: the innermost one.
    pub cluster: Option<u32>,
    /// Physical core, if it has several threads.
    pub thread_of: Option<u32>,
    /// Number of its node.
    pub(super) place: usize,
}

impl Core {
    /// A core of which the tree says nothing.
    #[must_use]
    pub fn unknown(hw_id: u64) -> Self {
        Self {
            hw_id,
            kind: String::new(),
            enable: EnableMethod::Other(String::new()),
            node: None,
            capacity_dmips_mhz: None,
            power_coefficient: None,
            points: Vec::new(),
            package: None,
            cluster: None,
            thread_of: None,
            place: 0,
        }
    }
}

/// Affinity fields 3 to 0 of an MPIDR in 32 bits.
fn packed_id(mpidr: u64) -> u64 {
    mpidr & 0xff_ffff | (mpidr >> 32 & 0xff) << 24
}

/// A 32-bit property; a problem if it is something else.
fn optional(
    tree: &Tree<'_>,
    at: usize,
    name: &'static str,
    problems: &mut Problems,
) -> Option<u32> {
    let node = &tree.nodes[at];
    node.property(name)?;
    let value = node.number(name).and_then(|n| u32::try_from(n).ok());
    if value.is_none() {
        let field = format!("{name} of {}", tree.path(at));
        problems.note(NAME, field, "it is no 32-bit number: left out");
    }
    value
}

/// The cores under `/cpus`.
pub fn read(tree: &Tree<'_>, problems: &mut Problems) -> Vec<Core> {
    let mut cores = Vec::new();
    let Some(cpus) = tree.child(0, "cpus") else {
        problems.note(NAME, "/cpus", "there is no such node");
        return cores;
    };
    let cells = tree.nodes[cpus].number("#address-cells").unwrap_or(1);
    let id_bytes = 4 * cells.clamp(1, 2) as usize;
    let mut seen = BTreeSet::new();
    for at in tree.children(cpus) {
        let node = &tree.nodes[at];
        if node.text("device_type") != Some("cpu") || !node.is_enabled() {
            continue;
        }
        let id = node.property("reg").and_then(|r| r.get(..id_bytes));
        let Some(id) = id.and_then(number).map(packed_id) else {
            let field = format!("reg of {}", tree.path(at));
            problems.note(NAME, field, "it is no id of a core: the core is left out");
            continue;
        };
        if !seen.insert(id) {
            let why = format!("{id:#x} is another core's, too: the core is left out");
            problems.note(NAME, format!("reg of {}", tree.path(at)), why);
            continue;
        }
        if cores.len() == MAX_CORES {
            problems.note(NAME, "/cpus", format!("only {MAX_CORES} cores are read"));
            break;
        }
        cores.push(core(tree, at, id, problems));
    }
    if cores.is_empty() {
        problems.note(NAME, "/cpus", "there is no usable core");
    }
    super::topology::read(tree, cpus, &mut cores, problems);
    cores
}

fn core(tree: &Tree<'_>, at: usize, hw_id: u64, problems: &mut Problems) -> Core {
    let node = &tree.nodes[at];
    Core {
        hw_id,
        kind: node.texts("compatible").next().unwrap_or("").to_string(),
        enable: enable_method(tree, at, node, problems),
        node: optional(tree, at, "numa-node-id", problems),
        capacity_dmips_mhz: optional(tree, at, "capacity-dmips-mhz", problems),
        power_coefficient: optional(tree, at, "dynamic-power-coefficient", problems),
        points: points::of_core(tree, at, problems),
        package: None,
        cluster: None,
        thread_of: None,
        place: at,
    }
}

fn enable_method(
    tree: &Tree<'_>,
    at: usize,
    node: &Node<'_>,
    problems: &mut Problems,
) -> EnableMethod {
    match node.text("enable-method") {
        Some("psci") => EnableMethod::Psci,
        Some("spin-table") => {
            let address = node.number("cpu-release-addr");
            match address.filter(|a| *a != 0) {
                Some(address) => EnableMethod::SpinTable(address),
                None => {
                    let field = format!("cpu-release-addr of {}", tree.path(at));
                    problems.note(NAME, field, "it is no address");
                    EnableMethod::Other("spin-table".into())
                }
            }
        }
        other => EnableMethod::Other(other.unwrap_or("").to_string()),
    }
}

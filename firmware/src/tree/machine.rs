//! The machine as its tree describes it.

use super::blob;
use super::cores::{self, Core, NAME};
use super::nodes::{Range, Tree, number};
use crate::Problem;
use crate::problem::Problems;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// Memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Where.
    pub range: Range,
    /// NUMA node, if the tree says it.
    pub node: Option<u32>,
}

/// How firmware is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// SMC instruction.
    Smc,
    /// HVC instruction.
    Hvc,
}

/// The interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Controller {
    /// GICv2.
    V2 {
        /// Distributor.
        distributor: u64,
        /// CPU interface.
        cpu_interface: u64,
    },
    /// GICv3 or later.
    V3 {
        /// Distributor.
        distributor: u64,
        /// Redistributors, one after the other.
        redistributors: Range,
    },
}

/// A PL011.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uart {
    /// Its registers.
    pub base: u64,
    /// Its interrupt, as the controller counts.
    pub interrupt: u64,
}

/// What the tree says.
#[derive(Clone, Default, Debug)]
pub struct Machine {
    /// Cores that can be used, in the tree's order.
    pub cores: Vec<Core>,
    /// RAM.
    pub memory: Vec<Memory>,
    /// Relative distance between nodes, 10 for local; both directions.
    pub distances: BTreeMap<(u32, u32), u32>,
    /// Interrupt controller.
    pub controller: Option<Controller>,
    /// How PSCI is called, if there is PSCI.
    pub psci: Option<Conduit>,
    /// The console that the tree names.
    pub console: Option<Uart>,
    /// What was malformed.
    pub problems: Vec<Problem>,
}

/// Reads a tree.
#[must_use]
pub fn read(bytes: &[u8]) -> Machine {
    let mut problems = Problems::default();
    let tree = blob::parse(bytes, &mut problems);
    if tree.nodes.is_empty() {
        return Machine {
            problems: problems.list,
            ..Machine::default()
        };
    }
    let mut machine = Machine {
        cores: cores::read(&tree, &mut problems),
        memory: memory(&tree, &mut problems),
        distances: distances(&tree, &mut problems),
        controller: controller(&tree, &mut problems),
        psci: psci(&tree, &mut problems),
        console: console(&tree, &mut problems),
        problems: Vec::new(),
    };
    let needs_psci = |c: &Core| c.enable == cores::EnableMethod::Psci;
    if machine.psci.is_none() && machine.cores.iter().any(needs_psci) {
        problems.note(NAME, "/psci", "cores need it, and there is no usable one");
    }
    machine.problems = problems.list;
    machine
}

fn memory(tree: &Tree<'_>, problems: &mut Problems) -> Vec<Memory> {
    let mut found = Vec::new();
    for (at, node) in tree.nodes.iter().enumerate() {
        if node.text("device_type") != Some("memory") || !node.is_enabled() {
            continue;
        }
        let id = node.number("numa-node-id");
        for range in tree.ranges(at) {
            if range.bytes == 0 || range.base.checked_add(range.bytes).is_none() {
                let why = format!("{:#x} bytes from {:#x} on", range.bytes, range.base);
                problems.note(NAME, format!("reg of {}", tree.path(at)), why);
                continue;
            }
            found.push(Memory {
                range,
                node: id.map(|n| n as u32),
            });
        }
    }
    found
}

/// Binding `numa`: triples of node, node, distance; one direction may be left out.
fn distances(tree: &Tree<'_>, problems: &mut Problems) -> BTreeMap<(u32, u32), u32> {
    let mut found = BTreeMap::new();
    let map = tree.child(0, "distance-map");
    let map = map.filter(|m| tree.nodes[*m].is_compatible(&["numa-distance-map-v1"]));
    let Some(matrix) = map.and_then(|m| tree.nodes[m].property("distance-matrix")) else {
        return found;
    };
    let field = "distance-matrix of /distance-map";
    if !matrix.len().is_multiple_of(12) {
        problems.note(NAME, field, "it is no list of triples");
    }
    for (i, triple) in matrix.chunks_exact(12).enumerate() {
        let cell = |n: usize| number(&triple[4 * n..4 * n + 4]).unwrap_or(0) as u32;
        let (from, to, distance) = (cell(0), cell(1), cell(2));
        let sound = if from == to {
            distance == 10
        } else {
            distance >= 10
        };
        if !sound {
            let why = format!("{distance} from {from} to {to}: left out");
            problems.note(NAME, format!("{field}, entry {i}"), why);
        } else if found.insert((from, to), distance).is_some() {
            let why = format!("from {from} to {to} for the second time");
            problems.note(NAME, format!("{field}, entry {i}"), why);
        }
    }
    let back: Vec<_> = found.iter().map(|((a, b), d)| ((*b, *a), *d)).collect();
    for (pair, distance) in back {
        found.entry(pair).or_insert(distance);
    }
    found
}

fn controller(tree: &Tree<'_>, problems: &mut Problems) -> Option<Controller> {
    const V2: &[&str] = &[
        "arm,gic-400",
        "arm,cortex-a15-gic",
        "arm,cortex-a9-gic",
        "arm,gic-v2",
    ];
    for (at, node) in tree.nodes.iter().enumerate() {
        let v3 = node.is_compatible(&["arm,gic-v3"]);
        if !v3 && !node.is_compatible(V2) {
            continue;
        }
        let ranges = tree.ranges(at);
        if let [first, second, ..] = ranges[..] {
            return Some(if v3 {
                Controller::V3 {
                    distributor: first.base,
                    redistributors: second,
                }
            } else {
                Controller::V2 {
                    distributor: first.base,
                    cpu_interface: second.base,
                }
            });
        }
        let field = format!("reg of {}", tree.path(at));
        problems.note(NAME, field, "it does not name the controller's parts");
    }
    problems.note(NAME, "interrupt controller", "there is no usable GIC");
    None
}

fn psci(tree: &Tree<'_>, problems: &mut Problems) -> Option<Conduit> {
    let node = tree.child(0, "psci")?;
    match tree.nodes[node].text("method") {
        Some("smc") => Some(Conduit::Smc),
        Some("hvc") => Some(Conduit::Hvc),
        other => {
            let why = format!("{:?} is neither smc nor hvc", other.unwrap_or(""));
            problems.note(NAME, "method of /psci", why);
            None
        }
    }
}

/// The PL011 that `stdout-path` names, or else the first one that there is.
fn console(tree: &Tree<'_>, problems: &mut Problems) -> Option<Uart> {
    let chosen = tree.child(0, "chosen");
    let path = chosen.and_then(|c| tree.nodes[c].text("stdout-path"));
    let named = path.and_then(|p| pl011(tree, tree.find(p)?));
    if named.is_some() {
        return named;
    }
    let enabled = (0..tree.nodes.len()).filter(|at| tree.nodes[*at].is_enabled());
    let first = enabled.filter_map(|at| pl011(tree, at)).next();
    if let Some(uart) = first {
        let why = format!("it names no PL011: the one at {:#x} is used", uart.base);
        problems.note(NAME, "stdout-path of /chosen", why);
    }
    first
}

fn pl011(tree: &Tree<'_>, at: usize) -> Option<Uart> {
    let node = &tree.nodes[at];
    if !node.is_compatible(&["arm,pl011"]) {
        return None;
    }
    // Three cells: kind (0 = shared, from 32 on; 1 = a core's own, from 16 on), number, trigger.
    let interrupts = node.property("interrupts")?;
    let cell = |i: usize| interrupts.get(4 * i..4 * i + 4).and_then(number);
    let first = if cell(0)? == 0 { 32 } else { 16 };
    Some(Uart {
        base: tree.ranges(at).first()?.base,
        interrupt: first + cell(1)?,
    })
}

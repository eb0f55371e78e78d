//! Cores from a flattened device tree.
//!
//! Source: Devicetree Specification 0.4, 3.8 (cpus); the bindings `arm/cpus`,
//! `arm/psci`, `interrupt-controller/arm,gic-v3`, `cpu-capacity`, `numa`. The one
//! module that knows the reader crate (an alpha, pinned).

use alloc::vec::Vec;
use core::fmt;

use fdt::Fdt;
use fdt::nodes::Node;
use fdt::parsing::NoPanic;
use fdt::parsing::unaligned::UnalignedParser;

use crate::{CoreDescription, Interrupts, MachineDescription, NodeMemory};

type Parser<'a> = (UnalignedParser<'a>, NoPanic);
type TreeNode<'a> = Node<'a, Parser<'a>>;

/// Why a tree cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeError {
    /// The bytes are no device tree, or a malformed one.
    Malformed,
    /// This node is missing or lacks what it must have.
    Missing(&'static str),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the device tree is malformed"),
            Self::Missing(what) => write!(f, "the device tree has no usable {what}"),
        }
    }
}

/// Bytes of the tree whose first 8 bytes these are; `None` without the magic number.
#[must_use]
pub fn total_bytes(head: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    (word(0)? == 0xd00d_feed).then_some(u64::from(word(4)?))
}

fn property<'a>(node: &TreeNode<'a>, name: &str) -> Option<&'a [u8]> {
    node.raw_property(name).ok().flatten().map(|p| p.value)
}

fn text<'a>(node: &TreeNode<'a>, name: &str) -> Option<&'a [u8]> {
    property(node, name).map(|v| v.strip_suffix(b"\0").unwrap_or(v))
}

/// Big-endian cells joined to one number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |w, b| w << 8 | u64::from(*b))
}

/// Affinity fields 3 to 0 of an MPIDR in 32 bits.
fn packed_id(mpidr: u64) -> u64 {
    mpidr & 0xff_ffff | (mpidr >> 32 & 0xff) << 24
}

fn cells(node: &TreeNode<'_>, name: &str, otherwise: usize) -> usize {
    let value = property(node, name).map(|v| number(v) as usize);
    value.filter(|n| (1..=2).contains(n)).unwrap_or(otherwise)
}

fn is_compatible(node: &TreeNode<'_>, with: &[&str]) -> bool {
    let list = property(node, "compatible").unwrap_or(&[]);
    list.split(|b| *b == 0)
        .any(|c| with.iter().any(|w| w.as_bytes() == c))
}

/// Reads the cores of a tree.
///
/// # Errors
/// See [`TreeError`]; never panics, whatever the bytes.
pub fn describe(bytes: &[u8]) -> Result<MachineDescription, TreeError> {
    let bad = |_| TreeError::Malformed;
    let tree = Fdt::new_unaligned_fallible(bytes).map_err(bad)?;
    let cpus = tree.find_node("/cpus").map_err(bad)?;
    let cpus = cpus.ok_or(TreeError::Missing("node /cpus"))?;
    let id_bytes = 4 * cells(&cpus, "#address-cells", 1);
    let mut cores = Vec::new();
    for node in cpus.children().map_err(bad)?.iter() {
        let node = node.map_err(bad)?;
        if text(&node, "device_type") != Some(b"cpu") {
            continue;
        }
        if text(&node, "status").is_some_and(|s| s != b"okay" && s != b"ok") {
            continue;
        }
        let reg = property(&node, "reg").and_then(|r| r.get(..id_bytes));
        let capacity = property(&node, "capacity-dmips-mhz").map_or(1024, number);
        cores.push(CoreDescription {
            hw_id: packed_id(number(reg.ok_or(TreeError::Missing("reg of a core"))?)),
            node: property(&node, "numa-node-id").map_or(0, number) as u32,
            capacity: capacity as u32,
        });
    }
    if cores.is_empty() {
        return Err(TreeError::Missing("core under /cpus"));
    }
    Ok(MachineDescription {
        cores,
        interrupts: interrupts(&tree)?,
        memory: memory(&tree),
        psci_conduit: psci_conduit(&tree),
    })
}

/// Memory nodes that say which NUMA node they are on.
fn memory<'a>(tree: &Fdt<'a, Parser<'a>>) -> Vec<NodeMemory> {
    let mut found = Vec::new();
    let Ok(nodes) = tree.all_nodes() else {
        return found;
    };
    for node in nodes {
        let Ok((_, node)) = node else { break };
        let (Some(b"memory"), Some(id)) = (
            text(&node, "device_type"),
            property(&node, "numa-node-id").map(number),
        ) else {
            continue;
        };
        // Two cells each for address and size on all known boards with several nodes.
        for reg in property(&node, "reg").unwrap_or(&[]).chunks_exact(16) {
            found.push(NodeMemory {
                base: number(&reg[..8]),
                bytes: number(&reg[8..]),
                node: id as u32,
            });
        }
    }
    found
}

/// The PL011 that the tree names as console: address of its registers, interrupt number.
#[must_use]
pub fn console(bytes: &[u8]) -> Option<(u64, u64)> {
    let tree = Fdt::new_unaligned_fallible(bytes).ok()?;
    let chosen = tree.find_node("/chosen").ok()??;
    let path = core::str::from_utf8(text(&chosen, "stdout-path")?).ok()?;
    let path = path.split(':').next()?;
    let node = tree.find_node(path).ok()??;
    if !is_compatible(&node, &["arm,pl011"]) {
        return None;
    }
    let base = property(&node, "reg")?.get(..8).map(number)?;
    // Three cells: kind (0 = shared, from 32 on; 1 = a core's own, from 16 on), number, trigger.
    let interrupt = property(&node, "interrupts")?;
    let cell = |i: usize| interrupt.get(4 * i..4 * i + 4).map(number);
    let first = if cell(0)? == 0 { 32 } else { 16 };
    Some((base, first + cell(1)?))
}

fn psci_conduit<'a>(tree: &Fdt<'a, Parser<'a>>) -> u64 {
    let node = tree.find_node("/psci").ok().flatten();
    match node.as_ref().and_then(|n| text(n, "method")) {
        Some(b"smc") => 1,
        Some(b"hvc") => 2,
        _ => 0,
    }
}

fn interrupts<'a>(tree: &Fdt<'a, Parser<'a>>) -> Result<Interrupts, TreeError> {
    const MISSING: TreeError = TreeError::Missing("interrupt controller");
    let nodes = tree.all_nodes().map_err(|_| TreeError::Malformed)?;
    for node in nodes {
        let (_, node) = node.map_err(|_| TreeError::Malformed)?;
        let v3 = is_compatible(&node, &["arm,gic-v3"]);
        let v2 = is_compatible(&node, &["arm,gic-400", "arm,cortex-a15-gic", "arm,gic-v2"]);
        if !v3 && !v2 {
            continue;
        }
        // Both kinds stand under nodes with two address and two size cells on all known boards.
        let reg = property(&node, "reg").ok_or(MISSING)?;
        let at = |i: usize| reg.get(8 * i..8 * i + 8).map(number).ok_or(MISSING);
        return Ok(Interrupts::Gic {
            version: if v3 { 3 } else { 2 },
            distributor: at(0)?,
            redistributors: if v3 { at(2)? } else { 0 },
            redistributor_bytes: if v3 { at(3)? } else { 0 },
            cpu_interface: if v3 { 0 } else { at(2)? },
        });
    }
    Err(MISSING)
}

//! What the loader reads of the device tree: the one user of the `fdt` package.
//!
//! Devicetree Specification 0.4. Everything comes out as numbers and slices of the tree; whatever is
//! malformed is absent. Addresses are translated through the `ranges` of every bus above a node.

use crate::Range;
use arrayvec::ArrayVec;
use fdt::Fdt;
use fdt::parsing::NoPanic;
use fdt::parsing::unaligned::UnalignedParser;

type Parser<'a> = (UnalignedParser<'a>, NoPanic);
type Node<'a> = fdt::nodes::Node<'a, Parser<'a>>;

/// Deepest node that is looked at.
const MAX_DEPTH: usize = 8;
/// Most ranges of memory, and of reserved memory.
pub const MAX_MEMORY: usize = 32;

/// The interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Controller {
    /// GICv2: distributor and CPU interface.
    V2 {
        /// Distributor.
        distributor: u64,
        /// CPU interface.
        cpu: u64,
    },
    /// GICv3 or later: distributor and the first region of redistributors.
    V3 {
        /// Distributor.
        distributor: u64,
        /// Redistributors, one behind the other.
        redistributors: Range,
    },
}

/// What the loader needs of the tree.
#[derive(Debug)]
pub struct Machine<'a> {
    /// RAM.
    pub memory: ArrayVec<Range, MAX_MEMORY>,
    /// Parts of RAM that firmware keeps.
    pub reserved: ArrayVec<Range, MAX_MEMORY>,
    /// Command line.
    pub bootargs: &'a [u8],
    /// Boot archive, or empty.
    pub initrd: Range,
    /// Interrupt controller.
    pub controller: Option<Controller>,
    /// PSCI's `method`, or empty.
    pub psci_method: &'a str,
    /// PL011 that `stdout-path` names.
    pub console: Option<u64>,
}

/// Bytes of the tree that starts with these 8 bytes; `None` if it is none.
#[must_use]
pub fn total_bytes(head: [u8; 8]) -> Option<u64> {
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    (word(0) == 0xd00d_feed).then_some(u64::from(word(4)))
}

/// A node and the way to it.
#[derive(Clone)]
struct Place<'a> {
    node: Node<'a>,
    /// From the root to the parent.
    above: ArrayVec<Node<'a>, MAX_DEPTH>,
}

/// Reads the tree in `bytes`; `None` if it is damaged.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Machine<'_>> {
    let tree = Fdt::new_unaligned_fallible(bytes).ok()?;
    let root = Place {
        node: fdt::nodes::AsNode::as_node(&tree.root().ok()?),
        above: ArrayVec::new(),
    };
    let mut m = Machine {
        memory: ArrayVec::new(),
        reserved: reservations(bytes),
        bootargs: &[],
        initrd: Range::default(),
        controller: None,
        psci_method: "",
        console: None,
    };
    let mut stdout = None;
    for top in children(&root) {
        match name(&top.node) {
            "memory" => m
                .memory
                .extend(regs(&top).take(MAX_MEMORY - m.memory.len())),
            "reserved-memory" => {
                for part in children(&top) {
                    m.reserved
                        .extend(regs(&part).take(MAX_MEMORY - m.reserved.len()));
                }
            }
            "psci" => m.psci_method = text(&top.node, "method").unwrap_or(""),
            "chosen" => {
                m.bootargs = property(&top.node, "bootargs").unwrap_or(&[]);
                m.initrd = initrd(&top.node);
                stdout = text(&top.node, "stdout-path");
            }
            _ => {}
        }
    }
    m.controller = find(&root, &mut |p| controller(p));
    m.console = stdout.and_then(|path| console(&root, path));
    Some(m)
}

fn name<'a>(node: &Node<'a>) -> &'a str {
    node.name().map_or("", |n| n.name)
}

fn property<'a>(node: &Node<'a>, name: &str) -> Option<&'a [u8]> {
    Some(node.raw_property(name).ok()??.value)
}

/// A property that is one text.
fn text<'a>(node: &Node<'a>, name: &str) -> Option<&'a str> {
    let bytes = property(node, name)?;
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).ok()
}

fn is_compatible(node: &Node<'_>, with: &[&str]) -> bool {
    let list = property(node, "compatible").unwrap_or(&[]);
    list.split(|b| *b == 0)
        .any(|c| with.iter().any(|w| w.as_bytes() == c))
}

fn children<'a>(of: &Place<'a>) -> impl Iterator<Item = Place<'a>> + use<'a> {
    let mut above = of.above.clone();
    let deep = above.try_push(of.node).is_err();
    let list = of.node.children().ok().filter(|_| !deep);
    let nodes = list.into_iter().flat_map(|list| list.iter());
    // The package repeats an error for ever: the first one ends the list.
    nodes.map_while(Result::ok).map(move |node| Place {
        node,
        above: above.clone(),
    })
}

/// The first answer of `ask`, depth first.
fn find<'a, T>(at: &Place<'a>, ask: &mut dyn FnMut(&Place<'a>) -> Option<T>) -> Option<T> {
    if let Some(found) = ask(at) {
        return Some(found);
    }
    children(at).find_map(|child| find(&child, ask))
}

/// A big-endian number of `cells` words at the front of `bytes`, and what follows.
fn number(bytes: &[u8], cells: usize) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(4 * cells)?;
    let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
    Some((head.iter().fold(0, fold), rest))
}

fn cells(node: &Node<'_>, name: &str, default: usize) -> usize {
    property(node, name)
        .and_then(|b| number(b, 1))
        .map_or(default, |(n, _)| n.min(4) as usize)
}

/// (address, size) cells of a bus: 2 and 1 where it does not say (specification 2.3.5).
fn bus_cells(bus: &Node<'_>) -> (usize, usize) {
    (
        cells(bus, "#address-cells", 2),
        cells(bus, "#size-cells", 1),
    )
}

/// The ranges of `reg`, physical.
fn regs<'a>(place: &Place<'a>) -> impl Iterator<Item = Range> + use<'a> {
    let (address, size) = place.above.last().map_or((2, 1), bus_cells);
    let mut rest = property(&place.node, "reg").unwrap_or(&[]);
    let above = place.above.clone();
    core::iter::from_fn(move || {
        let (base, after) = number(rest, address)?;
        let (bytes, after) = number(after, size)?;
        rest = after;
        Some(translate(&above, base).map(|base| Range::new(base, bytes)))
    })
    .fuse()
    .take_while(move |_| address > 0)
    .flatten()
}

/// What a bus address below the last of `above` is for the processor.
fn translate(above: &[Node<'_>], mut address: u64) -> Option<u64> {
    for i in (1..above.len()).rev() {
        let ranges = property(&above[i], "ranges")?;
        if ranges.is_empty() {
            continue;
        }
        let (child, size) = bus_cells(&above[i]);
        let (parent, _) = bus_cells(&above[i - 1]);
        if child == 0 || parent == 0 {
            return None;
        }
        let mut rest = ranges;
        address = loop {
            let (from, after) = number(rest, child)?;
            let (to, after) = number(after, parent)?;
            let (bytes, after) = number(after, size)?;
            if address >= from && address - from < bytes {
                break to + (address - from);
            }
            rest = after;
        };
    }
    Some(address)
}

fn controller(place: &Place<'_>) -> Option<Controller> {
    const V2: &[&str] = &["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic"];
    const V3: &[&str] = &["arm,gic-v3"];
    let mut regs = regs(place);
    if is_compatible(&place.node, V3) {
        return Some(Controller::V3 {
            distributor: regs.next()?.base,
            redistributors: regs.next()?,
        });
    }
    if is_compatible(&place.node, V2) {
        return Some(Controller::V2 {
            distributor: regs.next()?.base,
            cpu: regs.next()?.base,
        });
    }
    None
}

/// `linux,initrd-start` and `-end`: one or two cells.
fn initrd(chosen: &Node<'_>) -> Range {
    let address = |name| {
        let bytes = property(chosen, name)?;
        number(bytes, bytes.len() / 4).map(|(n, _)| n)
    };
    match (address("linux,initrd-start"), address("linux,initrd-end")) {
        (Some(base), Some(end)) if base < end => Range { base, end },
        _ => Range::default(),
    }
}

/// The PL011 at `path`, which may be an alias, and may have options behind a colon.
fn console(root: &Place<'_>, path: &str) -> Option<u64> {
    let path = path.split(':').next()?;
    let path = if path.starts_with('/') {
        path
    } else {
        let aliases = children(root).find(|p| name(&p.node) == "aliases")?;
        text(&aliases.node, path)?
    };
    let mut at = root.clone();
    for step in path.split('/').filter(|s| !s.is_empty()) {
        let (wanted, unit) = step.split_once('@').unzip();
        let wanted = wanted.unwrap_or(step);
        at = children(&at).find(|p| {
            p.node
                .name()
                .is_ok_and(|n| n.name == wanted && (unit.is_none() || n.unit_address == unit))
        })?;
    }
    is_compatible(&at.node, &["arm,pl011"])
        .then(|| regs(&at).next())?
        .map(|r| r.base)
}

/// The memory reservation block (specification 5.3): pairs of big-endian 64-bit words, ended by zeros.
fn reservations(bytes: &[u8]) -> ArrayVec<Range, MAX_MEMORY> {
    let mut out = ArrayVec::new();
    let offset = bytes.get(16..20).and_then(|b| number(b, 1));
    let mut rest = offset
        .and_then(|(at, _)| bytes.get(at as usize..))
        .unwrap_or(&[]);
    while let Some((base, after)) = number(rest, 2) {
        let Some((len, after)) = number(after, 2) else {
            break;
        };
        if (base, len) == (0, 0) || out.try_push(Range::new(base, len)).is_err() {
            break;
        }
        rest = after;
    }
    out
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

//! What the loader reads of the device tree.
//!
//! Devicetree Specification 0.4. Everything comes out as numbers and slices of the tree; whatever is
//! malformed is told and absent. Addresses are translated through the `ranges` of every bus above a node.

use crate::Range;
use crate::blob::{Blob, Node, Note};
use arrayvec::ArrayVec;

/// Deepest node that is looked at.
const MAX_DEPTH: usize = 8;
/// What a window onto RAM reaches: RAM that passes it cannot be used.
const WINDOW_BYTES: u64 = 512 << 30;
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

impl Machine<'_> {
    /// Whether there is what no boot can do without.
    #[must_use]
    pub fn can_boot(&self) -> bool {
        !self.memory.is_empty() && self.controller.is_some() && self.initrd.bytes() > 0
    }
}

/// A node and the way to it.
#[derive(Clone)]
struct Place<'a> {
    node: Node<'a>,
    /// From the root to the parent.
    above: ArrayVec<Node<'a>, MAX_DEPTH>,
}

/// Reads the tree in `bytes`, and tells `note` what is wrong with it; `None` if nothing of it can be read.
#[must_use]
pub fn read<'a>(bytes: &'a [u8], note: &mut Note<'_>) -> Option<Machine<'a>> {
    let blob = Blob::open(bytes, note)?;
    blob.check(note);
    let root = Place {
        node: blob.root()?,
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
        match base_name(&top.node) {
            "memory" => memory(&top, &mut m.memory, note),
            "reserved-memory" => {
                for part in children(&top) {
                    m.reserved
                        .extend(regs(&part).take(MAX_MEMORY - m.reserved.len()));
                }
            }
            "psci" => {
                m.psci_method = text(&top.node, "method").unwrap_or("");
                if !["smc", "hvc"].contains(&m.psci_method) {
                    let why = "is neither smc nor hvc";
                    note(format_args!("method of /psci: {:?} {why}", m.psci_method));
                }
            }
            "chosen" => {
                m.bootargs = top.node.property("bootargs").unwrap_or(&[]);
                m.initrd = initrd(&top.node);
                stdout = text(&top.node, "stdout-path");
            }
            _ => {}
        }
    }
    m.controller = find(&root, &mut |p| controller(p, note));
    m.console = stdout.and_then(|path| console(&root, path));
    // A tree that names none may have one all the same.
    m.console = m.console.or_else(|| find(&root, &mut pl011));
    Some(m)
}

/// Takes the RAM of a node. No range may be empty or pass what can be mapped.
fn memory(place: &Place<'_>, to: &mut ArrayVec<Range, MAX_MEMORY>, note: &mut Note<'_>) {
    for (base, bytes) in raw_regs(place) {
        let end = base.checked_add(bytes);
        if bytes == 0 || end.is_none_or(|end| end > WINDOW_BYTES) {
            let name = place.node.name;
            note(format_args!(
                "reg of /{name}: {bytes:#x} bytes from {base:#x} on: left out"
            ));
        } else if to.try_push(Range::new(base, bytes)).is_err() {
            note(format_args!(
                "reg of /{}: there are more than {MAX_MEMORY} ranges: left out",
                place.node.name
            ));
        }
    }
}

/// A node's name without its unit address.
fn base_name<'a>(node: &Node<'a>) -> &'a str {
    node.name.split('@').next().unwrap_or("")
}

/// A property that is one text.
fn text<'a>(node: &Node<'a>, name: &str) -> Option<&'a str> {
    let bytes = node.property(name)?;
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).ok()
}

fn is_compatible(node: &Node<'_>, with: &[&str]) -> bool {
    let list = node.property("compatible").unwrap_or(&[]);
    list.split(|b| *b == 0)
        .any(|c| with.iter().any(|w| w.as_bytes() == c))
}

fn children<'a>(of: &Place<'a>) -> impl Iterator<Item = Place<'a>> + use<'a> {
    let mut above = of.above.clone();
    let deep = above.try_push(of.node).is_err();
    let nodes = of.node.children().take_while(move |_| !deep);
    nodes.map(move |node| Place {
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
    node.property(name)
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

/// The addresses and sizes in `reg`, physical.
fn raw_regs<'a>(place: &Place<'a>) -> impl Iterator<Item = (u64, u64)> + use<'a> {
    let (address, size) = place.above.last().map_or((2, 1), bus_cells);
    let mut rest = place.node.property("reg").unwrap_or(&[]);
    let above = place.above.clone();
    core::iter::from_fn(move || {
        let (base, after) = number(rest, address)?;
        let (bytes, after) = number(after, size)?;
        rest = after;
        Some(translate(&above, base).map(|base| (base, bytes)))
    })
    .fuse()
    .take_while(move |_| address > 0)
    .flatten()
}

/// The ranges of `reg`, physical.
fn regs<'a>(place: &Place<'a>) -> impl Iterator<Item = Range> + use<'a> {
    raw_regs(place).map(|(base, bytes)| Range::new(base, bytes))
}

/// What a bus address below the last of `above` is for the processor.
fn translate(above: &[Node<'_>], mut address: u64) -> Option<u64> {
    for i in (1..above.len()).rev() {
        let ranges = above[i].property("ranges")?;
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
                break to.checked_add(address - from)?;
            }
            rest = after;
        };
    }
    Some(address)
}

/// The controller that a node is, if it says where all of its parts are.
fn controller(place: &Place<'_>, note: &mut Note<'_>) -> Option<Controller> {
    const V2: &[&str] = &["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic"];
    const V3: &[&str] = &["arm,gic-v3"];
    let v3 = is_compatible(&place.node, V3);
    if !v3 && !is_compatible(&place.node, V2) {
        return None;
    }
    let mut regs = regs(place);
    let (Some(distributor), Some(second)) = (regs.next(), regs.next()) else {
        let name = place.node.name;
        note(format_args!(
            "reg of {name}: it does not name the controller's parts: left out"
        ));
        return None;
    };
    let distributor = distributor.base;
    Some(match v3 {
        true => Controller::V3 {
            distributor,
            redistributors: second,
        },
        false => Controller::V2 {
            distributor,
            cpu: second.base,
        },
    })
}

/// `linux,initrd-start` and `-end`: one or two cells.
fn initrd(chosen: &Node<'_>) -> Range {
    let address = |name| {
        let bytes = chosen.property(name)?;
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
        let aliases = children(root).find(|p| base_name(&p.node) == "aliases")?;
        text(&aliases.node, path)?
    };
    let mut at = root.clone();
    for step in path.split('/').filter(|s| !s.is_empty()) {
        let unit = step.contains('@');
        at = children(&at).find(|p| {
            let name = if unit {
                p.node.name
            } else {
                base_name(&p.node)
            };
            name == step
        })?;
    }
    pl011(&at)
}

/// Where the registers of a PL011 that is in use are.
fn pl011(place: &Place<'_>) -> Option<u64> {
    let status = text(&place.node, "status");
    let enabled = status.is_none_or(|s| s == "okay" || s == "ok");
    (enabled && is_compatible(&place.node, &["arm,pl011"]))
        .then(|| regs(place).next())?
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

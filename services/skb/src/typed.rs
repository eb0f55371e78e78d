//! Questions that services ask as plain messages, answered from the rules' relations.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proto::iface::skb::{Edge, MemoryAt, Place, Subject, Topic};

use crate::datalog::{Base, Value};

/// Rows of a predicate whose arguments are numbers.
fn numbers<'a, const N: usize>(base: &'a Base, name: &'a str) -> impl Iterator<Item = [u64; N]> {
    base.rows(name).filter_map(|row| {
        let row: &[Value; N] = row.try_into().ok()?;
        let mut out = [0; N];
        for (to, value) in out.iter_mut().zip(row) {
            *to = value.as_u64()?;
        }
        Some(out)
    })
}

/// A number that must be one of 32 bits.
fn narrow(n: u64) -> Option<u32> {
    u32::try_from(n).ok()
}

/// The core that a core or OSnode is.
fn core_of(base: &Base, subject: Subject, number: u64) -> Option<u64> {
    match subject {
        Subject::Core => numbers(base, "core").find_map(|[c, _]| (c == number).then_some(c)),
        Subject::Osnode => {
            let all = numbers(base, "running").filter(|[_, o]| *o == number);
            all.map(|[c, _]| c).min()
        }
        Subject::Node => None,
    }
}

/// Where a core or a running OSnode is.
#[must_use]
pub fn place_of(base: &Base, subject: Subject, number: u64) -> Option<Place> {
    let core = core_of(base, subject, number)?;
    let node = numbers(base, "core_node").find_map(|[c, n]| (c == core).then_some(n))?;
    let first = || {
        let here = numbers(base, "running").filter(|[c, _]| *c == core);
        here.map(|[_, o]| o).min()
    };
    let osnode = match subject {
        Subject::Osnode => number,
        _ => first().unwrap_or(0),
    };
    Some(Place {
        node: narrow(node)?,
        core: narrow(core)?,
        osnode,
    })
}

/// The distance between two NUMA nodes; `None` if one is not known or out of reach.
#[must_use]
pub fn distance(base: &Base, from: u32, to: u32) -> Option<u32> {
    let wanted = [u64::from(from), u64::from(to)];
    numbers(base, "distance").find_map(|[a, b, d]| if [a, b] == wanted { narrow(d) } else { None })
}

/// The NUMA nodes with memory as seen from a core, an OSnode or a node, nearest first; of those
/// at the same distance the first. `None` if the subject is not known.
#[must_use]
pub fn memories(base: &Base, subject: Subject, number: u64) -> Option<Vec<MemoryAt>> {
    let from = match subject {
        Subject::Node => numbers(base, "node").find_map(|[n]| (n == number).then_some(n))?,
        _ => place_of(base, subject, number)?.node.into(),
    };
    let with_memory: BTreeSet<u64> = numbers(base, "node_memory").map(|[n, _]| n).collect();
    let near = numbers(base, "distance").filter(|[a, b, _]| *a == from && with_memory.contains(b));
    let record = |[_, node, distance]: [u64; 3]| {
        let (node, distance) = (narrow(node)?, narrow(distance)?);
        Some(MemoryAt { distance, node })
    };
    let mut all: Vec<MemoryAt> = near.filter_map(record).collect();
    all.sort_unstable();
    Some(all)
}

/// OSnodes by the core that they run on, each list ascending.
fn osnodes(base: &Base) -> BTreeMap<u64, Vec<u64>> {
    let mut all: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for [core, osnode] in numbers(base, "running") {
        all.entry(core).or_default().push(osnode);
    }
    all.values_mut().for_each(|o| o.sort_unstable());
    all
}

/// The multicast tree from a core or a running OSnode, parents before their children, a parent's
/// dearest children first: what takes longest is best begun first. OSnodes that share a core
/// get the message from the one of them that the tree reaches first. `None` if nothing runs there.
#[must_use]
pub fn tree(base: &Base, subject: Subject, number: u64) -> Option<Vec<Edge>> {
    let root = core_of(base, subject, number)?;
    let mut by_core = osnodes(base);
    let here = by_core.get_mut(&root)?;
    if let Some(at) = here.iter().position(|o| *o == number)
        && subject == Subject::Osnode
    {
        here[..=at].rotate_right(1);
    }
    let mut children: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for [r, from, to, cost] in numbers(base, "multicast_cost") {
        if r == root {
            children.entry(from).or_default().push((cost, to));
        }
    }
    let groups: BTreeMap<u64, u64> = numbers(base, "group").map(|[c, g]| (c, g)).collect();
    let within = |a: u64, b: u64| groups.get(&a).is_some_and(|g| groups.get(&b) == Some(g));
    let mut edges = Vec::new();
    let mut at = 0;
    let mut reached = alloc::vec![root];
    // A tree of the rules reaches every core once; what is asserted about it by hand may not.
    let mut seen = BTreeSet::from([root]);
    while let Some(core) = reached.get(at).copied() {
        at += 1;
        let mut below = children.remove(&core).unwrap_or_default();
        below.sort_unstable_by_key(|(cost, to)| (core::cmp::Reverse(*cost), *to));
        for (cost, to) in below {
            if seen.insert(to) {
                edges.extend(edge(&by_core, core, to, cost, within(core, to)));
                reached.push(to);
            }
        }
        edges.extend(neighbours(&by_core, core));
    }
    Some(edges)
}

/// The edge between the first OSnodes of two cores.
fn edge(
    by_core: &BTreeMap<u64, Vec<u64>>,
    from: u64,
    to: u64,
    cost: u64,
    within: bool,
) -> Option<Edge> {
    let first = |core| by_core.get(&core).and_then(|o| o.first()).copied();
    Some(Edge {
        parent: first(from)?,
        child: first(to)?,
        parent_core: narrow(from)?,
        child_core: narrow(to)?,
        cost,
        within,
    })
}

/// Edges from a core's first OSnode to the others there.
fn neighbours(by_core: &BTreeMap<u64, Vec<u64>>, core: u64) -> Vec<Edge> {
    let Some([first, others @ ..]) = by_core.get(&core).map(Vec::as_slice) else {
        return Vec::new();
    };
    let Some(number) = narrow(core) else {
        return Vec::new();
    };
    let edge = |child: &u64| Edge {
        parent: *first,
        child: *child,
        parent_core: number,
        child_core: number,
        cost: 0,
        within: true,
    };
    others.iter().map(edge).collect()
}

/// A number for what answers about a topic follow from: equal facts have equal ones, also in a
/// knowledge base that was started again. Never 0.
#[must_use]
pub fn version(base: &Base, topic: Topic) -> u64 {
    let mut sum = Sum::default();
    match topic {
        Topic::Memory => {
            let nodes: BTreeSet<u64> = numbers(base, "node").map(|[n]| n).collect();
            let full: BTreeSet<u64> = numbers(base, "node_memory").map(|[n, _]| n).collect();
            let near = numbers(base, "distance").filter(|[_, b, _]| full.contains(b));
            let near: BTreeSet<[u64; 3]> = near.collect();
            sum.rows(nodes.into_iter().map(|n| [n]));
            sum.rows(near.into_iter());
        }
        Topic::Tree => {
            for name in ["running", "group"] {
                let all: BTreeSet<[u64; 2]> = numbers(base, name).collect();
                sum.rows(all.into_iter());
            }
            let edges: BTreeSet<[u64; 4]> = numbers(base, "multicast_cost").collect();
            sum.rows(edges.into_iter());
        }
    }
    sum.0.max(1)
}

/// A digest of words; two sets of facts with the same one are not expected in a machine's life.
#[derive(Default)]
struct Sum(u64);

impl Sum {
    /// One relation: how many rows, and each.
    fn rows<const N: usize>(&mut self, rows: impl ExactSizeIterator<Item = [u64; N]>) {
        self.word(rows.len() as u64);
        rows.flatten().for_each(|word| self.word(word));
    }

    /// Odd factors lose nothing; the turn brings the high bits, which a product mixes best, down.
    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(31);
    }
}

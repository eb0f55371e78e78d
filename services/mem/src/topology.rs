//! What is known of the machine: which memory and which core is on which NUMA node, and how far apart nodes are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Distance of a node from itself, and what stands for an unknown distance to another one
/// (ACPI 6.5, 5.2.17: 10 is local; a table that says nothing of a pair says nothing else either).
const LOCAL: u32 = 10;
const UNKNOWN: u32 = 20;

/// One thing that is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fact {
    /// Memory (first byte, bytes) is on a node.
    Range(u64, u64, u8),
    /// Distance between two nodes, as SLIT or the device tree says it.
    Distance(u8, u8, u32),
    /// A core is on a node.
    Core(u32, u8),
}

/// The facts.
#[derive(Clone, Default, Debug)]
pub struct Topology {
    facts: BTreeSet<Fact>,
    distances: BTreeMap<(u8, u8), u32>,
    cores: BTreeMap<u32, u8>,
    /// What the knowledge base says: nodes by their distance from a node.
    orders: BTreeMap<u8, Vec<u8>>,
    /// (first byte, first byte after, node); what comes later counts where two overlap.
    ranges: Vec<(u64, u64, u8)>,
}

impl Topology {
    /// Nothing is known: all memory is on one node.
    #[must_use]
    pub fn new() -> Topology {
        Topology::default()
    }

    /// Adds a fact; a distance or a core's node replaces what was known of it.
    pub fn learn(&mut self, fact: Fact) {
        if !self.facts.insert(fact) {
            return;
        }
        match fact {
            Fact::Range(base, bytes, node) => {
                self.ranges.push((base, base.saturating_add(bytes), node));
            }
            Fact::Distance(from, to, distance) => {
                self.distances.insert((from, to), distance);
            }
            Fact::Core(core, node) => {
                self.cores.insert(core, node);
            }
        }
    }

    /// The facts in a fixed order, for other servers.
    #[must_use]
    pub fn fact(&self, index: u32) -> Option<Fact> {
        self.facts.iter().nth(index as usize).copied()
    }

    /// Node of a core, if it is known.
    #[must_use]
    pub fn node_of_core(&self, core: u32) -> Option<u8> {
        self.cores.get(&core).copied()
    }

    /// Node of the byte at `at`; `None` where nothing is known of it.
    #[must_use]
    pub fn node_at(&self, at: u64) -> Option<u8> {
        let of = |(from, to, _): &&(u64, u64, u8)| *from <= at && at < *to;
        self.ranges.iter().rev().find(of).map(|(.., node)| *node)
    }

    /// Nodes that have memory.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<u8> {
        self.ranges.iter().map(|(.., node)| *node).collect()
    }

    /// The knowledge base says which nodes have memory for whoever is on `from`, nearest first (none: it does not
    /// know). Before it says anything the facts decide, after it ended its last word. Whether that is news.
    pub fn set_order(&mut self, from: u8, order: Vec<u8>) -> bool {
        let before = self.orders.insert(from, order);
        before.as_ref() != self.orders.get(&from)
    }

    /// Whether the knowledge base has said how far nodes are from `from`.
    #[must_use]
    pub fn has_order(&self, from: u8) -> bool {
        self.orders.get(&from).is_some_and(|o| !o.is_empty())
    }

    /// Whether firmware said how far apart nodes are.
    #[must_use]
    pub fn has_distances(&self) -> bool {
        !self.distances.is_empty()
    }

    /// Distance from one node to another.
    #[must_use]
    pub fn distance(&self, from: u8, to: u8) -> u32 {
        let known = self.distances.get(&(from, to)).copied();
        known.unwrap_or(if from == to { LOCAL } else { UNKNOWN })
    }

    /// Nodes with memory, nearest to `from` first: as the knowledge base says, what it does not name last; else by
    /// the distances that are known here, equally near ones by number.
    #[must_use]
    pub fn nearest(&self, from: u8) -> Vec<u8> {
        let mut all: Vec<u8> = self.nodes().into_iter().collect();
        match self.orders.get(&from) {
            Some(order) if !order.is_empty() => {
                let place = |n: &u8| order.iter().position(|o| o == n).unwrap_or(order.len());
                all.sort_by_key(place);
            }
            _ => all.sort_by_key(|&n| (self.distance(from, n), n)),
        }
        all
    }

    /// The parts of a range that are on `node`, in order. While no range is known, all is on every node.
    #[must_use]
    pub fn parts(&self, base: u64, end: u64, node: Option<u8>) -> Vec<(u64, u64)> {
        let Some(node) = node.filter(|_| !self.ranges.is_empty()) else {
            return Vec::from([(base, end)]);
        };
        let mut found: Vec<(u64, u64)> = Vec::new();
        let mut at = base;
        while at < end {
            let next = self.next_border(at).min(end);
            if self.node_at(at) == Some(node) {
                match found.last_mut() {
                    Some(last) if last.1 == at => last.1 = next,
                    _ => found.push((at, next)),
                }
            }
            at = next;
        }
        found
    }

    /// First border of a known range after `at`.
    fn next_border(&self, at: u64) -> u64 {
        let borders = self.ranges.iter().flat_map(|(from, to, _)| [*from, *to]);
        borders.filter(|b| *b > at).min().unwrap_or(u64::MAX)
    }
}

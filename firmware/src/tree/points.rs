//! Operating points: the frequencies of a core, and what they cost.

use super::cores::NAME;
use super::nodes::{Tree, number};
use crate::problem::Problems;
use alloc::format;
use alloc::vec::Vec;

/// Most points of a core.
const MAX_POINTS: usize = 64;

/// One frequency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OperatingPoint {
    /// Hz.
    pub hz: u64,
    /// Voltage in µV; 0 if the tree does not say.
    pub microvolts: u32,
}

/// The points of the core at node `at`, ascending.
pub fn of_core(tree: &Tree<'_>, at: usize, problems: &mut Problems) -> Vec<OperatingPoint> {
    let mut points = if let Some(phandle) = tree.nodes[at].number("operating-points-v2") {
        table(tree, at, phandle, problems)
    } else {
        pairs(tree, at, problems)
    };
    points.sort_unstable();
    points.dedup_by_key(|p| p.hz);
    points
}

/// Binding `opp/opp-v2`: a node for each point.
fn table(tree: &Tree<'_>, at: usize, phandle: u64, problems: &mut Problems) -> Vec<OperatingPoint> {
    let table = tree.referred(phandle);
    let is_table = |t: &usize| tree.nodes[*t].is_compatible(&["operating-points-v2"]);
    let Some(table) = table.filter(is_table) else {
        let field = format!("operating-points-v2 of {}", tree.path(at));
        let why = format!("phandle {phandle:#x} is no table of operating points");
        problems.note(NAME, field, why);
        return Vec::new();
    };
    let mut points = Vec::new();
    for point in tree.children(table).take(MAX_POINTS) {
        let node = &tree.nodes[point];
        let first = |name, bytes| node.property(name).and_then(|v| v.get(..bytes));
        match first("opp-hz", 8).and_then(number).filter(|hz| *hz > 0) {
            Some(hz) => points.push(OperatingPoint {
                hz,
                microvolts: first("opp-microvolt", 4).and_then(number).unwrap_or(0) as u32,
            }),
            None => {
                let field = format!("opp-hz of {}", tree.path(point));
                problems.note(NAME, field, "it is no frequency: left out");
            }
        }
    }
    points
}

/// The older binding: pairs of kHz and µV.
fn pairs(tree: &Tree<'_>, at: usize, problems: &mut Problems) -> Vec<OperatingPoint> {
    let list = tree.nodes[at].property("operating-points").unwrap_or(&[]);
    if !list.len().is_multiple_of(8) {
        let field = format!("operating-points of {}", tree.path(at));
        problems.note(NAME, field, "it is no list of pairs");
    }
    let point = |pair: &[u8]| {
        let khz = number(&pair[..4]).filter(|khz| *khz > 0)?;
        Some(OperatingPoint {
            hz: khz * 1000,
            microvolts: number(&pair[4..])? as u32,
        })
    };
    let pairs = list.chunks_exact(8).take(MAX_POINTS);
    pairs.filter_map(point).collect()
}

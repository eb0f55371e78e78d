//! `/cpus/cpu-map`: sockets, clusters, cores, threads.

use super::cores::{Core, NAME};
use super::nodes::Tree;
use crate::problem::Problems;
use alloc::collections::BTreeMap;
use alloc::format;

/// Where a leaf of the map stands.
#[derive(Clone, Copy, Default)]
struct Place {
    package: Option<u32>,
    cluster: Option<u32>,
    core: Option<u32>,
}

struct Walk<'t, 'a> {
    tree: &'t Tree<'a>,
    /// Cores by number of their node.
    cores: BTreeMap<usize, usize>,
    packages: u32,
    clusters: u32,
    units: u32,
}

/// Gives `cores` their places.
pub fn read(tree: &Tree<'_>, cpus: usize, cores: &mut [Core], problems: &mut Problems) {
    let Some(map) = tree.child(cpus, "cpu-map") else {
        return;
    };
    let by_node = cores.iter().enumerate().map(|(i, c)| (c.place, i));
    let mut walk = Walk {
        tree,
        cores: by_node.collect(),
        packages: 0,
        clusters: 0,
        units: 0,
    };
    walk.level(map, Place::default(), cores, problems);
    for core in cores.iter().filter(|c| c.cluster.is_none()) {
        let field = format!("cpu-map, {}", tree.path(core.place));
        problems.note(NAME, field, "the map does not have this core");
    }
}

fn count(counter: &mut u32) -> Option<u32> {
    let number = *counter;
    *counter += 1;
    Some(number)
}

impl Walk<'_, '_> {
    /// As deep as the tree is, which is bounded.
    fn level(&mut self, at: usize, place: Place, cores: &mut [Core], problems: &mut Problems) {
        let tree = self.tree;
        for child in tree.children(at) {
            let name = tree.nodes[child].name;
            let mut inner = place;
            if name.starts_with("socket") {
                inner.package = count(&mut self.packages);
            } else if name.starts_with("cluster") {
                inner.cluster = count(&mut self.clusters);
            } else if name.starts_with("core") {
                inner.core = count(&mut self.units);
            } else if !name.starts_with("thread") {
                problems.note(NAME, tree.path(child), "no part of a cpu-map: left out");
                continue;
            }
            if tree.nodes[child].property("cpu").is_some() {
                let thread = name.starts_with("thread");
                self.leaf(child, inner, thread, cores, problems);
            } else {
                self.level(child, inner, cores, problems);
            }
        }
    }

    fn leaf(
        &mut self,
        at: usize,
        place: Place,
        thread: bool,
        cores: &mut [Core],
        problems: &mut Problems,
    ) {
        let tree = self.tree;
        let phandle = tree.nodes[at].number("cpu");
        let node = phandle.and_then(|p| tree.referred(p));
        let Some(core) = node.and_then(|n| self.cores.get(&n)) else {
            // A core that is disabled or was left out has a place, too.
            let field = || format!("cpu of {}", tree.path(at));
            match node {
                None => problems.note(NAME, field(), "it refers to no node"),
                Some(other) if tree.nodes[other].text("device_type") != Some("cpu") => {
                    let why = format!("{} is no core: left out", tree.path(other));
                    problems.note(NAME, field(), why);
                }
                Some(_) => {}
            }
            return;
        };
        let core = &mut cores[*core];
        if core.cluster.is_some() {
            let field = format!("cpu of {}", tree.path(at));
            let why = format!("{} has a place before: left out", tree.path(core.place));
            problems.note(NAME, field, why);
            return;
        }
        core.package = place.package.or(Some(0));
        core.cluster = place.cluster.or(Some(0));
        core.thread_of = place.core.filter(|_| thread);
    }
}

//! Unmap with shoot-down: every order, one stop, crash or death; and without each of its rules.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::explore::{Counterexample, Covered, explore, explore_some};
use model::mutants::all_caught;
use model::unmap::{Domain, trees};
use monitor::agree::Rule;
use monitor::agree::unmap::Tree;

const LIMIT: usize = 20_000_000;

/// Every tree over `nodes` OSnodes, for one unmap and for two at once.
fn domains(nodes: u64, rules: Broken) -> Vec<Domain> {
    let mut all = Vec::new();
    for tree in trees(nodes) {
        // The last OSnode unmaps another page meanwhile, over the same tree with itself at the root.
        let swap = |n: OsnodeId| match n.0 {
            1 => OsnodeId(nodes),
            n if n == nodes => OsnodeId(1),
            _ => n,
        };
        let other: Tree = tree.iter().map(|(n, below)| (swap(*n), *below)).collect();
        let first = (OsnodeId(1), tree);
        for unmaps in [vec![first.clone()], vec![first, (OsnodeId(nodes), other)]] {
            all.push(Domain {
                nodes,
                unmaps,
                burials: nodes == 3,
                rules,
            });
        }
    }
    all
}

/// What `look` finds among so many OSnodes with these rules.
fn check(
    nodes: u64,
    rules: Broken,
    look: fn(&Domain, usize) -> Result<Covered, Counterexample>,
) -> Result<Covered, Counterexample> {
    let mut covered = Covered::default();
    for domain in domains(nodes, rules) {
        covered.add(look(&domain, LIMIT)?);
    }
    Ok(covered)
}

#[test]
fn nobody_can_use_what_was_unmapped() {
    let most = if model::scaled(1) > 1 { 5 } else { 4 };
    for nodes in 3..=most {
        match check(nodes, Broken(None), explore) {
            Ok(covered) => println!("unmap, {nodes} OSnodes: {covered}"),
            Err(found) => panic!("{found}"),
        }
    }
}

#[test]
fn every_rule_is_needed() {
    all_caught("unmap", Rule::UNMAP.iter().copied(), |rule| {
        // More states than the limit are nothing wrong.
        let found = (3..=4).find_map(|nodes| check(nodes, Broken(Some(rule)), explore_some).err());
        found.map(|found| found.what)
    });
}

//! Strata: groups of predicates that are derived together, each after all that it depends on.

use super::ast::{Literal, Rule};
use super::check::Names;
use super::error::{Error, Place};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// `from` is defined by `to`.
struct Edge {
    from: usize,
    to: usize,
    /// By its absence, or by an aggregate over it.
    strict: Option<(Place, &'static str)>,
}

/// The order of derivation.
#[derive(Clone, Default, Debug)]
pub(super) struct Strata {
    /// Predicates that are derived together, in order of derivation.
    pub groups: Vec<Vec<usize>>,
    /// By predicate: all that depend on it, itself included.
    pub dependents: Vec<BTreeSet<usize>>,
}

/// Finds the strata.
///
/// # Errors
/// A predicate that depends on its own absence, or on an aggregate over itself.
pub(super) fn strata(names: &Names, rules: &[Rule]) -> Result<Strata, Error> {
    let edges = edges(names, rules)?;
    let n = names.predicates.len();
    let mut uses: Vec<Vec<usize>> = vec![Vec::new(); n];
    for edge in &edges {
        if !uses[edge.from].contains(&edge.to) {
            uses[edge.from].push(edge.to);
        }
    }
    let reaches: Vec<BTreeSet<usize>> = (0..n).map(|p| reach(&uses, p)).collect();
    for edge in &edges {
        if let Some((at, how)) = edge.strict
            && reaches[edge.to].contains(&edge.from)
        {
            let chain = chain(names, &uses, edge.to, edge.from);
            let name = &names.predicates[edge.from].name;
            return Err(Error::Meaning(
                at,
                format!("`{name}` depends on {how} itself: {name} -> {chain}"),
            ));
        }
    }
    let mut dependents = vec![BTreeSet::new(); n];
    for (p, all) in reaches.iter().enumerate() {
        for q in all {
            dependents[*q].insert(p);
        }
    }
    // Whoever reaches more comes later: a predicate reaches all that its users' strata need.
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|p| (reaches[*p].len(), reaches[*p].first().copied()));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for p in order {
        let mutual = |q: &usize| reaches[p].contains(q) && reaches[*q].contains(&p);
        match groups.iter_mut().find(|g| mutual(&g[0])) {
            Some(group) => group.push(p),
            None => groups.push(vec![p]),
        }
    }
    Ok(Strata { groups, dependents })
}

fn edges(names: &Names, rules: &[Rule]) -> Result<Vec<Edge>, Error> {
    let mut edges = Vec::new();
    for rule in rules {
        let Some(from) = names.find(&rule.name) else {
            continue;
        };
        for literal in &rule.body {
            let (atom, absent) = match literal {
                Literal::Holds(atom) => (atom, false),
                Literal::Absent(atom) => (atom, true),
                Literal::Compare(..) => continue,
            };
            let strict = match (absent, rule.aggregates()) {
                (true, _) => Some((atom.at, "the absence of")),
                (_, true) => Some((atom.at, "an aggregate over")),
                _ => None,
            };
            edges.push(Edge {
                from,
                to: names.resolve(atom)?,
                strict,
            });
        }
    }
    Ok(edges)
}

/// All that `from` depends on, itself included.
fn reach(uses: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([from]);
    let mut todo = vec![from];
    while let Some(p) = todo.pop() {
        for q in &uses[p] {
            if seen.insert(*q) {
                todo.push(*q);
            }
        }
    }
    seen
}

/// The shortest way from `from` to `to`, as text.
fn chain(names: &Names, uses: &[Vec<usize>], from: usize, to: usize) -> String {
    let mut came = vec![None; uses.len()];
    let mut todo = VecDeque::from([from]);
    while let Some(p) = todo.pop_front() {
        for q in &uses[p] {
            if came[*q].is_none() && *q != from {
                came[*q] = Some(p);
                todo.push_back(*q);
            }
        }
    }
    let mut text = String::from(&*names.predicates[to].name);
    let mut at = to;
    while let Some(before) = came[at].filter(|_| at != from) {
        text = format!("{} -> {text}", names.predicates[before].name);
        at = before;
    }
    text
}

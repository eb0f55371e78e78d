//! Trees along which messages to many OSnodes go, and what is known of where these are.
//!
//! A tree is a function of who is to be told and of a [`Placement`], which the knowledge base's
//! multicast tree gives. OSnodes of one group (a cluster, a node, a package) hang below one
//! branch, so that a message enters each group once. What nothing is known of is its own group: with
//! no placement at all the tree is balanced.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use capfmt::OsnodeId;

use crate::agree::unmap::Tree;

/// How many groups one OSnode passes a message on to, and how many OSnodes of its own group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fan(pub u16);

impl Default for Fan {
    /// Three: a message costs its sender about a third of what its way and its answer cost, so that more branches
    /// would make the last one wait longer than another level does.
    fn default() -> Fan {
        Fan(3)
    }
}

/// One way of a multicast tree, as the knowledge base says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Who sends.
    pub from: OsnodeId,
    /// Who is sent to.
    pub to: OsnodeId,
    /// Both are in one group.
    pub within: bool,
}

/// Where other OSnodes are, as seen from one of them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Those of its own group, whoever is best told first in front.
    near: Vec<OsnodeId>,
    /// The other groups likewise, each with who leads it in front.
    far: Vec<Vec<OsnodeId>>,
}

impl Placement {
    /// From a multicast tree, senders before receivers. Whatever the ways are, everybody is in one group, once.
    #[must_use]
    pub fn from_ways(root: OsnodeId, ways: impl IntoIterator<Item = Way>) -> Placement {
        // Group 0 is the root's.
        let mut groups = Vec::from([Vec::new()]);
        let mut group_of = BTreeMap::from([(root, 0)]);
        for way in ways {
            if group_of.contains_key(&way.to) {
                continue;
            }
            let known = group_of.get(&way.from).copied().filter(|_| way.within);
            let group = known.unwrap_or(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(way.to);
            group_of.insert(way.to, group);
        }
        let near = groups.remove(0);
        Placement { near, far: groups }
    }

    /// As words for another monitor: the groups, a 0 in front of each but the own one.
    #[must_use]
    pub fn to_words(&self) -> Vec<u64> {
        let far = self.far.iter().flat_map(|g| [0].into_iter().chain(ids(g)));
        ids(&self.near).chain(far).collect()
    }

    /// Takes words apart; whatever they are, everybody is in one group, once.
    #[must_use]
    pub fn from_words(root: OsnodeId, words: &[u64]) -> Placement {
        let mut seen = BTreeSet::from([root]);
        let mut groups = words.split(|w| *w == 0).map(|group| {
            let all = group.iter().map(|w| OsnodeId(*w));
            all.filter(|o| seen.insert(*o)).collect()
        });
        let near = groups.next().unwrap_or_default();
        let far = groups.filter(|g: &Vec<OsnodeId>| !g.is_empty()).collect();
        Placement { near, far }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    /// The tree to `sharers`, of whom the root is none: in preorder, each with the number of those below it, whoever is
    /// best told first in front. Its depth grows with the logarithms of the number of groups and of their sizes.
    /// No more than `fan` are told by the root itself: another level would cost more than a message that
    /// enters a group twice.
    #[must_use]
    pub fn tree(&self, sharers: &[OsnodeId], fan: Fan) -> Tree {
        let fan = usize::from(fan.0.max(1));
        let mut left: BTreeSet<OsnodeId> = sharers.iter().copied().collect();
        let few = left.len() <= fan;
        let mut take = |group: &[OsnodeId]| -> Vec<OsnodeId> {
            let all = group.iter().copied();
            all.filter(|o| left.remove(o)).collect()
        };
        let near = take(&self.near);
        let mut far: Vec<Vec<OsnodeId>> = self.far.iter().map(|g| take(g)).collect();
        far.retain(|g| !g.is_empty());
        far.extend(left.into_iter().map(|o| Vec::from([o])));
        if few {
            let all = far.into_iter().flatten().chain(near);
            return all.map(|o| (o, 0)).collect();
        }
        let mut tree = Tree::new();
        grow(&far, &near, fan, &mut tree);
        tree
    }
}

fn ids(group: &[OsnodeId]) -> impl Iterator<Item = u64> {
    group.iter().map(|o| o.0)
}

/// Adds branches: other groups, and one's own.
fn grow(far: &[Vec<OsnodeId>], near: &[OsnodeId], fan: usize, tree: &mut Tree) {
    for run in runs(far, fan) {
        if let [first, others @ ..] = run
            && let [leader, own @ ..] = first.as_slice()
        {
            branch(*leader, others, own, fan, tree);
        }
    }
    for run in runs(near, fan) {
        if let [first, others @ ..] = run {
            branch(*first, &[], others, fan, tree);
        }
    }
}

fn branch(to: OsnodeId, far: &[Vec<OsnodeId>], near: &[OsnodeId], fan: usize, tree: &mut Tree) {
    let at = tree.len();
    tree.push((to, 0));
    grow(far, near, fan, tree);
    tree[at].1 = (tree.len() - at - 1) as u16;
}

/// At most `fan` parts, none empty, as even as possible.
fn runs<T>(all: &[T], fan: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    (0..fan).map_while(move |run| {
        let size = rest.len().div_ceil(fan - run);
        let (part, after) = rest.split_at(size);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests;

//! Golden trees of two boards, and what holds of every tree.

use super::*;
use crate::agree::unmap::Tree;
use proptest::prelude::*;
use std::format;
use std::string::String;

/// What the knowledge base says of the boards: its tests end with the same files.
const NUMA8: &str = include_str!("../../../boards/qemu-x86-numa8/multicast-o1.txt");
const BIG_LITTLE: &str = include_str!("../../../boards/qemu-arm-big-little/multicast-o6.txt");

fn placement(root: u64, text: &str) -> Placement {
    let id = |word: &str| OsnodeId(word[1..].parse().expect("oN"));
    let ways = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        Way {
            from: id(words[0]),
            to: id(words[1]),
            within: words[3] == "within",
        }
    });
    Placement::from_ways(OsnodeId(root), ways)
}

fn nodes(all: impl IntoIterator<Item = u64>) -> Vec<OsnodeId> {
    all.into_iter().map(OsnodeId).collect()
}

/// Each OSnode on a line, below who tells it.
fn text(tree: &Tree) -> String {
    let mut open: Vec<u16> = Vec::new();
    let mut out = String::new();
    for (osnode, below) in tree {
        open.iter_mut().for_each(|left| *left -= 1);
        out += &format!("{}o{}\n", "  ".repeat(open.len()), osnode.0);
        open.push(*below);
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    assert!(open.is_empty(), "counts that reach over the end");
    out
}

fn depth(tree: &Tree) -> usize {
    let levels = |l: &str| 1 + (l.len() - l.trim_start().len()) / 2;
    text(tree).lines().map(levels).max().unwrap_or(0)
}

/// Levels of a balanced tree.
fn levels(count: usize, fan: usize) -> usize {
    let (mut deep, mut room, mut level) = (0, 0, 1);
    while room < count {
        level *= fan;
        room += level;
        deep += 1;
    }
    deep
}

#[test]
fn eight_nodes_of_two() {
    let known = placement(1, NUMA8);
    // A message enters each node once; the farthest first, the own node last.
    let all = "\
o15
  o7
    o8
  o11
    o12
  o16
o13
  o3
    o4
  o14
o5
  o9
    o10
  o6
o2
";
    assert_eq!(text(&known.tree(&nodes(2..=16), Fan(3))), all);
    // A leader that does not share it is left out.
    let some = "o15\n  o16\no8\no4\no2\n";
    let tree = known.tree(&nodes([16, 2, 8, 15, 4]), Fan(3));
    assert_eq!(text(&tree), some);
    // A few are told directly; farthest first.
    assert_eq!(text(&known.tree(&nodes([2, 3, 4]), Fan(3))), "o3\no4\no2\n");
    // Nothing is known of o17 and o20, which share it, too.
    let tree = known.tree(&nodes([2, 20, 3, 4, 17]), Fan(3));
    assert_eq!(text(&tree), "o3\n  o4\no17\no20\no2\n");
}

#[test]
fn two_clusters_of_four() {
    let known = placement(6, BIG_LITTLE);
    let tree = known.tree(&nodes([1, 2, 3, 4, 5, 7, 8]), Fan(3));
    assert_eq!(text(&tree), "o1\n  o2\n  o3\n  o4\no5\no7\no8\n");
    // The leader's core was taken away, and the OSnode with it: another one passes it on.
    let tree = known.tree(&nodes([2, 3, 4, 5, 7, 8]), Fan(3));
    assert_eq!(text(&tree), "o2\n  o3\n  o4\no5\no7\no8\n");
}

#[test]
fn nothing_is_known_and_the_tree_is_balanced() {
    let nothing = Placement::default();
    assert!(nothing.is_empty());
    for count in 0..70u64 {
        let all = nodes(2..2 + count);
        let tree = nothing.tree(&all, Fan(3));
        let in_tree: Vec<OsnodeId> = tree.iter().map(|(n, _)| *n).collect();
        assert_eq!(in_tree, all);
        assert_eq!(depth(&tree), levels(all.len(), 3), "{count} OSnodes");
    }
    assert_eq!(depth(&nothing.tree(&nodes([2, 3]), Fan(0))), 2);
}

#[test]
fn strange_ways_and_words_lose_and_double_nobody() {
    let way = |from, to, within| Way {
        from: OsnodeId(from),
        to: OsnodeId(to),
        within,
    };
    let ways = [
        way(9, 3, true),
        way(1, 1, true),
        way(3, 1, false),
        way(1, 2, true),
        way(2, 3, true),
        way(3, 4, true),
    ];
    let known = Placement::from_ways(OsnodeId(1), ways);
    assert_eq!(known.to_words(), [2, 0, 3, 4]);
    let read = Placement::from_words(OsnodeId(1), &[0, 0, 2, 1, 2, 0, 2, 0, 3]);
    assert_eq!(read.to_words(), [0, 2, 0, 3]);
}

fn machine() -> impl Strategy<Value = (Placement, Vec<OsnodeId>)> {
    let groups = prop::collection::vec(0..9u64, 0..70);
    let shares = prop::collection::btree_set(2..90u64, 0..80);
    (groups, shares).prop_map(|(groups, shares)| {
        let mut leaders = BTreeMap::from([(0, OsnodeId(1))]);
        let ways = (2..).map(OsnodeId).zip(groups).map(|(to, group)| {
            let leader = *leaders.entry(group).or_insert(to);
            let within = leader != to;
            let from = if within { leader } else { OsnodeId(1) };
            Way { from, to, within }
        });
        let known = Placement::from_ways(OsnodeId(1), ways);
        (known, nodes(shares))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn trees_reach_everybody_once_are_flat_and_enter_groups_once((known, sharers) in machine(), fan in 1..6u16) {
        let tree = known.tree(&sharers, Fan(fan));
        let mut reached: Vec<OsnodeId> = tree.iter().map(|(o, _)| *o).collect();
        reached.sort_unstable();
        prop_assert_eq!(&reached, &sharers);
        let fan = usize::from(fan);
        let shares = |g: &Vec<OsnodeId>| g.iter().filter(|o| sharers.contains(o)).count();
        let sizes: Vec<usize> = known.far.iter().map(shares).filter(|n| *n > 0).collect();
        let unknown = sharers.len() - sizes.iter().sum::<usize>() - shares(&known.near);
        let widest = sizes.iter().copied().max().unwrap_or(0).max(shares(&known.near));
        let groups = sizes.len() + unknown;
        prop_assert!(depth(&tree) <= levels(groups, fan) + levels(widest, fan));
        if sharers.len() <= fan {
            prop_assert!(tree.iter().all(|(_, below)| *below == 0));
            return Ok(());
        }
        // How often a message goes from one group to another.
        let group = |o: OsnodeId| match known.near.contains(&o) || o == OsnodeId(1) {
            true => 0,
            false => known.far.iter().position(|g| g.contains(&o)).map_or(1000 + o.0, |g| 1 + g as u64),
        };
        let mut open: Vec<(OsnodeId, u16)> = Vec::new();
        let mut between = 0;
        for (osnode, below) in &tree {
            let above = open.last().map_or(OsnodeId(1), |(o, _)| *o);
            between += usize::from(group(above) != group(*osnode));
            open.iter_mut().for_each(|(_, left)| *left -= 1);
            open.push((*osnode, *below));
            while open.last().is_some_and(|(_, left)| *left == 0) {
                open.pop();
            }
        }
        prop_assert_eq!(between, groups);
    }

    #[test]
    fn words_say_all_of_a_placement((known, _) in machine(), words in prop::collection::vec(0..20u64, 0..40)) {
        prop_assert_eq!(Placement::from_words(OsnodeId(1), &known.to_words()), known);
        let read = Placement::from_words(OsnodeId(1), &words);
        prop_assert_eq!(Placement::from_words(OsnodeId(1), &read.to_words()), read);
    }
}

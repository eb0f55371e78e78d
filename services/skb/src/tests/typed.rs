//! Questions asked as messages get what the same questions in text get.

use super::{BIG_LITTLE, NUMA8, apply, start_all, take_away, tell};
use crate::collect;
use crate::datalog::Base;
use crate::news::News;
use crate::service::Service;
use crate::typed;
use proptest::prelude::*;
use proto::ServiceError;
use proto::iface::skb::{Changed, Edge, MemoryAt, Record, Subject, Topic};
use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

fn machine() -> Base {
    let acpi = super::numa8::tables(NUMA8, &mut |_, _| {});
    let mut base = super::empty();
    let facts = collect::from_acpi(&acpi, 0, None).expect("lists the boot core");
    apply(&mut base, &facts);
    start_all(&mut base, "x86_64");
    base
}

#[test]
fn places_distances_memories() {
    let mut b = machine();
    let place = typed::place_of(&b, Subject::Core, 13).expect("known");
    assert_eq!((place.node, place.core, place.osnode), (6, 13, 14));
    let place = typed::place_of(&b, Subject::Osnode, 14).expect("runs");
    assert_eq!((place.node, place.core, place.osnode), (6, 13, 14));
    assert_eq!(typed::place_of(&b, Subject::Core, 16), None);
    assert_eq!(typed::place_of(&b, Subject::Node, 1), None);
    assert_eq!(typed::distance(&b, 0, 7), Some(28));
    assert_eq!(typed::distance(&b, 0, 8), None);
    let near = |b: &Base, subject, number| -> Option<Vec<(u32, u32)>> {
        let all = typed::memories(b, subject, number)?;
        Some(all.iter().map(|m| (m.node, m.distance)).collect())
    };
    let expected = [
        (3, 10),
        (1, 16),
        (2, 16),
        (7, 16),
        (0, 22),
        (5, 22),
        (6, 22),
        (4, 28),
    ];
    for (subject, number) in [(Subject::Core, 6), (Subject::Osnode, 7), (Subject::Node, 3)] {
        assert_eq!(near(&b, subject, number).expect("known"), expected);
    }
    assert_eq!(near(&b, Subject::Node, 8), None);
    tell(&mut b, &["memory(_, _, 3)", "running(6, _)"], "");
    assert_eq!(near(&b, Subject::Core, 6).expect("known"), expected[1..]);
    assert_eq!(typed::place_of(&b, Subject::Osnode, 7), None);
    assert_eq!(
        typed::place_of(&b, Subject::Core, 6).map(|p| p.osnode),
        Some(0)
    );
    take_away(&mut b, 6);
    assert_eq!(near(&b, Subject::Core, 6), None);
}

fn edges(b: &Base, root: u64) -> Vec<(u32, u32, u64)> {
    let all = typed::tree(b, Subject::Core, root).expect("runs");
    all.iter()
        .map(|e| (e.parent_core, e.child_core, e.cost))
        .collect()
}

#[test]
fn trees_in_sending_order() {
    let mut b = machine();
    let all = edges(&b, 0);
    let first: Vec<u32> = all.iter().take(8).map(|e| e.1).collect();
    assert_eq!(first, [14, 6, 10, 12, 2, 4, 8, 1], "the farthest first");
    assert_eq!(all.len(), 15);
    assert_eq!(typed::tree(&b, Subject::Core, 16), None);
    assert_eq!(typed::tree(&b, Subject::Osnode, 17), None);
    // Measured, the order is another: all that the root sends to, or nothing.
    let told: String = (1..16u64)
        .map(|c| std::format!("latency(0, {c}, {}). ", 1000 - c))
        .collect();
    tell(&mut b, &[], &told);
    let first: Vec<(u32, u64)> = edges(&b, 0).iter().take(8).map(|e| (e.1, e.2)).collect();
    let order = [
        (1, 999),
        (3, 997),
        (5, 995),
        (7, 993),
        (9, 991),
        (11, 989),
        (13, 987),
        (15, 985),
    ];
    assert_eq!(first, order, "leaders are those that answer soonest");
    tell(&mut b, &["latency(0, 1, _)"], "");
    assert_eq!(edges(&b, 0).iter().find(|e| e.1 == 1), Some(&(0, 1, 10)));
    // Out of reach by firmware's word, but it runs: it is sent to all the same.
    tell(
        &mut b,
        &["latency(_, _, _)", "node_distance(0, 7, _)"],
        "node_distance(0, 7, 255).",
    );
    assert_eq!(edges(&b, 0).first(), Some(&(0, 14, 255)));
}

#[test]
fn osnodes_that_share_a_core() {
    let mut b = machine();
    tell(
        &mut b,
        &["running(_, _)"],
        "running(0, 5). running(0, 3). running(2, 9). running(2, 8).",
    );
    let tree = |subject, number| -> Vec<(u64, u64)> {
        let all = typed::tree(&b, subject, number).expect("runs");
        all.iter().map(|e| (e.parent, e.child)).collect()
    };
    assert_eq!(tree(Subject::Osnode, 5), [(5, 8), (5, 3), (8, 9)]);
    assert_eq!(tree(Subject::Osnode, 3), [(3, 8), (3, 5), (8, 9)]);
    assert_eq!(tree(Subject::Core, 2), [(8, 3), (8, 9), (3, 5)]);
}

fn big_little() -> Base {
    let tree = firmware::tree::read(BIG_LITTLE);
    let facts = collect::from_tree(&tree, 0).expect("lists the boot core");
    let mut base = super::empty();
    apply(&mut base, &facts);
    start_all(&mut base, "aarch64");
    base
}

/// A tree as text: sender, receiver, cost, and whether both are in one group.
fn text(all: &[Edge]) -> String {
    let line = |e: &Edge| {
        let way = if e.within { "within" } else { "between" };
        std::format!("o{} o{} {} {way}\n", e.parent, e.child, e.cost)
    };
    all.iter().map(line).collect()
}

/// What monitors make their trees of: monitors' tests begin with the same files.
#[test]
fn trees_as_monitors_get_them() {
    let numa8 = include_str!("../../../../boards/qemu-x86-numa8/multicast-o1.txt");
    let of = |b: &Base, o| typed::tree(b, Subject::Osnode, o).map(|t| text(&t));
    assert_eq!(of(&machine(), 1).expect("runs"), numa8);
    let big_little_o6 = include_str!("../../../../boards/qemu-arm-big-little/multicast-o6.txt");
    let mut b = big_little();
    assert_eq!(of(&b, 6).expect("runs"), big_little_o6);
    // Its core taken away, an OSnode is nobody's child, and another one leads.
    take_away(&mut b, 4);
    let after = "o1 o2 10 within\no1 o3 10 within\no1 o4 10 within\no1 o6 10 between\n\
                 o6 o7 10 within\no6 o8 10 within\n";
    assert_eq!(of(&b, 1).expect("runs"), after);
    assert_eq!(of(&b, 5), None);
}

#[test]
fn versions_change_with_what_answers_follow_from() {
    let mut b = machine();
    let of = |b: &Base| [Topic::Memory, Topic::Tree].map(|t| typed::version(b, t));
    let first = of(&b);
    assert_eq!(of(&machine()), first, "equal facts, equal versions");
    // A core stops: trees are others, distances are not.
    tell(&mut b, &["running(5, _)"], "");
    let second = of(&b);
    assert_eq!(
        (second[0] == first[0], second[1] == first[1]),
        (true, false)
    );
    // It runs again, under the same or another OSnode.
    tell(&mut b, &[], "running(5, 6).");
    assert_eq!(of(&b), first);
    tell(&mut b, &["running(5, _)"], "running(5, 60).");
    assert_ne!(of(&b)[1], first[1]);
    tell(
        &mut b,
        &["running(5, _)"],
        "running(5, 6). feature(5, \"x2apic\").",
    );
    assert_eq!(of(&b), first);
    // A node loses its memory: near is something else; so far as costs go by distance, so do trees.
    tell(&mut b, &["memory(_, _, 3)"], "");
    assert_eq!(of(&b).map(|v| first.contains(&v)), [false, true]);
    tell(
        &mut b,
        &["node_distance(0, 7, _)"],
        "node_distance(0, 7, 30).",
    );
    assert_eq!(of(&b).map(|v| first.contains(&v)), [false, false]);
}

#[test]
fn who_waits_hears_of_what_changes_its_topic() {
    let mut s = Service::new().expect("its rules");
    let mut news = News::<u32>::default();
    let told = |s: &mut Service, text: &str| {
        let blob = [b"\0", text.as_bytes()].concat();
        s.change(1, &blob, false).expect("changed");
    };
    told(
        &mut s,
        "isa(x86_64). core(0, 0). core(1, 1). memory(0, 4096, 0). running(0, 1).",
    );
    let ask = |news: &mut News<u32>, s: &Service, who, topic, known| {
        let (_, said) = news.take(s, who, topic, known)?;
        said.ok().map(|v| v.version)
    };
    let memory = ask(&mut news, &s, 1, Topic::Memory, 0).expect("at once");
    let tree = ask(&mut news, &s, 2, Topic::Tree, 0).expect("at once");
    assert_eq!(ask(&mut news, &s, 3, Topic::Memory, memory), None);
    assert_eq!(ask(&mut news, &s, 4, Topic::Tree, tree), None);
    assert_eq!(ask(&mut news, &s, 5, Topic::Tree, tree), None);
    let due = |news: &mut News<u32>, s: &Service| -> Vec<u32> {
        news.due(s).into_iter().map(|(who, _)| who).collect()
    };
    assert_eq!(due(&mut news, &s), []);
    news.forget(|who| *who == 5);
    told(&mut s, "running(1, 2).");
    assert_eq!(due(&mut news, &s), [4]);
    assert_eq!(due(&mut news, &s), [], "answered once");
    told(&mut s, "memory(0x1000, 4096, 1).");
    assert_eq!(due(&mut news, &s), [3]);
    // Bounded.
    let version = ask(&mut news, &s, 6, Topic::Memory, 0).expect("at once");
    for who in 0..256 {
        assert_eq!(ask(&mut news, &s, who, Topic::Memory, version), None);
    }
    let (_, refused) = news.take(&s, 256, Topic::Memory, version).expect("at once");
    assert_eq!(refused.map_err(|r| r.error), Err(ServiceError::Busy));
}

#[test]
fn long_lists_come_in_parts() {
    let mut s = Service::new().expect("its rules");
    assert!(!s.is_filled());
    let mut facts = String::from("isa(x86_64). ");
    for core in 0..200u32 {
        facts += &std::format!("core({core}, {core}). running({core}, {}). ", core + 1);
    }
    let half = facts.len() / 2;
    let cut = facts[..half].rfind(". ").expect("many") + 2;
    let change = |s: &mut Service, text: &str, more| {
        let blob = [b"core(_, _)\nrunning(_, _)\0", text.as_bytes()].concat();
        s.change(7, &blob, more)
    };
    let nothing = Changed {
        asserted: 0,
        withdrawn: 0,
    };
    assert_eq!(change(&mut s, &facts[..cut], true), Ok(nothing));
    assert!(!s.is_filled());
    let whole = Changed {
        asserted: 401,
        withdrawn: 0,
    };
    assert_eq!(change(&mut s, &facts[cut..], false), Ok(whole));
    assert!(s.is_filled());
    let mut all: Vec<Edge> = Vec::new();
    loop {
        let listed = s.tree(Subject::Osnode, 1, all.len() as u64);
        let listed = listed.expect("a tree");
        assert_eq!(listed.count, 199);
        let part = Edge::read_all(&listed.records).expect("whole records");
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    let reached: BTreeSet<u64> = all.iter().map(|e| e.child).collect();
    assert_eq!(reached, (2..=200).collect());
}

#[test]
fn a_change_whose_part_is_wrong_changes_nothing() {
    let mut s = Service::new().expect("its rules");
    let part = |s: &mut Service, from, text: &[u8], more| {
        let changed = s.change(from, text, more);
        changed.map(drop).map_err(|r| r.error)
    };
    assert_eq!(part(&mut s, 1, b"\0core(0, 0).", true), Ok(()));
    let wrong = part(&mut s, 1, b"\0core(", true);
    assert_eq!(wrong, Err(ServiceError::BadArgument));
    assert_eq!(part(&mut s, 1, b"\0core(1, 1).", false), Ok(()));
    assert_eq!(super::ask(s.base(), "core(C, _)"), "1");
    // What a connection told in part ends with it.
    assert_eq!(part(&mut s, 2, b"\0core(5, 5).", true), Ok(()));
    s.closed(2);
    assert_eq!(part(&mut s, 2, b"core(1, _)\0core(2, 2).", false), Ok(()));
    assert_eq!(super::ask(s.base(), "core(C, _)"), "2");
    for from in 10..26 {
        assert_eq!(part(&mut s, from, b"\0core(9, 9).", true), Ok(()));
    }
    let many = part(&mut s, 26, b"\0core(9, 9).", true);
    assert_eq!(many, Err(ServiceError::Busy));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn records_keep_what_they_are(a in any::<(u64, u64, u32, u32, u64, bool)>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let edge = Edge { parent: a.0, child: a.1, parent_core: a.2, child_core: a.3, cost: a.4, within: a.5 };
        let mut blob = Vec::new();
        edge.write(&mut blob);
        prop_assert_eq!(Edge::read(&blob), Some(edge));
        let memory = MemoryAt { distance: a.2, node: a.3 };
        blob.clear();
        memory.write(&mut blob);
        prop_assert_eq!(MemoryAt::read_all(&blob), Some(Vec::from([memory])));
        prop_assert_eq!(Edge::read_all(&bytes).is_some(), bytes.len() % Edge::BYTES == 0);
        prop_assert_eq!(MemoryAt::read_all(&bytes).is_some(), bytes.len() % MemoryAt::BYTES == 0);
    }

    /// Whatever bytes come: an answer, and no panic.
    #[test]
    fn any_bytes_are_answered(blob in prop::collection::vec(any::<u8>(), 0..64), words in any::<[u64; 2]>(), small in 0..9u64, more: bool) {
        let mut s = Service::new().expect("its rules");
        let _ = s.ask(&blob, words[0]);
        let _ = s.assert(&blob);
        let _ = s.withdraw(&blob);
        let _ = s.load(&blob);
        let _ = s.change(1, &blob, more);
        let _ = s.distance(words[0] as u32, words[1] as u32);
        for subject in [Subject::Core, Subject::Osnode, Subject::Node] {
            for number in [words[0], small] {
                let _ = s.place_of(subject, number);
                let _ = s.memories(subject, number);
                let _ = s.tree(subject, number, words[1]);
            }
        }
    }
}

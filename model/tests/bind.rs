//! Channels between clients and services: every order, with an end, a stop, a crash or a death at any time; and
//! without each rule.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::bind::{Faults, Lines};
use model::explore::{Counterexample, Covered, explore, explore_some};
use model::mutants::all_caught;
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;
const N: [OsnodeId; 5] = [
    OsnodeId(0),
    OsnodeId(1),
    OsnodeId(2),
    OsnodeId(3),
    OsnodeId(4),
];

/// Clients, each with its OSnode and that of its service, and how many Frames each OSnode has.
type Start = (Vec<(OsnodeId, OsnodeId)>, usize);

/// Who asks whom between up to three OSnodes.
fn starts(nodes: u64) -> Vec<Start> {
    let [_, one, two, three, _] = N;
    let mut all = vec![
        (vec![(one, one)], 1),
        (vec![(one, two)], 1),
        (vec![(one, two), (one, two)], 1),
        (vec![(one, two), (one, two)], 2),
        (vec![(one, two), (two, one)], 1),
    ];
    if nodes > 2 {
        all.push((vec![(one, two), (three, two)], 1));
        all.push((vec![(one, two), (one, three)], 1));
        all.push((vec![(one, two), (one, three)], 2));
        all.push((vec![(one, two), (two, three)], 1));
    }
    all
}

/// Who asks whom between four.
fn starts_of_four() -> Vec<Start> {
    let [_, one, two, three, four] = N;
    vec![
        (vec![(one, two), (three, four)], 1),
        (vec![(one, four), (two, four), (three, four)], 1),
        (vec![(one, two), (two, three), (three, four)], 1),
        (vec![(one, two), (one, three), (one, four)], 3),
    ]
}

fn faults() -> Vec<Faults> {
    let none = Faults::default();
    let one = [
        none,
        Faults {
            service: true,
            ..none
        },
        Faults {
            client: true,
            ..none
        },
        Faults { stop: true, ..none },
        Faults {
            crash: true,
            ..none
        },
    ];
    let late = one.map(|f| Faults { late: true, ..f });
    one.into_iter().chain(late).collect()
}

/// Everything with these starts.
fn systems(starts: &[Start], rules: Broken) -> Vec<Lines> {
    let mut all = Vec::new();
    for faults in faults() {
        for (clients, frames) in starts {
            for keep in [false, true] {
                // Who keeps its channel for ever keeps its Frame: there must be enough.
                if keep && *frames < clients.iter().filter(|c| c.0 == N[1]).count() {
                    continue;
                }
                all.push(Lines {
                    clients: clients.clone(),
                    frames: *frames,
                    keep,
                    faults,
                    rules,
                });
            }
        }
    }
    all
}

/// Explores all of them.
fn check(
    systems: &[Lines],
    look: impl Fn(&Lines) -> Result<Covered, Counterexample>,
) -> Result<Covered, (Lines, Counterexample)> {
    let mut covered = Covered::default();
    for lines in systems {
        covered.add(look(lines).map_err(|found| (lines.clone(), found))?);
    }
    Ok(covered)
}

#[test]
fn both_ends_agree_that_there_is_a_channel() {
    let systems = systems(&starts(3), Broken(None));
    for faults in faults() {
        let of: Vec<Lines> = (systems.iter().filter(|l| l.faults == faults))
            .cloned()
            .collect();
        match check(&of, |lines| explore(lines, LIMIT)) {
            Ok(covered) => println!("bind, up to 3 OSnodes, {faults}: {covered}"),
            Err((lines, found)) => panic!("{lines:?}\n{found}"),
        }
    }
}

#[test]
fn four_osnodes() {
    let most = model::scaled(20_000) as usize;
    let systems = systems(&starts_of_four(), Broken(None));
    match check(&systems, |lines| explore_some(lines, most)) {
        Ok(covered) => println!("bind, 4 OSnodes: {covered}"),
        Err((lines, found)) => panic!("{lines:?}\n{found}"),
    }
}

#[test]
fn every_rule_is_needed() {
    all_caught("bind", Rule::BIND.iter().copied(), |rule| {
        let systems = systems(&starts(2), Broken(Some(rule)));
        // More states than the limit are nothing wrong.
        let found = check(&systems, |lines| explore_some(lines, LIMIT)).err();
        found.map(|(_, found)| found.what)
    });
}

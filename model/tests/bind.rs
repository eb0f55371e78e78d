//! Channels between clients and services: every order, with an end or a death at any time; and without each rule.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::bind::{Faults, Lines};
use model::explore::{Counterexample, Covered, explore};
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;
const N: [OsnodeId; 4] = [OsnodeId(0), OsnodeId(1), OsnodeId(2), OsnodeId(3)];

/// Who asks whom, and how many Frames each OSnode has.
fn starts(nodes: u64) -> Vec<(Vec<(OsnodeId, OsnodeId)>, usize)> {
    let [_, one, two, three] = N;
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
    }
    all
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
        Faults {
            death: true,
            ..none
        },
    ];
    let late = one.map(|f| Faults { late: true, ..f });
    one.into_iter().chain(late).collect()
}

/// Everything with this many OSnodes.
fn check(nodes: u64, rules: Broken) -> Result<Covered, (Lines, Counterexample)> {
    let mut covered = Covered::default();
    for faults in faults() {
        for (clients, frames) in starts(nodes) {
            for keep in [false, true] {
                // Who keeps its channel for ever keeps its Frame: there must be enough.
                if keep && frames < clients.iter().filter(|c| c.0 == N[1]).count() {
                    continue;
                }
                let lines = Lines {
                    clients: clients.clone(),
                    frames,
                    keep,
                    faults,
                    rules,
                };
                match explore(&lines, LIMIT) {
                    Ok(found) => covered.add(found),
                    Err(found) => return Err((lines, found)),
                }
            }
        }
    }
    Ok(covered)
}

#[test]
fn both_ends_agree_that_there_is_a_channel() {
    match check(3, Broken(None)) {
        Ok(covered) => println!("bind, 2 and 3 OSnodes: {covered}"),
        Err((lines, found)) => panic!("{lines:?}\n{found}"),
    }
}

#[test]
fn every_rule_is_needed() {
    for rule in Rule::ALL
        .iter()
        .filter(|r| format!("{r:?}").starts_with("Bind"))
    {
        match check(2, Broken(Some(*rule))) {
            Err((_, found)) => println!("without {rule:?}: {}", found.what),
            Ok(_) => panic!("nothing goes wrong without {rule:?}"),
        }
    }
}

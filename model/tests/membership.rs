//! Joining, stopping and dying: every order, stops, one crash or death; and without each of the rules.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::explore::{Counterexample, Covered, explore, explore_some};
use model::membership::{Membership, Plan};
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;

/// How many OSnodes there are at first, what is planned, and whether somebody may die.
fn plans() -> Vec<(u64, Vec<Plan>, bool)> {
    let n = OsnodeId;
    let three = Plan::Join(n(1), n(3));
    let four = Plan::Join(n(2), n(4));
    let (stop, start) = (Plan::Stop(n(1), n(2)), Plan::Start(n(2)));
    let third = Plan::Join(n(3), n(4));
    let mut plans = vec![
        (2, vec![three], true),
        (2, vec![four], true),
        (2, vec![stop, start], true),
        (2, vec![three, stop, start], true),
        (3, vec![stop, start], true),
        (3, vec![third, stop, start], false),
        (2, vec![three, four], false),
    ];
    plans.push((2, vec![three, four], true));
    plans.push((2, vec![three, four, stop, start], false));
    plans.push((3, vec![third, stop, start], true));
    let (moved, stranded) = (Plan::Move(n(1), n(2)), Plan::Strand(n(1), n(2)));
    plans.push((2, vec![moved, start], true));
    plans.push((2, vec![moved, stranded, start], true));
    plans.push((2, vec![three, moved, start], true));
    plans.push((2, vec![three, moved, stranded, start], true));
    plans.push((3, vec![moved, stranded, start], true));
    plans.push((3, vec![third, moved, start], true));
    plans
}

/// Four OSnodes, of which one is stopped and one may die: too many states for every day.
fn plans_of_four() -> Vec<(u64, Vec<Plan>)> {
    let n = OsnodeId;
    let (stop, start) = (Plan::Stop(n(1), n(2)), Plan::Start(n(2)));
    let (moved, stranded) = (Plan::Move(n(1), n(2)), Plan::Strand(n(1), n(2)));
    let joins = vec![Plan::Join(n(1), n(3)), Plan::Join(n(2), n(4))];
    vec![
        (4, vec![stop, start]),
        (4, vec![moved, stranded, start]),
        (2, [joins.clone(), vec![stop, start]].concat()),
        (2, [joins, vec![moved, start]].concat()),
    ]
}

fn check(rules: Broken) -> Result<Covered, Counterexample> {
    let mut covered = Covered::default();
    for (members, plan, crash) in plans() {
        let system = Membership {
            members,
            plan,
            crash,
            rules,
        };
        covered.add(explore(&system, LIMIT)?);
    }
    Ok(covered)
}

#[test]
fn all_know_all() {
    match check(Broken(None)) {
        Ok(covered) => println!("membership: {covered}"),
        Err(found) => panic!("{found}"),
    }
}

#[test]
fn four_osnodes() {
    let most = if model::scaled(1) > 1 { LIMIT } else { 200_000 };
    let mut covered = Covered::default();
    for (members, plan) in plans_of_four() {
        let system = Membership {
            members,
            plan,
            crash: true,
            rules: Broken(None),
        };
        match explore_some(&system, most) {
            Ok(found) => covered.add(found),
            Err(found) => panic!("{system:?}\n{found}"),
        }
    }
    println!("membership, 4 OSnodes: {covered}");
}

#[test]
fn every_rule_is_needed() {
    let ours = |r: &&Rule| {
        ["Join", "View"]
            .iter()
            .any(|p| format!("{r:?}").starts_with(p))
    };
    let mut escaped = Vec::new();
    for rule in Rule::ALL.iter().filter(ours) {
        match check(Broken(Some(*rule))) {
            Err(found) => println!(
                "without {rule:?}: {} ({} events)",
                found.what,
                found.trace.len()
            ),
            Ok(_) => escaped.push(*rule),
        }
    }
    assert!(escaped.is_empty(), "nothing goes wrong without {escaped:?}");
}

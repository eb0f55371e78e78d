//! Joining, stopping and dying: every order, stops, one crash or death; and without each of the rules.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::explore::{Counterexample, Covered, explore, explore_some};
use model::membership::{Membership, Plan};
use model::mutants::all_caught;
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;
/// States of a plan that are looked at without a rule.
const MUTANT: usize = 200_000;

/// How many OSnodes there are at first, what is planned, and how many may die.
fn plans() -> Vec<(u64, Vec<Plan>, u8)> {
    let n = OsnodeId;
    let three = Plan::Join(n(1), n(3));
    let four = Plan::Join(n(2), n(4));
    let (stop, start) = (Plan::Stop(n(1), n(2)), Plan::Start(n(2)));
    let third = Plan::Join(n(3), n(4));
    let mut plans = vec![
        (2, vec![three], 1),
        (2, vec![four], 1),
        (2, vec![stop, start], 1),
        (2, vec![three, stop, start], 1),
        (3, vec![stop, start], 1),
        (3, vec![third, stop, start], 0),
        (2, vec![three, four], 0),
    ];
    plans.push((2, vec![three, four], 1));
    plans.push((2, vec![three, four, stop, start], 0));
    plans.push((3, vec![third, stop, start], 1));
    let (moved, stranded) = (Plan::Move(n(1), n(2)), Plan::Strand(n(1), n(2)));
    plans.push((2, vec![moved, start], 1));
    plans.push((2, vec![moved, stranded, start], 1));
    plans.push((2, vec![three, moved, start], 1));
    plans.push((2, vec![three, moved, stranded, start], 1));
    plans.push((3, vec![moved, stranded, start], 1));
    plans.push((3, vec![third, moved, start], 1));
    // Two sponsors die, one after the other.
    plans.push((3, vec![Plan::Join(n(1), n(4))], 2));
    plans
}

/// Four OSnodes, of which one is stopped and one may die: too many states for every day.
fn plans_of_four() -> Vec<(u64, Vec<Plan>, u8)> {
    let n = OsnodeId;
    let (stop, start) = (Plan::Stop(n(1), n(2)), Plan::Start(n(2)));
    let (moved, stranded) = (Plan::Move(n(1), n(2)), Plan::Strand(n(1), n(2)));
    let joins = vec![Plan::Join(n(1), n(3)), Plan::Join(n(2), n(4))];
    vec![
        (4, vec![stop, start], 1),
        (4, vec![moved, stranded, start], 1),
        (2, [joins.clone(), vec![stop, start]].concat(), 1),
        (2, [joins, vec![moved, start]].concat(), 1),
    ]
}

fn check() -> Result<Covered, Counterexample> {
    let mut covered = Covered::default();
    for (members, plan, crashes) in plans() {
        let system = Membership {
            members,
            plan,
            crashes,
            rules: Broken(None),
        };
        covered.add(explore(&system, LIMIT)?);
    }
    Ok(covered)
}

#[test]
fn all_know_all() {
    match check() {
        Ok(covered) => println!("membership: {covered}"),
        Err(found) => panic!("{found}"),
    }
}

#[test]
fn four_osnodes() {
    let most = if model::scaled(1) > 1 { LIMIT } else { 200_000 };
    let mut covered = Covered::default();
    for (members, plan, crashes) in plans_of_four() {
        let system = Membership {
            members,
            plan,
            crashes,
            rules: Broken(None),
        };
        match explore_some(&system, most) {
            Ok(found) => covered.add(found),
            Err(found) => panic!("{system:?}\n{found}"),
        }
    }
    println!("membership, 4 OSnodes: {covered}");
}

/// What goes wrong without a rule; a run stops there, and where too much can happen.
fn missed(rule: Rule) -> Option<String> {
    for limit in [MUTANT / 10, MUTANT] {
        for (members, plan, crashes) in plans().into_iter().chain(plans_of_four()) {
            let rules = Broken(Some(rule));
            let system = Membership {
                members,
                plan,
                crashes,
                rules,
            };
            if let Err(found) = explore_some(&system, limit) {
                let (what, events) = (found.what, found.trace.len());
                let states = found.states;
                return Some(format!("{what} ({events} events, {states} states)"));
            }
        }
    }
    None
}

#[test]
fn every_rule_is_needed() {
    let rules = Rule::MEMBERSHIP.iter().copied();
    all_caught("membership", rules, missed);
}

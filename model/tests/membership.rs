//! Joining, stopping and dying: every order, one crash or death; and without each of the rules.

use capfmt::OsnodeId;
use model::agree::Broken;
use model::explore::{Counterexample, Covered, explore};
use model::membership::{Membership, Plan};
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;

/// What is planned, and whether somebody may die.
fn plans() -> Vec<(Vec<Plan>, bool)> {
    let n = OsnodeId;
    let three = Plan::Join(n(1), n(3));
    let four = Plan::Join(n(2), n(4));
    let stop = Plan::Stop(n(1), n(2));
    let mut plans = vec![
        (vec![three], true),
        (vec![four], true),
        (vec![three, stop], true),
        (vec![three, four], false),
    ];
    plans.push((vec![three, four], true));
    if model::scaled(1) > 1 {
        plans.push((vec![three, four, stop], false));
    }
    plans
}

fn check(rules: Broken) -> Result<Covered, Counterexample> {
    let mut covered = Covered::default();
    for (plan, crash) in plans() {
        let system = Membership { plan, crash, rules };
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

//! How two monitors connect: every order, with offers and answers lost and late; and without each rule.

use model::agree::Broken;
use model::connect::Introductions;
use model::explore::{Counterexample, Covered, explore, explore_some};
use model::mutants::all_caught;
use monitor::agree::Rule;

const LIMIT: usize = 20_000_000;

/// What `look` finds in any system with these rules.
fn check(
    rules: Broken,
    look: fn(&Introductions, usize) -> Result<Covered, Counterexample>,
) -> Result<Covered, (Introductions, Counterexample)> {
    let mut covered = Covered::default();
    for speak in [[true, false], [false, true], [true, true]] {
        for unanswered in 0..=2 {
            let system = Introductions {
                speak,
                unanswered,
                rules,
            };
            covered.add(look(&system, LIMIT).map_err(|found| (system, found))?);
        }
    }
    Ok(covered)
}

#[test]
fn both_use_the_same_channels() {
    match check(Broken(None), explore) {
        Ok(covered) => println!("connect, up to 3 tries each: {covered}"),
        Err((system, found)) => panic!("{system:?}\n{found}"),
    }
}

#[test]
fn every_rule_is_needed() {
    all_caught("connect", Rule::CONNECT.iter().copied(), |rule| {
        // More states than the limit are nothing wrong.
        let found = check(Broken(Some(rule)), explore_some).err();
        found.map(|(_, found)| found.what)
    });
}

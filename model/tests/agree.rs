//! The agreement protocols: every pair of requests, in every order, with one fault at any time.

use std::collections::BTreeMap;

use capfmt::OsnodeId;
use model::agree::{
    Act, Broken, Faults, P, Scenario, World, catalogue, kind, narrow, of_four, of_types, specials,
};
use model::explore::{Covered, explore};

const LIMIT: usize = 4_000_000;
const NONE: Faults = Faults {
    stop: false,
    crash: false,
    times: 1,
};
const STOP: Faults = Faults {
    stop: true,
    crash: false,
    times: 1,
};
const CRASH: Faults = Faults {
    stop: false,
    crash: true,
    times: 1,
};
const TWO: Faults = Faults {
    stop: false,
    crash: true,
    times: 2,
};

/// Whether to take the long way.
fn is_full() -> bool {
    model::scaled(1) > 1
}

/// Explores all of them and prints what each protocol took part in.
fn explore_all(what: &str, scenarios: &[Scenario]) {
    let mut all = Covered::default();
    let mut by_kind: BTreeMap<&str, Covered> = BTreeMap::new();
    for scenario in scenarios {
        let world = World {
            scenario: scenario.clone(),
            rules: Broken(None),
        };
        let covered = match explore(&world, LIMIT) {
            Ok(covered) => covered,
            Err(found) => panic!("{scenario}\n{found}"),
        };
        all.add(covered);
        let mut kinds: Vec<&str> = scenario.asks.iter().map(|a| kind(&a.1)).collect();
        kinds.dedup();
        for kind in kinds {
            by_kind.entry(kind).or_default().add(covered);
        }
    }
    println!("{what}: {} scenarios, {all}", scenarios.len());
    for (kind, covered) in by_kind {
        println!("  with {kind:8}: {covered}");
    }
    assert!(all.states > 0, "nothing was explored");
}

/// Those with one request, unless all are wanted.
fn short(mut scenarios: Vec<Scenario>) -> Vec<Scenario> {
    scenarios.retain(|s| is_full() || s.asks.len() == 1);
    scenarios
}

#[test]
fn two_requests() {
    explore_all("two requests", &catalogue(NONE));
}

#[test]
fn two_requests_and_a_stop() {
    explore_all("two requests, one stop", &catalogue(STOP));
}

#[test]
fn two_requests_and_a_crash_or_death() {
    explore_all("two requests, one crash or death", &catalogue(CRASH));
}

#[test]
fn refusals_slow_deletions_and_deadlines() {
    explore_all("busy, slow or late", &specials(NONE));
    explore_all("busy, slow or late, one stop", &short(specials(STOP)));
    explore_all(
        "busy, slow or late, one crash or death",
        &short(specials(CRASH)),
    );
}

#[test]
fn what_two_requests_do_not_show() {
    for (faults, what) in [
        (NONE, "narrow"),
        (STOP, "narrow, one stop"),
        (CRASH, "narrow, one crash or death"),
    ] {
        explore_all(what, &narrow(faults));
    }
}

#[test]
fn every_type_that_leaves_its_osnode() {
    explore_all("types and rows", &of_types(NONE, 2));
    for (faults, what) in [(STOP, "one stop"), (CRASH, "one crash or death")] {
        explore_all(&format!("types and rows, {what}"), &of_types(faults, 1));
        let mut pairs = of_types(faults, 2);
        if !is_full() {
            pairs = pairs.into_iter().step_by(7).collect();
        }
        explore_all(&format!("types and rows, pairs, {what}"), &pairs);
    }
}

#[test]
fn four_osnodes() {
    explore_all("four OSnodes, one stop", &of_four(STOP, 1));
    explore_all("four OSnodes, one crash or death", &of_four(CRASH, 1));
    let mut two = of_four(TWO, 1);
    if !is_full() {
        // A sample, and an heir that holds nothing itself.
        let heir = (OsnodeId(2), Act::Delete(P()));
        let mut place = 0..;
        two.retain(|s| place.next().is_some_and(|n| n % 29 == 0) || s.asks[0] == heir);
    }
    explore_all("four OSnodes, two crashes or deaths", &two);
    if is_full() {
        // Bounded: a sample of the pairs.
        let pairs: Vec<Scenario> = of_four(CRASH, 2).into_iter().step_by(23).collect();
        explore_all("four OSnodes, two requests, one crash or death", &pairs);
    }
}

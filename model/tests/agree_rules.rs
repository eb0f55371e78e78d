//! Each rule of the agreement protocols is needed: without it, something goes wrong.

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use model::agree::{Broken, Faults, Scenario, World, catalogue, of_four, specials};
use model::explore::{Counterexample, explore};
use monitor::agree::Rule;

const LIMIT: usize = 4_000_000;

/// Scenarios, those first in which most is found soonest.
fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (stop, crash) in [(false, false), (true, false), (false, true)] {
        let faults = Faults {
            stop,
            crash,
            times: 1,
        };
        all.extend(specials(faults));
        all.extend(catalogue(faults));
        all.extend(of_four(faults, 1));
    }
    let two = Faults {
        stop: false,
        crash: true,
        times: 2,
    };
    all.extend(of_four(two, 1));
    all.sort_by_key(|s| {
        let long = s.asks.len() == 2;
        let twice = s.faults.times == 2;
        (twice, long && s.faults.any(), s.nodes, long, s.faults.any())
    });
    all
}

fn caught(rule: Rule, scenarios: &[Scenario]) -> Option<(&Scenario, Counterexample)> {
    // Most rules are missed where little happens; these only after a second death.
    let second = matches!(rule, Rule::GoneTellsInherited | Rule::GoneTellsLeft);
    let (first, then): (Vec<_>, Vec<_>) =
        (scenarios.iter()).partition(|s| (s.faults.times == 2) == second);
    first.into_iter().chain(then).find_map(|scenario| {
        let world = World {
            scenario: scenario.clone(),
            rules: Broken(Some(rule)),
        };
        explore(&world, LIMIT).err().map(|found| (scenario, found))
    })
}

/// What is missed without a rule, in words; `None`: nothing.
fn missed(rule: Rule, scenarios: &[Scenario]) -> Option<String> {
    let from = Instant::now();
    let (scenario, found) = caught(rule, scenarios)?;
    let (what, events) = (found.what, found.trace.len());
    let ms = from.elapsed().as_millis();
    Some(format!(
        "without {rule:?}: {what} ({scenario}; {events} events; {ms} ms)"
    ))
}

#[test]
fn every_rule_is_needed() {
    let scenarios = scenarios();
    let elsewhere = |r: &Rule| {
        ["Unmap", "Bind", "Join", "View"]
            .iter()
            .all(|p| !format!("{r:?}").starts_with(p))
    };
    // Those about deaths, the last ones, take longest.
    let rules = Mutex::new(Rule::ALL.iter().copied().rev().filter(elsewhere));
    let escaped = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = rules.lock().unwrap().next();
            let Some(rule) = next else { break };
            match missed(rule, &scenarios) {
                Some(what) => println!("{what}"),
                None => escaped.lock().unwrap().push(rule),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let escaped = escaped.into_inner().unwrap();
    assert!(escaped.is_empty(), "nothing goes wrong without {escaped:?}");
}

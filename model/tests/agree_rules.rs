//! Each rule of the agreement protocols is needed: without it, something goes wrong.

use std::sync::Mutex;
use std::time::Instant;

use model::agree::{
    Broken, Faults, Scenario, World, catalogue, narrow, of_four, specials, telling,
};
use model::explore::{Counterexample, explore_some};
use model::mutants::all_caught;
use monitor::agree::Rule;

/// States of a scenario that are looked at.
const LIMIT: usize = 300_000;
/// Of a scenario that is tried first.
const SMALL: usize = 3_000;
/// Rules that are missed only when a second OSnode is gone.
const SECOND: [Rule; 6] = [
    Rule::GoneTellsInherited,
    Rule::GoneTellsLeft,
    Rule::GoneKeepsSettled,
    Rule::GoneKeepsNewer,
    Rule::GoneAwaitsNewest,
    Rule::GoneForgetsInventory,
];

/// Scenarios, those first in which most is found soonest.
fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (stop, crash) in [(false, false), (true, false), (false, true)] {
        let faults = Faults {
            stop,
            crash,
            times: 1,
        };
        all.extend(narrow(faults));
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
    // Most rules are missed where little happens.
    let mut first = telling();
    first.extend(all);
    first
}

/// Scenarios, and which of them showed most so far: another rule is likely to be missed there, too.
struct Search {
    scenarios: Vec<Scenario>,
    shows: Mutex<Vec<usize>>,
}

impl Search {
    fn explore(&self, place: usize, rule: Rule, limit: usize) -> Option<Counterexample> {
        let world = World {
            scenario: self.scenarios[place].clone(),
            rules: Broken(Some(rule)),
        };
        explore_some(&world, limit).err()
    }

    /// What goes wrong without a rule, and where.
    fn caught(&self, rule: Rule) -> Option<(&Scenario, Counterexample)> {
        let shows = self.shows.lock().unwrap().clone();
        let tried = shows.iter().map(|place| (*place, SMALL));
        let second = SECOND.contains(&rule);
        let (first, then): (Vec<_>, Vec<_>) = (0..self.scenarios.len())
            .partition(|p| (self.scenarios[*p].faults.times == 2) == second);
        let all = first.into_iter().chain(then).map(|place| (place, LIMIT));
        for (place, limit) in tried.filter(|_| !second).chain(all) {
            if let Some(found) = self.explore(place, rule, limit) {
                let mut shows = self.shows.lock().unwrap();
                if !shows.contains(&place) && found.states < SMALL as u64 {
                    shows.push(place);
                }
                return Some((&self.scenarios[place], found));
            }
        }
        None
    }

    /// The same in words; `None`: nothing.
    fn missed(&self, rule: Rule) -> Option<String> {
        let from = Instant::now();
        let (scenario, found) = self.caught(rule)?;
        let (what, events) = (found.what, found.trace.len());
        let ms = from.elapsed().as_millis();
        Some(format!(
            "{what} ({scenario}; {events} events, {} states; {ms} ms)",
            found.states
        ))
    }
}

#[test]
fn every_rule_is_needed() {
    let search = Search {
        scenarios: scenarios(),
        shows: Mutex::new(Vec::new()),
    };
    let mut rules = Rule::AGREEMENT.to_vec();
    rules.retain(|rule| !Rule::BAD_INPUT.contains(rule));
    // Those about deaths, the last ones, take longest.
    all_caught("agreement", rules.into_iter().rev(), |rule| {
        search.missed(rule)
    });
}

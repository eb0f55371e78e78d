//! Scenarios that are judged by what the plugin counted. Does it count: a third core's thousand
//! instructions must show as such (DESIGN §8). Does the system sleep: a second of rest must cost little, and
//! stopping and starting one core wakes no other one.

use super::figures::{between, rests};
use super::limits;
use super::marks::{self, Cost, cost, pairs};
use crate::scenario::Counted;
use abi::marker as m;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// The core that executes them; neither initiator nor target.
const THIRD: usize = 2;

/// The core that is stopped and started.
const STOPPED: usize = 1;

/// Words for QEMU that make the plugin write to `out`.
pub fn arguments(plugin: &Path, out: &Path) -> [String; 2] {
    let value = format!("{},out={}", plugin.display(), out.display());
    ["-plugin".to_owned(), value]
}

/// What is wrong with the counts of a run of `bench thousand N --on 2`, `bench rest N`, or stops of core 1;
/// nothing: all is well.
pub fn check(what: Counted, out: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(out).with_context(|| format!("cannot read {}", out.display()))?;
    let marks = marks::parse(&text)?;
    Ok(match what {
        Counted::Thousand => wrong(&marks),
        Counted::Rest => restless(&rests(&marks)),
        Counted::Third => woken(&between(&marks, m::STOP, m::STARTED, Some(STOPPED))),
    })
}

fn woken(cycles: &[Cost]) -> Vec<String> {
    if cycles.is_empty() {
        return vec!["no core was stopped and started".to_owned()];
    }
    let busy = cycles.iter().map(|c| c.others).filter(|n| *n > 0);
    busy.map(|n| {
        format!(
            "cores that only sleep executed {n} instructions while another was stopped and started"
        )
    })
    .collect()
}

fn restless(rests: &[Cost]) -> Vec<String> {
    let limit = limits::REST;
    if rests.is_empty() {
        return vec!["no second of rest was measured".to_owned()];
    }
    let busy = rests.iter().map(Cost::work).filter(|n| *n > limit);
    busy.map(|n| format!("all cores executed {n} instructions in a second of rest, not {limit}"))
        .collect()
}

/// An interrupt may come between: then the pair costs more. Most must be exact, none may be short,
/// and meanwhile the others' instructions must not show on that core.
fn wrong(marks: &[marks::Mark]) -> Vec<String> {
    let mut counts: Vec<u64> = pairs(marks, m::THOUSAND_BEGIN, m::THOUSAND_END)
        .into_iter()
        .filter(|(begin, end)| begin.cpu == THIRD && end.cpu == THIRD)
        .map(|(begin, end)| cost(&begin.counts, &end.counts, 0, 1).others)
        .collect();
    counts.sort_unstable();
    let Some(median) = counts.get(counts.len() / 2) else {
        return vec!["the third core executed no marker".to_owned()];
    };
    if *median == m::THOUSAND && counts[0] == m::THOUSAND {
        return Vec::new();
    }
    vec![format!(
        "the third core executed {} instructions; the plugin counted {counts:?}",
        m::THOUSAND
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u16, third: u64) -> String {
        format!("{{\"m\":{number},\"cpu\":2,\"n\":[5,{third},{third},0],\"wait\":[0,0,0,0]}}\n")
    }

    #[test]
    fn a_machine_that_does_not_rest_is_found_out() {
        let rest = |initiator| Cost {
            initiator,
            ..Cost::default()
        };
        assert!(restless(&[rest(0), rest(limits::REST)]).is_empty());
        assert_eq!(restless(&[rest(5), rest(limits::REST + 1)]).len(), 1);
        assert_eq!(restless(&[]).len(), 1);
    }

    #[test]
    fn a_core_that_was_woken_is_found_out() {
        let others = |others| Cost {
            others,
            ..Cost::default()
        };
        assert!(woken(&[others(0), others(0)]).is_empty());
        assert_eq!(woken(&[others(0), others(1)]).len(), 1);
        assert_eq!(woken(&[]).len(), 1);
    }

    #[test]
    fn exactly_a_thousand_passes_and_nothing_else() {
        let run = |counts: &[u64]| {
            let pair = |n: &u64| line(m::THOUSAND_BEGIN, 70) + &line(m::THOUSAND_END, 70 + n);
            let text: String = counts.iter().map(pair).collect();
            wrong(&marks::parse(&text).unwrap())
        };
        assert!(run(&[1000, 1000, 1512]).is_empty(), "one interrupt");
        assert_eq!(run(&[1000, 1001, 1001]).len(), 1);
        assert_eq!(run(&[999, 1000, 1000]).len(), 1);
        assert_eq!(run(&[]).len(), 1);
    }
}

//! The runs that `bench multikernel` makes: OSnodes at rest, and together.

use super::copies::{self, Taken};
use super::figures::{MESSAGES, PER_SECOND, between, rests};
use super::marks::Cost;
use super::runs::{Bench, Found};
use super::share;
use crate::progress;
use abi::marker as m;
use anyhow::Result;

/// Core of the other side.
const PEER: usize = 1;
/// Cores that share lines.
const SHARING: u32 = 16;
/// Cores that have OSnodes where sixteen share a capability with its owner.
const COPYING: u32 = 17;

/// A run, and what is read from it.
type Part = fn(&Bench<'_>, &mut Found) -> Result<()>;

/// Everything that `bench multikernel` measures, in order.
const PARTS: [(&str, Part); 5] = [
    ("rest", rest),
    ("wake-ups", wakeup),
    ("capabilities", copies),
    ("unmaps", unmaps),
    ("shared lines", share),
];

/// Measures all that on a board. A run that fails does not take the figures of the others along.
pub fn multikernel(bench: &Bench<'_>) -> Found {
    let mut found = Found::default();
    for (name, part) in PARTS {
        if let Err(error) = part(bench, &mut found) {
            progress::error(&format!("{error:#}"));
            found.missing.push(name.to_owned());
        }
    }
    found
}

/// What starts the OSnodes of `cores` cores, and lets them settle.
fn started(cores: u32) -> String {
    format!("core start 1-{}; sleep 2000", cores - 1)
}

/// A booted system of four cores that nobody asks for anything.
fn rest(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let n = bench.repetitions;
    let exec = format!(
        "{}; spawn bench rest {n}; sleep {}",
        started(4),
        (n + 2) * 1_000
    );
    let marks = bench.measure("rest", &exec)?;
    let before = found.figures.len();
    let name = "idle.instructions_per_second";
    bench.add(found, name, &rests(&marks), Cost::work);
    for figure in &mut found.figures[before..] {
        figure.unit = PER_SECOND;
    }
    Ok(())
}

/// A message and its answer between two cores, both asleep.
fn wakeup(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let n = bench.repetitions + 1;
    let exec = format!("{}; spawn bench wake {n}; sleep 1000", started(2));
    let marks = bench.measure("wake-ups", &exec)?;
    let trips = between(&marks, m::WAKE_BEGIN, m::WAKE_END, Some(PEER));
    bench.add(found, "ump.wakeup_round_trip", &trips, Cost::work);
    Ok(())
}

/// A Frame is copied to another OSnode; its owner revokes it while others have copies.
fn copies(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let bench = bench.with_cores(COPYING);
    let n = bench.repetitions + 1;
    let exec = format!(
        "{}; spawn bench copies {n} {COPYING}; sleep 30000",
        started(COPYING)
    );
    let marks = bench.measure("capabilities", &exec)?;
    let copy = copies::taken(&marks, m::COPY_BEGIN, m::COPY_END);
    add_taken(&bench, found, "cap.copy_remote", &copy);
    let ask = copies::taken(&marks, m::ASK_BEGIN, m::ASK_END);
    bench.add(found, "cap.copy_remote.without", &ask.costs, Cost::work);
    add_sections(&bench, found, "cap.revoke", &copies::by_sharers(&marks));
    Ok(())
}

/// A page that dispatchers on other OSnodes use, too, is unmapped until nobody can reach it.
fn unmaps(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let bench = bench.with_cores(COPYING);
    let n = bench.repetitions + 1;
    let exec = format!(
        "{}; spawn bench unmap {n} {COPYING}; sleep 30000",
        started(COPYING)
    );
    let marks = bench.measure("unmaps", &exec)?;
    add_sections(&bench, found, "vm.unmap", &copies::by_sharers(&marks));
    Ok(())
}

/// A figure for each number of sharers; a section that is not there is missed.
fn add_sections(bench: &Bench<'_>, found: &mut Found, name: &str, sections: &[(u64, Taken)]) {
    for sharers in copies::SHARERS {
        let none = Taken::default();
        let taken = sections.iter().find(|(n, _)| *n == sharers);
        let taken = taken.map_or(&none, |(_, taken)| taken);
        add_taken(bench, found, &format!("{name}.{sharers}"), taken);
    }
}

/// What a path cost, and how many messages the monitors sent.
fn add_taken(bench: &Bench<'_>, found: &mut Found, name: &str, taken: &Taken) {
    bench.add(found, name, &taken.costs, Cost::work);
    let before = found.figures.len();
    let counted = taken.messages.iter().map(|n| Cost {
        initiator: *n,
        ..Cost::default()
    });
    let counted: Vec<Cost> = counted.collect();
    bench.add(found, &format!("{name}.messages"), &counted, Cost::work);
    for figure in &mut found.figures[before..] {
        figure.unit = MESSAGES;
        figure.virtual_ns_median = 0;
    }
}

/// Up to sixteen cores update the same cache lines: directly, or by messages to one of them.
fn share(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let bench = bench.with_cores(SHARING);
    let rounds = bench.repetitions + 1;
    let exec = format!(
        "{}; spawn bench share {rounds} {SHARING}; sleep 30000",
        started(SHARING)
    );
    let marks = bench.measure("shared lines", &exec)?;
    let sections = share::sections(&marks, SHARING as usize);
    for wanted in share::order(SHARING as usize) {
        let section = sections.iter().find(|s| s.what == wanted);
        let rounds = section.map_or(&[][..], |s| &s.rounds);
        bench.add(found, &wanted.name(), rounds, Cost::work);
    }
    Ok(())
}

//! The runs that `bench multikernel` makes: OSnodes at rest, and together.

use super::figures::{PER_SECOND, between, rests};
use super::marks::Cost;
use super::runs::{Bench, Found, REPETITIONS};
use abi::marker as m;
use anyhow::Result;

/// Core of the other side.
const PEER: usize = 1;

/// Everything that `bench multikernel` measures on a board.
pub fn multikernel(bench: &Bench<'_>) -> Result<Found> {
    let mut found = Found::default();
    rest(bench, &mut found)?;
    wakeup(bench, &mut found)?;
    Ok(found)
}

/// What starts the OSnodes of `cores` cores, and lets them settle.
fn started(cores: u32) -> String {
    format!("core start 1-{}; sleep 2000", cores - 1)
}

/// A booted system of four cores that nobody asks for anything.
fn rest(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let n = REPETITIONS;
    let exec = format!(
        "{}; spawn bench rest {n}; sleep {}",
        started(4),
        (n + 2) * 1_000
    );
    let marks = bench.measure("rest", &exec)?;
    let before = found.figures.len();
    let name = "idle.instructions_per_second";
    found.add(bench.board, name, &rests(&marks), Cost::work);
    for figure in &mut found.figures[before..] {
        figure.unit = PER_SECOND;
    }
    Ok(())
}

/// A message and its answer between two cores, both asleep.
fn wakeup(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let n = REPETITIONS + 1;
    let exec = format!("{}; spawn bench wake {n}; sleep 1000", started(2));
    let marks = bench.measure("wake-ups", &exec)?;
    let trips = between(&marks, m::WAKE_BEGIN, m::WAKE_END, Some(PEER));
    found.add(bench.board, "ump.wakeup_round_trip", &trips, Cost::work);
    Ok(())
}

//! The runs that `bench core` makes, and what is read from each; how a run is measured.

use super::figures::{Figure, between, blackouts, figure, starts, stops};
use super::marks::{self, Cost, Mark};
use crate::board::Board;
use crate::build::Images;
use crate::run::{self, Job};
use crate::{progress, verdict, workspace};
use abi::marker as m;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Seconds of wall time that a run may take.
const TIMEOUT: u64 = 600;
/// The core that is operated on, and a core that only sleeps meanwhile.
const TARGET: usize = 1;

/// A program with a timer on core 0. Under `-icount` a vCPU that computes keeps its turn until the
/// machine's next timer, up to 100 ms: every answer across cores would take that long, in vain.
const NEAR_TIMER: &str = "spawn ticker 200 --on 0";

/// Figures, and the names of those of which the runs yielded too few repetitions.
#[derive(Default)]
pub struct Found {
    pub figures: Vec<Figure>,
    pub missing: Vec<String>,
}

/// Everything that `bench core` measures.
pub fn core(bench: &Bench<'_>) -> Result<Found> {
    let mut found = Found::default();
    paths(bench, &mut found)?;
    cycle(bench, &mut found)?;
    update(bench, &mut found)?;
    boot(bench, &mut found)?;
    Ok(found)
}

/// From the loader's first instruction to the prompt, by booting again and again.
fn boot(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let mut boots = Vec::new();
    for i in 1..=bench.repetitions {
        let marks = bench.measure(&format!("boot {i}"), "echo up")?;
        boots.extend(between(&marks, m::LOADER_ENTRY, m::PROMPT, None));
    }
    bench.add(found, "boot.prompt", &boots, |c| c.initiator);
    Ok(())
}

/// System call, messages.
fn paths(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let n = bench.repetitions;
    // `spawn` does not wait for the program's end.
    let exec = format!(
        "core start 1; spawn bench syscall {n}; sleep 20; spawn bench lmp {n}; sleep 20; \
         spawn bench ump {n}; sleep 200"
    );
    let marks = bench.measure("paths", &exec)?;
    let pairs = [
        ("syscall.null", m::SYSCALL_BEGIN, m::SYSCALL_END),
        ("lmp.one_way", m::LMP_SEND, m::LMP_RECEIVE),
        ("ump.one_way", m::UMP_SEND, m::UMP_RECEIVE),
    ];
    for (name, begin, end) in pairs {
        bench.add(found, name, &between(&marks, begin, end, None), Cost::work);
    }
    Ok(())
}

/// Stop and start of core 1: while OSnodes on further cores sleep, and while all cores compute.
fn cycle(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let cycle = format!(
        "repeat {} {{ core stop 1; core start 1 }}",
        bench.repetitions + 1
    );
    let marks = bench.measure(
        "cycle",
        // The new OSnodes settle before anything is measured: the start of the last one goes on for more than 0.1 s.
        &format!("core start 1; core start 2; core start 3; sleep 4000; {cycle}"),
    )?;
    bench.add(found, "core.stop", &stops(&marks, TARGET), Cost::work);
    bench.add(
        found,
        "core.start_cached",
        &starts(&marks, TARGET),
        Cost::work,
    );
    // From the request to stop until the restarted kernel runs, all that lies between included.
    let cycles = between(&marks, m::STOP, m::STARTED, Some(TARGET));
    bench.add(found, "core.third_core", &cycles, |c| c.others);
    let marks = bench.measure(
        "loaded",
        &format!(
            "core start 1; core start 2; core start 3; {NEAR_TIMER}; spawn bench beat --on 0; \
             spawn bench beat --on 1; spawn bench beat --on 2; spawn bench beat --on 3; {cycle}"
        ),
    )?;
    bench.add(
        found,
        "core.stop_loaded",
        &stops(&marks, TARGET),
        Cost::work,
    );
    Ok(())
}

/// Another kernel under a program that computes.
fn update(bench: &Bench<'_>, found: &mut Found) -> Result<()> {
    let marks = bench.measure(
        "update",
        &format!(
            "core start 1; {NEAR_TIMER}; spawn bench beat --on 1; \
             repeat {} {{ core update 1 --kernel trace; core update 1 --kernel std }}",
            bench.repetitions / 2 + 1
        ),
    )?;
    let blackouts = blackouts(&marks, TARGET);
    bench.add(found, "core.update_blackout", &blackouts, Cost::work);
    Ok(())
}

/// A machine whose instructions are counted.
pub struct Bench<'a> {
    pub board: &'a Board,
    pub images: &'a Images,
    pub plugin: &'a Path,
    pub cores: u32,
    /// How often each figure is measured.
    pub repetitions: usize,
}

impl Bench<'_> {
    /// Adds a figure; one of fewer repetitions than asked for is missing.
    pub fn add(&self, found: &mut Found, name: &str, costs: &[Cost], work: impl Fn(&Cost) -> u64) {
        // The first repetition of a cycle comes before what is measured has settled.
        let costs = &costs[costs.len().saturating_sub(self.repetitions)..];
        match figure(&self.board.name, name, costs, work) {
            Some(f) if f.n == self.repetitions => found.figures.push(f),
            _ => found.missing.push(name.to_owned()),
        }
    }

    /// The same machine with another number of cores.
    pub fn with_cores(&self, cores: u32) -> Bench<'_> {
        Bench { cores, ..*self }
    }

    /// Runs `exec` under `-icount` with the plugin; the marks it left.
    pub fn measure(&self, what: &str, exec: &str) -> Result<Vec<Mark>> {
        let board = self.board;
        let step = progress::Step::start(&format!("{}: measure {what}", board.name));
        let scratch = workspace::Scratch::new()?;
        let out = scratch.file("marks");
        let qemu_args = super::arguments(self.plugin, &out);
        let job = Job {
            board,
            images: self.images,
            cores: self.cores,
            icount: true,
            exec: Some(exec),
            input: None,
            timeout: Some(TIMEOUT),
            append: &[],
            qemu_args: &qemu_args,
            grub: false,
            damage: None,
            tree: None,
            echo: false,
            log: workspace::logs()?.join(format!(
                "bench-{}-{}.log",
                what.replace(' ', "-"),
                board.name
            )),
        };
        let (end, said) = run::execute(&job)?;
        let reasons = verdict::failures(&said.records, end);
        if !reasons.is_empty() {
            step.failed();
            bail!(
                "{}: {}; log: {}",
                board.name,
                reasons.join("; "),
                workspace::shown(&said.log)
            );
        }
        step.done();
        let text =
            fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
        marks::parse(&text)
    }
}

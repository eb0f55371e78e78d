//! The runs that `bench core` makes, and what is read from each.

use super::figures::{Figure, between, blackouts, figure};
use super::marks::{self, Cost, Mark};
use crate::board::Board;
use crate::build::Images;
use crate::run::{self, Job};
use crate::{progress, verdict, workspace};
use abi::marker as m;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Repetitions of each measurement.
pub const REPETITIONS: usize = 20;
/// The core that is operated on, and a core that only sleeps meanwhile.
const TARGET: usize = 1;

/// Figures, and the names of those that a run did not yield.
#[derive(Default)]
pub struct Found {
    pub figures: Vec<Figure>,
    pub missing: Vec<&'static str>,
}

impl Found {
    fn add(
        &mut self,
        board: &Board,
        name: &'static str,
        costs: &[Cost],
        work: impl Fn(&Cost) -> u64,
    ) {
        // The first repetitions warm nothing up, but they may outnumber what was asked for.
        let costs = &costs[costs.len().saturating_sub(REPETITIONS)..];
        match figure(&board.name, name, costs, work) {
            Some(f) => self.figures.push(f),
            None => self.missing.push(name),
        }
    }
}

/// Everything that `bench core` measures on `board`.
pub fn core(board: &Board, images: &Images, plugin: &Path) -> Result<Found> {
    let mut found = Found::default();
    let n = REPETITIONS;

    let marks = measure(
        board,
        images,
        plugin,
        "paths",
        &format!("core start 1; spawn bench syscall {n}; spawn bench lmp {n}; spawn bench ump {n}"),
    )?;
    found.add(
        board,
        "boot.prompt",
        &between(&marks, m::LOADER_ENTRY, m::PROMPT, None),
        |c| c.initiator,
    );
    found.add(
        board,
        "syscall.null",
        &between(&marks, m::SYSCALL_BEGIN, m::SYSCALL_END, None),
        Cost::work,
    );
    found.add(
        board,
        "lmp.one_way",
        &between(&marks, m::LMP_SEND, m::LMP_RECEIVE, None),
        Cost::work,
    );
    found.add(
        board,
        "ump.one_way",
        &between(&marks, m::UMP_SEND, m::UMP_RECEIVE, None),
        Cost::work,
    );

    let cycle = format!("repeat {} {{ core stop 1; core start 1 }}", n + 1);
    let marks = measure(
        board,
        images,
        plugin,
        "cycle",
        &format!("core start 1; {cycle}"),
    )?;
    let stops = between(&marks, m::STOP, m::STOPPED, Some(TARGET));
    found.add(board, "core.stop", &stops, Cost::work);
    found.add(
        board,
        "core.start_cached",
        &between(&marks, m::START, m::STARTED, Some(TARGET)),
        Cost::work,
    );
    found.add(board, "core.third_core", &stops, |c| c.others);

    let marks = measure(
        board,
        images,
        plugin,
        "loaded",
        &format!(
            "core start 1; core start 2; core start 3; spawn bench beat --on 0; spawn bench beat --on 1; \
         spawn bench beat --on 2; spawn bench beat --on 3; {cycle}"
        ),
    )?;
    found.add(
        board,
        "core.stop_loaded",
        &between(&marks, m::STOP, m::STOPPED, Some(TARGET)),
        Cost::work,
    );

    let marks = measure(
        board,
        images,
        plugin,
        "update",
        &format!(
            "core start 1; spawn bench beat --on 1; repeat {} {{ core update 1 --kernel trace; core update 1 --kernel std }}",
            n / 2 + 1
        ),
    )?;
    found.add(
        board,
        "core.update_blackout",
        &blackouts(&marks, TARGET),
        Cost::work,
    );
    Ok(found)
}

/// Runs `exec` under `-icount` with the plugin; the marks it left.
fn measure(
    board: &Board,
    images: &Images,
    plugin: &Path,
    what: &str,
    exec: &str,
) -> Result<Vec<Mark>> {
    let step = progress::Step::start(&format!("{}: measure {what}", board.name));
    let scratch = workspace::Scratch::new()?;
    let out = scratch.file("marks");
    let qemu_args = [
        "-plugin".to_owned(),
        format!("{},out={}", plugin.display(), out.display()),
    ];
    let job = Job {
        board,
        images,
        cores: board.cores,
        icount: true,
        exec: Some(exec),
        input: None,
        timeout: Some(600),
        append: &[],
        qemu_args: &qemu_args,
        damage: None,
        echo: false,
        log: workspace::logs()?.join(format!("bench-{what}-{}.log", board.name)),
    };
    let (end, said) = run::execute(&job)?;
    let asked = verdict::split_commands(exec)?.len();
    let reasons = verdict::failures(asked, &said.records, end);
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

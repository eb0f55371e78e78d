//! `./nekton test`: host, model, QEMU, or everything with one summary.

use crate::board::Board;
use crate::build::{self, Images};
use crate::cli::{Suite, TestArgs};
use crate::metadata::Workspace;
use crate::run::{self, Job};
use crate::scenario::{self, Mode, Outcome, Scenario};
use crate::verdict::{self, End};
use crate::{lint, process, progress, toolchain, workspace};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// The package with the model checks; everything else that is portable is a host test.
const MODEL: &str = "model";

/// `./nekton test`.
pub fn command(args: &TestArgs) -> Result<bool> {
    match args.suite {
        Suite::Host => host(args),
        Suite::Model => model(args),
        Suite::Qemu => qemu(args),
        Suite::All => all(args),
    }
}

type SuiteFn = fn(&TestArgs) -> Result<bool>;

/// Every suite runs, whatever the ones before it said.
fn all(args: &TestArgs) -> Result<bool> {
    let start = Instant::now();
    let suites: [(&str, SuiteFn); 4] = [
        ("lint", |_| lint::command()),
        ("host", host),
        ("model", model),
        ("qemu", qemu),
    ];
    let mut summary = Vec::new();
    for (name, suite) in suites {
        progress::heading(name);
        let from = Instant::now();
        let passed = suite(args).unwrap_or_else(|error| {
            progress::error(&format!("{error:#}"));
            false
        });
        summary.push((name, passed, from.elapsed().as_secs()));
    }
    progress::heading("summary");
    for (name, passed, seconds) in &summary {
        println!(
            "{name}: {} ({seconds} s)",
            if *passed { "ok" } else { "FAILED" }
        );
    }
    let passed = summary.iter().all(|(_, passed, _)| *passed);
    let verdict = if passed {
        "all tests passed"
    } else {
        "some tests FAILED"
    };
    println!("{verdict} ({} s)", start.elapsed().as_secs());
    Ok(passed)
}

fn with_full(command: &mut Command, args: &TestArgs) {
    command.current_dir(workspace::root());
    if args.full {
        command.env("NEKTON_FULL", "1");
    }
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
}

/// Unit and property tests: the portable packages, libraries of guest packages that say
/// `host-test`, this tool, and the installation script.
fn host(args: &TestArgs) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut portable = toolchain::host_cargo();
    portable.args(["test", "--no-fail-fast"]);
    let members = workspace.default_members();
    for package in members.filter(|package| package.name != MODEL) {
        portable.args(["--package", &package.name]);
    }
    let mut commands = vec![portable];
    let mut libraries = toolchain::host_cargo();
    libraries.args(["test", "--no-fail-fast", "--lib"]);
    let mut any = false;
    for package in workspace
        .packages
        .iter()
        .filter(|p| p.nekton().host_test && p.has_lib())
    {
        libraries.args(["--package", &package.name]);
        any = true;
    }
    if any {
        commands.push(libraries);
    }
    let mut own = toolchain::host_cargo();
    own.args(["test", "--package", "xtask", "--target-dir", "target/xtask"]);
    commands.push(own);
    let mut passed = true;
    for command in &mut commands {
        with_full(command, args);
        passed &= process::run_visible(command)?;
    }
    if args.filter.is_none() {
        let mut setup = Command::new("sh");
        setup.arg("ci/setup_test.sh").current_dir(workspace::root());
        passed &= process::run_visible(&mut setup)?;
    }
    Ok(passed)
}

fn model(args: &TestArgs) -> Result<bool> {
    if Workspace::load()?.package(MODEL).is_none() {
        println!("model: no package `{MODEL}` yet, nothing to check");
        return Ok(true);
    }
    let mut command = toolchain::host_cargo();
    command.args(["test", "--release", "--package", MODEL]);
    with_full(&mut command, args);
    process::run_visible(&mut command)
}

/// One scenario on one board in one mode.
struct Case<'a> {
    scenario: &'a Scenario,
    board: &'a Board,
    images: &'a Images,
    mode: Mode,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!(
            "{}/{}/{}",
            self.scenario.name,
            self.board.name,
            self.mode.name()
        )
    }
}

fn qemu(args: &TestArgs) -> Result<bool> {
    let scenarios = scenario::all()?;
    let mut boards: BTreeMap<&str, (Board, Images)> = BTreeMap::new();
    for name in scenarios.iter().flat_map(|scenario| &scenario.boards) {
        if !boards.contains_key(name.as_str()) {
            let board = Board::load(name)?;
            let images = build::images(board.isa, true)?;
            boards.insert(name, (board, images));
        }
    }
    let mut cases = Vec::new();
    for scenario in &scenarios {
        for board in &scenario.boards {
            let (board, images) = &boards[board.as_str()];
            cases.extend(scenario.modes.iter().map(|mode| Case {
                scenario,
                board,
                images,
                mode: *mode,
            }));
        }
    }
    if let Some(filter) = &args.filter {
        cases.retain(|case| case.name().contains(filter));
    }
    if cases.is_empty() {
        bail!(
            "no QEMU scenario matches {:?}",
            args.filter.as_deref().unwrap_or("")
        );
    }
    // Under icount a machine is one thread, so several fit; in parallel mode each gets the host.
    let (turns, parallel): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .partition(|case| case.mode == Mode::Icount);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let failed =
        run_cases(turns.into(), workers, args.full)? + run_cases(parallel.into(), 1, args.full)?;
    let total = failed.total;
    println!(
        "qemu: {} passed, {} failed",
        total - failed.failed,
        failed.failed
    );
    Ok(failed.failed == 0)
}

#[derive(Default, Clone, Copy)]
struct Tally {
    total: usize,
    failed: usize,
}

impl std::ops::Add for Tally {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            failed: self.failed + other.failed,
        }
    }
}

fn run_cases(cases: VecDeque<Case<'_>>, workers: usize, full: bool) -> Result<Tally> {
    let total = cases.len();
    let queue = Mutex::new(cases);
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(total) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").pop_front();
                    let Some(case) = next else { break };
                    if !run_case(&case, full) {
                        *failed.lock().expect("no worker panics") += 1;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no worker panics");
    Ok(Tally { total, failed })
}

fn run_case(case: &Case<'_>, full: bool) -> bool {
    let name = case.name();
    let start = Instant::now();
    let (reasons, log) = match judge(case, full) {
        Ok(result) => result,
        Err(error) => (vec![format!("{error:#}")], String::new()),
    };
    let seconds = start.elapsed().as_secs_f64();
    if reasons.is_empty() {
        println!("{} {name} ({seconds:.1} s)", progress::green("ok  "));
        return true;
    }
    println!("{} {name} ({seconds:.1} s)", progress::red("FAIL"));
    for reason in &reasons {
        println!("     {reason}");
    }
    if !log.is_empty() {
        println!("     log: {log}");
    }
    false
}

/// Runs a case; the reasons why it failed (none: passed), and where its log is kept.
fn judge(case: &Case<'_>, full: bool) -> Result<(Vec<String>, String)> {
    let scenario = case.scenario;
    let exec = match &scenario.full_exec {
        Some(line) if full => Some(line.as_str()),
        _ => scenario.exec.as_deref(),
    };
    let timeout = match scenario.full_timeout {
        Some(seconds) if full => seconds,
        _ => scenario.timeout,
    };
    let job = Job {
        board: case.board,
        images: case.images,
        cores: scenario.smp.unwrap_or(case.board.cores),
        icount: case.mode == Mode::Icount,
        exec,
        input: scenario.input.as_deref(),
        timeout: Some(timeout),
        append: &scenario.append,
        qemu_args: &scenario.qemu_args,
        damage: scenario.damage.as_deref(),
        echo: false,
        log: workspace::logs()?.join(format!("{}.log", case.name().replace('/', "-"))),
    };
    let asked = match exec {
        Some(line) => verdict::split_commands(line)?.len(),
        None => 0,
    };
    let (end, said) = run::execute(&job)?;
    let mut reasons = match scenario.outcome {
        Outcome::Ok if exec.is_some() => verdict::failures(asked, &said.records, end),
        Outcome::Ok => verdict::bad_end(end).into_iter().collect(),
        Outcome::Fail if end == End::Failure => Vec::new(),
        Outcome::Fail => vec![format!(
            "expected that the guest reports failure, got {end:?}"
        )],
    };
    reasons.extend(unmatched(scenario, &said.text)?);
    if reasons.is_empty() {
        fs::remove_file(&said.log).context("cannot remove the log of a passed run")?;
    }
    Ok((reasons, workspace::shown(&said.log)))
}

fn unmatched(scenario: &Scenario, text: &str) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    for pattern in &scenario.expect {
        if !regex_lite::Regex::new(pattern)?.is_match(text) {
            reasons.push(format!("the output has nothing like /{pattern}/"));
        }
    }
    for pattern in &scenario.forbid {
        if let Some(found) = regex_lite::Regex::new(pattern)?.find(text) {
            reasons.push(format!(
                "the output has {:?}, like /{pattern}/",
                found.as_str()
            ));
        }
    }
    Ok(reasons)
}

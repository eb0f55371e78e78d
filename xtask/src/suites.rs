//! `./nekton test`: host, model, QEMU, or everything with one summary.

use crate::board::{self, Board};
use crate::build::{self, Images};
use crate::cli::{BenchArgs, Suite, TestArgs};
use crate::metadata::Workspace;
use crate::report::Said;
use crate::run::{self, Job};
use crate::scenario::{self, Mode, Outcome, Scenario};
use crate::verdict::{self, End};
use crate::{acpi, bench, documented, lint, process, progress, toolchain, workspace};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Instant;

/// The package with the model checks, and cargo's profile for it; everything else that is portable is a host test.
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

/// A suite's name, whether it passed, and its seconds.
type Passed = (&'static str, bool, u64);

/// Every suite runs, whatever the ones before it said.
fn all(args: &TestArgs) -> Result<bool> {
    let start = Instant::now();
    let beside = Beside::start(args);
    let mut summary = vec![
        run_suite("lint", lint::command),
        run_suite("host", || host(args)),
    ];
    let (model, seconds) = beside.end();
    let (name, passed, _) = run_suite("model", || shown(&model?));
    summary.push((name, passed, seconds));
    summary.push(run_suite("qemu", || qemu(args)));
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

fn run_suite(name: &'static str, suite: impl FnOnce() -> Result<bool>) -> Passed {
    progress::heading(name);
    let from = Instant::now();
    let passed = suite().unwrap_or_else(|error| {
        progress::error(&format!("{error:#}"));
        false
    });
    (name, passed, from.elapsed().as_secs())
}

/// What runs beside lint and the tests of the host: the model's suite, then the builds that QEMU's needs. Each of them keeps
/// one processor busy most of the time, and cargo builds them in folders of their own.
struct Beside(JoinHandle<(Result<Output>, u64)>);

impl Beside {
    fn start(args: &TestArgs) -> Beside {
        let mut model = vec!["test".to_owned(), "model".to_owned()];
        model.extend(args.filter.clone());
        model.extend(args.full.then(|| "--full".to_owned()));
        Beside(std::thread::spawn(move || {
            let from = Instant::now();
            let model = run_own(&model);
            let seconds = from.elapsed().as_secs();
            // What is wrong about a build, the QEMU suite says.
            let _ = run_own(&["build".to_owned(), "--test-files".to_owned()]);
            (model, seconds)
        }))
    }

    /// What the model's suite said, and how many seconds it took.
    fn end(self) -> (Result<Output>, u64) {
        self.0.join().expect("it does not panic")
    }
}

/// This program once more, with `words`.
fn run_own(words: &[String]) -> Result<Output> {
    let own = std::env::current_exe().context("this program's own file")?;
    let mut command = Command::new(own);
    command.args(words).stdin(Stdio::null());
    let done = command.output();
    done.with_context(|| format!("cannot run nekton {}", words.join(" ")))
}

/// Shows what a program said; whether it succeeded.
fn shown(done: &Output) -> Result<bool> {
    eprint!("{}", String::from_utf8_lossy(&done.stderr));
    print!("{}", String::from_utf8_lossy(&done.stdout));
    Ok(done.status.success())
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

/// Unit and property tests: the portable packages, the libraries of all others (the pure parts
/// of guest programs), this tool, and the installation script.
fn host(args: &TestArgs) -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut portable = toolchain::host_cargo();
    portable.args(["test", "--no-fail-fast"]);
    let mut libraries = toolchain::host_cargo();
    libraries.args(["test", "--no-fail-fast", "--lib"]);
    let mut any_library = false;
    for package in workspace
        .packages
        .iter()
        .filter(|package| package.name != MODEL)
    {
        if workspace.is_default_member(package) {
            portable.args(["--package", &package.name]);
        } else if package.has_tested_lib() {
            libraries.args(["--package", &package.name]);
            any_library = true;
        }
    }
    let mut commands = vec![portable];
    if any_library {
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
    command.args(["test", "--profile", MODEL, "--package", MODEL]);
    with_full(&mut command, args);
    process::run_visible(&mut command)
}

/// One scenario on one board in one mode.
struct Case<'a> {
    scenario: &'a Scenario,
    board: &'a str,
    mode: Mode,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}/{}/{}", self.scenario.name, self.board, self.mode.name())
    }
}

/// Boards that are used, with what was built for them.
type Machines<'a> = BTreeMap<&'a str, (Board, Images)>;

fn cases<'a>(scenarios: &'a [Scenario], filter: Option<&str>) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for scenario in scenarios {
        for board in &scenario.boards {
            cases.extend(scenario.modes.iter().map(|mode| Case {
                scenario,
                board,
                mode: *mode,
            }));
        }
    }
    cases.retain(|case| filter.is_none_or(|filter| case.name().contains(filter)));
    cases
}

fn qemu(args: &TestArgs) -> Result<bool> {
    let scenarios = scenario::all()?;
    let cases = cases(&scenarios, args.filter.as_deref());
    if cases.is_empty() {
        bail!(
            "no QEMU scenario matches {:?}",
            args.filter.as_deref().unwrap_or("")
        );
    }
    let mut machines = Machines::new();
    for case in &cases {
        if !machines.contains_key(case.board) {
            let board = Board::load(case.board)?;
            let images = build::images(board.isa, true)?;
            machines.insert(case.board, (board, images));
        }
    }
    let total = cases.len();
    let failed = run_all(cases, &machines, args.full);
    println!(
        "qemu: {} passed, {} failed",
        total - failed.len(),
        failed.len()
    );
    let figures = args.filter.is_some() || figures(args.full)?;
    // Who reads only the end of a long output finds everything there.
    if args.filter.is_none() {
        failed.iter().for_each(Failure::print);
    }
    Ok(failed.is_empty() && figures)
}

/// Runs all `cases`; returns those that failed.
///
/// Under icount a machine is one thread; in parallel mode hardly more than one of its cores is busy, and it waits for
/// time-outs besides. So there is one more at a time than the host has processors, and another one of those that mostly
/// wait. Who needs the host for itself gets it at the end.
fn run_all(cases: Vec<Case<'_>>, machines: &Machines<'_>, full: bool) -> Vec<Failure> {
    let parallel = |case: &Case<'_>| case.mode == Mode::Mttcg;
    let (alone, shared): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .partition(|case| parallel(case) && case.scenario.alone);
    let (waiting, shared): (Vec<_>, Vec<_>) = shared
        .into_iter()
        .partition(|case| parallel(case) && case.scenario.waits);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failed = std::thread::scope(|scope| {
        let beside = scope.spawn(|| run_cases(waiting.into(), 1, machines, full));
        let mut failed = run_cases(shared.into(), workers + 1, machines, full);
        failed.extend(beside.join().expect("no worker panics"));
        failed
    });
    failed.extend(run_cases(alone.into(), 1, machines, full));
    failed
}

/// A case that failed, and why.
struct Failure {
    name: String,
    lines: Vec<String>,
    /// The end of what the machine said.
    said: Vec<String>,
}

impl Failure {
    /// Lines of the machine's output that are kept.
    const SAID: usize = 25;

    fn print(&self) {
        println!("{} {}", progress::red("FAIL"), self.name);
        self.lines.iter().for_each(|line| println!("     {line}"));
        self.said.iter().for_each(|line| println!("     | {line}"));
    }
}

/// Repetitions of a benchmark that only has to keep its limits.
const FEW: u16 = 5;

/// The benchmarks that the documentation names: each figure must keep its limit.
fn figures(full: bool) -> Result<bool> {
    let mut benches = Vec::new();
    for bench in documented::read()?.benches {
        let boards = match &bench.board {
            Some(board) => vec![board.clone()],
            None => board::references()?,
        };
        benches.extend(boards.into_iter().map(|board| BenchArgs {
            board: Some(board),
            repetitions: if full { bench.repetitions } else { FEW },
            ..bench.clone()
        }));
    }
    // A machine that counts is one thread: they go side by side.
    std::thread::scope(|scope| {
        let runs: Vec<_> = benches
            .iter()
            .map(|bench| scope.spawn(move || bench::command(bench)))
            .collect();
        let mut kept = true;
        for run in runs {
            kept &= run.join().expect("a benchmark does not panic")?;
        }
        Ok(kept)
    })
}

/// Runs `cases` on `workers` threads; returns those that failed.
fn run_cases(
    cases: VecDeque<Case<'_>>,
    workers: usize,
    machines: &Machines<'_>,
    full: bool,
) -> Vec<Failure> {
    let workers = workers.min(cases.len());
    let queue = Mutex::new(cases);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").pop_front();
                    let Some(case) = next else { break };
                    if let Err(failure) = run_case(&case, machines, full) {
                        failures.lock().expect("no worker panics").push(failure);
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no worker panics")
}

fn run_case(case: &Case<'_>, machines: &Machines<'_>, full: bool) -> Result<(), Failure> {
    let name = case.name();
    let start = Instant::now();
    let (reasons, said) = match judge(case, machines, full) {
        Ok((reasons, said)) => (reasons, Some(said)),
        Err(error) => (vec![format!("{error:#}")], None),
    };
    let seconds = start.elapsed().as_secs_f64();
    if reasons.is_empty() {
        println!("{} {name} ({seconds:.1} s)", progress::green("ok  "));
        return Ok(());
    }
    println!("{} {name} ({seconds:.1} s)", progress::red("FAIL"));
    let mut lines: Vec<String> = case.scenario.exec.iter().cloned().chain(reasons).collect();
    lines.extend(
        said.iter()
            .map(|said| format!("log: {}", workspace::shown(&said.log))),
    );
    lines.iter().for_each(|line| println!("     {line}"));
    let said = said.map(|said| said.text).unwrap_or_default();
    let said: Vec<&str> = said.lines().collect();
    let from = said.len().saturating_sub(Failure::SAID);
    let said = said[from..].iter().map(|line| (*line).to_owned());
    Err(Failure {
        name,
        lines,
        said: said.collect(),
    })
}

/// Runs a case; the reasons why it failed (none: passed), and what the machine said.
fn judge(case: &Case<'_>, machines: &Machines<'_>, full: bool) -> Result<(Vec<String>, Said)> {
    let scenario = case.scenario;
    let (board, images) = &machines[case.board];
    let board = &match &scenario.overlay {
        Some(overlay) => board.laid_over(overlay),
        None => board.clone(),
    };
    let exec = match &scenario.full_exec {
        Some(line) if full => Some(line.as_str()),
        _ => scenario.exec.as_deref(),
    };
    let timeout = match scenario.full_timeout {
        Some(seconds) if full => seconds,
        _ => scenario.timeout,
    };
    let scratch = workspace::Scratch::new()?;
    let counts = scratch.file("counts");
    let mut qemu_args = scenario.qemu_args.clone();
    if scenario.counted.is_some() {
        qemu_args.extend(bench::arguments(&bench::build_plugin()?, &counts));
    }
    let cores = scenario.smp.unwrap_or(board.cores);
    if let Some(what) = &scenario.madt {
        qemu_args.extend(acpi::words(what, cores, &scratch)?);
    }
    let mut machine = board.clone();
    machine.memory_mib = scenario.memory.unwrap_or(board.memory_mib);
    let job = Job {
        board: &machine,
        images,
        cores,
        icount: case.mode == Mode::Icount,
        exec,
        input: scenario.typed(),
        timeout: Some(timeout),
        append: &scenario.append,
        qemu_args: &qemu_args,
        grub: scenario.grub,
        damage: scenario.damage.as_deref(),
        tree: scenario.tree.as_deref(),
        echo: false,
        log: workspace::logs()?.join(format!("{}.log", case.name().replace('/', "-"))),
    };
    let (end, said) = run::execute(&job)?;
    let mut reasons = match scenario.outcome {
        Outcome::Ok if exec.is_some() => verdict::failures(&said.records, end),
        Outcome::Ok => verdict::bad_end(end).into_iter().collect(),
        Outcome::Fail if end == End::Failure => Vec::new(),
        Outcome::Fail => vec![format!(
            "expected that the guest reports failure, got {end:?}"
        )],
    };
    reasons.extend(verdict::differing(&scenario.same, &said.records));
    reasons.extend(unmatched(scenario, &said.text)?);
    if let Some(what) = scenario.counted
        && reasons.is_empty()
    {
        reasons.extend(bench::check(what, &counts)?);
    }
    if reasons.is_empty() {
        fs::remove_file(&said.log).context("cannot remove the log of a passed run")?;
    }
    Ok((reasons, said))
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

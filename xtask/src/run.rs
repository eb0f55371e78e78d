//! `./nekton run`: one machine from its archive to its end.

use crate::board::Board;
use crate::build::{self, Images};
use crate::cli::RunArgs;
use crate::qemu::{Launch, Output};
use crate::report::{Report, Said};
use crate::verdict::{self, End};
use crate::{archive, damage, damaged_tree, device_tree, grub, progress, terminal, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Seconds that a run with commands may take if nothing else is said.
const EXEC_TIMEOUT: u64 = 300;
/// How long QEMU may take to end after the guest closed its console.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// One run.
pub struct Job<'a> {
    pub board: &'a Board,
    pub images: &'a Images,
    pub cores: u32,
    pub icount: bool,
    pub exec: Option<&'a str>,
    /// Keys to type once the guest is at its prompt.
    pub input: Option<String>,
    /// Seconds of wall time; none: no limit.
    pub timeout: Option<u64>,
    pub append: &'a [String],
    pub qemu_args: &'a [String],
    /// Let GRUB boot it from a CD.
    pub grub: bool,
    /// Damage done to the archive (see `damage`).
    pub damage: Option<&'a str>,
    /// Damage done to the device tree (see `damaged_tree`).
    pub tree: Option<&'a str>,
    /// Show the guest's text as it comes.
    pub echo: bool,
    pub log: PathBuf,
}

/// `./nekton run`.
pub fn command(args: &RunArgs) -> Result<bool> {
    let board = Board::load(&args.board)?;
    if args
        .exec
        .as_ref()
        .is_some_and(|line| line.trim().is_empty())
    {
        bail!("--exec: there is no command in it");
    }
    // Before anything is done for it.
    let json = args.json.as_deref().map(JsonFile::create).transpose()?;
    let images = build::images(board.isa, args.test_files)?;
    let job = Job {
        cores: args.smp.unwrap_or(board.cores),
        board: &board,
        images: &images,
        icount: args.icount,
        exec: args.exec.as_deref(),
        input: None,
        timeout: args.timeout.or(args.exec.as_ref().map(|_| EXEC_TIMEOUT)),
        append: &args.append,
        qemu_args: &args.qemu_arg,
        grub: false,
        damage: None,
        tree: None,
        echo: true,
        log: workspace::logs()?.join(format!("run-{}-{}.log", board.name, std::process::id())),
    };
    if job.exec.is_none() {
        progress::say(&format!("{}; Ctrl-A X leaves", board.title));
    }
    let (end, said) = execute(&job)?;
    let mut reasons = match job.exec {
        Some(_) => verdict::failures(&said.records, end),
        None => interactive_failure(end).into_iter().collect(),
    };
    if let Some(Err(error)) = json.map(|file| file.write(&said)) {
        reasons.push(format!("{error:#}"));
    }
    if reasons.is_empty() {
        // Only failed runs leave a log behind.
        let _ = fs::remove_file(&said.log);
        return Ok(true);
    }
    for reason in reasons {
        progress::error(&reason);
    }
    progress::say(&format!("log: {}", workspace::shown(&said.log)));
    Ok(false)
}

/// A person may leave by the firmware's power switch as well as by `halt`.
fn interactive_failure(end: End) -> Option<String> {
    match end {
        End::Other(Some(0)) => None,
        other => verdict::bad_end(other),
    }
}

/// Where the records of the commands go.
struct JsonFile<'a> {
    path: &'a Path,
    file: fs::File,
}

impl JsonFile<'_> {
    fn create(path: &Path) -> Result<JsonFile<'_>> {
        let file = fs::File::create(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(JsonFile { path, file })
    }

    fn write(mut self, said: &Said) -> Result<()> {
        let text = serde_json::to_string_pretty(&verdict::commands(&said.records))?;
        let written = writeln!(self.file, "{text}");
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Packs the archive, starts the machine, and sees it through.
pub fn execute(job: &Job<'_>) -> Result<(End, Said)> {
    let scratch = workspace::Scratch::new()?;
    let archive_path = scratch.file("archive.cpio");
    write_archive(job, &archive_path)?;
    let device_tree = device_tree::build(job.board, job.cores, &scratch)?;
    let mut append = job.append.to_vec();
    if job.exec.is_some() {
        append.push("exec".to_owned());
    }
    let person = job.exec.is_none() && job.input.is_none();
    let resets = scratch.file("resets.log");
    let mut extra = job.qemu_args.to_vec();
    // A job that has something logged itself goes without.
    if !extra.iter().any(|word| word == "-d" || word == "-D") {
        extra.extend(["-d", "cpu_reset", "-D"].map(str::to_owned));
        extra.push(resets.display().to_string());
    }
    let mut launch = Launch {
        cdrom: None,
        loads: None,
        board: job.board,
        cores: job.cores,
        icount: job.icount,
        interactive: job.exec.is_none(),
        boot: &job.images.boot,
        archive: &archive_path,
        device_tree: device_tree.as_deref(),
        append: &append,
        extra: &extra,
    };
    let cdrom = match job.grub {
        true => Some(grub::image(&scratch, &launch)?),
        false => None,
    };
    launch.cdrom = cdrom.as_deref();
    let loads = job
        .tree
        .map(|what| damaged_tree::words(&launch, what, &scratch));
    let loads = loads.transpose()?;
    launch.loads = loads.as_deref();
    let mut report = Report::new(job.images, job.echo, &job.log)?;
    report.note(&format!(
        "{} {}",
        job.board.program,
        launch.words().join(" ")
    ))?;
    // One that lies too far off is none.
    let deadline = job.timeout;
    let deadline = deadline.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    let mut machine = launch.start()?;
    let _raw = person.then(terminal::Raw::enter);
    // Without a person the console's input stays open, and silent but for `job.input`.
    if person && let Some(keys) = machine.input() {
        terminal::carry_keys(keys, machine.sender());
    }
    let mut typed = job.input.clone();
    let end = loop {
        match machine.next(deadline) {
            Output::Console(bytes) => {
                report.console(&bytes)?;
                if report.has_prompted()
                    && let Some(text) = typed.take()
                {
                    machine.type_in(text);
                }
            }
            Output::Complaint(bytes) => report.complaint(&bytes)?,
            Output::End => {
                let code = machine.wait(LAST_BREATH)?.code();
                let log = fs::read_to_string(&resets).unwrap_or_default();
                break End::of(code, job.board.exit, &log);
            }
            Output::Leave => {
                machine.stop()?;
                break End::Left;
            }
            Output::Late => {
                report.note(&format!("stopped after {} s", job.timeout.unwrap_or(0)))?;
                machine.stop()?;
                break End::Late(job.timeout.unwrap_or(0));
            }
        }
    };
    Ok((end, report.finish()?))
}

fn write_archive(job: &Job<'_>, path: &Path) -> Result<()> {
    let mut bytes = archive::pack(&job.images.files, job.exec)?;
    if let Some(what) = job.damage {
        damage::apply(&mut bytes, what)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

//! `./nekton bench`: figures counted in guest instructions by the TCG plugin.

mod copies;
mod figures;
mod limits;
mod marks;
mod multi;
mod output;
mod plot;
mod runs;
mod self_test;
mod share;

pub use self_test::{arguments, check};

use crate::board::Board;
use crate::cli::{self, BenchArgs};
use crate::{board, build, process, progress, workspace};
use anyhow::{Context, Result, bail};
use figures::Figure;
use runs::Bench;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Counts of other major versions of the emulator do not compare.
const QEMU_MAJOR: u32 = 10;

/// `./nekton bench`.
pub fn command(args: &BenchArgs) -> Result<bool> {
    let plugin = build_plugin()?;
    let boards = match &args.board {
        Some(name) => vec![name.clone()],
        None => board::references()?,
    };
    let mut all = Vec::new();
    let mut complete = true;
    let mut versions = BTreeSet::new();
    for name in boards {
        let board = Board::load(&name)?;
        versions.insert(pinned(&board.program)?);
        let images = build::images(board.isa, false)?;
        let bench = Bench {
            board: &board,
            images: &images,
            plugin: &plugin,
            cores: board.cores,
            repetitions: usize::from(args.repetitions),
        };
        let found = match args.what {
            cli::Bench::Core => runs::core(&bench)?,
            cli::Bench::Multikernel => multi::multikernel(&bench),
        };
        complete &= found.missing.is_empty();
        for missing in &found.missing {
            progress::error(&format!(
                "{name}: fewer than {} measurements of {missing}",
                args.repetitions
            ));
        }
        if matches!(args.what, cli::Bench::Multikernel) {
            output::write(&name, &found.figures)?;
        }
        all.extend(found.figures);
    }
    complete &= print(&all, &versions);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&all).context("cannot write JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(complete)
}

/// The first line that QEMU says of its version; an error if it is not the pinned one, whose
/// instruction counts are the only ones that can be compared.
fn pinned(program: &str) -> Result<String> {
    let said = process::output(program, &["--version"])?;
    let line = said.lines().next().unwrap_or_default();
    match major(line) {
        Some(QEMU_MAJOR) => Ok(line.to_owned()),
        _ => bail!(
            "{program} is \"{line}\": figures are pinned to QEMU {QEMU_MAJOR} and would not compare; \
             install that version"
        ),
    }
}

/// Major version in QEMU's first line.
fn major(line: &str) -> Option<u32> {
    let version = line.split("version ").nth(1)?;
    version.split('.').next()?.parse().ok()
}

/// Builds the plugin; its path.
pub fn build_plugin() -> Result<PathBuf> {
    let step = progress::Step::start("build the instruction counter");
    let mut cargo = crate::toolchain::host_cargo();
    cargo.current_dir(workspace::root());
    cargo.args([
        "build",
        "--release",
        "-p",
        "plugin",
        "--target-dir",
        "target/plugin",
    ]);
    match process::run_step(&step, &mut cargo) {
        Ok(_) => step.done(),
        Err(error) => {
            step.failed();
            return Err(error);
        }
    }
    Ok(workspace::root().join("target/plugin/release/libplugin.so"))
}

/// Prints the table; whether every figure keeps its limit.
fn print(figures: &[Figure], versions: &BTreeSet<String>) -> bool {
    println!(
        "{:<14} {:<28} {:>3} {:>10} {:>10} {:>10} {:>10} {:>11} | {:>11} {:>10}  kept",
        "board", "figure", "n", "min", "median", "max", "wait", "virtual ns", "limit", "aim"
    );
    let mut good = true;
    for f in figures {
        let judged = limits::judge(f, figures);
        good &= judged.is_none_or(|j| j.holds());
        let (limit, aim, verdict) = match judged {
            Some(j) => (j.limit.to_string(), j.aim.to_string(), j.verdict()),
            None => ("-".to_owned(), "-".to_owned(), String::new()),
        };
        println!(
            "{:<14} {:<28} {:>3} {:>10} {:>10} {:>10} {:>10} {:>11} | {limit:>11} {aim:>10}  {verdict}",
            f.board, f.name, f.n, f.min, f.median, f.max, f.wait_median, f.virtual_ns_median
        );
    }
    println!(
        "Unit: {} under emulation, counted per vCPU; initiator plus target, waiting apart (median).\n\
         Virtual ns: the emulator's time (all vCPUs' instructions, waiting included), not hardware's.",
        figures::UNIT
    );
    for version in versions {
        println!("{version}");
    }
    good
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_of_qemu_are_read() {
        assert_eq!(
            major("QEMU emulator version 10.0.2 (Debian 1:10.0.2)"),
            Some(10)
        );
        assert_eq!(major("QEMU emulator version 7.2.22"), Some(7));
        assert_eq!(major("no such program"), None);
    }
}

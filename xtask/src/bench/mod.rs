//! `./nekton bench`: figures counted in guest instructions by the TCG plugin.

mod figures;
mod marks;
mod runs;

use crate::board::Board;
use crate::cli::BenchArgs;
use crate::{board, build, process, progress, workspace};
use anyhow::{Context, Result};
use figures::Figure;
use std::fs;
use std::path::PathBuf;

/// `./nekton bench core`.
pub fn command(args: &BenchArgs) -> Result<bool> {
    let plugin = build_plugin()?;
    let boards = match &args.board {
        Some(name) => vec![name.clone()],
        None => board::references()?,
    };
    let mut all = Vec::new();
    let mut complete = true;
    for name in boards {
        let board = Board::load(&name)?;
        let images = build::images(board.isa, false)?;
        let found = runs::core(&board, &images, &plugin)?;
        complete &= found.missing.is_empty();
        for missing in &found.missing {
            progress::error(&format!("{name}: no measurement of {missing}"));
        }
        all.extend(found.figures);
    }
    print(&all);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&all).context("cannot write JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(complete)
}

fn build_plugin() -> Result<PathBuf> {
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

fn print(figures: &[Figure]) {
    println!(
        "{:<10} {:<22} {:>3} {:>11} {:>11} {:>11} {:>11} {:>13}",
        "board", "figure", "n", "min", "median", "max", "wait", "virtual ns"
    );
    for f in figures {
        println!(
            "{:<10} {:<22} {:>3} {:>11} {:>11} {:>11} {:>11} {:>13}",
            f.board, f.name, f.n, f.min, f.median, f.max, f.wait_median, f.virtual_ns_median
        );
    }
    println!(
        "Unit: {}, counted per vCPU; initiator plus target, waiting apart. Virtual ns: of the emulator, not of hardware.",
        figures::UNIT
    );
}

//! Nekton's host tool: builds kernels, loader and programs, packs the boot archive, starts
//! QEMU, judges what the guest says, and runs every check. `./nekton` calls it.
//!
//! Not here: what is missing on the machine and how to install it (`ci/setup.sh`), and data
//! about machines (`boards/`), scenarios (`ci/qemu/`) and allowed dependencies (`ci/deps.toml`).
//!
//! Neighbours inside: `plan` says what is built and `build` does it; `archive` packs it;
//! `board` and `qemu` start a machine; `guest_output` reads what it prints; `verdict` judges.
#![forbid(unsafe_code)]

mod acpi;
mod archive;
mod bench;
mod board;
mod build;
mod cli;
mod cpio;
mod damage;
mod damaged_tree;
mod deps;
mod device_tree;
mod documented;
mod elf;
mod gdb;
mod grub;
mod guest_output;
mod lint;
mod metadata;
mod plan;
mod process;
mod progress;
mod qemu;
mod report;
mod run;
mod scenario;
mod sizes;
mod source_hash;
mod suites;
mod symbols;
mod terminal;
mod test_kernels;
mod toolchain;
mod verdict;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().command.dispatch() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

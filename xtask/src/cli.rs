//! The command line: what `./nekton help` lists.

use crate::plan::Isa;
use crate::{bench, build, deps, gdb, lint, run, sizes, suites};
use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Build, run and test Nekton.
#[derive(Parser)]
#[command(name = "./nekton", bin_name = "./nekton", disable_version_flag = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// One subcommand.
#[derive(Subcommand)]
pub enum Command {
    /// Boot a board in QEMU: to a shell, or to run commands with --exec
    Run(RunArgs),
    /// Run tests: host, model, qemu, or all of them with lint (the default)
    Test(TestArgs),
    /// Build loader, kernels, programs and boot archive for both ISAs
    Build(BuildArgs),
    /// Measure core operations and messages in guest instructions
    Bench(BenchArgs),
    /// Formatting, clippy, our own rules, dependency direction
    Lint,
    /// Sizes of images, and files and functions that outgrow the style guide
    Sizes,
    /// Check which crate may use which
    Deps,
    /// Start a board halted in QEMU and attach gdb with symbols
    Gdb(GdbArgs),
}

/// Arguments of `run`.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// Machine to boot: a folder in boards/
    #[arg(long, default_value = "qemu-x86")]
    pub board: String,
    /// Number of cores (default: the board's)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub smp: Option<u32>,
    /// Deterministic time: one guest instruction is one nanosecond
    #[arg(long)]
    pub icount: bool,
    /// Commands to run in order, then halt; exit status 0 only if all succeed
    #[arg(long, value_name = "CMD; CMD")]
    pub exec: Option<String>,
    /// Write one record per executed command to this file (needs --exec)
    #[arg(long, value_name = "FILE", requires = "exec")]
    pub json: Option<PathBuf>,
    /// Seconds of wall time after which the machine is stopped and the run has failed
    /// (default: 300 with --exec, none without)
    #[arg(long, value_name = "S")]
    pub timeout: Option<u64>,
    /// Put the test kernels and test programs (t-*) into the boot archive too
    #[arg(long)]
    pub test_files: bool,
    /// Pass this word to QEMU, after all others (may be repeated)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_arg: Vec<String>,
    /// Add this word to the kernel command line (may be repeated)
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub append: Vec<String>,
}

/// Arguments of `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Which tests
    #[arg(value_enum, default_value_t = Suite::All)]
    pub suite: Suite,
    /// Only tests whose name contains this (a QEMU test's name is scenario/board/mode)
    pub filter: Option<String>,
    /// Larger counts: takes much longer
    #[arg(long)]
    pub full: bool,
}

/// A set of tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Unit and property tests of every portable package
    Host,
    /// The protocols, model-checked
    Model,
    /// Scenarios in QEMU on both boards
    Qemu,
    /// lint, host, model and qemu
    All,
}

/// Arguments of `build`.
#[derive(Args)]
pub struct BuildArgs {
    /// Only for this board's ISA
    #[arg(long)]
    pub board: Option<String>,
    /// Build the test kernels and test programs (t-*) too
    #[arg(long)]
    pub test_files: bool,
}

/// Arguments of `bench`.
#[derive(Args, Clone)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: Bench,
    /// Machine: a folder in boards/ (default: the reference board of each ISA)
    #[arg(long)]
    pub board: Option<String>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How often each figure is measured
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub repetitions: u16,
}

/// What `bench` measures.
#[derive(ValueEnum, Clone, Copy)]
pub enum Bench {
    /// Core operations, system call, messages, boot
    Core,
    /// OSnodes at rest and together: sleep, wake-ups, capabilities, shared memory against messages
    Multikernel,
}

/// Arguments of `gdb`.
#[derive(Args)]
pub struct GdbArgs {
    /// The machine to debug, as for `run`
    #[command(flatten)]
    pub run: RunArgs,
    /// Run these gdb commands and leave, instead of an interactive session (may be repeated)
    #[arg(long = "ex", value_name = "COMMAND", allow_hyphen_values = true)]
    pub commands: Vec<String>,
}

impl Command {
    /// Runs the subcommand. `Ok(false)`: it did its work and the verdict is "failed".
    pub fn dispatch(self) -> Result<bool> {
        match self {
            Self::Run(args) => run::command(&args),
            Self::Test(args) => suites::command(&args),
            Self::Build(args) => build::command(&args).map(|()| true),
            Self::Bench(args) => bench::command(&args),
            Self::Lint => lint::command(),
            Self::Sizes => sizes::command(),
            Self::Deps => deps::command(),
            Self::Gdb(args) => gdb::command(&args),
        }
    }
}

impl BuildArgs {
    /// The ISAs asked for.
    pub fn isas(&self) -> Result<Vec<Isa>> {
        Ok(match &self.board {
            Some(name) => vec![crate::board::Board::load(name)?.isa],
            None => Isa::ALL.to_vec(),
        })
    }
}

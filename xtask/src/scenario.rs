//! QEMU scenarios: data in `ci/qemu/*.toml`, and the commands that the documentation shows.

use crate::{documented, workspace};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How guest time passes.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Cores in parallel.
    Mttcg,
    /// One instruction is one nanosecond; cores in turn.
    Icount,
}

/// How a run must end.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every command succeeds.
    #[default]
    Ok,
    /// The guest itself reports failure (it neither hangs nor vanishes).
    Fail,
}

/// What the instruction counter must have seen (`bench::check`).
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// A third core's thousand instructions as such.
    Thousand,
    /// Seconds of rest in which next to nothing was executed.
    Rest,
    /// Stops and starts of core 1 that woke no other core than the driver's.
    Third,
}

/// Keys of a line of the flood, more than the console's 1000.
const FLOOD_LINE: usize = 1200;

/// One scenario, run once per board and mode.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    #[serde(default = "both_boards")]
    pub boards: Vec<String>,
    #[serde(default = "both_modes")]
    pub modes: Vec<Mode>,
    /// Commands, as for `--exec`.
    pub exec: Option<String>,
    /// Commands instead of these with `--full`.
    pub full_exec: Option<String>,
    /// Keys to type at the prompt, instead of commands in the archive.
    pub input: Option<String>,
    /// Keys that are typed before `input`, as fast as the guest takes them: lines that are too long.
    #[serde(default)]
    pub flood: usize,
    #[serde(default)]
    pub outcome: Outcome,
    /// Regular expressions that the output must match, in any order.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Regular expressions that the output must not match.
    #[serde(default)]
    pub forbid: Vec<String>,
    /// Commands whose every execution must print the same.
    #[serde(default)]
    pub same: Vec<String>,
    /// Seconds of wall time.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Seconds with `--full`.
    pub full_timeout: Option<u64>,
    /// It waits for time-outs most of the time: in parallel mode it runs beside the others.
    #[serde(default)]
    pub waits: bool,
    /// It judges what is late while all its cores are busy: in parallel mode it has the host to itself.
    #[serde(default)]
    pub alone: bool,
    pub smp: Option<u32>,
    /// MiB of memory, instead of the board's.
    pub memory: Option<u32>,
    #[serde(default)]
    pub append: Vec<String>,
    #[serde(default)]
    pub qemu_args: Vec<String>,
    /// GRUB boots it from a CD, by Multiboot2 (x86_64).
    #[serde(default)]
    pub grub: bool,
    /// Damage to the boot archive (see `damage`).
    pub damage: Option<String>,
    /// Run with the instruction counter, whose counts are then checked.
    pub counted: Option<Counted>,
    /// Device tree source (a path from the root) that is laid over the board's tree.
    pub overlay: Option<String>,
    /// ACPI tables with this damage instead of QEMU's own (see `acpi`; x86_64).
    pub madt: Option<String>,
    /// QEMU's device tree with this damage instead (see `damaged_tree`; AArch64).
    pub tree: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    scenario: Vec<Scenario>,
}

fn both_boards() -> Vec<String> {
    vec!["qemu-x86".to_owned(), "qemu-arm".to_owned()]
}

fn both_modes() -> Vec<Mode> {
    vec![Mode::Mttcg, Mode::Icount]
}

fn default_timeout() -> u64 {
    120
}

impl Scenario {
    /// All keys to type.
    pub fn typed(&self) -> Option<String> {
        let line = format!("{}\r", "x".repeat(FLOOD_LINE - 1));
        self.input
            .as_ref()
            .map(|input| line.repeat(self.flood / FLOOD_LINE) + input)
    }
}

impl Mode {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mttcg => "mttcg",
            Self::Icount => "icount",
        }
    }
}

/// All scenarios: those in `ci/qemu` by file name, then the documentation's.
pub fn all() -> Result<Vec<Scenario>> {
    let dir = workspace::root().join("ci/qemu");
    let mut scenarios = Vec::new();
    for path in files_below(&dir, "toml")? {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: ScenarioFile = toml::from_str(&text).with_context(|| workspace::shown(&path))?;
        scenarios.extend(file.scenario);
    }
    scenarios.extend(documented::read()?.scenarios);
    check(&scenarios)?;
    Ok(scenarios)
}

fn check(scenarios: &[Scenario]) -> Result<()> {
    let mut names = BTreeSet::new();
    for scenario in scenarios {
        let name = &scenario.name;
        if !names.insert(name) {
            bail!("two scenarios are called {name}");
        }
        if scenario.exec.is_some() == scenario.input.is_some() {
            bail!("scenario {name} needs either `exec` or `input`");
        }
        if scenario.flood > 0 && scenario.input.is_none() {
            bail!("scenario {name}: `flood` goes with `input`");
        }
        for pattern in scenario.expect.iter().chain(&scenario.forbid) {
            regex_lite::Regex::new(pattern)
                .with_context(|| format!("scenario {name}: bad pattern {pattern:?}"))?;
        }
    }
    Ok(())
}

/// Files with extension `extension` below `dir`, sorted; none if there is no such directory.
pub fn files_below(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !dir.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_and_every_documented_command_is_well_formed() {
        for scenario in all().unwrap() {
            for board in &scenario.boards {
                crate::board::Board::load(board).unwrap();
            }
        }
    }

    #[test]
    fn a_scenario_needs_one_kind_of_input_and_good_patterns() {
        let parse = |text: &str| toml::from_str::<ScenarioFile>(text).unwrap().scenario;
        let good = parse("[[scenario]]\nname = 'a'\nexec = 'cores'\n");
        assert_eq!((good[0].boards.len(), good[0].modes.len()), (2, 2));
        assert!(check(&good).is_ok());
        assert!(check(&parse("[[scenario]]\nname = 'a'\n")).is_err());
        let bad = "[[scenario]]\nname = 'a'\nexec = 'c'\nexpect = ['(']\n";
        assert!(check(&parse(bad)).is_err());
    }
}

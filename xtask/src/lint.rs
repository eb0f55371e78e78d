//! `./nekton lint`: formatting, clippy (host programs and guest programs), our own rules
//! (`rules`), the README's map (`map`), and dependency direction (`deps`).

mod map;
mod rules;

use crate::metadata::Workspace;
use crate::plan::{self, Isa, Kind};
use crate::progress::Step;
use crate::{deps, process, progress, toolchain, workspace};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A text file of ours.
pub struct SourceFile {
    /// Relative to the root.
    pub path: String,
    pub text: String,
}

/// `./nekton lint`: everything is checked, whatever fails before.
pub fn command() -> Result<bool> {
    let workspace = Workspace::load()?;
    let mut passed = own_rules(&workspace)?;
    passed &= deps::command()?;
    passed &= step("format", &mut format_check()?)?;
    passed &= step("clippy (host)", &mut host_clippy(&workspace)?)?;
    passed &= step("clippy (xtask)", &mut xtask_clippy()?)?;
    for isa in Isa::ALL {
        for kinds in [&[Kind::Boot, Kind::Kernel][..], &[Kind::User][..]] {
            if let Some((name, mut command)) = guest_clippy(&workspace, isa, kinds)? {
                passed &= step(&name, &mut command)?;
            }
        }
    }
    Ok(passed)
}

fn own_rules(workspace: &Workspace) -> Result<bool> {
    let mut problems = Vec::new();
    let files = source_files()?;
    for file in &files {
        rules::check_text(&file.path, &file.text, &mut problems);
    }
    for package in &workspace.packages {
        rules::check_wall(workspace, package, &mut problems)?;
    }
    let readme = files.iter().find(|file| file.path == "README.md");
    let readme = readme.context("there is no README.md")?;
    map::check(&readme.text, &folders()?, &mut problems);
    for problem in &problems {
        progress::error(problem);
    }
    println!("rules: {} files, {} problems", files.len(), problems.len());
    Ok(problems.is_empty())
}

fn step(name: &str, command: &mut Command) -> Result<bool> {
    let step = Step::start(name);
    command.current_dir(workspace::root());
    match process::run_step(&step, command) {
        Ok(said) => {
            step.done();
            print!("{said}");
            Ok(true)
        }
        Err(error) => {
            step.failed();
            progress::error(&format!("{error:#}"));
            Ok(false)
        }
    }
}

fn format_check() -> Result<Command> {
    let mut command = toolchain::host_tool("fmt")?;
    command.args(["--all", "--check"]);
    Ok(command)
}

fn host_clippy(workspace: &Workspace) -> Result<Command> {
    let mut command = toolchain::host_tool("clippy")?;
    command.arg("--all-targets");
    let packages = workspace.packages.iter();
    for package in packages.filter(|package| workspace.is_default_member(package)) {
        command.args(["--package", &package.name]);
    }
    command.args(["--", "-D", "warnings"]);
    Ok(command)
}

fn xtask_clippy() -> Result<Command> {
    let mut command = toolchain::host_tool("clippy")?;
    command.args(["--all-targets", "--package", "xtask"]);
    command.args(["--target-dir", "target/xtask", "--", "-D", "warnings"]);
    Ok(command)
}

/// Clippy over the guest packages of `kinds` for `isa`, if there are any.
fn guest_clippy(
    workspace: &Workspace,
    isa: Isa,
    kinds: &[Kind],
) -> Result<Option<(String, Command)>> {
    let mut programs = plan::programs(workspace, isa, true)?;
    programs.retain(|program| kinds.contains(&program.kind));
    let Some(first) = programs.first() else {
        return Ok(None);
    };
    let recipe = plan::recipe(first.kind, isa);
    let mut command = toolchain::for_guest(recipe)?.cargo("clippy", recipe);
    command.args([
        "--profile",
        first.kind.profile(),
        "--target-dir",
        "target/guest",
        "--bins",
        "--lib",
    ]);
    let mut packages: BTreeMap<&str, ()> = BTreeMap::new();
    for program in &programs {
        packages.insert(&program.package, ());
    }
    for package in packages.keys() {
        command.args(["--package", package]);
    }
    command.env("NEKTON_BUILD_ID", "0".repeat(40));
    command.args(["--", "-D", "warnings"]);
    Ok(Some((format!("clippy ({})", recipe.target), command)))
}

/// Folders at the root that belong to the tree.
fn folders() -> Result<Vec<String>> {
    let root = workspace::root();
    let entries = fs::read_dir(&root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target" && name != "build")
        .collect();
    names.sort();
    Ok(names)
}

/// All text files of the tree, sorted, without what is built.
pub fn source_files() -> Result<Vec<SourceFile>> {
    let root = workspace::root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == ".git" || (dir == root && (name == "target" || name == "build")) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            // What is not UTF-8 is data.
            let path = path.strip_prefix(root).unwrap_or(&path);
            let path = path.to_string_lossy().into_owned();
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

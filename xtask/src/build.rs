//! Building guest programs with cargo, and turning them into what a machine loads.

use crate::cli::BuildArgs;
use crate::metadata::Workspace;
use crate::plan::{self, Isa, Kind, Program};
use crate::progress::Step;
use crate::{archive, elf, process, source_hash, toolchain, workspace};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was built for one ISA.
#[derive(Clone)]
pub struct Images {
    /// What the firmware or QEMU enters: an ELF file on x86_64, a flat Image on AArch64.
    pub boot: PathBuf,
    /// Linked files with symbols, by name in the archive (`kernel/std`, `bin/shell`; `boot`).
    pub linked: BTreeMap<String, PathBuf>,
    /// What goes into each boot archive.
    pub files: Vec<archive::File>,
}

/// `./nekton build`.
pub fn command(args: &BuildArgs) -> Result<()> {
    for isa in args.isas()? {
        let images = images(isa, args.test_files)?;
        let path = workspace::images()?.join(format!("archive-{isa}.cpio"));
        let bytes = archive::pack(&images.files, None)?;
        fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{isa} loader  {}", workspace::shown(&images.boot));
        println!(
            "{isa} archive {} ({} files, {} KiB)",
            workspace::shown(&path),
            images.files.len(),
            bytes.len() / 1024
        );
    }
    Ok(())
}

/// Builds everything for `isa`; with test kernels and programs if `tests`.
pub fn images(isa: Isa, tests: bool) -> Result<Images> {
    let all = Workspace::load()?;
    let programs = plan::programs(&all, isa, tests)?;
    let mut linked = compile(&all, &programs)?;
    let Some(loader) = linked.get("boot").cloned() else {
        bail!("there is no package `boot` with a program for {isa}: nothing can be started");
    };
    let foreign_kernel = match tests {
        true => foreign_kernel(&all, isa.other())?,
        false => None,
    };
    let boot = match isa {
        Isa::X86 => loader,
        Isa::Arm => flat_image(isa, &loader)?,
    };
    linked.retain(|name, _| name == "boot" || name.contains('/'));
    let files = archive::files(&linked, foreign_kernel.as_deref())?;
    Ok(Images {
        boot,
        linked,
        files,
    })
}

fn foreign_kernel(all: &Workspace, isa: Isa) -> Result<Option<PathBuf>> {
    let mut programs = plan::programs(all, isa, false)?;
    programs.retain(|program| program.name == "kernel/std");
    Ok(compile(all, &programs)?.remove("kernel/std"))
}

fn flat_image(isa: Isa, loader: &Path) -> Result<PathBuf> {
    let bytes = fs::read(loader).with_context(|| format!("cannot read {}", loader.display()))?;
    let flat = elf::flatten(&bytes).with_context(|| workspace::shown(loader))?;
    let path = workspace::images()?.join(format!("boot-{isa}.img"));
    fs::write(&path, flat).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Compiles `programs` (all of one ISA), one cargo call per target; returns the linked files.
fn compile(all: &Workspace, programs: &[Program]) -> Result<BTreeMap<String, PathBuf>> {
    let mut linked = BTreeMap::new();
    for kinds in [&[Kind::Boot, Kind::Kernel][..], &[Kind::User][..]] {
        let group: Vec<&Program> = programs
            .iter()
            .filter(|program| kinds.contains(&program.kind))
            .collect();
        if !group.is_empty() {
            linked.extend(compile_group(all, &group)?);
        }
    }
    Ok(linked)
}

fn compile_group(all: &Workspace, group: &[&Program]) -> Result<BTreeMap<String, PathBuf>> {
    let recipe = plan::recipe(group[0].kind, group[0].isa);
    let mut command = toolchain::for_guest(recipe)?.cargo("build", recipe);
    command.current_dir(workspace::root());
    command.args(["--profile", group[0].kind.profile()]);
    command.arg("--message-format=json-render-diagnostics");
    command.args(["--target-dir", "target/guest"]);
    select(&mut command, group);
    for program in group.iter().filter(|program| program.kind == Kind::Kernel) {
        let package = all
            .package(&program.package)
            .expect("planned from this workspace");
        command.env(
            "NEKTON_BUILD_ID",
            source_hash::build_id(all, package, recipe)?,
        );
    }
    let what = match group[0].kind {
        Kind::User => "programs",
        Kind::Boot | Kind::Kernel => "loader and kernels",
    };
    let step = Step::start(&format!("build {} ({what})", recipe.target));
    match process::run_step(&step, &mut command) {
        Ok(messages) => {
            step.done_unless_idle();
            artifacts(&messages, group)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

fn select(command: &mut Command, group: &[&Program]) {
    let mut packages: Vec<&str> = group.iter().map(|p| p.package.as_str()).collect();
    packages.dedup();
    for package in packages {
        command.args(["--package", package]);
    }
    for program in group {
        command.args(["--bin", &program.bin]);
    }
}

/// Finds the linked file of each program in cargo's messages.
fn artifacts(messages: &str, group: &[&Program]) -> Result<BTreeMap<String, PathBuf>> {
    let mut linked = BTreeMap::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo wrote a bad message")?;
        let Some(executable) = message["executable"].as_str() else {
            continue;
        };
        let bin = message["target"]["name"].as_str().unwrap_or_default();
        let id = message["package_id"].as_str().unwrap_or_default();
        let made = group
            .iter()
            .find(|p| p.bin == bin && is_package(id, &p.package));
        if let Some(program) = made {
            linked.insert(program.name.clone(), PathBuf::from(executable));
        }
    }
    match group
        .iter()
        .find(|program| !linked.contains_key(&program.name))
    {
        Some(program) => Err(anyhow!(
            "cargo reported no file for program {} of package {}",
            program.bin,
            program.package
        )),
        None => Ok(linked),
    }
}

/// True if cargo's package id `id` (`path+file:///…/dir#name@version`, or `…/name#version`)
/// is of package `name`.
fn is_package(id: &str, name: &str) -> bool {
    let Some((place, tail)) = id.rsplit_once('#') else {
        return false;
    };
    match tail.split_once('@') {
        Some((found, _)) => found == name,
        None => place.rsplit('/').next() == Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids_in_both_spellings() {
        assert!(is_package("path+file:///home/u/nekton/boot#0.1.0", "boot"));
        assert!(is_package(
            "path+file:///home/u/nekton/arch/x86#arch-x86@0.1.0",
            "arch-x86"
        ));
        assert!(!is_package("path+file:///home/u/nekton/boot#0.1.0", "oot"));
        assert!(!is_package("boot", "boot"));
    }

    #[test]
    fn a_program_that_cargo_did_not_make_is_named() {
        let program = Program {
            isa: Isa::X86,
            kind: Kind::User,
            package: "shell".into(),
            bin: "shell".into(),
            name: "bin/shell".into(),
        };
        let error = artifacts("{\"reason\":\"build-finished\"}", &[&program]).unwrap_err();
        assert!(error.to_string().contains("shell"));
        let made = r#"{"executable":"/t/shell","package_id":"path+file:///n/apps/shell#0.1.0","target":{"name":"shell"}}"#;
        let linked = artifacts(made, &[&program]).unwrap();
        assert_eq!(linked["bin/shell"], PathBuf::from("/t/shell"));
    }
}

//! Rules of the house that the compiler does not know.

use crate::metadata::{Package, Workspace};
use anyhow::{Context, Result};
use std::fs;

/// Rooms that may say which ISA they are compiled for.
const ISA_ROOMS: &[&str] = &[
    "arch/",
    "boot/",
    "kernel-x86/",
    "kernel-arm/",
    "bootdrv-x86-sipi/",
    "bootdrv-arm-psci/",
    "rt/",
];

/// Rooms with `unsafe`. Of boot drivers, the library (their logic) is walled off too.
const UNSAFE_ROOMS: &[&str] = &[
    "arch/x86",
    "arch/arm",
    "boot",
    "kernel-x86",
    "kernel-arm",
    "rt",
    "plugin",
];
const BOOT_DRIVERS: &[&str] = &["bootdrv-x86-sipi", "bootdrv-arm-psci"];

// Put together so that this file does not contain what it looks for.
const TARGET_ISA: &str = concat!("target", "_arch");
const TARGET_OS: &str = concat!("target", "_os");
const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Checks one file; problems are added as `path:line: what`.
pub fn check_text(path: &str, text: &str, problems: &mut Vec<String>) {
    let code = [".rs", ".toml", ".S"].iter().any(|end| path.ends_with(end));
    let checked = code || path.ends_with(".sh") || path.ends_with(".ld") || path == "nekton";
    if !checked {
        return;
    }
    let isa_room = ISA_ROOMS.iter().any(|room| path.starts_with(room));
    for (number, line) in text.lines().enumerate() {
        let mut report = |what: &str| problems.push(format!("{path}:{}: {what}", number + 1));
        if code && !isa_room && line.contains(TARGET_ISA) {
            report("only arch, boot, kernels, boot drivers and rt may depend on the ISA");
        }
        if code && line.contains(TARGET_OS) {
            report("nothing of ours depends on an operating system's name");
        }
        if has_loose_marker(line) {
            report("a note about unfinished work names its issue: (#number)");
        }
    }
}

/// A marker as a word of its own, not followed by `(#number)`.
fn has_loose_marker(line: &str) -> bool {
    MARKERS.iter().any(|marker| {
        line.match_indices(marker).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let rest = &line[at + marker.len()..];
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let whole = !before.is_some_and(word) && !rest.chars().next().is_some_and(word);
            let number = rest
                .strip_prefix("(#")
                .and_then(|rest| rest.split_once(')'));
            let numbered = number.is_some_and(|(digits, _)| {
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
            });
            whole && !numbered
        })
    })
}

/// Checks that each crate of `package` that must be safe forbids unsafe code.
pub fn check_wall(
    workspace: &Workspace,
    package: &Package,
    problems: &mut Vec<String>,
) -> Result<()> {
    let room = workspace.room(package);
    if UNSAFE_ROOMS.contains(&room.as_str()) {
        return Ok(());
    }
    for target in &package.targets {
        let is = |kind: &str| target.kind.iter().any(|found| found == kind);
        let shipped = is("lib") || is("bin");
        if !shipped || (BOOT_DRIVERS.contains(&room.as_str()) && !is("lib")) {
            continue;
        }
        let text = fs::read_to_string(&target.src_path)
            .with_context(|| format!("cannot read {}", target.src_path.display()))?;
        if !forbids_unsafe(&text) {
            let path = crate::workspace::shown(&target.src_path);
            problems.push(format!("{path}:1: needs #![forbid(unsafe_code)]"));
        }
    }
    Ok(())
}

fn forbids_unsafe(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with("#![forbid(") && line.contains("unsafe_code"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        let mut problems = Vec::new();
        check_text(path, text, &mut problems);
        problems.len()
    }

    #[test]
    fn isa_conditions_are_for_isa_rooms() {
        let text = format!("#[cfg({TARGET_ISA} = \"x86_64\")]\n");
        for path in [
            "kernel/src/lib.rs",
            "services/skb/Cargo.toml",
            "xtask/src/a.rs",
        ] {
            assert_eq!(problems(path, &text), 1, "{path}");
        }
        for path in ["arch/x86/src/lib.rs", "rt/src/x86.rs", "boot/build.rs"] {
            assert_eq!(problems(path, &text), 0, "{path}");
        }
        assert_eq!(
            problems("rt/src/a.rs", &format!("cfg!({TARGET_OS} = \"none\")")),
            1
        );
    }

    #[test]
    fn notes_about_work_need_a_number() {
        let marker = MARKERS[0];
        assert_eq!(problems("a/b.rs", &format!("// {marker}: later")), 1);
        assert_eq!(problems("a/b.rs", &format!("// {marker}(#): later")), 1);
        assert_eq!(problems("a/b.rs", &format!("// {marker}(#12): later")), 0);
        assert_eq!(problems("a/b.rs", &format!("MY_{marker}S")), 0);
        assert_eq!(problems("docs/a.md", marker), 0);
    }

    #[test]
    fn the_wall_is_an_attribute_of_the_crate() {
        assert!(forbids_unsafe(
            "//! Door.\n#![no_std]\n#![forbid(unsafe_code)]\n"
        ));
        assert!(!forbids_unsafe("// #![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("#![deny(unsafe_code)]\n"));
    }
}

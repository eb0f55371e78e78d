//! `./nekton deps`: dependencies point downward only. `ci/deps.toml` lists, per room, which of
//! our rooms and which foreign crates it may use; a new edge needs a new line there.

use crate::metadata::{Dependency, Package, Workspace};
use crate::{progress, workspace};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;

/// `ci/deps.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    room: Vec<Rule>,
}

/// What the rooms that match `name` may use.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// A room, or `dir/*`.
    name: String,
    /// Rooms or `dir/*`.
    ours: Vec<String>,
    /// Crates; `*` means any.
    foreign: Vec<String>,
}

/// `./nekton deps`.
pub fn command() -> Result<bool> {
    let problems = problems()?;
    for problem in &problems {
        progress::error(problem);
    }
    if problems.is_empty() {
        println!("deps: every dependency is an allowed one");
    }
    Ok(problems.is_empty())
}

/// Edges that are not allowed, and rooms without a rule.
pub fn problems() -> Result<Vec<String>> {
    let path = workspace::root().join("ci/deps.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rules: Rules = toml::from_str(&text).context("ci/deps.toml")?;
    let all = Workspace::load()?;
    let mut problems = Vec::new();
    for package in &all.packages {
        check(&all, &rules, package, &mut problems);
    }
    Ok(problems)
}

fn check(all: &Workspace, rules: &Rules, package: &Package, problems: &mut Vec<String>) {
    let room = all.room(package);
    let Some(rule) = rules.room.iter().find(|rule| matches(&rule.name, &room)) else {
        problems.push(format!("{room} has no [[room]] in ci/deps.toml"));
        return;
    };
    // What tests use is not shipped.
    let shipped = |edge: &&Dependency| edge.kind.as_deref() != Some("dev");
    for edge in package.dependencies.iter().filter(shipped) {
        let ours = edge.path.as_ref().and(all.package(&edge.name));
        let (used, allowed) = match ours {
            Some(target) => {
                let used = all.room(target);
                let allowed = rule.ours.iter().any(|pattern| matches(pattern, &used));
                (used, allowed)
            }
            None => {
                let foreign = |name: &String| name == "*" || *name == edge.name;
                (edge.name.clone(), rule.foreign.iter().any(foreign))
            }
        };
        if !allowed {
            problems.push(format!(
                "{room} may not use {used}: ci/deps.toml has no such edge"
            ));
        }
    }
}

fn matches(pattern: &str, room: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(dir) => room
            .strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/')),
        None => pattern == room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_edge_is_a_problem() {
        let all = Workspace::load().unwrap();
        let rules = Rules {
            room: vec![Rule {
                name: "kernel".into(),
                ours: vec!["capfmt".into()],
                foreign: Vec::new(),
            }],
        };
        let mut problems = Vec::new();
        check(&all, &rules, all.package("kernel").unwrap(), &mut problems);
        assert!(
            problems
                .iter()
                .any(|p| p.contains("kernel may not use abi")),
            "{problems:?}"
        );
        check(&all, &rules, all.package("abi").unwrap(), &mut problems);
        assert!(
            problems.iter().any(|p| p.contains("abi has no [[room]]")),
            "{problems:?}"
        );
    }

    #[test]
    fn patterns_match_rooms_below_a_folder() {
        assert!(matches("services/*", "services/memory"));
        assert!(!matches("services/*", "services") && !matches("arch/x86", "arch/x86_64"));
    }
}

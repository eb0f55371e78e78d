//! What README.md and docs/ tell people to type: all of it is run by the tests.
//!
//! In a code block that is tagged `sh` or not tagged, each `./nekton run` is a scenario, each `./nekton bench` a
//! run of that benchmark, and every other `./nekton` line must be a command that exists. A block that is
//! tagged `nekton` is a session at Nekton's own shell: a scenario.

use crate::cli::{BenchArgs, Cli, Command, RunArgs};
use crate::scenario::{Mode, Outcome, Scenario, files_below};
use crate::workspace;
use anyhow::{Context, Result};
use clap::Parser;
use std::collections::BTreeSet;
use std::fs;

/// What the documentation's commands come to.
#[derive(Default)]
pub struct Documented {
    /// `./nekton run`, and sessions.
    pub scenarios: Vec<Scenario>,
    /// `./nekton bench`.
    pub benches: Vec<BenchArgs>,
}

/// Reads README.md and all of docs/.
///
/// # Errors
/// A file that cannot be read; a command that does not exist.
pub fn read() -> Result<Documented> {
    let root = workspace::root();
    let mut files = vec![root.join("README.md")];
    files.extend(files_below(&root.join("docs"), "md")?);
    let mut found = Documented::default();
    let mut seen = BTreeSet::new();
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for block in blocks(&text) {
            if block.session {
                let exec = block.lines.join("; ");
                let number = found.scenarios.len();
                found
                    .scenarios
                    .push(scenario(number, "qemu-x86", Mode::Icount, Some(exec)));
                continue;
            }
            for line in block.lines {
                if line.starts_with("./nekton") && seen.insert(line.clone()) {
                    let place = || format!("{}: {line}", workspace::shown(&file));
                    take(&line, &mut found).with_context(place)?;
                }
            }
        }
    }
    Ok(found)
}

fn take(line: &str, found: &mut Documented) -> Result<()> {
    let parsed = Cli::try_parse_from(shell_words(line));
    match parsed.map_err(|error| anyhow::anyhow!("{error}"))?.command {
        Command::Run(args) => {
            let number = found.scenarios.len();
            found.scenarios.push(run(&args, number));
        }
        Command::Bench(args) => found.benches.push(args),
        _ => {}
    }
    Ok(())
}

fn run(args: &RunArgs, number: usize) -> Scenario {
    let mode = if args.icount {
        Mode::Icount
    } else {
        Mode::Mttcg
    };
    Scenario {
        timeout: args.timeout.unwrap_or(300),
        smp: args.smp,
        append: args.append.clone(),
        qemu_args: args.qemu_arg.clone(),
        ..scenario(number, &args.board, mode, args.exec.clone())
    }
}

fn scenario(number: usize, board: &str, mode: Mode, exec: Option<String>) -> Scenario {
    Scenario {
        name: format!("docs_{number:02}"),
        boards: vec![board.to_owned()],
        modes: vec![mode],

        full_exec: None,
        input: exec.is_none().then(|| "halt\r".to_owned()),
        flood: 0,
        exec,
        outcome: Outcome::Ok,
        expect: Vec::new(),
        forbid: Vec::new(),
        same: Vec::new(),
        timeout: 300,
        full_timeout: None,
        waits: false,
        alone: false,
        smp: None,
        memory: None,
        append: Vec::new(),
        qemu_args: Vec::new(),
        grub: false,
        damage: None,
        counted: None,
        overlay: None,
        madt: None,
        tree: None,
    }
}

/// A code block with commands.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// Whether they are for Nekton's shell.
    session: bool,
    lines: Vec<String>,
}

/// The blocks of commands of a Markdown text; a backslash at the end joins lines, comments are dropped.
fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    // In a block: whether its lines are commands.
    let (mut fence, mut joining) = (None, false);
    for line in text.lines() {
        if let Some(tag) = line.trim_start().strip_prefix("```") {
            let tag = tag.trim();
            fence = match fence {
                None => Some(matches!(tag, "" | "sh" | "nekton")),
                Some(_) => None,
            };
            if fence == Some(true) {
                found.push(Block {
                    session: tag == "nekton",
                    lines: Vec::new(),
                });
            }
            joining = false;
            continue;
        }
        let line = line.trim();
        let (Some(true), Some(block)) = (fence, found.last_mut()) else {
            continue;
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (body, more) = match line.strip_suffix('\\') {
            Some(body) => (body.trim_end(), true),
            None => (line, false),
        };
        match block.lines.last_mut() {
            Some(last) if joining => {
                last.push(' ');
                last.push_str(body);
            }
            _ => block.lines.push(body.to_owned()),
        }
        joining = more;
    }
    found
}

/// Splits a line into words as a shell does, as far as documentation needs it: quotes of both
/// kinds, and a comment after ` #`.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_blocks_give_their_commands() {
        let text = "a\n```sh\n# one\n./nekton run \\\n  --icount\nls\n```\n```text\n./nekton no\n```\n```nekton\nps\ncores\n```\n";
        let block = |session, lines: &[&str]| Block {
            session,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(
            blocks(text),
            [
                block(false, &["./nekton run --icount", "ls"]),
                block(true, &["ps", "cores"])
            ]
        );
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        let words = shell_words("./nekton run --exec 'cores; ps' --json \"a b\" '' # why");
        assert_eq!(
            words,
            [
                "./nekton",
                "run",
                "--exec",
                "cores; ps",
                "--json",
                "a b",
                ""
            ]
        );
    }
}

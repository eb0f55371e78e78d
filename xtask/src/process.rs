//! Calling other programs: a clean environment, and output that is shown only when it matters.

use crate::progress::Step;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Variables of a calling cargo or rustup that would mislead another cargo (its compiler, its
/// flags, its libraries, its job server).
const MISLEADING: &[&str] = &[
    "CARGO",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
];

/// Removes from `command`'s environment what would mislead a cargo of another toolchain.
/// `keep_rustup` leaves rustup's choice of a toolchain in place.
pub fn clean_env(command: &mut Command, keep_rustup: bool) {
    for name in MISLEADING {
        command.env_remove(name);
    }
    if !keep_rustup {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
}

/// Standard output of `program args…`, which must succeed.
pub fn output<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    capture(&mut command)
}

/// Standard output of `command`, which must succeed.
pub fn capture(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !out.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            shown(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
    }
    String::from_utf8(out.stdout).context("output is not UTF-8")
}

/// Runs `command` as a step: its standard error feeds the progress line and is printed whole
/// if the command fails or warns. Returns standard output.
pub fn run_step(step: &Step, command: &mut Command) -> Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let mut stdout = child.stdout.take().expect("standard output was piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let stderr = child.stderr.take().expect("standard error was piped");
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read the output of a program")?;
        step.now(line.trim());
        said.push(line);
    }
    let status = child.wait().context("cannot wait for a program")?;
    let text = reader.join().expect("the reader does not panic")?;
    if !status.success() {
        // Cargo's messages for us are of no use to a person; all else is (rustfmt's differences).
        let lines = text.lines().filter(|line| !line.starts_with('{'));
        let reasons: Vec<&str> = lines.chain(diagnostics(&said)).collect();
        bail!(
            "{} failed ({status}):\n{}",
            shown(command),
            reasons.join("\n")
        );
    }
    if said.iter().any(|line| line.starts_with("warning")) {
        diagnostics(&said)
            .iter()
            .for_each(|line| eprintln!("{line}"));
    }
    Ok(text)
}

/// The lines of cargo's standard error that say more than what it is busy with.
fn diagnostics(said: &[String]) -> Vec<&str> {
    let is_status = |line: &str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        line.starts_with("  ") && word.ends_with("ing") || word == "Finished" || word == "Fresh"
    };
    said.iter()
        .map(String::as_str)
        .filter(|line| !is_status(line))
        .collect()
}

/// Runs `command` with our own standard output and error. `Ok(false)` if it fails.
pub fn run_visible(command: &mut Command) -> Result<bool> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(status.success())
}

/// The command as a person would type it (without its environment).
pub fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(&arg.to_string_lossy()));
    }
    text
}

/// `word` quoted for a shell, if it needs to be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_a_shell() {
        for word in ["plain", "a b", "it's", "", "cores; ps", "$HOME"] {
            let back = output("sh", &["-c", &format!("printf %s {}", quoted(word))]).unwrap();
            assert_eq!(back, word);
        }
    }

    #[test]
    fn warnings_are_kept_and_status_lines_are_not() {
        let said: Vec<String> = ["   Compiling a v0.1.0", "warning: unused", "  --> a.rs:1"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(diagnostics(&said), ["warning: unused", "  --> a.rs:1"]);
        assert!(diagnostics(&said[..1]).is_empty());
    }

    #[test]
    fn a_failing_program_is_named_with_its_words() {
        let error = output("sh", &["-c", "echo reason >&2; exit 3"]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("reason") && text.contains("exit status: 3"),
            "{text}"
        );
    }
}

//! Whether a run did what it was asked to.

use crate::board::Exit;
use crate::guest_output::{Cmd, Record};

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest said that all went well.
    Success,
    /// The guest said that something failed.
    Failure,
    /// The machine reset itself: a core found no way to take an exception (x86).
    Reset,
    /// QEMU ended otherwise, with this exit status (none: by a signal).
    Other(Option<i32>),
    /// Time was up after so many seconds.
    Late(u64),
    /// The person left.
    Left,
}

/// How QEMU notes that a machine resets itself (`-d cpu_reset`).
const TRIPLE_FAULT: &str = "Triple fault";

impl End {
    /// The end that exit status `code` of QEMU means; `log` is what QEMU noted of resets. It is
    /// told not to restart a machine that resets, and then ends as if that were an orderly end.
    pub fn of(code: Option<i32>, exit: Exit, log: &str) -> Self {
        match code {
            Some(0) if log.lines().any(|line| line == TRIPLE_FAULT) => Self::Reset,
            Some(code) if code == exit.success => Self::Success,
            Some(code) if code == exit.failure => Self::Failure,
            other => Self::Other(other),
        }
    }
}

/// The commands that ended, in order.
pub fn commands(records: &[Record]) -> Vec<&Cmd> {
    let cmds = records.iter().filter_map(|record| match record {
        Record::Cmd(cmd) => Some(cmd),
        _ => None,
    });
    cmds.collect()
}

/// Reasons why a run with commands has failed; none: it went well. One record per executed command is due (`repeat`
/// makes several of one), then `done`, then the guest's exit with success. Which commands there are, the guest
/// decides: only its shell knows how a line is read.
pub fn failures(records: &[Record], end: End) -> Vec<String> {
    let mut reasons = Vec::new();
    let done = commands(records);
    for cmd in done.iter().filter(|cmd| !cmd.ok) {
        reasons.push(format!("`{}` failed", cmd.cmd));
    }
    for record in records {
        if let Record::Test {
            name,
            ok: false,
            msg,
        } = record
        {
            reasons.push(format!("test {name} failed: {msg}"));
        }
    }
    if done.is_empty() {
        reasons.push("no command was executed".to_owned());
    }
    reasons.extend(leak(records));
    match records.iter().rev().find_map(|record| match record {
        Record::Done { failed } => Some(*failed),
        _ => None,
    }) {
        None => {
            let last = done.last().map_or("none", |cmd| cmd.cmd.as_str());
            reasons.push(format!(
                "the guest did not report the end of its commands (last: {last})"
            ));
        }
        Some(failed) if failed > 0 && done.iter().all(|cmd| cmd.ok) => {
            reasons.push(format!("the guest counts {failed} failed commands"));
        }
        Some(_) => {}
    }
    reasons.extend(bad_end(end));
    reasons
}

/// What is wrong with the memory at the end of a run that came to its end: bytes out must be bytes back.
fn leak(records: &[Record]) -> Option<String> {
    let ended = records.iter().any(|r| matches!(r, Record::Done { .. }));
    let mut checks = records.iter().filter_map(|record| match record {
        Record::Memory { ok, text } => Some((*ok, text)),
        _ => None,
    });
    match checks.next_back() {
        None if ended => Some("the guest did not check its memory at the end".to_owned()),
        Some((false, text)) => Some(format!("memory leaks: {}", text.trim_end())),
        _ => None,
    }
}

/// What is wrong with commands of which every execution is to print the same: they must be executed
/// at least twice.
pub fn differing(same: &[String], records: &[Record]) -> Vec<String> {
    let mut reasons = Vec::new();
    for wanted in same {
        let all = commands(records);
        let mut outs = all.iter().filter(|cmd| cmd.cmd == *wanted).map(|c| &c.out);
        let (Some(first), Some(_)) = (outs.next(), outs.clone().next()) else {
            reasons.push(format!("`{wanted}` was not executed twice"));
            continue;
        };
        if let Some(other) = outs.find(|out| *out != first) {
            reasons.push(format!("`{wanted}` said first\n{first}and later\n{other}"));
        }
    }
    reasons
}

/// What is wrong with the way in which a machine ended, if anything is.
pub fn bad_end(end: End) -> Option<String> {
    match end {
        End::Success | End::Left => None,
        End::Failure => Some("the guest ended with failure".to_owned()),
        End::Reset => Some("the machine reset itself (triple fault)".to_owned()),
        End::Late(seconds) => Some(format!("not finished after {seconds} s")),
        End::Other(Some(code)) => Some(format!("QEMU ended with status {code}")),
        End::Other(None) => Some("QEMU was killed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmd(name: &str, ok: bool) -> Record {
        Record::Cmd(Cmd {
            cmd: name.into(),
            ok,
            ms: 1.into(),
            emulated: true,
            out: String::new(),
        })
    }

    const DONE: Record = Record::Done { failed: 0 };

    fn memory(ok: bool) -> Record {
        Record::Memory {
            ok,
            text: "4096 bytes are on account 7".into(),
        }
    }

    #[test]
    fn all_well_is_no_reason() {
        let records = [cmd("cores", true), cmd("ps", true), memory(true), DONE];
        assert!(failures(&records, End::Success).is_empty());
    }

    #[test]
    fn every_way_to_fail_is_seen() {
        let good = [cmd("cores", true), memory(true), DONE];
        assert_eq!(
            failures(&[cmd("cores", false), memory(true), DONE], End::Success).len(),
            1
        );
        assert_eq!(failures(&good[1..], End::Success).len(), 1);
        assert_eq!(failures(&good[..2], End::Success).len(), 1);
        assert_eq!(
            failures(
                &[cmd("a", true), memory(true), Record::Done { failed: 1 }],
                End::Success
            )
            .len(),
            1
        );
        for end in [
            End::Failure,
            End::Late(3),
            End::Reset,
            End::Other(Some(0)),
            End::Other(None),
        ] {
            assert_eq!(failures(&good, end).len(), 1, "{end:?}");
        }
        let test = Record::Test {
            name: "t".into(),
            ok: false,
            msg: "m".into(),
        };
        assert_eq!(
            failures(&[test, cmd("a", true), memory(true), DONE], End::Success).len(),
            1
        );
    }

    #[test]
    fn memory_must_be_checked_and_in_order() {
        let unchecked = [cmd("a", true), DONE];
        assert_eq!(failures(&unchecked, End::Success).len(), 1);
        let leaking = [cmd("a", true), memory(false), DONE];
        let reasons = failures(&leaking, End::Success);
        assert_eq!(reasons, ["memory leaks: 4096 bytes are on account 7"]);
    }

    #[test]
    fn commands_that_must_say_the_same_are_compared() {
        let said = |name: &str, out: &str| {
            Record::Cmd(Cmd {
                cmd: name.into(),
                ok: true,
                ms: 1.into(),
                emulated: false,
                out: out.into(),
            })
        };
        let same = ["mem".to_owned()];
        let records = [said("mem", "1"), said("ps", "2"), said("mem", "1")];
        assert!(differing(&same, &records).is_empty());
        assert_eq!(
            differing(&same, &records[..2]).len(),
            1,
            "once proves nothing"
        );
        let other = [said("mem", "1"), said("mem", "3")];
        assert_eq!(differing(&same, &other).len(), 1);
    }

    #[test]
    fn exit_statuses_mean_what_the_board_says() {
        let exit = Exit {
            success: 33,
            failure: 35,
        };
        assert_eq!(End::of(Some(33), exit, ""), End::Success);
        assert_eq!(End::of(Some(35), exit, ""), End::Failure);
        assert_eq!(End::of(Some(0), exit, ""), End::Other(Some(0)));
        assert_eq!(End::of(None, exit, ""), End::Other(None));
        let log = "CPU Reset (CPU 1)\nRAX=0\nTriple fault\n";
        assert_eq!(End::of(Some(0), exit, log), End::Reset);
        assert_eq!(End::of(Some(33), exit, log), End::Success);
    }
}

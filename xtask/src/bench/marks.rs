//! What the TCG plugin recorded: marks, and the cost between two of them. Pure.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One executed marker with the counters of all vCPUs at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its number (`abi::marker`).
    pub number: u16,
    /// vCPU that executed it.
    pub cpu: usize,
    /// Instructions and, among them, waiting ones, per vCPU.
    pub counts: Counts,
    /// Heartbeats only: the counts at the one before.
    pub last: Option<Counts>,
}

/// Counters of all vCPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed.
    pub total: Vec<u64>,
    /// Of these, executed while waiting for another core.
    pub wait: Vec<u64>,
}

/// Instructions between two marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Work of the vCPU that began.
    pub initiator: u64,
    /// Work of the other vCPU concerned (0 if it is the same).
    pub target: u64,
    /// Waiting of both, reported apart.
    pub wait: u64,
    /// Everything that the other vCPUs executed.
    pub others: u64,
}

impl Cost {
    /// Initiator plus target.
    pub fn work(&self) -> u64 {
        self.initiator + self.target
    }
}

/// Reads the plugin's output file.
pub fn parse(text: &str) -> Result<Vec<Mark>> {
    text.lines()
        .enumerate()
        .map(|(i, line)| mark(line).with_context(|| format!("line {}: {line}", i + 1)))
        .collect()
}

fn mark(line: &str) -> Result<Mark> {
    let v: Value = serde_json::from_str(line)?;
    let number = v["m"].as_u64().context("no marker number")?;
    Ok(Mark {
        number: u16::try_from(number)?,
        cpu: usize::try_from(v["cpu"].as_u64().context("no vCPU")?)?,
        counts: counts(&v["n"], &v["wait"])?,
        last: if v["last_n"].is_null() {
            None
        } else {
            Some(counts(&v["last_n"], &v["last_wait"])?)
        },
    })
}

fn counts(total: &Value, wait: &Value) -> Result<Counts> {
    let list = |v: &Value| -> Result<Vec<u64>> {
        v.as_array()
            .context("not a list")?
            .iter()
            .map(|n| n.as_u64().context("not a number"))
            .collect()
    };
    let c = Counts {
        total: list(total)?,
        wait: list(wait)?,
    };
    if c.total.len() != c.wait.len() {
        bail!("as many totals as waits are needed");
    }
    Ok(c)
}

/// The cost between two moments for the vCPU `initiator` and the vCPU `target`.
pub fn cost(from: &Counts, to: &Counts, initiator: usize, target: usize) -> Cost {
    let wait = |cpu: usize| to.wait[cpu] - from.wait[cpu];
    let total = |cpu: usize| to.total[cpu] - from.total[cpu];
    let other = if initiator == target {
        None
    } else {
        Some(target)
    };
    Cost {
        initiator: total(initiator) - wait(initiator),
        target: other.map_or(0, |cpu| total(cpu) - wait(cpu)),
        wait: wait(initiator) + other.map_or(0, wait),
        others: (0..to.total.len())
            .filter(|&c| c != initiator && Some(c) != other)
            .map(total)
            .sum(),
    }
}

/// Every pair of a `begin` and the first `end` after it.
pub fn pairs(marks: &[Mark], begin: u16, end: u16) -> Vec<(&Mark, &Mark)> {
    let mut found = Vec::new();
    let mut open = None;
    for m in marks {
        if m.number == begin {
            open = Some(m);
        } else if m.number == end
            && let Some(b) = open.take()
        {
            found.push((b, m));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"m":64,"cpu":0,"n":[100,50,7],"wait":[0,40,0]}
{"m":65,"cpu":0,"n":[400,90,9],"wait":[250,60,0]}
{"m":65,"cpu":0,"n":[500,90,9],"wait":[250,60,0]}
{"m":80,"cpu":1,"n":[900,5000,9],"wait":[250,60,0],"last_n":[400,90,9],"last_wait":[250,60,0]}"#;

    #[test]
    fn a_pair_costs_work_apart_from_waiting() {
        let marks = parse(TEXT).unwrap();
        let found = pairs(&marks, 64, 65);
        assert_eq!(found.len(), 1, "an end without a begin is no pair");
        let c = cost(&found[0].0.counts, &found[0].1.counts, 0, 1);
        assert_eq!(
            c,
            Cost {
                initiator: 50,
                target: 20,
                wait: 270,
                others: 2
            }
        );
        assert_eq!(c.work(), 70);
    }

    #[test]
    fn a_heartbeat_carries_the_one_before() {
        let marks = parse(TEXT).unwrap();
        let beat = &marks[3];
        let c = cost(beat.last.as_ref().unwrap(), &beat.counts, 1, 0);
        assert_eq!(
            c,
            Cost {
                initiator: 4910,
                target: 500,
                wait: 0,
                others: 0
            }
        );
    }

    #[test]
    fn damaged_lines_are_named() {
        let e = parse("{\"m\":1}").unwrap_err();
        assert!(format!("{e:#}").contains("line 1"));
        assert!(parse("{\"m\":1,\"cpu\":0,\"n\":[1],\"wait\":[]}").is_err());
    }
}

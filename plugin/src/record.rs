//! What a marker makes of the counters: a pure recorder, tested on the host.

use abi::marker::{HEARTBEAT, HEARTBEAT_GAP, WAIT_BEGIN, WAIT_END};
use std::fmt::Write as _;

/// Counters of one vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions executed in finished waits.
    pub waited: u64,
    /// Total at the open `WAIT_BEGIN`, if one is open.
    pub wait_since: Option<u64>,
}

impl Counts {
    /// Instructions spent waiting when the vCPU's total is `total`.
    fn waited_until(&self, total: u64) -> u64 {
        self.waited
            + self
                .wait_since
                .map_or(0, |since| total.saturating_sub(since))
    }
}

/// What all vCPUs had counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Snapshot {
    totals: Vec<u64>,
    waits: Vec<u64>,
}

impl Snapshot {
    /// `"n":[…],"wait":[…]` with a prefix to the names.
    fn json(&self, prefix: &str) -> String {
        let mut s = format!("\"{prefix}n\":[");
        list(&mut s, &self.totals);
        s.push_str(&format!("],\"{prefix}wait\":["));
        list(&mut s, &self.waits);
        s.push(']');
        s
    }
}

/// Turns marker executions into lines.
#[derive(Debug, Default)]
pub struct Recorder {
    vcpus: Vec<Counts>,
    /// Per vCPU: the counters at its last heartbeat.
    heartbeats: Vec<Option<Snapshot>>,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub const fn new() -> Recorder {
        Recorder {
            vcpus: Vec::new(),
            heartbeats: Vec::new(),
        }
    }

    /// vCPU `vcpu` executed marker `number` when the vCPUs' totals were `totals`.
    ///
    /// Returns the line to write, if there is one: wait markers write nothing, a
    /// heartbeat only after a gap (then with the counters of the one before it).
    /// The executing instruction itself is not yet part of the total.
    pub fn mark(&mut self, vcpu: usize, number: u16, totals: &[u64]) -> Option<String> {
        let wanted = totals.len().max(vcpu + 1);
        if self.vcpus.len() < wanted {
            self.vcpus.resize(wanted, Counts::default());
            self.heartbeats.resize(wanted, None);
        }
        let now = totals.get(vcpu).copied().unwrap_or(0);
        let own = &mut self.vcpus[vcpu];
        match number {
            WAIT_BEGIN => {
                own.wait_since.get_or_insert(now);
                return None;
            }
            WAIT_END => {
                if let Some(since) = own.wait_since.take() {
                    own.waited += now - since;
                }
                return None;
            }
            _ => {}
        }
        if number == HEARTBEAT
            && let Some(before) = &mut self.heartbeats[vcpu]
            && now - before.totals[vcpu] <= HEARTBEAT_GAP
        {
            // In place: this is done very often.
            before.totals.copy_from_slice(totals);
            for ((wait, own), total) in before.waits.iter_mut().zip(&self.vcpus).zip(totals) {
                *wait = own.waited_until(*total);
            }
            return None;
        }
        let now = self.snapshot(totals);
        let mut line = format!("{{\"m\":{number},\"cpu\":{vcpu},{}", now.json(""));
        if number == HEARTBEAT {
            let before = self.heartbeats[vcpu].replace(now)?;
            line.push(',');
            line.push_str(&before.json("last_"));
        }
        line.push_str("}\n");
        Some(line)
    }

    fn snapshot(&self, totals: &[u64]) -> Snapshot {
        let waits = totals.iter().zip(&self.vcpus);
        let waits = waits.map(|(total, own)| own.waited_until(*total));
        Snapshot {
            totals: totals.to_vec(),
            waits: waits.collect(),
        }
    }
}

fn list(line: &mut String, numbers: &[u64]) {
    for (i, n) in numbers.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(line, "{comma}{n}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_kept_apart_also_while_it_lasts() {
        let mut r = Recorder::new();
        assert_eq!(r.mark(0, WAIT_BEGIN, &[100, 5]), None);
        let line = r.mark(1, 7, &[130, 9]).unwrap();
        assert_eq!(line, "{\"m\":7,\"cpu\":1,\"n\":[130,9],\"wait\":[30,0]}\n");
        assert_eq!(r.mark(0, WAIT_END, &[150, 9]), None);
        let line = r.mark(0, 8, &[160, 9]).unwrap();
        assert_eq!(line, "{\"m\":8,\"cpu\":0,\"n\":[160,9],\"wait\":[50,0]}\n");
    }

    #[test]
    fn a_wait_end_without_begin_counts_nothing() {
        let mut r = Recorder::new();
        assert_eq!(r.mark(0, WAIT_END, &[10]), None);
        assert_eq!(
            r.mark(0, 1, &[10]).unwrap(),
            "{\"m\":1,\"cpu\":0,\"n\":[10],\"wait\":[0]}\n"
        );
    }

    #[test]
    fn a_heartbeat_writes_only_after_a_gap() {
        let mut r = Recorder::new();
        assert_eq!(
            r.mark(1, HEARTBEAT, &[5, 100]),
            None,
            "the first has nothing before it"
        );
        assert_eq!(r.mark(1, HEARTBEAT, &[9, 100 + HEARTBEAT_GAP]), None);
        let line = r.mark(1, HEARTBEAT, &[20, 5000]).unwrap();
        assert_eq!(
            line,
            "{\"m\":80,\"cpu\":1,\"n\":[20,5000],\"wait\":[0,0],\"last_n\":[9,1100],\"last_wait\":[0,0]}\n"
        );
    }

    #[test]
    fn nested_wait_begins_count_once() {
        let mut r = Recorder::new();
        r.mark(0, WAIT_BEGIN, &[10]);
        r.mark(0, WAIT_BEGIN, &[20]);
        r.mark(0, WAIT_END, &[40]);
        r.mark(0, WAIT_END, &[90]);
        assert!(r.mark(0, 1, &[100]).unwrap().ends_with("\"wait\":[30]}\n"));
    }
}

//! Figures of capabilities on several OSnodes, from a run's record. Pure.

use super::marks::{Cost, Mark, pairs};
use abi::marker as m;

/// OSnodes that share a capability with its owner, in the order of the sections.
pub const SHARERS: [u64; 4] = [2, 4, 8, 16];

/// A path that was taken repeatedly: what all vCPUs executed, and the monitors' messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// By repetition: work of the vCPU that began, of all others, waiting of all.
    pub costs: Vec<Cost>,
    /// By repetition: messages that a monitor sent another one.
    pub messages: Vec<u64>,
}

/// Every path from a `begin` to the next `end`.
pub fn taken(marks: &[Mark], begin: u16, end: u16) -> Taken {
    let pairs = pairs(marks, begin, end);
    Taken {
        costs: pairs.iter().map(|(b, e)| together(b, e)).collect(),
        messages: messages(marks, begin, end),
    }
}

/// What all vCPUs executed between two marks; waiting apart.
fn together(begin: &Mark, end: &Mark) -> Cost {
    let sum = |of: fn(&Mark, usize) -> u64| -> u64 {
        let cpus = 0..begin.counts.total.len();
        cpus.map(|cpu| of(end, cpu) - of(begin, cpu)).sum()
    };
    let working = |m: &Mark, cpu: usize| m.counts.total[cpu] - m.counts.wait[cpu];
    let initiator = working(end, begin.cpu) - working(begin, begin.cpu);
    Cost {
        initiator,
        target: sum(|m, cpu| m.counts.total[cpu] - m.counts.wait[cpu]) - initiator,
        wait: sum(|m, cpu| m.counts.wait[cpu]),
        others: 0,
    }
}

/// Marks of sent messages between each pair, in the order of the record.
fn messages(marks: &[Mark], begin: u16, end: u16) -> Vec<u64> {
    let mut found = Vec::new();
    let mut open = None;
    for mark in marks {
        if mark.number == begin {
            open = Some(0);
        } else if mark.number == end {
            found.extend(open.take());
        } else if mark.number == m::AGREE_SEND {
            open = open.map(|n| n + 1);
        }
    }
    found
}

/// The revokes or unmaps, by number of sharers: as many sections as the guest made.
pub fn by_sharers(marks: &[Mark]) -> Vec<(u64, Taken)> {
    let head = |mark: &Mark| mark.number == m::SHARERS;
    let sections = marks.chunk_by(|_, next| !head(next));
    let sections = sections.filter(|s| head(&s[0]));
    let taken = sections.map(|s| taken(s, m::REVOKE_BEGIN, m::REVOKE_END));
    SHARERS.into_iter().zip(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::marks::parse;

    fn line(number: u16, cpu: usize, n: [u64; 3], wait: [u64; 3]) -> String {
        format!("{{\"m\":{number},\"cpu\":{cpu},\"n\":{n:?},\"wait\":{wait:?}}}\n")
    }

    #[test]
    fn a_revoke_costs_what_all_cores_did_and_the_messages_are_counted() {
        let none = [0, 0, 0];
        let text = [
            line(m::AGREE_SEND, 0, [1, 1, 1], none),
            line(m::SHARERS, 0, [5, 5, 5], none),
            line(m::REVOKE_BEGIN, 0, [10, 20, 30], none),
            line(m::AGREE_SEND, 0, [20, 20, 30], none),
            line(m::AGREE_SEND, 1, [20, 90, 30], none),
            line(m::REVOKE_END, 0, [110, 120, 37], [0, 40, 0]),
            line(m::AGREE_SEND, 2, [110, 120, 50], [0, 40, 0]),
            line(m::SHARERS, 0, [200, 200, 200], [0, 40, 0]),
            line(m::REVOKE_BEGIN, 0, [200, 200, 200], [0, 40, 0]),
        ];
        let found = by_sharers(&parse(&text.concat()).unwrap());
        assert_eq!(found.len(), 2);
        let (sharers, taken) = &found[0];
        assert_eq!(*sharers, 2);
        assert_eq!(taken.messages, [2], "those outside do not count");
        let cost = Cost {
            initiator: 100,
            target: 67,
            wait: 40,
            others: 0,
        };
        assert_eq!(taken.costs, [cost]);
        assert_eq!(
            found[1],
            (4, Taken::default()),
            "no end, no revoke: it will be missed"
        );
    }
}

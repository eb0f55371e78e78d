//! Figures of cores that update the same cache lines, from the sections of a run's record. Pure.

use super::marks::{Cost, Mark, cost};
use abi::marker as m;
use std::collections::BTreeMap;

/// Cache lines that an update changes, in the order of the sections.
pub const LINES: [u64; 4] = [1, 2, 4, 8];

/// How the lines are updated, in the order of the sections.
pub const HOW: [&str; 2] = ["shm", "msg"];

/// Cores that take part, in the order of the sections.
pub const CORES: [usize; 5] = [1, 2, 4, 8, 16];

/// What a section measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// Under a lock in shared memory (`shm`), or by messages to one core (`msg`).
    pub how: &'static str,
    /// Cache lines.
    pub lines: u64,
    /// Cores that take part.
    pub cores: usize,
}

impl What {
    /// `HOW.LINES.CORES`.
    pub fn name(&self) -> String {
        format!("{}.{}.{}", self.how, self.lines, self.cores)
    }

    /// Cores that make updates, or have them made: with messages, one is the server.
    fn updaters(&self) -> u64 {
        match self.how {
            "msg" if self.cores > 1 => self.cores as u64 - 1,
            _ => self.cores as u64,
        }
    }
}

/// All sections of a run in which up to `cores` cores take part, as the guest makes them.
pub fn order(cores: usize) -> impl Iterator<Item = What> {
    let numbers = move || CORES.into_iter().filter(move |n| *n <= cores);
    let each = move |lines| numbers().map(move |cores| (lines, cores));
    LINES
        .into_iter()
        .flat_map(each)
        .flat_map(|(lines, cores)| HOW.map(|how| What { how, lines, cores }))
}

/// One section and the costs of an update, by round: work of all cores for all updates, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it measures.
    pub what: What,
    /// By round.
    pub rounds: Vec<Cost>,
}

/// The sections of a run in which up to `cores` cores took part.
pub fn sections(marks: &[Mark], cores: usize) -> Vec<Section> {
    let heads = |mark: &Mark| matches!(mark.number, m::SHARE_DIRECTLY | m::SHARE_BY_MESSAGES);
    let parts = marks.chunk_by(|_, next| !heads(next));
    parts
        .filter(|part| heads(&part[0]))
        .zip(order(cores))
        .map(|(part, what)| Section {
            what,
            rounds: rounds(part, what.updaters()),
        })
        .collect()
}

/// The cost of an update in each round: the n-th pairs of all cores together. Only whole rounds count.
fn rounds(part: &[Mark], updaters: u64) -> Vec<Cost> {
    let mut by_core: BTreeMap<usize, Vec<(&Mark, &Mark)>> = BTreeMap::new();
    let mut open: BTreeMap<usize, &Mark> = BTreeMap::new();
    for mark in part {
        if mark.number == m::SHARE_BEGIN {
            open.insert(mark.cpu, mark);
        } else if mark.number == m::SHARE_END
            && let Some(begin) = open.remove(&mark.cpu)
        {
            by_core.entry(mark.cpu).or_default().push((begin, mark));
        }
    }
    let whole = by_core.values().map(Vec::len).min().unwrap_or(0);
    let updates = updaters * m::SHARE_UPDATES;
    (0..whole)
        .map(|round| {
            let mut all = Cost::default();
            for pairs in by_core.values() {
                let (begin, end) = pairs[round];
                let own = cost(&begin.counts, &end.counts, begin.cpu, begin.cpu);
                all.initiator += own.initiator;
                all.wait += own.wait;
            }
            Cost {
                initiator: all.initiator / updates,
                wait: all.wait / updates,
                ..all
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::marks::Counts;

    fn mark(number: u16, cpu: usize, total: [u64; 2], wait: [u64; 2]) -> Mark {
        Mark {
            number,
            cpu,
            counts: Counts {
                total: total.to_vec(),
                wait: wait.to_vec(),
            },
            last: None,
        }
    }

    #[test]
    fn sections_are_told_by_their_order_and_rounds_by_core() {
        let marks = [
            mark(m::WAKE_BEGIN, 0, [1, 0], [0, 0]),
            mark(m::SHARE_DIRECTLY, 0, [10, 0], [0, 0]),
            mark(m::SHARE_BEGIN, 0, [10, 0], [0, 0]),
            mark(m::SHARE_END, 0, [170, 0], [0, 0]),
            mark(m::SHARE_BY_MESSAGES, 0, [170, 0], [0, 0]),
            mark(m::SHARE_BEGIN, 0, [170, 0], [0, 0]),
            mark(m::SHARE_END, 0, [202, 0], [0, 0]),
            mark(m::SHARE_DIRECTLY, 0, [202, 0], [0, 0]),
            mark(m::SHARE_BY_MESSAGES, 0, [300, 0], [0, 0]),
            mark(m::SHARE_BEGIN, 1, [300, 100], [0, 0]),
            mark(m::SHARE_BEGIN, 0, [320, 110], [0, 0]),
            mark(m::SHARE_END, 1, [640, 420], [0, 160]),
            mark(m::SHARE_END, 0, [800, 900], [0, 160]),
            mark(m::SHARE_BEGIN, 0, [900, 900], [0, 160]),
        ];
        let found = sections(&marks, 2);
        let names: Vec<String> = found.iter().map(|s| s.what.name()).collect();
        assert_eq!(names, ["shm.1.1", "msg.1.1", "shm.1.2", "msg.1.2"]);
        assert_eq!(found[0].rounds[0].initiator, 10);
        assert_eq!(found[1].rounds[0].initiator, 2);
        assert!(found[2].rounds.is_empty());
        let both = &found[3].rounds;
        assert_eq!(both.len(), 1, "a round that one core did not end is none");
        // One updater: the other core serves.
        assert_eq!(
            (both[0].initiator, both[0].wait),
            ((160 + 480) / 16, 160 / 16)
        );
    }

    #[test]
    fn the_server_is_no_client() {
        let updaters = |how, cores| {
            What {
                how,
                lines: 1,
                cores,
            }
            .updaters()
        };
        let by_message = [16, 2, 1].map(|cores| updaters("msg", cores));
        assert_eq!(by_message, [15, 1, 1]);
        assert_eq!(updaters("shm", 16), 16);
        assert_eq!(order(16).count(), 4 * 5 * 2);
        assert_eq!(order(4).count(), 4 * 3 * 2);
    }
}

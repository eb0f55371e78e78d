//! From marks to the figures of `bench core`. Pure.

use super::marks::{Cost, Mark, cost, pairs};
use abi::marker as m;
use serde::Serialize;

/// One figure: `{board, name, unit, n, min, median, max}` and what stands beside it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Figure {
    /// Machine.
    pub board: String,
    /// Name, as in the documentation.
    pub name: String,
    /// What is counted.
    pub unit: &'static str,
    /// Repetitions.
    pub n: usize,
    /// Smallest.
    pub min: u64,
    /// Middle (lower one of two).
    pub median: u64,
    /// Largest.
    pub max: u64,
    /// Median of the instructions spent waiting for the other core, reported apart.
    pub wait_median: u64,
    /// Median of the instructions that all vCPUs executed meanwhile: the virtual time in ns
    /// under `-icount`, idle jumps left out.
    pub virtual_ns_median: u64,
}

/// Unit of every figure here.
pub const UNIT: &str = "guest instructions";

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}

/// Sums up repetitions; `None` without any. `work` says what of a cost is the figure.
pub fn figure(
    board: &str,
    name: &str,
    costs: &[Cost],
    work: impl Fn(&Cost) -> u64,
) -> Option<Figure> {
    let values: Vec<u64> = costs.iter().map(&work).collect();
    Some(Figure {
        board: board.to_owned(),
        name: name.to_owned(),
        unit: UNIT,
        n: values.len(),
        min: *values.iter().min()?,
        median: median(values.clone()),
        max: *values.iter().max()?,
        wait_median: median(costs.iter().map(|c| c.wait).collect()),
        virtual_ns_median: median(costs.iter().map(|c| c.work() + c.wait + c.others).collect()),
    })
}

/// Costs between each `begin` and the `end` after it, for the vCPUs that executed them,
/// or `begin`'s and `target` where both stand on the initiator.
pub fn between(marks: &[Mark], begin: u16, end: u16, target: Option<usize>) -> Vec<Cost> {
    pairs(marks, begin, end)
        .into_iter()
        .map(|(b, e)| cost(&b.counts, &e.counts, b.cpu, target.unwrap_or(e.cpu)))
        .collect()
}

/// Interruptions of the heartbeat on vCPU `target` during each START…STARTED of `driver`:
/// the instructions of the target and the driver from the last beat before to the first after.
pub fn blackouts(marks: &[Mark], target: usize) -> Vec<Cost> {
    pairs(marks, m::START, m::STARTED)
        .into_iter()
        .filter_map(|(start, _)| {
            marks
                .iter()
                .filter(|beat| beat.number == m::HEARTBEAT && beat.cpu == target)
                .filter_map(|beat| beat.last.as_ref().map(|last| (last, &beat.counts)))
                .find(|(_, now)| now.total[start.cpu] > start.counts.total[start.cpu])
                .map(|(last, now)| cost(last, now, target, start.cpu))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::marks::parse;

    #[test]
    fn a_figure_sums_up_repetitions() {
        let c = |initiator, target| Cost {
            initiator,
            target,
            wait: 5,
            others: 1,
        };
        let f = figure("b", "x", &[c(1, 2), c(10, 2), c(4, 2), c(2, 2)], Cost::work).unwrap();
        assert_eq!((f.n, f.min, f.median, f.max), (4, 3, 4, 12));
        assert_eq!((f.wait_median, f.virtual_ns_median), (5, 10));
        assert_eq!(figure("b", "x", &[], Cost::work), None);
    }

    #[test]
    fn a_blackout_is_the_gap_that_ends_after_the_start() {
        let marks = parse(
            r#"{"m":80,"cpu":1,"n":[10,9000],"wait":[0,0],"last_n":[9,100],"last_wait":[0,0]}
{"m":66,"cpu":0,"n":[100,9500],"wait":[0,0]}
{"m":67,"cpu":0,"n":[900,12000],"wait":[300,0]}
{"m":80,"cpu":1,"n":[950,13000],"wait":[310,0],"last_n":[150,9600],"last_wait":[0,0]}"#,
        )
        .unwrap();
        let found = blackouts(&marks, 1);
        assert_eq!(
            found,
            vec![Cost {
                initiator: 3400,
                target: 490,
                wait: 310,
                others: 0
            }]
        );
    }
}

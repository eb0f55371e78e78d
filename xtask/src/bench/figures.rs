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
    /// What is counted: [`UNIT`] but for a few.
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

/// Unit of most figures.
pub const UNIT: &str = "guest instructions";
/// Unit of what a machine at rest executes.
pub const PER_SECOND: &str = "guest instructions per virtual second";
/// Unit of counted messages.
pub const MESSAGES: &str = "messages between monitors";

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

/// Interruptions of the heartbeat on vCPU `target` by each update: the target's instructions between
/// the two beats around the moment when the driver saw the core stopped, and the driver's from
/// telling the kernel to go until it saw the other one run.
pub fn blackouts(marks: &[Mark], target: usize) -> Vec<Cost> {
    let around = |stopped: &Mark| {
        let moment = stopped.counts.total[stopped.cpu];
        marks
            .iter()
            .filter(|beat| beat.number == m::HEARTBEAT && beat.cpu == target)
            .filter_map(|beat| beat.last.as_ref().map(|last| (last, &beat.counts)))
            .find(|(last, now)| {
                last.total[stopped.cpu] <= moment && now.total[stopped.cpu] >= moment
            })
    };
    let stops = pairs(marks, m::SWITCH, m::STOPPED);
    let starts = pairs(marks, m::SWITCH, m::STARTED);
    let both = stops.into_iter().zip(starts);
    both.filter_map(|((switch, stopped), (_, started))| {
        let (last, now) = around(stopped)?;
        let gap = cost(last, now, target, target);
        let share = cost(&switch.counts, &started.counts, switch.cpu, switch.cpu);
        let all = cost(&switch.counts, &started.counts, switch.cpu, target);
        Some(Cost {
            initiator: share.initiator,
            target: gap.initiator,
            wait: share.wait + gap.wait,
            others: all.others,
        })
    })
    .collect()
}

/// The work of a driver and of vCPU `target`, each between two marks of its own; that of all others meanwhile.
fn of_both(driver: (&Mark, &Mark), its: (&Mark, &Mark), target: usize) -> Cost {
    let (begin, end) = (&driver.0.counts, &driver.1.counts);
    let own = cost(begin, end, driver.0.cpu, driver.0.cpu);
    let far = cost(&its.0.counts, &its.1.counts, target, target);
    Cost {
        initiator: own.initiator,
        target: far.initiator,
        wait: own.wait + far.wait,
        others: cost(begin, end, driver.0.cpu, target).others,
    }
}

/// Each stop of the kernel on vCPU `target`: the driver's instructions from taking up the request until it sees
/// the core in its pen, and the target's from the command on. What the target executes before it is told
/// anything is its programs' own work, of which the emulator's turns decide how much it is.
pub fn stops(marks: &[Mark], target: usize) -> Vec<Cost> {
    let whole = pairs(marks, m::STOP, m::STOPPED).into_iter();
    let commands = || marks.iter().filter(|mark| mark.number == m::SWITCH);
    whole
        .filter_map(|(begin, end)| {
            let at = |mark: &Mark| mark.counts.total[begin.cpu];
            let told = commands().find(|c| (at(begin)..at(end)).contains(&at(c)))?;
            Some(of_both((begin, end), (told, end), target))
        })
        .collect()
}

/// Each start of a kernel on vCPU `target`: the driver's instructions from taking up the request
/// until it sees that the kernel runs, and the target's from then until its first dispatcher runs.
pub fn starts(marks: &[Mark], target: usize) -> Vec<Cost> {
    let begun = |mark: &Mark, at: &Mark| mark.counts.total[at.cpu] > at.counts.total[at.cpu];
    pairs(marks, m::START, m::STARTED)
        .into_iter()
        .filter_map(|(start, started)| {
            let dispatched = marks.iter().find(|mark| {
                mark.number == m::DISPATCHED && mark.cpu == target && begun(mark, start)
            })?;
            Some(of_both((start, started), (start, dispatched), target))
        })
        .collect()
}

/// Each second of rest: what all vCPUs executed.
pub fn rests(marks: &[Mark]) -> Vec<Cost> {
    let all = |m: &Mark| m.counts.total.iter().sum::<u64>();
    let rests = pairs(marks, m::REST_BEGIN, m::REST_END);
    rests
        .into_iter()
        .map(|(begin, end)| Cost {
            initiator: all(end) - all(begin),
            ..Cost::default()
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
    fn a_blackout_is_the_gap_around_the_stop() {
        let marks = parse(
            r#"{"m":80,"cpu":1,"n":[150,9900],"wait":[0,0],"last_n":[90,8000],"last_wait":[0,0]}
{"m":69,"cpu":0,"n":[300,9900],"wait":[0,0]}
{"m":65,"cpu":0,"n":[500,12000],"wait":[120,0]}
{"m":67,"cpu":0,"n":[900,12900],"wait":[310,0]}
{"m":80,"cpu":1,"n":[950,13000],"wait":[310,0],"last_n":[160,9990],"last_wait":[0,0]}
{"m":80,"cpu":1,"n":[990,15000],"wait":[310,0],"last_n":[960,13500],"last_wait":[310,0]}"#,
        )
        .unwrap();
        let found = blackouts(&marks, 1);
        assert_eq!(
            found,
            vec![Cost {
                initiator: 290,
                target: 3010,
                wait: 310,
                others: 0
            }]
        );
    }

    #[test]
    fn a_stop_costs_its_target_nothing_before_it_is_told() {
        let marks = parse(
            r#"{"m":64,"cpu":0,"n":[100,60],"wait":[0,0]}
{"m":69,"cpu":0,"n":[400,7060],"wait":[0,0]}
{"m":65,"cpu":0,"n":[1100,7460],"wait":[300,0]}"#,
        )
        .unwrap();
        assert_eq!(
            stops(&marks, 1),
            vec![Cost {
                initiator: 700,
                target: 400,
                wait: 300,
                others: 0
            }]
        );
    }

    #[test]
    fn a_start_ends_for_each_core_where_its_part_is_done() {
        let marks = parse(
            r#"{"m":68,"cpu":1,"n":[10,50],"wait":[0,0]}
{"m":66,"cpu":0,"n":[100,60],"wait":[0,0]}
{"m":67,"cpu":0,"n":[1100,900],"wait":[300,0]}
{"m":68,"cpu":1,"n":[1200,1060],"wait":[300,0]}"#,
        )
        .unwrap();
        let found = starts(&marks, 1);
        assert_eq!(
            found,
            vec![Cost {
                initiator: 700,
                target: 1000,
                wait: 300,
                others: 0
            }]
        );
    }
}

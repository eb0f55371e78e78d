//! What the figures may be, and what they are to become. Pure.

use super::figures::Figure;

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Median at most so much; the aim.
    Median(u64, u64),
    /// Every repetition exactly 0.
    Never,
    /// Median at most this many percent of another figure's median on the same board.
    Percent(u64, &'static str),
    /// Of so many sharers: median at most that of two, and for each further one a quarter more than the third and
    /// the fourth cost.
    Sharers(u64, &'static str),
}

/// What four cores at rest may execute in a second.
pub const REST: u64 = 100_000;

const BOUNDS: &[(&str, Bound)] = &[
    ("core.stop", Bound::Median(20_000, 3_000)),
    ("core.stop_loaded", Bound::Percent(110, "core.stop")),
    ("core.start_cached", Bound::Median(1_500_000, 300_000)),
    ("core.update_blackout", Bound::Median(1_000_000, 50_000)),
    ("core.third_core", Bound::Never),
    ("syscall.null", Bound::Median(250, 150)),
    ("lmp.one_way", Bound::Median(900, 450)),
    ("ump.one_way", Bound::Median(250, 120)),
    ("boot.prompt", Bound::Median(200_000_000, 50_000_000)),
    ("idle.instructions_per_second", Bound::Median(REST, 10_000)),
    ("ump.wakeup_round_trip", Bound::Median(4_000, 4_000)),
    ("cap.revoke.8", Bound::Sharers(8, "cap.revoke")),
    ("cap.revoke.16", Bound::Sharers(16, "cap.revoke")),
    ("vm.unmap.8", Bound::Sharers(8, "vm.unmap")),
    ("vm.unmap.16", Bound::Sharers(16, "vm.unmap")),
];

/// A figure held against its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What is compared: the median, or the largest where no repetition may be above.
    pub value: u64,
    /// At most this much.
    pub limit: u64,
    /// What it is to become.
    pub aim: u64,
}

impl Judged {
    /// Whether the limit is kept.
    pub fn holds(&self) -> bool {
        self.value <= self.limit
    }

    /// In a word or two.
    pub fn verdict(&self) -> String {
        if self.value <= self.aim {
            return "aim".to_owned();
        }
        if self.holds() {
            return "limit".to_owned();
        }
        let over = self.value - self.limit;
        match over.saturating_mul(100).checked_div(self.limit) {
            Some(percent) => format!("MISSED by {over} ({percent} %)"),
            None => format!("MISSED by {over}"),
        }
    }
}

/// Holds `figure` against its bound; `None` if it has none, or what it is compared with is missing.
pub fn judge(figure: &Figure, all: &[Figure]) -> Option<Judged> {
    let (_, bound) = BOUNDS.iter().find(|(name, _)| *name == figure.name)?;
    let other = |name: &str| {
        let mut all = all.iter();
        all.find(|f| f.board == figure.board && f.name == name)
    };
    let of_median = |limit, aim| Judged {
        value: figure.median,
        limit,
        aim,
    };
    Some(match bound {
        Bound::Median(limit, aim) => of_median(*limit, *aim),
        Bound::Never => Judged {
            value: figure.max,
            limit: 0,
            aim: 0,
        },
        Bound::Percent(percent, name) => {
            let limit = other(name)?.median * percent / 100;
            of_median(limit, limit)
        }
        Bound::Sharers(sharers, name) => {
            let of = |n: u64| other(&format!("{name}.{n}")).map(|f| f.median);
            let (two, four) = (of(2)?, of(4)?);
            let limit = two + (sharers - 2) * four.saturating_sub(two) * 5 / 8;
            of_median(limit, limit)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, median: u64, max: u64) -> Figure {
        Figure {
            board: "b".to_owned(),
            name: name.to_owned(),
            unit: super::super::figures::UNIT,
            n: 20,
            min: 0,
            median,
            max,
            wait_median: 0,
            virtual_ns_median: 0,
        }
    }

    #[test]
    fn a_figure_keeps_its_limit_its_aim_or_neither() {
        let verdict = |median| judge(&figure("syscall.null", median, 9_999), &[]).unwrap();
        assert_eq!(verdict(150).verdict(), "aim");
        assert_eq!(verdict(151).verdict(), "limit");
        assert!(verdict(250).holds());
        assert_eq!(verdict(300).verdict(), "MISSED by 50 (20 %)");
        assert!(!verdict(300).holds());
    }

    #[test]
    fn one_disturbance_of_a_third_core_is_too_many() {
        assert!(
            judge(&figure("core.third_core", 0, 0), &[])
                .unwrap()
                .holds()
        );
        let disturbed = judge(&figure("core.third_core", 0, 7), &[]).unwrap();
        assert_eq!(disturbed.verdict(), "MISSED by 7");
    }

    #[test]
    fn each_further_sharer_may_cost_a_constant() {
        let at = |sixteen| {
            [
                figure("vm.unmap.2", 1_000, 0),
                figure("vm.unmap.4", 1_800, 0),
                figure("vm.unmap.16", sixteen, 0),
            ]
        };
        let holds = |all: [Figure; 3]| judge(&all[2], &all).unwrap().holds();
        assert!(holds(at(8_000)) && !holds(at(8_001)));
        assert_eq!(judge(&at(0)[2], &at(0)[1..]), None);
    }

    #[test]
    fn load_is_compared_with_the_same_board_without() {
        let all = [
            figure("core.stop", 1_000, 0),
            figure("core.stop_loaded", 1_100, 0),
        ];
        assert!(judge(&all[1], &all).unwrap().holds());
        assert!(
            !judge(&figure("core.stop_loaded", 1_101, 0), &all)
                .unwrap()
                .holds()
        );
        assert_eq!(judge(&all[1], &all[1..]), None);
    }
}

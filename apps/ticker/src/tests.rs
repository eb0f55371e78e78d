//! Right and wrong kernels against the books.

use crate::{Fault, Ticks};
use proptest::prelude::*;
use std::string::ToString;

const MS: u64 = 1_000_000;

/// A kernel that ends each wait `lateness` after its time, from `from` on.
fn run(t: &mut Ticks, mut now: u64, count: u64, lateness: u64) -> u64 {
    for _ in 0..count {
        now = now.max(t.due() + lateness);
        t.timed_out(now);
    }
    now
}

#[test]
fn every_tick_once_is_clean() {
    let mut t = Ticks::new(1000, 10 * MS, 200 * MS);
    let now = run(&mut t, 1000, 50, 1000);
    t.interrupted(now + MS);
    let r = t.report(now + MS);
    assert!(r.is_clean(), "{r}");
    assert_eq!(
        (r.delivered, r.due, r.late, r.max_late_ns),
        (50, 50, 0, 1000)
    );
}

#[test]
fn late_ticks_are_delivered_one_by_one_and_counted() {
    let mut t = Ticks::new(0, 10 * MS, 500 * MS);
    let now = run(&mut t, 0, 3, 0);
    // The core was away for 100 ms of OSnode time: the next ticks come in a row.
    let now = run(&mut t, now + 100 * MS, 12, 0);
    let r = t.report(now);
    assert!(r.is_clean(), "{r}");
    assert_eq!((r.delivered, r.late, r.max_late_ns), (15, 9, 90 * MS));
}

#[test]
fn a_dropped_tick_is_found_and_stays_found() {
    let mut t = Ticks::new(0, 10 * MS, 200 * MS);
    let now = run(&mut t, 0, 5, 0);
    // The time-out of tick 5 is swallowed; the process next runs because of a message.
    t.interrupted(now + 10 * MS + 201 * MS);
    t.interrupted(now + 10 * MS + 202 * MS);
    // Waiting again gives all missing ticks at once, but the fault stays.
    let now = run(&mut t, now + 212 * MS, 21, 0);
    let r = t.report(now);
    assert_eq!((r.delivered, r.faults), (26, 1));
    assert!(
        r.to_string()
            .contains("tick 5 was not delivered 201000000 ns after it was due"),
        "{r}"
    );
}

#[test]
fn a_doubled_tick_is_found() {
    let mut t = Ticks::new(0, 10 * MS, 200 * MS);
    let now = run(&mut t, 0, 5, 0);
    t.timed_out(now);
    let r = t.report(now);
    assert_eq!(
        (r.delivered, r.first_fault),
        (5, Some(Fault::Early(5, 10 * MS)))
    );
    assert!(!r.is_clean());
}

#[test]
fn time_that_goes_back_is_found() {
    let mut t = Ticks::new(0, 10 * MS, 200 * MS);
    let now = run(&mut t, 0, 5, 2000);
    t.interrupted(now - 1);
    assert_eq!(
        t.report(now).first_fault,
        Some(Fault::TimeWentBack(now, now - 1))
    );
}

proptest! {
    /// Against the obvious model: whatever the delays below the grace, the ticks are all there;
    /// one swallowed time-out anywhere is a fault.
    #[test]
    fn any_delays_are_clean_and_any_drop_is_not(
        delays in prop::collection::vec(0..190 * MS, 1..60), drop_at in any::<prop::sample::Index>(), drops: bool,
    ) {
        let at = drop_at.index(delays.len());
        let mut t = Ticks::new(77, 10 * MS, 200 * MS);
        let mut now = 77;
        let mut given = 0;
        for (i, d) in delays.iter().enumerate() {
            if drops && i == at {
                now = now.max(t.due()) + 201 * MS;
                t.interrupted(now);
                continue;
            }
            now = now.max(t.due() + d);
            t.timed_out(now);
            given += 1;
        }
        let r = t.report(now);
        prop_assert_eq!(r.delivered, given);
        prop_assert_eq!(r.is_clean(), !drops);
    }
}

//! The table, the words, the supervisor.

mod books;
mod records;

use crate::*;
use proptest::prelude::*;
use proto::iface::spawn::{ProcessState, Restart, ServiceState};
use std::string::String;
use std::vec;
use std::vec::Vec;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

#[test]
fn a_process_lives_and_is_remembered() {
    let mut t = Table::new();
    let a = t.add(words("ticker 5"));
    let b = t.add(words("ticker"));
    t.started(a, 4096);
    assert_eq!(t.named("ticker"), Err(NameError::Several(2)));
    t.ended(b, ProcessState::Faulted, 0, "page fault".into());
    t.ended(b, ProcessState::Killed, 0, "again".into());
    assert_eq!(t.named("ticker"), Ok(a));
    assert_eq!(t.named("churn"), Err(NameError::Unknown));
    let e = t.get(b).expect("remembered");
    assert_eq!(
        (e.state, e.report.as_str()),
        (ProcessState::Faulted, "page fault")
    );
    assert_eq!(t.next(0).map(|(n, e)| (n, e.memory)), Some((a, 4096)));
    assert_eq!(t.next(b), None);
    assert_eq!(t.next(u64::MAX), None);
    t.remove(a);
    assert!(t.add(words("x")) > b, "numbers are not reused");
}

#[test]
fn old_ended_processes_are_forgotten() {
    let mut t = Table::new();
    let live = t.add(words("stays"));
    for _ in 0..100 {
        let n = t.add(words("short"));
        t.ended(n, ProcessState::Exited, 0, String::new());
    }
    assert!(t.get(live).is_some());
    let mut count = 0;
    let mut at = 0;
    while let Some((n, _)) = t.next(at) {
        at = n;
        count += 1;
    }
    assert_eq!(count, 17);
}

const SECOND: u64 = 1_000_000_000;

fn rules(restart: Restart, most: u32) -> Rules {
    Rules {
        restart,
        most,
        within_ns: 10 * SECOND,
    }
}

#[test]
fn each_policy_restarts_after_its_ends() {
    let ends = [End::Exited(0), End::Exited(1), End::Faulted, End::Killed];
    for (restart, again) in [
        (Restart::Never, [false; 4]),
        (Restart::OnFailure, [false, true, true, true]),
        (Restart::Always, [true; 4]),
    ] {
        for (end, again) in ends.into_iter().zip(again) {
            let mut s = Supervisor::new();
            let service = s.enter(rules(restart, 3), 7);
            let verdict = match again {
                true => Verdict::Again {
                    service,
                    pause_ns: 0,
                },
                false => Verdict::Finished { service },
            };
            assert_eq!(s.ended(7, end, 0), verdict, "{restart:?} {end:?}");
            assert_eq!(s.ended(8, end, 0), Verdict::Unsupervised);
        }
    }
}

#[test]
fn the_osnode_ends_with_what_is_vital() {
    for end in [End::Exited(0), End::Exited(1), End::Faulted] {
        let mut s = Supervisor::new();
        s.enter(rules(Restart::Vital, 3), 7);
        s.enter(rules(Restart::Always, 3), 8);
        assert!(s.is_vital(7) && !s.is_vital(8) && !s.is_vital(9));
        assert_eq!(s.ended(7, end, 0), Verdict::Fatal);
    }
}

#[test]
fn too_many_ends_in_a_period_are_given_up() {
    let mut s = Supervisor::new();
    let service = s.enter(rules(Restart::Always, 3), 1);
    let mut pauses = vec![];
    for n in 1..=3 {
        match s.ended(n, End::Faulted, n * SECOND) {
            Verdict::Again { pause_ns, .. } => pauses.push(pause_ns),
            other => panic!("{other:?}"),
        }
        s.restarted(service, n + 1);
    }
    assert_eq!(pauses, [0, 10_000_000, 20_000_000]);
    assert_eq!(
        s.ended(4, End::Killed, 4 * SECOND),
        Verdict::GivenUp { service }
    );
    assert_eq!(
        s.get(service).map(|s| (s.state, s.restarts)),
        Some((ServiceState::GivenUp, 3))
    );
    assert_eq!(s.ended(4, End::Killed, 5 * SECOND), Verdict::Unsupervised);
    // Whoever wants it all the same gets it with all that it had, and may lose it as often again.
    assert_eq!(s.revive(service), Some(4));
    assert_eq!(s.revive(service), None);
    s.restarted(service, 5);
    let again = s.ended(5, End::Killed, 5 * SECOND);
    assert!(matches!(again, Verdict::Again { pause_ns: 0, .. }));
}

#[test]
fn old_ends_are_forgotten() {
    let mut s = Supervisor::new();
    let service = s.enter(rules(Restart::Always, 1), 1);
    for n in 1..100 {
        let verdict = s.ended(n, End::Faulted, n * 11 * SECOND);
        assert!(matches!(verdict, Verdict::Again { pause_ns: 0, .. }), "{n}");
        s.restarted(service, n + 1);
    }
}

#[test]
fn no_rules_allow_restarts_without_end() {
    let mut s = Supervisor::new();
    let rules = Rules {
        restart: Restart::Always,
        most: u32::MAX,
        within_ns: 0,
    };
    let service = s.enter(rules, 1);
    let (mut now, mut number) = (0, 1);
    while let Verdict::Again { pause_ns, .. } = s.ended(number, End::Faulted, now) {
        now += pause_ns;
        number += 1;
        s.restarted(service, number);
        assert!(
            now >= number.saturating_sub(10) * SECOND / 8,
            "{number} by {now}"
        );
        if number > 100 {
            break;
        }
    }
}

#[test]
fn who_is_released_stays_ended() {
    let mut s = Supervisor::new();
    let service = s.enter(rules(Restart::Always, 1), 1);
    assert_eq!(s.of(1).map(|(id, _)| id), Some(service));
    assert_eq!(s.release(1), Some(service));
    assert_eq!(s.release(1), None);
    assert_eq!(s.ended(1, End::Killed, 0), Verdict::Unsupervised);
}

proptest! {
    /// Never more restarts in any period than the rules allow.
    #[test]
    fn restarts_keep_to_their_intensity(
        steps in proptest::collection::vec(0..4 * SECOND, 1..60),
        most in 0..6u32,
    ) {
        let rules = rules(Restart::Always, most);
        let mut s = Supervisor::new();
        let service = s.enter(rules, 1);
        let (mut now, mut times, mut number) = (0, vec![], 1);
        for step in steps {
            now += step;
            match s.ended(number, End::Faulted, now) {
                Verdict::Again { .. } => times.push(now),
                Verdict::GivenUp { .. } => break,
                other => prop_assert!(false, "{other:?}"),
            }
            number += 1;
            s.restarted(service, number);
            let period = times.iter().filter(|t| **t >= now.saturating_sub(rules.within_ns));
            prop_assert!(period.count() <= most as usize);
        }
        prop_assert!(most <= MAX_RESTARTS);
    }
}

#[test]
fn an_account_without_a_process_is_found() {
    let set = |all: &[u32]| all.iter().copied().collect();
    let held = [(1, 4096), (2, 0)].into();
    let check = |before: &[u32], after: &[u32]| fit_together(&set(before), &held, &set(after));
    assert_eq!(check(&[1, 2], &[1, 2]), Ok(()));
    // One ended, and another began, while the memory server was asked.
    assert_eq!(check(&[1, 3], &[1, 2]), Ok(()));
    assert_eq!(check(&[2], &[2]), Err(Misfit::NoProcess(4096, 1)));
    assert_eq!(check(&[1, 2, 3], &[1, 2, 3]), Err(Misfit::NoAccount(3)));
}

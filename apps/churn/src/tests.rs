//! The checks find what they are for.

use crate::fpu::{EXPECTED, ROUNDS, digest, work};
use crate::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn fpu_work_has_the_recorded_result() {
    for (k, want) in EXPECTED.iter().enumerate() {
        let got = digest(work(k as f64, ROUNDS));
        assert_eq!(got, *want, "seed {k}: {got:#018x}");
    }
    assert_ne!(digest(work(0.0, ROUNDS - 1)), EXPECTED[0]);
}

#[test]
fn a_rally_without_faults() {
    let (mut r, mut p) = (Rally::new(), Peer::new());
    for n in 0..1000 {
        let ball = r.serve(10 * n);
        let back = p.hit(Ball::from_words(ball.words()));
        r.returned(back, 10 * n + 5);
    }
    assert_eq!((r.check(10_000, 100), p.fault()), (None, None));
    assert_eq!((r.count(), p.count(), r.slowest_ns()), (1000, 1000, 5));
}

#[test]
fn a_lost_wake_up_shows() {
    let mut r = Rally::new();
    r.serve(0);
    assert_eq!(r.check(100, 100), None);
    let fault = r.check(101, 100).expect("too long");
    assert!(
        fault
            .to_string()
            .contains("ball 0 is unanswered after 101 ns")
    );
    assert_eq!(r.check(5, 100), Some(fault), "a fault stays");
}

proptest! {
    /// One lost, doubled or damaged ball anywhere is seen by one side.
    #[test]
    fn one_bad_ball_shows(at in 0u64..50, kind in 0..4, bit in 0u32..64, word in 0usize..3) {
        let (mut r, mut p) = (Rally::new(), Peer::new());
        for n in 0..52 {
            let ball = r.serve(n);
            if n != at {
                let b = p.hit(ball);
                r.returned(b, n);
                continue;
            }
            let damaged = |b: Ball| { let mut w = b.words(); w[word] ^= 1 << bit; Ball::from_words(w) };
            let back = match kind {
                0 => p.hit(damaged(ball)),
                1 => damaged(p.hit(ball)),
                2 => { p.hit(ball); p.hit(ball) }
                _ => ball, // echoed by somebody else
            };
            r.returned(back, n);
        }
        prop_assert!(r.check(100, 1000).is_some() || p.fault().is_some());
    }

    /// The model against a second one, kept as naive as possible: reachability by parent links.
    #[test]
    fn revoke_leaves_exactly_the_unrelated(seed: u64, steps in 1usize..400) {
        let mut random = Random::new(seed);
        let mut m = CapModel::new(24, 64 * 4096);
        for _ in 0..steps {
            let before: Vec<_> = (0..24).map(|i| m.view(i)).collect();
            let op = m.choose(&mut random);
            let done = m.apply(op);
            let after: Vec<_> = (0..24).map(|i| m.view(i)).collect();
            if !done {
                prop_assert_eq!(&before, &after, "a refused operation changed something");
                continue;
            }
            match op {
                CapOp::Revoke { at } => {
                    let root = before[at].expect("held something");
                    prop_assert_eq!(after[at], Some(root));
                    for i in (0..24).filter(|i| *i != at) {
                        let Some(v) = before[i] else { continue };
                        let inside = v.offset >= root.offset && v.offset + v.bytes <= root.offset + root.bytes;
                        if !inside { prop_assert_eq!(after[i], before[i]); }
                        if at == 0 { prop_assert_eq!(after[i], None); }
                    }
                }
                CapOp::Retype { to, .. } => {
                    // No two live things overlap unless one contains the other.
                    let a = after[to].expect("made");
                    for v in after.iter().flatten() {
                        let apart = a.offset + a.bytes <= v.offset || v.offset + v.bytes <= a.offset;
                        let nested = (a.offset >= v.offset && a.offset + a.bytes <= v.offset + v.bytes)
                            || (v.offset >= a.offset && v.offset + v.bytes <= a.offset + a.bytes);
                        prop_assert!(apart || nested);
                    }
                }
                CapOp::Delete { at } => prop_assert_eq!(after[at], None),
                CapOp::Move { from, to } => { prop_assert_eq!(after[to], before[from]); prop_assert_eq!(after[from], None); }
                CapOp::Mint { from, to, rights } => {
                    let had = before[from].map_or(0, |v| v.rights);
                    prop_assert_eq!(after[to].map(|v| v.rights), Some(rights & had));
                    prop_assert_eq!(after[from], before[from]);
                }
            }
        }
    }
}

#[test]
fn mismatches_are_named() {
    let m = CapModel::new(4, 4096);
    let op = CapOp::Delete { at: 1 };
    assert_eq!(CapModel::compare(op, false, false), Ok(()));
    let e = CapModel::compare(op, false, true)
        .expect_err("differs")
        .to_string();
    assert!(e.contains("was done, not refused"), "{e}");
    assert!(m.compare_slot(1, m.view(0)).is_err());
    assert_eq!(m.compare_slot(0, m.view(0)), Ok(()));
}

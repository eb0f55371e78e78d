//! The model against itself: what it allows, what it does not, and that it notices what goes wrong.

use alloc::vec::Vec;

use abi::SysError;

use super::judge::orders;
use super::{Outcome, Pool, Seen, Step, WORDS, Who};
use crate::Random;

const DONE: Outcome = Outcome::Done([0; WORDS]);

fn allocated(base: u64) -> Outcome {
    Outcome::Done([base, 0, 0])
}

fn seen(who: Who, step: Step, outcome: Outcome) -> Seen {
    Seen { who, step, outcome }
}

/// 0 has Ram of pages 8 to 15 as number 1, 1 has a Frame of the pages 10 and 11 as number 2.
fn two() -> Pool {
    let mut pool = Pool::default();
    let steps = [
        (0, Step::Alloc { to: 1, pages: 8 }),
        (
            0,
            Step::Retype {
                from: 1,
                to: 9,
                ram: false,
                first: 2,
                pages: 2,
            },
        ),
        (
            0,
            Step::Give {
                from: 9,
                peer: 1,
                to: 2,
            },
        ),
    ];
    for (who, step) in steps {
        let outcome = pool.apply(who, &step, &allocated(8));
        assert!(matches!(outcome, Outcome::Done(_)), "{step:?}");
    }
    pool
}

#[test]
fn what_is_made_is_in_the_way_until_it_goes() {
    let mut pool = two();
    let again = |to| Step::Retype {
        from: 1,
        to,
        ram: true,
        first: 1,
        pages: 2,
    };
    let refused = Outcome::Refused(SysError::Overlaps);
    assert_eq!(pool.apply(0, &again(3), &DONE), refused);
    assert_eq!(pool.apply(1, &Step::Map { from: 2 }, &DONE), DONE);
    assert_eq!(pool.apply(1, &Step::Delete { from: 2 }, &DONE), DONE);
    assert_eq!(pool.apply(0, &again(3), &DONE), refused, "it is mapped");
    assert_eq!(pool.apply(1, &Step::Unmap { from: 2 }, &DONE), DONE);
    assert_eq!(pool.apply(0, &again(3), &DONE), DONE);
}

#[test]
fn a_revoke_leaves_one() {
    let mut pool = two();
    for step in [
        Step::Send {
            from: 1,
            peer: 2,
            to: 3,
        },
        Step::Copy { from: 1, to: 4 },
    ] {
        assert_eq!(pool.apply(0, &step, &DONE), DONE);
    }
    assert_eq!(pool.apply(1, &Step::Map { from: 2 }, &DONE), DONE);
    assert_eq!(pool.apply(2, &Step::Revoke { from: 3 }, &DONE), DONE);
    let left = pool.holdings();
    assert_eq!(left.caps.keys().copied().collect::<Vec<_>>(), [(2, 3)]);
    assert!(left.maps.is_empty());
}

#[test]
fn words_stay_until_the_memory_is_made_anew() {
    let mut pool = two();
    let (map, page) = (Step::Map { from: 2 }, 1);
    let write = Step::Write {
        from: 2,
        page,
        value: 77,
    };
    let read = Step::Read { from: 2, page };
    assert_eq!(pool.apply(1, &map, &DONE), DONE);
    assert_eq!(pool.apply(1, &write, &DONE), DONE);
    let words = Outcome::Done([0, 77, 0]);
    assert_eq!(pool.apply(1, &read, &words), words);
    assert_eq!(pool.apply(0, &Step::Revoke { from: 1 }, &DONE), DONE);
    let anew = Step::Retype {
        from: 1,
        to: 5,
        ram: false,
        first: 3,
        pages: 1,
    };
    assert_eq!(pool.apply(0, &anew, &DONE), DONE);
    assert_eq!(pool.apply(0, &Step::Map { from: 5 }, &DONE), DONE);
    let read = Step::Read { from: 5, page: 0 };
    assert_eq!(pool.apply(0, &read, &DONE), DONE);
}

#[test]
fn some_order_explains_a_round_or_none_does() {
    let pool = two();
    let revoke = seen(0, Step::Revoke { from: 1 }, DONE);
    let copy = Step::Copy { from: 2, to: 3 };
    let after = {
        let mut after = pool.clone();
        after.apply(0, &revoke.step, &DONE);
        after
    };
    let gone = Outcome::Refused(SysError::NoCapability);
    for outcome in [DONE, gone] {
        let verdict = pool.judge(&[revoke, seen(1, copy, outcome)], &after.holdings());
        assert_eq!(verdict.unwrap().pool.holdings(), after.holdings());
    }
    // What outlives its revoke is noticed, and so is what was lost.
    let mut alive = after.clone();
    alive.caps.insert((1, 3), pool.caps[&(1, 2)]);
    let round = [revoke, seen(1, copy, DONE)];
    assert!(pool.judge(&round, &alive.holdings()).is_err());
    let lost = Pool::default();
    assert!(pool.judge(&round, &lost.holdings()).is_err());
    // So is what is refused for no reason, unless another time may help.
    let odd = Outcome::Refused(SysError::NoRight);
    let round = [seen(1, copy, odd)];
    assert!(pool.judge(&round, &pool.holdings()).is_err());
    let later = Outcome::Refused(SysError::TryLater);
    let verdict = pool.judge(&[seen(1, copy, later)], &pool.holdings());
    assert_eq!(verdict.unwrap().again, [0]);
}

#[test]
fn what_is_allocated_is_nobodys() {
    let pool = two();
    let step = Step::Alloc { to: 5, pages: 1 };
    let mut free = pool.clone();
    assert_eq!(free.apply(2, &step, &allocated(16)), allocated(16));
    let round = [seen(2, step, allocated(11))];
    assert!(pool.judge(&round, &pool.holdings()).is_err());
}

#[test]
fn orders_are_all_of_them() {
    for (count, expected) in [(0, 1), (1, 1), (2, 2), (3, 6)] {
        let mut all = orders(count);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), expected);
    }
}

/// Random histories of the model itself, in which three steps at a time are explained by the order that they had.
#[test]
fn random_histories_are_explained() {
    let mut random = Random::new(5);
    let (mut pool, mut used) = (Pool::default(), 0);
    let (mut page, mut done, mut refused) = (0, 0, 0);
    for _ in 0..3000 {
        let choice = pool.choice(&mut random);
        let steps: Vec<(Who, Step)> = (0..3)
            .map(|who| {
                let peers = [(who + 1) % 3, (who + 2) % 3];
                (
                    who,
                    pool.choose(&mut random, who, &peers, &choice, &mut used),
                )
            })
            .collect();
        let mut after = pool.clone();
        let mut round = Vec::new();
        let first = random.below(3) as usize;
        for k in 0..3 {
            let (who, step) = steps[(first + k) % 3];
            page += 100;
            let outcome = after.apply(who, &step, &allocated(page));
            match outcome {
                Outcome::Done(_) => done += 1,
                Outcome::Refused(_) => refused += 1,
            }
            round.push(seen(who, step, outcome));
        }
        round.rotate_left(random.below(3) as usize);
        let verdict = pool.judge(&round, &after.holdings()).unwrap();
        assert!(verdict.again.is_empty(), "{round:?}");
        pool = verdict.pool;
    }
    assert!(
        done > 3000 && refused > 100,
        "{done} done, {refused} refused"
    );
}

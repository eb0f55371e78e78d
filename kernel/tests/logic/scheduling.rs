//! Who gets the core: whoever waited has it soon, and whoever computes is not starved by those.

use capfmt::{DCB_BYTES, Dcb, PhysAddr};
use kernel::{Arrival, FairShare, Policy, RoundRobin, TIME_SLICE_NS};
use model::Arena;
use proptest::prelude::*;

const BASE: u64 = 1 << 20;

/// Memory with `n` dispatchers without a budget, and a policy with nobody queued.
fn some<P: Policy>(n: u64) -> (Arena, Vec<Dcb>, P) {
    let dcbs = (0..n).map(|k| Dcb(PhysAddr(BASE + k * DCB_BYTES)));
    (Arena::new(BASE, n * DCB_BYTES), dcbs.collect(), P::new())
}

/// Two compute; a request goes from one dispatcher to the next, each of which waits again at once.
fn a_request_passes_who_computes<P: Policy>() {
    let (mut m, dcbs, mut policy) = some::<P>(6);
    for dcb in &dcbs[..2] {
        policy.enqueue(&mut m, *dcb, 0, Arrival::Turn(TIME_SLICE_NS));
    }
    for arrival in [Arrival::Inside, Arrival::Outside] {
        for dcb in &dcbs[2..] {
            policy.enqueue(&mut m, *dcb, 1000, arrival);
            let picked = policy.pick(&mut m, 1000).expect("three are queued");
            assert_eq!(picked.dcb, *dcb, "{arrival:?}");
            policy.charge(&mut m, *dcb, 3000);
        }
    }
    let next = policy.pick(&mut m, 30_000).map(|picked| picked.dcb);
    assert_eq!(next, Some(dcbs[0]), "then they have their turns");
}

#[test]
fn a_request_passes_who_computes_in_both_policies() {
    a_request_passes_who_computes::<RoundRobin>();
    a_request_passes_who_computes::<FairShare>();
}

/// What a dispatcher does with the core: computes on, or waits after so many nanoseconds and is woken at once.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Computes,
    Waits(u64, Arrival),
}

fn habit() -> impl Strategy<Value = Habit> {
    let arrival = prop_oneof![Just(Arrival::Inside), Just(Arrival::Outside)];
    let waits = (1000..3 * TIME_SLICE_NS, arrival).prop_map(|(ns, a)| Habit::Waits(ns, a));
    let short = Just(Habit::Waits(5000, Arrival::Inside));
    prop_oneof![2 => Just(Habit::Computes), 1 => waits, 1 => short]
}

/// Longest time, in slices for each dispatcher there is, that one of them was in the queue.
fn longest_wait<P: Policy>(habits: &[Habit]) -> u64 {
    let n = habits.len() as u64;
    let (mut m, dcbs, mut policy) = some::<P>(n);
    let mut since = vec![0; habits.len()];
    for dcb in &dcbs {
        policy.enqueue(&mut m, *dcb, 0, Arrival::Inside);
    }
    let (mut now, mut longest) = (0, 0);
    while now < 60 * n * TIME_SLICE_NS {
        let picked = policy.pick(&mut m, now).expect("all are queued");
        let who = ((picked.dcb.0.0 - BASE) / DCB_BYTES) as usize;
        longest = longest.max(now - since[who]);
        let (ran, arrival) = match habits[who] {
            Habit::Waits(ns, arrival) if ns <= picked.slice_ns => (ns, arrival),
            _ => (picked.slice_ns, Arrival::Turn(picked.slice_ns)),
        };
        now += ran;
        policy.charge(&mut m, picked.dcb, ran);
        policy.enqueue(&mut m, picked.dcb, now, arrival);
        since[who] = now;
    }
    let never = since.iter().map(|since| now - since).max().unwrap_or(0);
    longest.max(never).div_ceil(n * TIME_SLICE_NS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// First turns and turns alternate, and each of either is over after its slice: whoever is in the queue has the
    /// core before twice as much time has passed as slices for all would take, and some first turns.
    #[test]
    fn nobody_starves(habits in prop::collection::vec(habit(), 1..12)) {
        let round_robin = longest_wait::<RoundRobin>(&habits);
        prop_assert!(round_robin <= 3, "round robin: {round_robin}");
        let fair_share = longest_wait::<FairShare>(&habits);
        prop_assert!(fair_share <= 3, "fair share: {fair_share}");
    }
}

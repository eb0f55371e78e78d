//! A kernel that dies at any write, in a step or in the attach after it, loses at most the system call in
//! progress: whoever adopts the KCB finds everything as before it or as after it, and the caller is told.

mod death;
mod every;
mod reclaim;

use crate::support::check::check_all;
use crate::support::machine::TestMachine;
use crate::support::many::{prepare, random_event, world};
use crate::support::world::{DCB, KCB, World};
use abi::{Op, Syscall, slots};
use capfmt::{CapType, Cte, DcbState, mdb};
use death::{Before, adopted, check_death, dies, tell_only_surprises};
use kernel::{Event, FairShare, Next, Policy, RoundRobin};
use model::{Rng, scaled};

fn run<P: Policy>(seed: u64, steps: u64) {
    tell_only_surprises();
    let mut r = Rng::new(seed);
    let mut w = world::<P>();
    let mut deaths = 0;
    for k in 0..steps {
        if k % 60 == 59 {
            w = world::<P>();
        }
        // The state from which all begins is one that was just adopted.
        w = World::adopt(w.m);
        let event = random_event(&mut w, &mut r);
        let b = Before::of(&mut w, event);
        let mut n = r.below(3);
        while check_death::<P>(&b, n, Some(&mut r)) {
            deaths += 1;
            n += 1 + r.below(4);
        }
        prepare(&mut w, &mut r);
    }
    assert!(deaths > steps, "too few deaths to mean anything: {deaths}");
}

#[test]
fn death_at_any_store_of_std() {
    run::<RoundRobin>(11, scaled(1500));
}

#[test]
fn death_at_any_store_of_trace() {
    run::<FairShare>(12, scaled(500));
}

/// Dies again and again inside one revoke; it ends all the same, and completely.
#[test]
fn a_revoke_survives_any_number_of_deaths() {
    tell_only_surprises();
    let mut w = World::<RoundRobin>::new(0x80_0000);
    let root = u64::from(slots::ROOT_CNODE.0);
    for k in 0..3 {
        let to = abi::CapAddr::new(1, 60 * k);
        w.make(CapType::Frame, 0, 0x10_0000 * u64::from(k), 0x1000, 60, to);
        w.make(
            CapType::CNode,
            4,
            0x40_0000 + 0x1000 * u64::from(k),
            0,
            2,
            abi::CapAddr::new(1, 200 + 2 * k),
        );
    }
    let before = w.check();
    let mut regs = [0; 8];
    regs[0] = (Op::Revoke as u64) << 8;
    regs[1] = root;
    regs[2] = u64::from(slots::RAM.0);
    let first = w.enter(regs);
    assert_eq!(first.next, Next::Idle, "one entry is not enough for it");
    let mut m = w.m;
    let mut deaths = 0;
    let mut r = Rng::new(3);
    while KCB.op_kind(&m) != 0 {
        if dies::<RoundRobin>(&mut m, Event::Timer, 10 + r.below(150)) {
            deaths += 1;
        }
        check_all(&m_after(&m));
    }
    assert!(deaths > 5);
    let m = adopted::<RoundRobin>(&m);
    let left = mdb::check_invariants(&m, KCB).expect("sound").caps;
    assert_eq!(left, before - 186);
    assert!(KCB.op_adopted(&m) > 5 && KCB.rollbacks(&m) > 0);
    let ram = Cte(crate::support::world::TASK.add(64 * 64)).cap(&m);
    assert_eq!(ram.kind, CapType::Ram);
}

fn m_after(m: &TestMachine) -> TestMachine {
    adopted::<RoundRobin>(m)
}

/// Whoever waits for a notification gets it, however far the kernel came that was told of it.
#[test]
fn a_notification_survives_death_at_any_store() {
    tell_only_surprises();
    let mut w = World::<RoundRobin>::new(0x80_0000);
    w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    let forever = [Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0];
    assert_eq!(w.enter(forever).next, Next::Idle);
    let waits = |m: &TestMachine| DCB.state(m) == DcbState::Waiting as u64;
    assert!(waits(&w.m));
    for deaths in 0.. {
        let mut m = w.m.clone();
        if !death::dies_notified::<RoundRobin>(&mut m, deaths) {
            assert!(deaths > 4, "too few deaths to mean anything: {deaths}");
            return;
        }
        let found = adopted::<RoundRobin>(&m);
        assert!(!waits(&found), "asleep after a death at store {deaths}");
    }
}

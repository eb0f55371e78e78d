//! A kernel that dies at any write, in a step or in the attach after it, loses at most the system call in
//! progress: whoever adopts the KCB finds everything as before it or as after it, and the caller is told.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use abi::{Op, SysError, slots};
use capfmt::{CapType, Cte, DCB_ENDPOINTS, Dcb, DcbState, Kcb, PhysAddr, PhysMap, mdb};
use kernel::{Event, FairShare, Machine, Next, Policy, RoundRobin, attach, step, system_call};
use model::{Crash, Rng, scaled};
use support::check::{check_all, mappings};
use support::machine::TestMachine;
use support::many::{prepare, random_event, world};
use support::world::{IDENTITY, KCB, World, live_area};

/// All of an OSnode that users can tell apart, but for counters of time and calls.
fn fingerprint(m: &TestMachine) -> Vec<u64> {
    let mut all = Vec::new();
    for (cte, cap) in check_all(m) {
        all.push(cte.0.0);
        all.extend(cap.emit().0);
        let node = cte.node(m);
        all.extend([u64::from(node.flags.0), u64::from(node.owner)]);
        if cap.kind == CapType::VNode {
            all.extend((0..1024).map(|k| m.load(cap.base.add(8 * k))));
        }
    }
    let mut at = KCB.dcb_head(m);
    while at != 0 {
        let d = Dcb(PhysAddr(at));
        at = d.next(m);
        let waiting = d.state(m) == DcbState::Waiting as u64;
        let wait = if waiting {
            [d.wait_for(m), d.wake_at_ns(m)]
        } else {
            [0; 2]
        };
        all.extend([d.0.0, d.id(m), d.state(m), d.flags(m)]);
        all.extend(wait);
        all.extend([
            d.notify_pending(m),
            d.notify_word(m),
            d.sched_class(m),
            d.budget_ns(m),
        ]);
        all.extend((0..4 * DCB_ENDPOINTS).map(|k| d.endpoint_word(m, k)));
    }
    all.push(KCB.next_id(m));
    all.extend((0..128).map(|k| KCB.irq_word(m, k)));
    all.extend((0..64).map(|k| KCB.notify_binding(m, k)));
    all
}

fn adopted<P: Policy>(m: &TestMachine) -> TestMachine {
    World::<P>::adopt(m.clone()).m
}

/// Runs `event` on what stands in `m` with death after `n` stores; whether it died.
fn dies<P: Policy>(m: &mut TestMachine, event: Event, n: u64) -> bool {
    let end = catch_unwind(AssertUnwindSafe(|| {
        let mut os = attach::<_, P>(m, KCB.0, IDENTITY).expect("adopted before");
        step(&mut os, m, Event::Idle);
        m.arena.crash_after(Some(n));
        match event {
            Event::Syscall => drop(system_call(&mut os, m)),
            _ => drop(step(&mut os, m, event)),
        }
    }));
    m.arena.crash_after(None);
    match end {
        Ok(()) => false,
        Err(p) if p.is::<Crash>() => true,
        Err(p) => std::panic::resume_unwind(p),
    }
}

/// Lets attach itself die now and then before it succeeds.
fn attach_dies<P: Policy>(m: &mut TestMachine, r: &mut Rng) {
    for _ in 0..r.below(3) {
        m.arena.crash_after(Some(r.below(150)));
        let end = catch_unwind(AssertUnwindSafe(|| {
            attach::<_, P>(m, KCB.0, IDENTITY).is_ok()
        }));
        m.arena.crash_after(None);
        if let Err(p) = end {
            assert!(p.is::<Crash>(), "attach panicked for another reason");
        }
    }
}

struct Before {
    machine: TestMachine,
    event: Event,
    caller: Option<(Dcb, PhysAddr)>,
    fingerprint: Vec<u64>,
    after: Vec<u64>,
    /// It may stop anywhere between before and after.
    long: bool,
}

/// Where before, after and found differ.
fn differences(b: &Before, found: &[u64]) -> Vec<(usize, u64, u64, u64)> {
    let at = |v: &[u64], i: usize| v.get(i).copied().unwrap_or(0xdead);
    (0..found.len())
        .map(|i| (i, at(&b.fingerprint, i), at(&b.after, i), at(found, i)))
        .filter(|(_, b, a, f)| b != f || a != f)
        .take(12)
        .collect()
}

/// Checks one death.
fn check_death<P: Policy>(b: &Before, n: u64, r: &mut Rng) -> bool {
    let mut m = b.machine.clone();
    if !dies::<P>(&mut m, b.event, n) {
        return false;
    }
    let lost = KCB.current_dcb(&m) & Kcb::IN_SYSCALL != 0;
    // Each attach makes a synthetic interrupt per binding: with more of them, more messages wait.
    let attach_too = r.one_in(3);
    if attach_too {
        attach_dies::<P>(&mut m, r);
    }
    let m = adopted::<P>(&m);
    let found = fingerprint(&m);
    mappings(&m, &check_all(&m));
    if lost {
        let (dcb, page) = b.caller.expect("a caller");
        assert_eq!(dcb.state(&m), DcbState::Runnable as u64, "store {n}");
        let area = live_area(&b.machine, page);
        let r0 = m.load(area.add(TestMachine::SYSCALL_REGS[0]));
        assert_eq!(r0, SysError::KernelRestarted as u64, "store {n}");
    }
    if !b.long && !attach_too {
        let same = found == b.fingerprint || (!lost && found == b.after);
        assert!(
            same,
            "{:?} with {:x?}: death at store {n} (lost: {lost}) left something else, before -> after -> found: {:x?}",
            b.event,
            b.caller.map(|(_, page)| {
                let area = live_area(&b.machine, page);
                TestMachine::SYSCALL_REGS.map(|o| b.machine.load(area.add(o)))
            }),
            differences(b, &found)
        );
    }
    true
}

fn tell_only_surprises() {
    let old = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Crash>() {
            old(info);
        }
    }));
}

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
        let caller = match w.last.next {
            Next::Run { dcb, page, .. } => Some((Dcb(dcb), page)),
            _ => None,
        };
        if KCB.op_kind(&w.m) == 0 {
            // So that an operation that begins and ends in one entry shows.
            KCB.set_op_steps(&mut w.m, 1 << 40);
        }
        let machine = w.m.clone();
        let long_before = KCB.op_kind(&w.m) != 0;
        w.event(event);
        let long =
            long_before || KCB.op_kind(&w.m) != 0 || KCB.op_steps(&w.m) != KCB.op_steps(&machine);
        // A Signal has happened once its bit is set, whether the caller hears of it or not; it may be repeated.
        let signal = caller.is_some_and(|(_, page)| {
            let area = live_area(&machine, page);
            let r0 = machine.load(area.add(TestMachine::SYSCALL_REGS[0]));
            event == Event::Syscall && r0 as u16 == (Op::Signal as u16) << 8
        });
        let mut after = machine.clone();
        assert!(!dies::<P>(&mut after, event, u64::MAX));
        let b = Before {
            fingerprint: fingerprint(&adopted::<P>(&adopted::<P>(&machine))),
            after: fingerprint(&adopted::<P>(&after)),
            machine,
            event,
            caller,
            // So do the wake-ups of one timer interrupt and the bits of one notification.
            long: long || signal || matches!(event, Event::Timer | Event::Notified),
        };
        let mut n = r.below(3);
        while check_death::<P>(&b, n, &mut r) {
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
    let ram = Cte(support::world::TASK.add(64 * 64)).cap(&m);
    assert_eq!(ram.kind, CapType::Ram);
}

fn m_after(m: &TestMachine) -> TestMachine {
    adopted::<RoundRobin>(m)
}

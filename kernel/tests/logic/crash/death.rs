//! One death of a kernel, and what its successor must find.

use std::panic::{AssertUnwindSafe, catch_unwind};

use abi::{Op, SysError};
use capfmt::{
    CapType, DCB_BYTES, DCB_ENDPOINTS, Dcb, DcbState, Kcb, Notification, PhysAddr, PhysMap,
};
use kernel::{Event, Machine, Next, Policy, attach, step, system_call};
use model::{Crash, Rng};

use crate::support::check::{check_all, mappings};
use crate::support::machine::TestMachine;
use crate::support::world::{IDENTITY, KCB, NOTIFICATION, World, live_area};

/// Bit of the target of an interrupt binding: its message found no room.
const UNDELIVERED: u64 = 1 << 10;

/// All of an OSnode that users can tell apart, but for counters of time and calls.
pub fn fingerprint(m: &TestMachine) -> Vec<u64> {
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
    for k in 0..64 {
        let binding = KCB.irq(m, k);
        let to = Dcb(PhysAddr(binding.target & !(DCB_BYTES - 1)));
        let index = (binding.target % DCB_BYTES) & !UNDELIVERED;
        // One message stands for all interrupts that came before it is taken. Whether one is still to be delivered
        // when another waits depends on what came first, the room or the synthetic interrupt.
        let waits = binding.source1 != 0 && to.pending(m) >> index & 1 != 0;
        let told = if waits { UNDELIVERED } else { 0 };
        all.extend([binding.source1, binding.target & !told]);
    }
    all.extend((0..64).map(|k| KCB.notify_binding(m, k)));
    all
}

pub fn adopted<P: Policy>(m: &TestMachine) -> TestMachine {
    World::<P>::adopt(m.clone()).m
}

/// Runs `event` on what stands in `m` with death after `n` stores; whether it died.
pub fn dies<P: Policy>(m: &mut TestMachine, event: Event, n: u64) -> bool {
    let end = catch_unwind(AssertUnwindSafe(|| {
        let mut os = attach::<_, P>(m, KCB.0, IDENTITY).expect("adopted before");
        step(&mut os, m, Event::Idle);
        m.arena.crash_after(Some(n));
        match event {
            Event::Syscall => drop(system_call(&mut os, m)),
            _ => step(&mut os, m, event),
        }
    }));
    m.arena.crash_after(None);
    match end {
        Ok(()) => false,
        Err(p) if p.is::<Crash>() => true,
        Err(p) => std::panic::resume_unwind(p),
    }
}

/// As [`dies`], of the interrupt that tells of bits which came after the attach.
pub fn dies_notified<P: Policy>(m: &mut TestMachine, n: u64) -> bool {
    let end = catch_unwind(AssertUnwindSafe(|| {
        let mut os = attach::<_, P>(m, KCB.0, IDENTITY).expect("adopted before");
        step(&mut os, m, Event::Idle);
        let page = Notification(NOTIFICATION);
        page.set_word(m, 0, 0x30);
        page.set_summary(m, 1);
        m.arena.crash_after(Some(n));
        step(&mut os, m, Event::Notified);
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

/// An event in an OSnode, and what it changes.
pub struct Before {
    pub machine: TestMachine,
    pub event: Event,
    caller: Option<(Dcb, PhysAddr)>,
    pub fingerprint: Vec<u64>,
    after: Vec<u64>,
    /// It may stop anywhere between before and after.
    pub long: bool,
}

impl Before {
    /// Lets `event` happen in `w`, and looks at what was before and is after. The registers of a
    /// system call are in place, and the OSnode was just adopted.
    pub fn of<P: Policy>(w: &mut World<P>, event: Event) -> Before {
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
        Before {
            fingerprint: fingerprint(&adopted::<P>(&adopted::<P>(&machine))),
            after: fingerprint(&adopted::<P>(&after)),
            machine,
            event,
            caller,
            // So do the wake-ups of one timer interrupt and the bits of one notification.
            long: long || signal || matches!(event, Event::Timer | Event::Notified),
        }
    }
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

/// Checks one death at store `n`; `false` if the event ends before that. With `r`, attach may die, too.
pub fn check_death<P: Policy>(b: &Before, n: u64, r: Option<&mut Rng>) -> bool {
    let mut m = b.machine.clone();
    if !dies::<P>(&mut m, b.event, n) {
        return false;
    }
    let lost = KCB.current_dcb(&m) & Kcb::IN_SYSCALL != 0;
    // Each attach makes a synthetic interrupt per binding: with more of them, more messages wait.
    let mut attach_too = false;
    if let Some(r) = r
        && r.one_in(3)
    {
        attach_too = true;
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

pub fn tell_only_surprises() {
    let old = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Crash>() {
            old(info);
        }
    }));
}

//! An OSnode ends with its monitor, however that ends, and no kernel goes on with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::machine::TestMachine;
use crate::support::process::Process;
use crate::support::world::{DCB, FRAME, IDENTITY, KCB, World, fresh_machine};
use abi::disp::{self, TrapKind, Upcall};
use abi::{Op, Syscall, slots};
use capfmt::{Attachment, Dcb, DcbState, Kcb, PhysMap};
use kernel::{
    AttachError, Erring, Event, FairShare, FaultAccess, Next, Osnode, Policy, RoundRobin, Ruining,
    TheMemoryService, TheMonitor, TheSpawnService, Victim, attach, step,
};
use model::Crash;

const MIB: u64 = 1 << 20;
const FETCH: Event = Event::PageFault(
    0x10,
    FaultAccess {
        write: false,
        execute: true,
    },
);

fn n(a: abi::CapAddr) -> u64 {
    u64::from(a.0)
}

fn is_monitor(m: &mut TestMachine, dcb: Dcb) {
    let flags = dcb.flags(m);
    dcb.set_flags(m, flags | Dcb::ANSWERS);
}

/// A world whose first dispatcher is the monitor, with one more process.
fn with_monitor<P: Policy>() -> (World<P>, Process) {
    let mut w = World::<P>::new(8 * MIB);
    is_monitor(&mut w.m, DCB);
    let p = w.spawn(0);
    w.start(&p);
    (w, p)
}

/// A world in which a process that the first dispatcher made is the monitor.
fn with_made_monitor() -> (World<RoundRobin>, Process) {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let p = w.spawn(0);
    is_monitor(&mut w.m, p.dcb);
    w.start(&p);
    (w, p)
}

#[track_caller]
fn ended<P: Policy>(w: &World<P>) -> String {
    assert_eq!(w.last.next, Next::Ended, "it goes on");
    let ending = w.os.ending(&w.m).expect("it ended");
    assert!(!ending.is_of_machine());
    assert_eq!(KCB.current_dcb(&w.m), 0);
    assert_eq!((w.last.deadline, w.last.save_fpu), (None, None));
    w.check();
    ending.to_string()
}

/// No kernel adopts it any more, and it is left detached.
#[track_caller]
fn refused(m: &mut TestMachine) {
    for _ in 0..2 {
        let again = attach::<_, FairShare>(m, KCB.0, IDENTITY).err();
        assert_eq!(again, Some(AttachError::Ended));
        let state = KCB.attachment(m);
        assert!(
            matches!(state, Some(Attachment::Detached { .. })),
            "{state:?}"
        );
    }
}

#[test]
fn a_monitor_that_faults_ends_its_osnode() {
    let (mut w, p) = with_monitor::<RoundRobin>();
    w.m.store(w.area().add(disp::AREA_PC), 0x10);
    w.event(FETCH);
    assert_eq!(
        ended(&w),
        "the monitor of o7 ended: page fault: instruction fetch at 0x10, pc 0x10"
    );
    assert_eq!(DCB.state_of(&w.m), Some(DcbState::Faulted));
    assert_eq!(p.dcb.state_of(&w.m), Some(DcbState::Runnable));
    // Whatever comes in between: it stays so.
    for event in [Event::Timer, Event::Notified, Event::Idle] {
        w.event(event);
        ended(&w);
    }
    refused(&mut w.m);
    let (mut w, _) = with_monitor::<FairShare>();
    w.event(Event::Trap(TrapKind::Undefined, 0));
    assert!(ended(&w).ends_with("undefined instruction, pc 0x0"));
    let (mut w, _) = with_monitor::<FairShare>();
    w.event(Event::Trap(TrapKind::Divide, 5));
    assert!(ended(&w).ends_with("trap 0 (0x5), pc 0x0"));
}

#[test]
fn a_monitor_that_can_take_its_fault_goes_on() {
    let (mut w, _) = with_monitor::<RoundRobin>();
    w.enter([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    w.want(FRAME, &[Upcall::PageFault]);
    w.event(FETCH);
    assert_eq!(w.running(), Some(DCB));
    assert_eq!(KCB.ended(&w.m), 0);
    // Others may fault and stop as they like.
    let (mut w, p) = with_monitor::<RoundRobin>();
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    w.event(FETCH);
    assert_eq!(p.dcb.state_of(&w.m), Some(DcbState::Faulted));
    assert_eq!(w.running(), Some(DCB), "which is told of it");
}

#[test]
fn a_monitor_that_stops_ends_its_osnode() {
    let (mut w, _) = with_monitor::<RoundRobin>();
    let regs = (Op::DispRun as u64) << 8;
    w.enter([regs, n(slots::DISPATCHER), 0, 0, 0, 0, 0, 0]);
    assert_eq!(ended(&w), "the monitor of o7 ended: it stopped");
    refused(&mut w.m);
}

/// By the first dispatcher, which has its capabilities.
fn taken_away(op: Op, what: impl Fn(&Process) -> (abi::CapAddr, u64)) {
    let (mut w, p) = with_made_monitor();
    let (cap, argument) = what(&p);
    w.enter([(op as u64) << 8, n(cap), argument, 0, 0, 0, 0, 0]);
    for _ in 0..50 {
        if w.last.next == Next::Ended {
            break;
        }
        w.tick();
    }
    assert!(ended(&w).ends_with("it stopped"), "{op:?}");
    refused(&mut w.m);
}

#[test]
fn a_monitor_that_is_taken_away_ends_its_osnode() {
    taken_away(Op::DispRun, |p| (p.dispatcher, 0));
    // All of its memory, its frame alone, its root alone.
    taken_away(Op::Revoke, |_| (slots::ROOT_CNODE, n(slots::RAM)));
    taken_away(Op::Revoke, |p| (slots::ROOT_CNODE, n(p.frame)));
    taken_away(Op::Revoke, |p| (slots::ROOT_CNODE, n(p.vnode)));
}

#[test]
fn without_the_first_osnode_the_machine_is_of_no_use() {
    let mut m = fresh_machine(8 * MIB);
    KCB.set_osnode(&mut m, Kcb::BOOT_OSNODE);
    capfmt::Notification(crate::support::world::NOTIFICATION).set_osnode(&mut m, Kcb::BOOT_OSNODE);
    let sum = KCB.compute_checksum(&m);
    KCB.set_checksum(&mut m, sum);
    is_monitor(&mut m, DCB);
    let mut w = World::<RoundRobin>::adopt(m);
    w.event(FETCH);
    assert_eq!(w.last.next, Next::Ended, "it goes on");
    let ending = w.os.ending(&w.m).expect("it ended");
    assert!(ending.is_of_machine());
    assert!(ending.to_string().starts_with("the monitor of o1 ended: "));
}

/// What is left by a kernel that died after `stores` of handling the fault; `None`: it did not die.
fn dead_after(m: &TestMachine, stores: u64) -> Option<TestMachine> {
    let mut m = m.clone();
    let end = catch_unwind(AssertUnwindSafe(|| {
        let mut os: Osnode<RoundRobin> = attach(&mut m, KCB.0, IDENTITY).expect("adopted");
        step(&mut os, &mut m, Event::Idle);
        m.arena.crash_after(Some(stores));
        step(&mut os, &mut m, FETCH);
    }));
    m.arena.crash_after(None);
    match end {
        Ok(()) => None,
        Err(p) if p.is::<Crash>() => Some(m),
        Err(p) => std::panic::resume_unwind(p),
    }
}

#[test]
fn a_death_at_any_store_changes_nothing_about_it() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    is_monitor(&mut w.m, DCB);
    let mut outcomes = [0; 3];
    for stores in 0.. {
        let Some(mut m) = dead_after(&w.m, stores) else {
            break;
        };
        match attach::<_, RoundRobin>(&mut m, KCB.0, IDENTITY) {
            Err(e) => {
                assert_eq!(e, AttachError::Ended, "store {stores}");
                outcomes[0] += 1;
            }
            Ok(_) => {
                let mut w = World::<RoundRobin>::adopt(m);
                // It faults once more, or did for good.
                if w.running() == Some(DCB) {
                    w.event(FETCH);
                    outcomes[1] += 1;
                } else {
                    outcomes[2] += 1;
                }
                ended(&w);
                m = w.m;
            }
        }
        refused(&mut m);
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn one_that_a_kernel_without_this_care_left_has_ended() {
    let (mut w, _) = with_monitor::<RoundRobin>();
    w.event(FETCH);
    KCB.set_ended(&mut w.m, 0);
    let mut w = World::<RoundRobin>::adopt(w.m);
    ended(&w);
    refused(&mut w.m);
}

/// Where `dcb` goes on the first time that it gets the core after so much time.
fn goes_on<V: Victim>(name: [u8; 8], ns: u64) -> (u64, u64) {
    let mut w = World::<Erring<Ruining<V>>>::new(8 * MIB);
    DCB.set_name0(&mut w.m, u64::from_le_bytes(name));
    w.want(FRAME, &[Upcall::PageFault]);
    w.m.store(FRAME.add(disp::DISABLED_AREA + disp::AREA_PC), 0x40_2000);
    w.m.store(FRAME.add(disp::DISABLED), 1);
    let until = w.m.counter.get() + ns;
    w.enter([Syscall::Wait as u64, until, 0, 0, 0, 0, 0, 0]);
    while w.running() != Some(DCB) {
        w.tick();
    }
    let wanted = w.m.load(FRAME.add(disp::UPCALLS_WANTED));
    (w.m.load(w.area().add(disp::AREA_PC)), wanted)
}

#[test]
fn one_process_is_ruined_after_a_while() {
    let (soon, late) = (100_000_000, 700_000_000);
    assert_eq!(goes_on::<TheMonitor>(TheMonitor::NAME, late), (0x10, 0));
    assert_eq!(goes_on::<TheMonitor>(TheMonitor::NAME, soon).0, 0x40_2000);
    assert_eq!(goes_on::<TheMonitor>(*b"ticker\0\0", late).0, 0x40_2000);
    let memory = TheMemoryService::NAME;
    let told = goes_on::<TheMemoryService>(memory, late);
    assert_eq!((told.0, told.1 != 0), (0x10, true));
}

/// The first is ruined at once; each later one so much later than the one before it, also in the middle of what it computes.
#[test]
fn those_that_follow_are_ruined_later_and_later() {
    let mut w = World::<Erring<Ruining<TheSpawnService>>>::new(8 * MIB);
    DCB.set_name0(&mut w.m, u64::from_le_bytes(TheSpawnService::NAME));
    w.want(FRAME, &[Upcall::PageFault]);
    w.m.store(FRAME.add(disp::DISABLED), 1);
    let mut shifts = Vec::new();
    for again in 0..4 {
        w.m.store(FRAME.add(disp::DISABLED_AREA + disp::AREA_PC), 0x40_2000);
        let idle = if again == 0 {
            700_000_000
        } else {
            4_100_000_000
        };
        let until = w.m.counter.get() + idle;
        w.enter([Syscall::Wait as u64, until, 0, 0, 0, 0, 0, 0]);
        while w.running() != Some(DCB) {
            w.tick();
        }
        let began = w.m.counter.get();
        // It computes on: nothing but its time slice ends that.
        while w.m.load(FRAME.add(disp::DISABLED_AREA + disp::AREA_PC)) != 0x10 {
            w.tick();
        }
        shifts.push((w.m.counter.get() - began) / 173_000);
    }
    assert_eq!(shifts, [0, 1, 2, 3]);
}

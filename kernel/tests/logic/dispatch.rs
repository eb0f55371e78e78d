//! Scheduling, upcalls, faults, the life of dispatchers, attach and detach.

use crate::support::machine::TestMachine;
use crate::support::process::Process;
use crate::support::world::{CORE, DCB, FRAME, IDENTITY, KCB, TIME_PAGE, World, fresh_machine};
use abi::disp::{self, TrapKind, Upcall};
use abi::{CapAddr, Op, SysError, Syscall, slots, vaddr::time_page};
use capfmt::{Attachment, Core, CoreStatus, DcbState, Kcb, PhysAddr, PhysMap};
use kernel::{
    AttachError, Event, FairShare, FaultAccess, Machine, Next, Policy, RoundRobin, attach,
};

const MIB: u64 = 1 << 20;
const MS: u64 = 1_000_000;

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

fn with_processes<P: Policy>(count: u32) -> (World<P>, Vec<Process>) {
    let mut w = World::<P>::new(8 * MIB);
    let all: Vec<Process> = (0..count).map(|k| w.spawn(k)).collect();
    for p in &all {
        w.start(p);
    }
    (w, all)
}

fn shares<P: Policy>() {
    let (mut w, all) = with_processes::<P>(3);
    for _ in 0..400 {
        let next = w.last.deadline.expect("several are runnable");
        w.m.counter.set(next);
        w.event(Event::Timer);
    }
    let used: Vec<u64> = all.iter().map(|p| p.dcb.used_ns(&w.m)).collect();
    for u in &used {
        assert!((900 * MS..1100 * MS).contains(u), "uneven shares: {used:?}");
    }
    assert!(all[0].dcb.preemptions(&w.m) > 90);
}

#[test]
fn all_get_their_turn() {
    shares::<RoundRobin>();
    shares::<FairShare>();
}

fn budgets<P: Policy>() {
    let (mut w, all) = with_processes::<P>(2);
    // Two milliseconds in every ten, whatever the others do.
    w.ok(Op::DispSchedule, all[0].dispatcher, &[1, 2 * MS, 10 * MS]);
    w.refused(
        SysError::TableFull,
        Op::DispSchedule,
        all[1].dispatcher,
        &[1, 8 * MS, 10 * MS],
    );
    w.refused(
        SysError::BadArgument,
        Op::DispSchedule,
        all[1].dispatcher,
        &[1, 11 * MS, 10 * MS],
    );
    let start = w.m.counter.get();
    let before = all[0].dcb.used_ns(&w.m);
    while w.m.counter.get() < start + 1000 * MS {
        let next = w.last.deadline.expect("several are runnable");
        w.m.counter.set(next.max(w.m.counter.get()));
        w.event(Event::Timer);
    }
    let used = all[0].dcb.used_ns(&w.m) - before;
    assert!(used >= 195 * MS, "its budget was not kept: {used}");
}

#[test]
fn reserved_budgets_are_kept() {
    budgets::<RoundRobin>();
    budgets::<FairShare>();
}

#[test]
fn tickless_without_company() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    assert_eq!(w.last.deadline, None);
    let p = w.spawn(0);
    w.start(&p);
    assert!(w.last.deadline.is_some());
    w.ok(Op::DispRun, p.dispatcher, &[0]);
    assert_eq!(w.last.deadline, None);
}

#[test]
fn a_fault_is_an_upcall_or_the_end() {
    let (mut w, all) = with_processes::<RoundRobin>(1);
    let p = all[0];
    w.ok(
        Op::DispConfigure,
        p.dispatcher,
        &[0, 0, 0, n(slots::SELF_ENDPOINT)],
    );
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    w.enter([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    w.want(p.page, &[Upcall::PageFault]);
    let access = FaultAccess {
        write: true,
        execute: false,
    };
    let r = w.event(Event::PageFault(0x1234, access));
    let area = p.page.add(disp::DISABLED_AREA);
    assert_eq!(w.area(), area);
    assert_eq!(r.save_fpu, Some(p.page.add(disp::ENABLED_AREA)));
    let [a, b, _, d] = TestMachine::ARGUMENT_REGS.map(|o| w.m.load(area.add(o)));
    assert_eq!((a, b, d), (Upcall::PageFault as u64, 0x1234, 1));
    assert_eq!(w.m.load(area.add(disp::AREA_PC)), 0x40_1000);
    // A second one while the first is being handled is the end.
    w.m.store(area.add(disp::AREA_PC), 0x77);
    w.event(Event::Trap(TrapKind::Divide, 3));
    assert_eq!(p.dcb.state_of(&w.m), Some(DcbState::Faulted));
    assert_eq!(w.running(), Some(DCB), "its fault endpoint was told");
    let told = w.regs(w.area());
    assert_eq!(
        told[2..7],
        [Upcall::Trap as u64, 0, 0x77, p.dcb.id(&w.m), 3]
    );
}

#[test]
fn a_fault_message_waits_for_room() {
    let (mut w, all) = with_processes::<RoundRobin>(2);
    let [p, q] = [all[0], all[1]];
    w.ok(Op::DispConfigure, p.dispatcher, &[0, 0, 0, n(q.endpoint)]);
    for _ in 0..8 {
        w.call([Syscall::Send as u64, n(q.endpoint), 1, 1, 1, 1, 1, 1]);
    }
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    w.event(Event::Trap(TrapKind::Undefined, 0));
    assert_eq!(w.running(), Some(q.dcb));
    for _ in 0..8 {
        w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
    }
    w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(
        w.regs(w.area())[2..4],
        [Upcall::Trap as u64, TrapKind::Undefined as u64]
    );
}

#[test]
fn whoever_loses_its_frame_or_table_stops() {
    let (mut w, all) = with_processes::<RoundRobin>(2);
    w.ok(Op::Revoke, slots::ROOT_CNODE, &[n(all[0].frame)]);
    w.ok(Op::Revoke, slots::ROOT_CNODE, &[n(all[1].vnode)]);
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.last.next, Next::Idle);
    assert_eq!(all[0].dcb.state_of(&w.m), Some(DcbState::Stopped));
}

#[test]
fn a_process_can_take_itself_away() {
    let (mut w, all) = with_processes::<RoundRobin>(1);
    let p = all[0];
    w.ok(Op::Delete, slots::ROOT_CNODE, &[n(p.endpoint)]);
    for c in [p.dispatcher, p.root, p.task, p.vnode, p.frame] {
        w.ok(Op::Delete, slots::ROOT_CNODE, &[n(c)]);
    }
    w.enter([Syscall::Wait as u64, 5000 * MS, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    let regs = [
        Op::Delete as u64 * 256,
        n(slots::ROOT_CNODE),
        n(slots::DISPATCHER),
        0,
        0,
        0,
        0,
        0,
    ];
    w.enter(regs);
    for _ in 0..100 {
        w.tick();
    }
    assert_ne!(w.running(), Some(p.dcb));
    w.check();
    // Its last CNode stays behind in itself: the memory's holder takes it.
    w.event(Event::Timer);
    while w.running() != Some(DCB) {
        w.tick();
    }
    w.ok(Op::Revoke, slots::ROOT_CNODE, &[n(slots::RAM)]);
    assert_eq!(
        w.caps()
            .iter()
            .filter(|(_, c)| c.base >= crate::support::world::RAM && c.base.0 < 0x100_0000)
            .count(),
        1
    );
}

fn stop<P: Policy>(w: &mut World<P>) {
    let core = Core(CORE);
    core.set_home_cmd(&mut w.m, 1);
    core.set_home_seq(&mut w.m, 5);
    w.event(Event::StopRequested);
}

#[test]
fn stop_and_start_again() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let p = w.spawn(0);
    w.start(&p);
    w.want(FRAME, &[Upcall::KernelRestarted, Upcall::CoreSetChanged]);
    w.event(Event::StopRequested);
    assert_ne!(w.last.next, Next::Pen, "no command stands on the home line");
    // Leave the first context, so that upcalls are on.
    while w.running() != Some(DCB) {
        w.tick();
    }
    w.enter([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    let now = |w: &World<RoundRobin>| {
        let t = |o| w.m.load(TIME_PAGE.add(o));
        t(time_page::BASE_NS) + (w.m.counter.get() - t(time_page::COUNTER_START))
    };
    let before = now(&w);
    stop(&mut w);
    assert_eq!(w.last.next, Next::Pen);
    assert_eq!(w.m.load(CORE.add(0x140)), 5);
    assert_eq!(w.m.load(CORE.add(0x148)), CoreStatus::Detached as u64);
    assert_eq!(
        KCB.attachment(&w.m),
        Some(Attachment::Detached { epoch: 1 })
    );
    assert_eq!(
        capfmt::Notification(PhysAddr(KCB.notification(&w.m))).location(&w.m),
        0
    );
    w.m.advance(1000 * MS);
    let mut w = World::<RoundRobin>::adopt(w.m);
    let after = now(&w);
    assert!(
        after >= before && after < before + 1_000_000,
        "OSnode time stood still"
    );
    assert_eq!(w.m.load(FRAME.add(disp::EPOCH)), 2);
    while w.running() != Some(DCB) {
        w.tick();
    }
    let area = FRAME.add(disp::DISABLED_AREA);
    assert_eq!(w.area(), area);
    assert_eq!(
        w.m.load(area.add(TestMachine::ARGUMENT_REGS[0])),
        Upcall::KernelRestarted as u64
    );
    // On another core its time goes on and it hears of it.
    stop(&mut w);
    assert_ne!(w.last.next, Next::Pen, "that command was answered before");
    Core(CORE).set_home_seq(&mut w.m, 6);
    w.event(Event::StopRequested);
    w.m.core = crate::support::world::OTHER_CORE;
    let w = World::<FairShare>::adopt(w.m);
    assert_eq!(w.m.load(FRAME.add(disp::CORE)), 1);
    assert_ne!(DCB.upcalls(&w.m) & 1 << Upcall::CoreSetChanged as u8, 0);
}

#[test]
fn a_kcb_is_adopted_by_one_kernel_only() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    w.m.core = crate::support::world::OTHER_CORE;
    let again = attach::<_, RoundRobin>(&mut w.m, KCB.0, IDENTITY);
    assert!(matches!(again, Err(AttachError::Attached { epoch: 1, .. })));
    // On its own core the former kernel is dead.
    w.m.core = CORE;
    w.m.advance(7 * MS);
    let w = World::<RoundRobin>::adopt(w.m);
    assert_eq!(KCB.state(&w.m) >> 32, 2);
}

#[test]
fn what_is_no_kcb_is_refused() {
    let fresh = || fresh_machine(8 * MIB);
    let refused = |m: &mut TestMachine, at: PhysAddr| {
        let state = m.covers(at, 0x30).then(|| m.load(at.add(0x28)));
        let error = attach::<_, RoundRobin>(m, at, IDENTITY)
            .err()
            .expect("refused");
        assert_eq!(
            m.covers(at, 0x30).then(|| m.load(at.add(0x28))),
            state,
            "{error:?}"
        );
    };
    refused(&mut fresh(), PhysAddr(0x100));
    refused(&mut fresh(), PhysAddr(u64::MAX - 4095));
    refused(&mut fresh(), FRAME);
    for offset in [0x00, 0x08, 0x10, 0x18, 0x20, 0x30, 0x38, 0x40, 0x68] {
        let mut m = fresh();
        let word = m.load(KCB.0.add(offset));
        m.store(KCB.0.add(offset), word ^ 0x10);
        refused(&mut m, KCB.0);
    }
    let mut m = fresh();
    KCB.set_state(&mut m, 3);
    refused(&mut m, KCB.0);
    let mut m = fresh();
    Kcb(KCB.0).set_undo_len(&mut m, 100_000);
    refused(&mut m, KCB.0);
    let mut m = fresh();
    Core(CORE).set_mult(&mut m, 0);
    refused(&mut m, KCB.0);
}

#[test]
fn core_commands_are_checked() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let control = CapAddr::new(1, 0);
    w.ok(Op::CoreMint, slots::CORE, &[n(control)]);
    let other = Core(crate::support::world::OTHER_CORE);
    w.refused(SysError::BadCoreState, Op::CoreCommand, control, &[1]);
    w.refused(
        SysError::NoCapability,
        Op::CoreCommand,
        control,
        &[2, 99, 0],
    );
    w.refused(
        SysError::WrongType,
        Op::CoreCommand,
        control,
        &[2, n(slots::RAM), 0],
    );
    other.set_target_status(&mut w.m, CoreStatus::Running as u64);
    w.effects.clear();
    let regs = w.ok(Op::CoreCommand, control, &[1]);
    assert_eq!(regs[1], 1);
    assert_eq!(
        w.effects,
        [
            kernel::Effect::PublishHome(other.0, 1),
            kernel::Effect::Signal(101, kernel::Signal::Stop, None),
        ]
    );
    // None is accepted in any status; only a Start names another image.
    other.set_home_image(&mut w.m, 1);
    other.set_target_status(&mut w.m, CoreStatus::Starting as u64);
    w.effects.clear();
    w.ok(Op::CoreCommand, control, &[0]);
    let wake = kernel::Effect::Signal(101, kernel::Signal::Wake, None);
    assert!(w.effects.contains(&wake));
    assert_eq!(other.home_cmd(&w.m), 0);
    assert_eq!(w.ok(Op::CoreInfo, control, &[])[5], 1);
    w.refused(SysError::BadCoreState, Op::CoreImage, control, &[1, 0, 0]);
    w.ok(Op::CoreImage, control, &[0, 0, 0]);
    w.ok(Op::CoreHandOver, control, &[99]);
    w.refused(SysError::NotHolder, Op::CoreSignal, control, &[0]);
    w.refused(
        SysError::StillInUse,
        Op::Delete,
        slots::ROOT_CNODE,
        &[n(slots::CORE)],
    );
}

fn sleeper_is_on_time<P: Policy>() {
    let (mut w, all) = with_processes::<P>(4);
    let p = all[0];
    let mut late = 0;
    while w.running() != Some(p.dcb) {
        w.tick();
    }
    let mut due = w.m.counter.get() + 20 * MS;
    for _ in 0..200 {
        // The counter reads what OSnode time is, plus where it started.
        w.enter([Syscall::Wait as u64, due - 1_000_010, 0, 0, 0, 0, 0, 0]);
        while w.running() != Some(p.dcb) {
            w.tick();
        }
        late += u64::from(w.m.counter.get() > due + 2 * MS);
        due = w.m.counter.get() + 20 * MS;
    }
    // Fair shares let whoever has waited for longer than a slice go first.
    assert!(
        late < 5,
        "woken late {late} times of 200 among three that never wait"
    );
    let least = all[1..].iter().map(|q| q.dcb.used_ns(&w.m)).min();
    assert!(
        least > Some(500 * MS),
        "the others have their turns: {least:?}"
    );
}

#[test]
fn whoever_sleeps_is_woken_in_time() {
    sleeper_is_on_time::<RoundRobin>();
    sleeper_is_on_time::<FairShare>();
}

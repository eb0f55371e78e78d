//! Caring for an OSnode that is stopped: who runs in a visit, how it begins and ends, and deaths in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::support::machine::TestMachine;
use crate::support::process::write_osnode;
use crate::support::world::{CORE, DCB, IDENTITY, KCB, OTHER_CORE, RAM, World, live_area};
use abi::disp::TrapKind;
use abi::{CapAddr, Op, SysError, Syscall, WaitResult, disp, slots};
use capfmt::{
    Attachment, Cap, CapType, Core, CoreCommand, Dcb, DcbState, ImageRecord, Kcb, Notification,
    PhysAddr, VNODE_BYTES, mdb,
};
use kernel::care::{self, Care, VISIT_NS};
use kernel::{AttachError, Effect, Event, Machine, Next, Resume, RoundRobin, Signal, attach};
use model::Crash;

const MIB: u64 = 1 << 20;
const REGION: u64 = 0x10_0000;
const GUEST: Kcb = Kcb(PhysAddr(RAM.0 + 0x20_0000));
/// The guest's dispatchers, DCB and frame each: one answers others, one does not.
const MONITOR: Dcb = Dcb(PhysAddr(GUEST.0.0 + 0x1_0000));
const PROGRAM: Dcb = Dcb(PhysAddr(GUEST.0.0 + 0x2_0000));
const PAGE: Notification = Notification(PhysAddr(GUEST.0.0 + 0x5000));

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, k)
}

fn frame_of(dcb: Dcb) -> PhysAddr {
    dcb.0.add(0x2000)
}

fn write_dispatcher(m: &mut TestMachine, dcb: Dcb, id: u64, flags: u64) {
    let mut root = Cap::region(CapType::VNode, dcb.0.add(0x8000), VNODE_BYTES);
    root.param = 3;
    root.extra = TestMachine::ISA as u64;
    let frame = Cap::region(CapType::Frame, frame_of(dcb), disp::FRAME_BYTES);
    mdb::place(m, GUEST, dcb.vspace(), &root);
    mdb::place(m, GUEST, dcb.disp_frame(), &frame);
    dcb.set_magic(m, Dcb::MAGIC);
    dcb.set_id(m, id);
    dcb.set_state(m, DcbState::Runnable as u64);
    dcb.set_flags(m, Dcb::STARTED | flags);
    dcb.set_wake_at_ns(m, u64::MAX);
    let head = GUEST.dcb_head(m);
    dcb.set_next(m, head);
    GUEST.set_dcb_head(m, dcb.0.0);
}

/// A kernel with its own OSnode, and what it does with others.
struct Host {
    w: World<RoundRobin>,
    care: Care<RoundRobin>,
    last: Resume,
}

impl Host {
    /// With a guest whose Kcb is in slot 0, and a CoreControl of the other core in slot 1.
    fn new() -> Host {
        let mut w = World::<RoundRobin>::new(8 * MIB);
        w.make(CapType::Frame, 0, 0x20_0000, REGION, 1, at(0));
        write_osnode(&mut w.m, GUEST.0, REGION);
        GUEST.set_state(&mut w.m, Attachment::Detached { epoch: 3 }.pack());
        write_dispatcher(&mut w.m, MONITOR, 1, Dcb::ANSWERS);
        write_dispatcher(&mut w.m, PROGRAM, 2, 0);
        w.ok(Op::Seal, slots::KERNEL, &[n(at(0)), CapType::Kcb as u64, 0]);
        w.ok(Op::CoreMint, slots::CORE, &[n(at(1))]);
        let last = w.last;
        Host {
            w,
            care: Care::new(),
            last,
        }
    }

    fn event(&mut self, event: Event) {
        care::run(&mut self.w.os, &mut self.care, &mut self.w.m, event);
        self.last = *self.w.os.resume();
    }

    /// A system call of whoever runs; its first two registers afterwards.
    fn call(&mut self, regs: [u64; 8]) -> [u64; 2] {
        let Next::Run { page, .. } = self.last.next else {
            panic!("nobody runs");
        };
        let area = live_area(&self.w.m, page);
        self.w.set_regs(area, regs);
        if care::call(&mut self.w.os, &mut self.care, &mut self.w.m) {
            self.last = *self.w.os.resume();
        }
        let after = self.w.regs(area);
        [after[0], after[1]]
    }

    /// Takes the guest up; whoever asked runs again afterwards.
    fn care(&mut self, on: u64) -> u64 {
        let op = Syscall::Invoke as u64 | (Op::KcbCare as u64) << 8;
        let status = self.call([op, n(at(0)), on, 0, 0, 0, 0, 0])[0];
        if self.running() == Some(MONITOR) {
            self.event(Event::Notified);
        }
        status
    }

    fn wait(&mut self) {
        self.call([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    }

    /// Lets time pass to the deadline that the kernel asked for.
    fn tick(&mut self) {
        let deadline = self.last.deadline.expect("the timer is set");
        let now = self.w.m.counter.get();
        self.w.m.counter.set(now.max(deadline));
        self.event(Event::Timer);
    }

    fn running(&self) -> Option<Dcb> {
        match self.last.next {
            Next::Run { dcb, .. } => Some(Dcb(dcb)),
            _ => None,
        }
    }

    /// Ticks until `dcb` runs.
    fn until(&mut self, dcb: Dcb) {
        for _ in 0..20 {
            if self.running() == Some(dcb) {
                return;
            }
            self.tick();
        }
        panic!("{dcb:?} does not run");
    }

    /// A signal of a third core.
    fn signal(&mut self, channel: u64) {
        let bits = PAGE.word(&self.w.m, channel / 64);
        PAGE.set_word(&mut self.w.m, channel / 64, bits | 1 << (channel % 64));
        let summary = PAGE.summary(&self.w.m);
        PAGE.set_summary(&mut self.w.m, summary | 1 << (channel / 64));
        assert_eq!(PAGE.location(&self.w.m) & 0xffff_ffff, hw() + 1);
        self.event(Event::Notified);
    }

    fn is_detached(&self) -> bool {
        let attached = GUEST.attachment(&self.w.m);
        matches!(attached, Some(Attachment::Detached { .. }))
    }
}

fn hw() -> u64 {
    100
}

#[test]
fn only_who_answers_runs_and_everything_else_comes_first() {
    let mut h = Host::new();
    assert_eq!(h.care(1), 0);
    assert_eq!(h.running(), Some(DCB), "who asks goes on");
    h.wait();
    h.until(MONITOR);
    assert!(h.w.os.effects().iter().any(|e| e == Effect::TlbAll));
    assert!(h.last.load_fpu && !h.is_detached());
    let now = h.w.m.counter.get();
    assert!(h.last.deadline.is_some_and(|d| d <= now + VISIT_NS + 100));
    // An interrupt: the own OSnode has the core, the monitor's registers are kept.
    let monitor = live_area(&h.w.m, frame_of(MONITOR));
    h.event(Event::Notified);
    assert_eq!(h.last.save_fpu, Some(monitor));
    assert!(h.is_detached() && h.last.next == Next::Idle);
    // It was not ready, so it is visited again; and when it waits, nobody runs.
    h.until(MONITOR);
    h.wait();
    assert_eq!(h.last.next, Next::Idle);
    h.tick();
    assert!(h.is_detached());
    assert_eq!(h.last.deadline, None);
    assert_eq!(PROGRAM.state(&h.w.m), DcbState::Runnable as u64);
    assert_eq!(PROGRAM.used_ns(&h.w.m), 0);
    h.w.check();
}

#[test]
fn who_never_ran_is_not_visited() {
    let mut h = Host::new();
    GUEST.set_state(&mut h.w.m, Attachment::Detached { epoch: 0 }.pack());
    assert_eq!(h.care(1), SysError::Attached as u64);
    assert_eq!((GUEST.cared_by(&h.w.m), KCB.care_head(&h.w.m)), (0, 0));
}

#[test]
fn who_takes_memory_back_runs_too() {
    let mut h = Host::new();
    // The program is bound to word 2, whose first channel tells of memory that came back.
    GUEST.set_notify_binding(&mut h.w.m, 2, PROGRAM.0.0);
    GUEST.set_reclaim_channel(&mut h.w.m, 2 * 64 + 1);
    h.care(1);
    h.wait();
    h.until(PROGRAM);
}

#[test]
fn a_signal_brings_a_visit_and_time_goes_on_in_it() {
    let mut h = Host::new();
    GUEST.set_notify_binding(&mut h.w.m, 1, MONITOR.0.0);
    h.care(1);
    h.wait();
    h.until(MONITOR);
    h.wait();
    h.tick();
    let before = GUEST.time_base_ns(&h.w.m);
    h.w.m.advance(1 << 30);
    h.signal(70);
    h.until(MONITOR);
    let regs = h.w.regs(live_area(&h.w.m, frame_of(MONITOR)));
    assert_eq!(regs[1..3], [WaitResult::NOTIFICATION, 1 << 6]);
    h.wait();
    h.tick();
    let passed = GUEST.time_base_ns(&h.w.m) - before;
    assert!(passed < 1 << 20, "{passed} ns, a stop is no time");
    // It waits for others, whose time goes on: a time-out comes when it is due.
    h.signal(70);
    h.until(MONITOR);
    let from = h.w.m.counter.get();
    let due = GUEST.time_base_ns(&h.w.m) + 5_000_000;
    h.call([Syscall::Wait as u64, due, 0, 0, 0, 0, 0, 0]);
    h.tick();
    assert!(h.last.deadline.is_some(), "somebody sees to it");
    h.until(MONITOR);
    let regs = h.w.regs(live_area(&h.w.m, frame_of(MONITOR)));
    assert_eq!(regs[0], SysError::TimedOut as u64);
    let after = h.w.m.counter.get() - from;
    assert!((4_900_000..5_200_000).contains(&after), "{after} ns");
}

/// Nobody signals to who is awake.
#[test]
fn a_monitor_that_was_stopped_at_work_goes_on() {
    let mut h = Host::new();
    h.care(1);
    let due = KCB.time_base_ns(&h.w.m) + 50_000_000;
    h.call([Syscall::Wait as u64, due, 0, 0, 0, 0, 0, 0]);
    h.until(MONITOR);
    h.wait();
    h.until(DCB);
    h.care(0);
    // It ran on another core meanwhile, and is stopped in the middle of something.
    MONITOR.set_state(&mut h.w.m, DcbState::Runnable as u64);
    h.care(1);
    h.wait();
    h.until(MONITOR);
}

#[test]
fn a_busy_osnode_gives_its_caretaking_some_time() {
    let mut h = Host::new();
    h.care(1);
    h.until(MONITOR);
    assert_eq!(
        h.last.save_fpu,
        Some(live_area(&h.w.m, DCB.disp_frame().cap(&h.w.m).base))
    );
    h.tick();
    assert_eq!(h.running(), Some(DCB), "the own OSnode's turn");
    assert!(h.last.load_fpu);
    let now = h.w.m.counter.get();
    let next = h.last.deadline.expect("the visit is not over");
    assert!(next >= now + VISIT_NS / 2);
    h.tick();
    assert_eq!(h.running(), Some(MONITOR));
}

#[test]
fn who_is_cared_for_signals_and_is_signalled_on_this_core() {
    let mut h = Host::new();
    h.care(1);
    // The own OSnode signals: the interrupt goes to this core itself.
    let notify = Cap {
        kind: CapType::Notify,
        rights: capfmt::Rights::ALL,
        param: 3,
        base: PAGE.0,
        size: 4096,
        extra: 77,
    };
    let words = notify.emit().0;
    let import = [words[0], words[1], words[2], words[3], 77, n(at(5))];
    let op = Syscall::Invoke as u64 | (Op::CapImport as u64) << 8;
    let [a, b, c, d, e, f] = import;
    assert_eq!(h.call([op, n(slots::KERNEL), a, b, c, d, e, f])[0], 0);
    let op = Syscall::Invoke as u64 | (Op::Signal as u64) << 8;
    h.call([op, n(at(5)), 0, 0, 0, 0, 0, 0]);
    let own = Effect::Signal(hw(), Signal::Notify, None);
    assert!(h.w.os.effects().iter().any(|e| e == own));
}

#[test]
fn a_start_takes_it_away_and_its_memory_is_not_to_be_had() {
    let mut h = Host::new();
    h.care(1);
    assert_eq!(h.care(1), 0, "once more changes nothing");
    let delete = Syscall::Invoke as u64 | (Op::Delete as u64) << 8;
    let args = [delete, n(slots::ROOT_CNODE), n(at(0)), 0, 0, 0, 0, 0];
    assert_eq!(h.call(args)[0], SysError::StillInUse as u64);
    let record = ImageRecord {
        phys: PhysAddr(0x50_0000),
        entry_va: 1,
        root_table: PhysAddr(0x51_0000),
        ..ImageRecord::default()
    };
    Core(OTHER_CORE).set_image(&mut h.w.m, 1, &record);
    let start = Syscall::Invoke as u64 | (Op::CoreCommand as u64) << 8;
    let args = [
        start,
        n(at(1)),
        CoreCommand::Start as u64,
        n(at(0)),
        1,
        0,
        0,
        0,
    ];
    assert_eq!(h.call(args)[0], 0);
    assert_eq!((GUEST.cared_by(&h.w.m), KCB.care_head(&h.w.m)), (0, 0));
    assert_eq!(PAGE.location(&h.w.m), 0);
    h.event(Event::Notified);
    h.wait();
    assert!(h.last.next == Next::Idle && h.last.deadline.is_none());
    // Another core's kernel adopts it: all run.
    h.w.m.core = OTHER_CORE;
    let os = attach::<_, RoundRobin>(&mut h.w.m, GUEST.0, IDENTITY);
    assert!(os.is_ok());
    // Who is attached is not cared for.
    h.w.m.core = CORE;
    h.event(Event::Notified);
    assert!(GUEST.cared_by(&h.w.m) == 0);
}

#[test]
fn the_own_stop_ends_a_visit_and_the_next_kernel_goes_on() {
    let mut h = Host::new();
    h.care(1);
    h.wait();
    h.until(MONITOR);
    let core = Core(CORE);
    core.set_home_cmd(&mut h.w.m, CoreCommand::Stop as u64);
    core.set_home_seq(&mut h.w.m, 9);
    h.event(Event::StopRequested);
    assert!(h.last.next == Next::Pen && h.is_detached());
    assert_eq!(PAGE.location(&h.w.m), 0, "nobody is there to be signalled");
    let w = World::<RoundRobin>::adopt(h.w.m);
    let last = w.last;
    let mut h = Host {
        w,
        care: Care::new(),
        last,
    };
    assert_eq!(PAGE.location(&h.w.m) & 0xffff_ffff, hw() + 1);
    h.event(Event::Idle);
    h.until(MONITOR);
}

#[test]
fn a_monitor_that_ends_in_a_visit_ends_its_own_osnode_only() {
    let mut h = Host::new();
    h.care(1);
    h.until(MONITOR);
    h.event(Event::Trap(TrapKind::Undefined, 0));
    assert_eq!(h.last.next, Next::Idle, "the visit has nothing to do");
    h.tick();
    assert_eq!(h.running(), Some(DCB));
    assert!(h.is_detached());
    assert_eq!((GUEST.ended(&h.w.m), KCB.ended(&h.w.m)), (MONITOR.0.0, 0));
    // Nobody cares for it any more, or can run it.
    h.wait();
    for _ in 0..4 {
        if h.last.deadline.is_some() {
            h.tick();
        }
    }
    assert!(h.last.next == Next::Idle && h.last.deadline.is_none());
    assert_eq!((GUEST.cared_by(&h.w.m), KCB.care_head(&h.w.m)), (0, 0));
    assert_eq!(PAGE.location(&h.w.m), 0);
    let again = attach::<_, RoundRobin>(&mut h.w.m, GUEST.0, IDENTITY).err();
    assert_eq!(again, Some(AttachError::Ended));
}

/// What a caretaker does, from taking the OSnode up to a visit with a system call and its end.
fn story(h: &mut Host) {
    h.care(1);
    h.wait();
    h.until(MONITOR);
    h.call([Syscall::Poll as u64, 0, 0, 0, 0, 0, 0, 0]);
    h.event(Event::Notified);
    h.until(MONITOR);
    h.wait();
    h.tick();
}

#[test]
fn a_death_anywhere_in_a_visit_loses_nothing() {
    let mut deaths = 0;
    for stores in 0.. {
        let mut h = Host::new();
        h.w.m.arena.crash_after(Some(stores));
        let end = catch_unwind(AssertUnwindSafe(|| story(&mut h)));
        h.w.m.arena.crash_after(None);
        match end {
            Ok(()) => break,
            Err(p) if p.is::<Crash>() => deaths += 1,
            Err(p) => std::panic::resume_unwind(p),
        }
        let w = World::<RoundRobin>::adopt(h.w.m);
        let last = w.last;
        let mut h = Host {
            w,
            care: Care::new(),
            last,
        };
        let cared = KCB.care_head(&h.w.m) != 0;
        assert_eq!(GUEST.cared_by(&h.w.m) != 0, cared, "both or none");
        if cared {
            h.event(Event::Idle);
            let due = h.last.deadline.is_some() || h.running() == Some(MONITOR);
            assert!(due, "whoever is cared for is visited");
        } else if h.running() == Some(DCB) {
            story(&mut h);
        }
        mdb::check_invariants(&h.w.m, GUEST).expect("the guest's tree");
        h.w.check();
        assert_eq!(PROGRAM.used_ns(&h.w.m), 0);
    }
    assert!(deaths > 100, "only {deaths} stores");
}

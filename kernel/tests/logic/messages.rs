//! Messages, waiting, notifications, interrupts.

use crate::support::process::Process;
use crate::support::world::{DCB, FRAME, NOTIFICATION, World};
use abi::{CapAddr, MessageTag, Op, SysError, Syscall, WaitResult, disp, slots};
use capfmt::{CapType, DcbState, Notification, PhysMap};
use kernel::{Effect, Event, FairShare, Next, Policy, RoundRobin};

const MIB: u64 = 1 << 20;
const ROOT: CapAddr = slots::ROOT_CNODE;

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// Process 0 waits for any event; it holds an Endpoint to the first process in slot 40 of its task CNode.
fn with_server<P: Policy>() -> (World<P>, Process) {
    let mut w = World::<P>::new(8 * MIB);
    let p = w.spawn(0);
    w.copy(slots::SELF_ENDPOINT, p.root, CapAddr::new(0, 40));
    w.start(&p);
    // The first process waits a moment: the other one runs and waits for ever.
    let soon = 3_000_000;
    w.enter([Syscall::Wait as u64, soon, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    assert_eq!(w.area(), p.page.add(disp::DISABLED_AREA));
    // It leaves its first context as an upcall ends.
    w.m.store(p.page.add(disp::ENABLED_AREA), 5);
    w.enter([Syscall::Resume as u64, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.area(), p.page.add(disp::ENABLED_AREA));
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.last.next, Next::Idle);
    w.tick();
    assert_eq!(w.running(), Some(DCB));
    (w, p)
}

fn call_regs(to: CapAddr, words: [u64; 6]) -> [u64; 8] {
    let r0 = MessageTag::default().r0(Syscall::Call);
    let [a, b, c, d, e, f] = words;
    [r0, n(to), a, b, c, d, e, f]
}

fn round_trip<P: Policy>() {
    let (mut w, p) = with_server::<P>();
    let r = w.enter(call_regs(p.endpoint, [1, 2, 3, 4, 5, 6]));
    assert_eq!(
        w.running(),
        Some(p.dcb),
        "the call switches straight to its receiver"
    );
    assert!(r.load_fpu && r.save_fpu.is_some());
    let got = w.regs(w.area());
    assert_eq!(got[0], 0);
    let result = WaitResult(got[1]);
    assert_eq!(
        (result.kind(), result.endpoint(), result.badge()),
        (1, 0, 0)
    );
    assert_eq!(got[2..], [1, 2, 3, 4, 5, 6]);
    // The answer, and waiting for the next request, are one call back.
    w.enter(call_regs(CapAddr::new(0, 40), [9, 8, 7, 6, 5, 4]));
    assert_eq!(w.running(), Some(DCB));
    assert_eq!(w.regs(w.area())[2..], [9, 8, 7, 6, 5, 4]);
    assert_eq!(p.dcb.state_of(&w.m), Some(DcbState::Waiting));
    assert_eq!(DCB.wait_for(&w.m), 1);
}

#[test]
fn a_call_and_its_answer() {
    round_trip::<RoundRobin>();
    round_trip::<FairShare>();
}

#[test]
fn messages_queue_up_to_the_ring() {
    let (mut w, p) = with_server::<RoundRobin>();
    let send = |k: u64| {
        let mut regs = call_regs(p.endpoint, [k; 6]);
        regs[0] = MessageTag::default().r0(Syscall::Send);
        regs
    };
    // The first goes into the waiting receiver's registers, eight into its ring.
    for k in 0..9 {
        assert_eq!(w.call(send(k))[0], 0);
    }
    assert_eq!(w.call(send(9))[0], SysError::EndpointFull as u64);
    w.enter([Syscall::Yield as u64, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    assert_eq!(w.regs(w.area())[2], 0);
    for k in 1..9 {
        w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(w.regs(w.area())[2..], [k; 6]);
    }
    w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(
        w.regs(w.area())[..2],
        [SysError::TimedOut as u64, WaitResult::NOTHING]
    );
}

#[test]
fn capabilities_go_along_once_per_receive_slot() {
    let (mut w, p) = with_server::<RoundRobin>();
    w.make(
        CapType::Frame,
        0,
        0x40_0000,
        0x1000,
        2,
        CapAddr::new(1, 200),
    );
    let tag = MessageTag {
        cap: CapAddr::new(1, 200),
        ..MessageTag::default()
    };
    let mut regs = call_regs(p.endpoint, [0; 6]);
    regs[0] = tag.r0(Syscall::Send);
    assert_eq!(w.call(regs)[0], SysError::NoReceiveSlot as u64);
    w.ok(
        Op::EndpointReceive,
        p.dispatcher,
        &[0, n(CapAddr::new(0, 50))],
    );
    assert_eq!(w.call(regs)[0], 0);
    assert_eq!(w.call(regs)[0], SysError::NoReceiveSlot as u64);
    w.ok(
        Op::EndpointReceive,
        p.dispatcher,
        &[0, n(CapAddr::new(0, 51))],
    );
    let give = MessageTag {
        cap: CapAddr::new(1, 201),
        give: true,
        ..MessageTag::default()
    };
    regs[0] = give.r0(Syscall::Send);
    assert_eq!(w.call(regs)[0], 0);
    assert_eq!(w.cap(CapAddr::new(1, 201)).kind, CapType::Null);
    assert_eq!(w.cap(CapAddr::new(1, 200)).kind, CapType::Frame);
    w.enter([Syscall::Yield as u64, 0, 0, 0, 0, 0, 0, 0]);
    assert!(WaitResult(w.regs(w.area())[1]).has_cap());
    let found = w.call([0, n(CapAddr::new(0, 51)), 0, 0, 0, 0, 0, 0]);
    assert_eq!(found[2], crate::support::world::RAM.0 + 0x40_1000);
    w.check();
}

#[test]
fn a_wait_ends_with_its_time() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let r = w.enter([Syscall::Wait as u64, 50_000_000, 0, 0, 0, 0, 0, 0]);
    assert_eq!(r.next, Next::Idle);
    let deadline = r.deadline.expect("a time-out is pending");
    w.m.counter.set(deadline - 1000);
    w.event(Event::Timer);
    assert_eq!(w.last.next, Next::Idle, "too early");
    w.tick();
    assert_eq!(
        w.regs(w.area())[..2],
        [SysError::TimedOut as u64, WaitResult::NOTHING]
    );
    let r = w.enter([Syscall::Wait as u64, 5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        w.regs(w.area())[0],
        SysError::TimedOut as u64,
        "the past is over"
    );
    assert_eq!(r.deadline, None, "tickless: one runs, nobody waits");
}

#[test]
fn notification_bits_reach_the_bound_dispatcher() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let regs = w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    assert_eq!(regs[1], 0);
    w.ok(
        Op::NotifyMint,
        slots::NOTIFICATION,
        &[5, n(CapAddr::new(1, 0))],
    );
    w.ok(Op::Signal, CapAddr::new(1, 0), &[]);
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.regs(w.area())[..3], [0, WaitResult::NOTIFICATION, 1 << 5]);
    // From another core, while it waits.
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.last.next, Next::Idle);
    let page = Notification(NOTIFICATION);
    page.set_word(&mut w.m, 0, 0x30);
    page.set_summary(&mut w.m, 1);
    w.event(Event::Notified);
    assert_eq!(w.regs(w.area())[..3], [0, WaitResult::NOTIFICATION, 0x30]);
    assert_eq!((page.word(&w.m, 0), page.summary(&w.m)), (0, 0));
    assert_eq!(page.location(&w.m), 101 | 1 << 32);
}

#[test]
fn a_signal_goes_where_the_other_osnode_runs() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    w.make(CapType::Notification, 0, 0, 0, 1, CapAddr::new(1, 0));
    w.ok(
        Op::NotifyMint,
        CapAddr::new(1, 0),
        &[70, n(CapAddr::new(1, 1))],
    );
    let page = Notification(crate::support::world::RAM);
    w.effects.clear();
    w.ok(Op::Signal, CapAddr::new(1, 1), &[]);
    assert!(w.effects.is_empty(), "it runs nowhere");
    assert_eq!((page.word(&w.m, 1), page.summary(&w.m)), (1 << 6, 2));
    page.set_location(&mut w.m, 56 | 9 << 32);
    w.ok(Op::Signal, CapAddr::new(1, 1), &[]);
    assert_eq!(
        w.effects,
        [Effect::Signal(55, kernel::Signal::Notify, None)]
    );
}

#[test]
fn interrupts_are_messages_and_none_is_lost() {
    let (mut w, p) = with_server::<RoundRobin>();
    w.ok(
        Op::IrqMint,
        slots::IRQ_SOURCES,
        &[33, n(CapAddr::new(1, 100))],
    );
    w.ok(Op::IrqBind, CapAddr::new(1, 100), &[n(p.endpoint)]);
    w.effects.clear();
    w.event(Event::Irq(33));
    assert_eq!(w.effects, [Effect::IrqMask(33)]);
    // Nine more: the ring has room for eight.
    for _ in 0..9 {
        w.event(Event::Irq(33));
    }
    w.ok(Op::IrqAck, CapAddr::new(1, 100), &[]);
    w.enter([Syscall::Yield as u64, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    assert_eq!(w.regs(w.area())[2], 33);
    for _ in 0..9 {
        w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(
            w.regs(w.area())[0],
            0,
            "the one that found the ring full came later"
        );
    }
    w.enter([Syscall::Poll as u64, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(w.regs(w.area())[0], SysError::TimedOut as u64);
}

#[test]
fn a_call_to_nobody_is_refused() {
    let (mut w, p) = with_server::<RoundRobin>();
    w.copy(p.endpoint, ROOT, CapAddr::new(1, 100));
    w.ok(Op::Revoke, ROOT, &[n(p.dispatcher)]);
    assert_eq!(
        w.call(call_regs(CapAddr::new(1, 100), [0; 6]))[0],
        SysError::NoCapability as u64
    );
    let regs = w.call(call_regs(slots::RAM, [0; 6]));
    assert_eq!(regs[0], SysError::WrongType as u64);
    let closed = MessageTag {
        reply: 7,
        ..MessageTag::default()
    };
    let mut regs = call_regs(slots::SELF_ENDPOINT, [0; 6]);
    regs[0] = closed.r0(Syscall::Call);
    assert_eq!(w.call(regs)[0], SysError::BadArgument as u64);
    assert_eq!(w.m.load(FRAME.add(disp::EPOCH)), 1);
}

//! The notification protocol of the shipped kernel under every interleaving that loom allows, weak memory
//! included: one kernel signals while the OSnode that waits is detached and attached again elsewhere. No bit is
//! lost, and who waits is woken.
//!
//! The words of the notification page are loom's atomics; everything else of an
//! OSnode is memory of its own thread. An interrupt is a flag of a core, set
//! without any ordering and looked at whenever the receiver's thread comes by: it
//! may be late, or reach a core that the OSnode has left, where nobody looks. That
//! the checks can fail is shown with machines that weaken one operation each.

mod page;
#[path = "../support/mod.rs"]
mod support;

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use abi::{CapAddr, Op, Syscall, WaitResult, slots};
use capfmt::{Cap, CapType, Core, CoreCommand, DcbState, NOTIFICATION_BYTES, Rights};
use kernel::{Effect, Event, Next, RoundRobin, Signal};
use loom::thread;
use page::{PEER_PAGE, Shared, Untouched, View, Weak};
use support::machine::TestMachine;
use support::world::{CORE, DCB, KCB, NOTIFICATION, OSNODE, OTHER_CORE, World};

type Node = World<RoundRobin>;

/// Bytes of an OSnode's memory: what comes before its RAM, and a little of that.
const BYTES: u64 = 0x10_1000;
/// Where the signallers hold their rights to channels.
const FIRST_RIGHT: u32 = 200;

fn right(channel: u32) -> CapAddr {
    CapAddr::new(1, FIRST_RIGHT + channel)
}

/// An OSnode on a core of its own that holds rights to the receiver's first channels.
fn signaller(number: u64) -> TestMachine {
    let mut m = support::world::fresh_machine(BYTES);
    Core(CORE).set_hw_id(&mut m, 102 + number);
    m.shared = Some(Rc::new(Untouched));
    let mut w = Node::adopt(m);
    for channel in 0..4 {
        let mut cap = Cap::region(CapType::Notify, PEER_PAGE, NOTIFICATION_BYTES);
        cap.rights = Rights::ALL;
        cap.param = channel;
        cap.extra = OSNODE + 1;
        let [a, b, c, d] = cap.emit().0;
        let words = [a, b, c, d, OSNODE + 1, u64::from(right(channel).0)];
        w.ok(Op::CapImport, slots::KERNEL, &words);
    }
    w.m
}

/// Signals `channels`; each interrupt leaves after its system call.
fn signal(mut m: TestMachine, shared: &Shared, channels: &[u32]) {
    m.shared = Some(shared.view(PEER_PAGE));
    let mut w = Node::adopt(m);
    for channel in channels {
        w.effects.clear();
        w.ok(Op::Signal, right(*channel), &[]);
        for effect in w.effects.drain(..) {
            let Effect::Signal(hw, Signal::Notify, None) = effect else {
                panic!("an effect that no Signal has: {effect:?}");
            };
            shared.interrupt(hw);
        }
    }
}

/// An OSnode with one dispatcher that the first word of channels is bound to; its page is still private.
fn receiver() -> TestMachine {
    let mut w = Node::new(BYTES);
    let [_, first, ..] = w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    assert_eq!(first, 0);
    w.m
}

/// The OSnode that waits, on one core after the other.
struct Receiver {
    w: Node,
    view: Rc<View>,
    core: usize,
    /// Its dispatcher has called `Wait`.
    waits: bool,
    got: u64,
}

impl Receiver {
    /// Adopts what stands in `m` on core `core`.
    fn attach(m: TestMachine, view: Rc<View>, core: usize, waits: bool, got: u64) -> Receiver {
        let mut m = m;
        m.core = [CORE, OTHER_CORE][core];
        m.shared = Some(view.clone());
        view.attaching.set(true);
        let w = Node::adopt(m);
        view.attaching.set(false);
        view.let_go();
        let mut r = Receiver {
            w,
            view,
            core,
            waits,
            got,
        };
        r.run_user();
        r
    }

    /// Its dispatcher takes the bits that it was given and waits for more.
    fn run_user(&mut self) {
        while let Next::Run { area, .. } = self.w.last.next {
            if self.waits {
                let regs = self.w.regs(area);
                assert_eq!(regs[..2], [0, WaitResult::NOTIFICATION]);
                assert_ne!(regs[2], 0, "woken for nothing");
                self.got |= regs[2];
            }
            let mut wait = [0; 8];
            wait[..2].copy_from_slice(&[Syscall::Wait as u64, u64::MAX]);
            self.waits = true;
            self.w.enter(wait);
        }
        assert_eq!(self.w.last.next, Next::Idle);
    }

    /// An interrupt of its core arrives now, if one is on its way.
    fn interrupt(&mut self) {
        if self.view.shared.interrupts[self.core].swap(false, Relaxed) {
            self.w.event(Event::Notified);
            self.view.let_go();
            self.run_user();
        }
    }

    /// Its kernel is stopped and lets it go; one on core `core` adopts it.
    fn goes_to(mut self, core: usize) -> Receiver {
        let line = Core(self.w.m.core);
        let seq = line.home_seq(&self.w.m);
        line.set_home_cmd(&mut self.w.m, CoreCommand::Stop as u64);
        line.set_home_seq(&mut self.w.m, seq + 1);
        self.w.event(Event::StopRequested);
        assert_eq!(self.w.last.next, Next::Pen);
        let epoch = epoch(&self.w.m);
        let after = Receiver::attach(self.w.m, self.view, core, self.waits, self.got);
        assert!(self::epoch(&after.w.m) > epoch, "each attach is an epoch");
        after
    }
}

fn epoch(m: &TestMachine) -> u64 {
    KCB.state(m) & 0xffff_ffff
}

/// One way of meeting: which channels each signaller signals, and where the OSnode goes.
#[derive(Clone, Copy)]
struct Story {
    weak: Weak,
    signals: &'static [&'static [u32]],
    cores: &'static [usize],
}

/// Tells the story once, in the order that loom chose; what is lost, if anything.
fn tell(story: Story, from: &Start) -> Option<String> {
    let shared = Shared::new(story.weak);
    let mut threads = Vec::new();
    for (m, channels) in from.signallers.iter().zip(story.signals) {
        let (m, shared) = (m.clone(), shared.clone());
        threads.push(thread::spawn(move || signal(m, &shared, channels)));
    }
    let view = shared.view(NOTIFICATION);
    let mut r = Receiver::attach(from.receiver.clone(), view, story.cores[0], false, 0);
    for &core in &story.cores[1..] {
        r.interrupt();
        r = r.goes_to(core);
    }
    r.interrupt();
    for t in threads {
        t.join().expect("no signaller panics");
    }
    // However late it is, an interrupt arrives: at the core for which it was meant.
    r.interrupt();
    let sent = story.signals.iter().copied().flatten();
    let sent = sent.fold(0, |bits, channel| bits | 1 << channel);
    assert_eq!(r.got & !sent, 0, "bits that nobody set");
    assert_eq!(DCB.state(&r.w.m), DcbState::Waiting as u64);
    (r.got != sent).then(|| {
        format!(
            "of {sent:#b} only {:#b} reached the dispatcher; the page's word has {:#b}, its summary {:#b}, its location {:#x}",
            r.got,
            shared.page.word.load(Relaxed),
            shared.page.summary.load(Relaxed),
            shared.page.location.load(Relaxed),
        )
    })
}

/// The OSnodes as each telling finds them.
struct Start {
    receiver: TestMachine,
    signallers: Vec<TestMachine>,
}

// Loom wants what its closure captures to be shareable; it runs everything on one thread.
thread_local! {
    static START: Start = Start {
        receiver: receiver(),
        signallers: (0..2).map(signaller).collect(),
    };
}

/// What came of all interleavings with at most so many preemptions.
#[derive(Default)]
struct Outcome {
    interleavings: u64,
    /// How many lost a bit, and how the first of them did.
    losses: u64,
    first: Option<String>,
}

/// Tells `story` in every way. A loss is noted, not a panic: loom cannot unwind its threads.
fn tell_all(story: Story, preemptions: usize) -> Outcome {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let outcome = std::sync::Arc::new(std::sync::Mutex::new(Outcome::default()));
    let notes = outcome.clone();
    builder.check(move || {
        let loss = START.with(|from| tell(story, from));
        let mut notes = notes.lock().expect("nobody panics with it");
        notes.interleavings += 1;
        notes.losses += u64::from(loss.is_some());
        notes.first = notes.first.take().or(loss);
    });
    let outcome = std::mem::take(&mut *outcome.lock().expect("all is over"));
    println!(
        "{} interleavings, {} lose a bit",
        outcome.interleavings, outcome.losses
    );
    outcome
}

/// Nothing is lost, whatever the order.
#[track_caller]
fn check(story: Story, preemptions: usize) {
    let outcome = tell_all(story, preemptions);
    assert!(outcome.interleavings > 10, "that is no test");
    let Outcome { losses, first, .. } = outcome;
    assert_eq!(losses, 0, "{}", first.unwrap_or_default());
}

/// With one operation weakened something is lost: the checks see it.
#[track_caller]
fn fails(weak: Weak, story: Story) {
    let outcome = tell_all(Story { weak, ..story }, 3);
    assert!(outcome.losses > 0, "{weak:?} makes no difference");
}

/// `few` preemptions, more when `NEKTON_FULL=1` is set.
fn depth(few: usize, many: usize) -> usize {
    if model::scaled(1) == 1 { few } else { many }
}

const ONE: Story = Story {
    weak: Weak::Sound,
    signals: &[&[0]],
    cores: &[0, 1],
};

const TWO: Story = Story {
    signals: &[&[0, 1]],
    ..ONE
};

const STAYS: Story = Story { cores: &[0], ..TWO };

#[test]
fn a_signal_meets_detach_and_attach() {
    check(ONE, depth(6, 30));
}

#[test]
fn two_signals_in_a_row() {
    check(TWO, depth(3, 5));
    check(STAYS, depth(6, 30));
}

#[test]
fn the_same_channel_twice() {
    let signals: &[&[u32]] = &[&[2, 2]];
    check(Story { signals, ..ONE }, depth(3, 5));
}

#[test]
fn two_signallers() {
    let signals: &[&[u32]] = &[&[0], &[1]];
    let cores = &[0];
    check(Story { signals, ..ONE }, depth(1, 2));
    check(
        Story {
            signals,
            cores,
            ..ONE
        },
        depth(2, 3),
    );
}

#[test]
fn away_and_back() {
    let cores = &[0, 1, 0];
    check(Story { cores, ..ONE }, depth(4, 6));
}

#[test]
fn a_new_kernel_on_the_same_core() {
    let cores = &[0, 0];
    check(Story { cores, ..ONE }, depth(6, 30));
}

#[test]
fn attach_must_scan() {
    fails(Weak::NoScan, ONE);
}

#[test]
fn the_location_comes_before_the_scan() {
    fails(Weak::LocationAfterScan, ONE);
}

#[test]
fn the_look_at_the_location_is_an_exchange() {
    fails(Weak::PlainLook, ONE);
}

#[test]
fn exchanges_order_what_comes_before_them() {
    fails(Weak::RelaxedExchange, ONE);
}

#[test]
fn the_summary_is_taken_before_the_words() {
    fails(Weak::SummaryAfterWords, STAYS);
}

#[test]
fn bits_are_cleared_by_an_exchange() {
    fails(Weak::StoreOfBits, TWO);
}

#[test]
fn interrupts_must_arrive() {
    fails(Weak::NoInterrupt, ONE);
}

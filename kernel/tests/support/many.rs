//! A world of several processes with capabilities of every kind, and random events for it.

use abi::{CapAddr, Op, disp, slots};
use capfmt::{CapType, Cte, Notification, PhysMap};
use kernel::{Event, FaultAccess, Next, Policy};
use model::Rng;

use super::random;
use super::world::{NOTIFICATION, World, live_area};

const PROCESSES: u32 = 4;
pub const BYTES: u64 = 0x20_0000;

/// Four processes; each holds RAM of its own, Endpoints of all, and one of everything else.
pub fn world<P: Policy>() -> World<P> {
    let mut w = World::<P>::new(BYTES);
    let all: Vec<_> = (0..PROCESSES).map(|k| w.spawn(k)).collect();
    w.ok(
        Op::CoreMint,
        slots::CORE,
        &[u64::from(CapAddr::new(1, 100).0)],
    );
    for (k, p) in all.iter().enumerate() {
        let ram = CapAddr::new(1, 110 + k as u32);
        w.make(
            CapType::Ram,
            0,
            0x5_0000 + 0x1_8000 * k as u64,
            0x1_8000,
            1,
            ram,
        );
        w.copy(ram, p.root, CapAddr::new(0, 20));
        let given = [
            slots::NOTIFICATION,
            slots::IRQ_SOURCES,
            slots::IO_PORTS,
            slots::KERNEL,
            slots::DEVICES,
            CapAddr::new(1, 100),
            all[(k + 1) % all.len()].dispatcher,
            all[(k + 1) % all.len()].task,
        ];
        let known = given.into_iter().chain(all.iter().map(|q| q.endpoint));
        for (to, from) in (21..).zip(known) {
            w.copy(from, p.root, CapAddr::new(0, to));
        }
        w.copy(slots::KERNEL, p.root, slots::KERNEL);
        let base = 0x5_0000 + 0x1_8000 * PROCESSES as u64 + 0x1_0000 * k as u64;
        let at = |n: u32| CapAddr::new(1, 120 + 4 * k as u32 + n);
        w.make(CapType::VNode, 0, base, 0, 1, at(0));
        w.make(CapType::VNode, 1, base + 0x2000, 0, 1, at(1));
        w.make(CapType::Frame, 0, base + 0x4000, 0x4000, 1, at(2));
        for n in 0..3 {
            w.copy(at(n), p.root, CapAddr::new(0, 40 + n));
        }
        w.m.store(p.page.add(disp::UPCALLS_WANTED), 0x3f & (5 * k as u64 + 8));
    }
    for p in &all {
        w.start(p);
    }
    w
}

/// OSnode time, roughly.
fn now_ns<P: Policy>(w: &World<P>) -> u64 {
    w.m.counter.get() - 1_000_000
}

/// A random event that is no system call.
fn event<P: Policy>(w: &mut World<P>, r: &mut Rng) -> Event {
    match r.below(8) {
        0..3 => {
            w.m.advance(r.below(12_000_000));
            Event::Timer
        }
        3 => Event::Irq(r.below(100)),
        4 => {
            let page = Notification(NOTIFICATION);
            let word = r.below(4);
            page.set_word(&mut w.m, word, 1 << r.below(64));
            page.set_summary(&mut w.m, 1 << word);
            Event::Notified
        }
        5 => Event::StopRequested,
        6 => Event::Idle,
        _ if r.one_in(8) && matches!(w.last.next, Next::Run { .. }) => {
            let access = FaultAccess {
                write: true,
                execute: false,
            };
            Event::PageFault(r.word(), access)
        }
        _ => Event::Timer,
    }
}

/// What stands in the first CNode of whoever runs.
fn known<P: Policy>(w: &World<P>) -> random::Known {
    let mut all = Vec::new();
    let root = w.running().map(|d| d.cspace().cap(&w.m));
    let Some(root) = root.filter(|c| c.kind == CapType::CNode) else {
        return random::Known(all);
    };
    let task = Cte(root.base).cap(&w.m);
    if task.kind == CapType::CNode {
        for k in 0..task.size / 64 {
            let cap = Cte(task.base.add(64 * k)).cap(&w.m);
            if cap.kind != CapType::Null {
                all.push((k, cap.kind));
            }
        }
    }
    random::Known(all)
}

/// Lets user code write anything into its frame now and then.
pub fn prepare<P: Policy>(w: &mut World<P>, r: &mut Rng) {
    if let Next::Run { page, .. } = w.last.next
        && r.one_in(40)
    {
        let at = 8 * r.below(disp::FRAME_BYTES / 8);
        w.m.store(page.add(at), r.word());
    }
}

/// Chooses what enters the kernel next; the registers of a system call are in place then.
pub fn random_event<P: Policy>(w: &mut World<P>, r: &mut Rng) -> Event {
    match w.last.next {
        Next::Run { page, .. } if !r.one_in(8) => {
            let regs = random::syscall(r, &known(w), now_ns(w));
            let area = live_area(&w.m, page);
            w.set_regs(area, regs);
            Event::Syscall
        }
        Next::Idle if w.last.deadline.is_some() => {
            w.pass_time();
            Event::Timer
        }
        _ => event(w, r),
    }
}

/// One random entry. `false`: nobody will ever run again.
pub fn random_step<P: Policy>(w: &mut World<P>, r: &mut Rng) -> bool {
    if w.last.next == Next::Pen {
        return false;
    }
    prepare(w, r);
    let asleep = w.last.next == Next::Idle && w.last.deadline.is_none();
    let event = random_event(w, r);
    w.event(event);
    !(asleep && r.one_in(10))
}

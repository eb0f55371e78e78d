//! Whatever is done, and wherever a kernel dies in it, no page is lost, and none comes back twice.

use std::collections::BTreeSet;

use abi::{CapAddr, Op, Syscall, slots};
use capfmt::{Cap, CapType, Cte, PhysAddr, PhysMap, mdb};
use kernel::{Event, Machine, Next, RoundRobin};
use model::{Rng, scaled};

use super::death::{adopted, dies, tell_only_surprises};
use crate::support::check::check_all;
use crate::support::machine::TestMachine;
use crate::support::many::{random_event, world};
use crate::support::world::{KCB, World, live_area};

type W = World<RoundRobin>;

/// What other OSnodes would have a part in, or takes memory away by intent.
const ELSEWHERE: [Op; 9] = [
    Op::CapExport,
    Op::CapImport,
    Op::CapRemove,
    Op::CapSetOwner,
    Op::CapSetRemote,
    Op::CapMark,
    Op::CapSweep,
    Op::ReclaimBind,
    Op::Seal,
];

/// The pages of memory that any capability covers, and what the kernel keeps when none does.
fn covered(m: &TestMachine) -> BTreeSet<u64> {
    let mut pages = BTreeSet::from([KCB.notification(m) >> 12, KCB.time_page(m) >> 12]);
    for (_, cap) in check_all(m) {
        if cap.kind.info().class == capfmt::schema::Class::Physical && m.covers(cap.base, cap.size)
        {
            pages.extend(cap.base.0 >> 12..=cap.last() >> 12);
        }
    }
    pages
}

/// The processes of `many`, and nothing above what they hold; what comes back goes to a CNode of its own, in which
/// `taken` slots are in use, and the first process is told on `channel`.
fn fresh(taken: u64, channel: u64) -> W {
    let mut w = world::<RoundRobin>();
    let root = u64::from(slots::ROOT_CNODE.0);
    let back = CapAddr::root(7);
    w.make(CapType::CNode, 8, 0xf_0000, 0, 1, back);
    if channel != u64::MAX {
        w.op(Op::NotifyBind, slots::DISPATCHER, &[]);
    }
    w.ok(
        Op::ReclaimBind,
        slots::KERNEL,
        &[u64::from(back.0), channel],
    );
    for k in 0..4 {
        let ram = CapAddr::new(1, 110 + k);
        w.ok(Op::Delete, slots::ROOT_CNODE, &[u64::from(ram.0)]);
    }
    let before = covered(&w.m);
    let regs = [
        (Op::Delete as u64) << 8,
        root,
        u64::from(slots::RAM.0),
        0,
        0,
        0,
        0,
        0,
    ];
    w.call(regs);
    assert_eq!(covered(&w.m), before);
    let kernel = w.cap(slots::KERNEL);
    let base = PhysAddr(KCB.reclaim_cnode(&w.m));
    for slot in (0..taken).map(|k| Cte(base.add(64 * k))) {
        if slot.cap(&w.m).kind == CapType::Null {
            mdb::place(&mut w.m, KCB, slot, &kernel);
        }
    }
    w
}

/// Whether nothing more can come back.
fn is_full(m: &TestMachine) -> bool {
    let base = PhysAddr(KCB.reclaim_cnode(m));
    let kind = |k: u64| Cte(base.add(64 * k)).cap(m).kind;
    (0..256).all(|k| kind(k) != CapType::Null)
}

/// What a memory service does with what came back: it goes away.
fn collect(m: &mut TestMachine, returned: &mut BTreeSet<u64>) {
    let base = PhysAddr(KCB.reclaim_cnode(m));
    for k in 0..256 {
        let cte = Cte(base.add(64 * k));
        let cap: Cap = cte.cap(m);
        if cap.kind == CapType::Ram && KCB.op_kind(m) == 0 {
            for page in cap.base.0 >> 12..=cap.last() >> 12 {
                assert!(returned.insert(page), "page {page:#x} came back twice");
            }
            mdb::clear(m, KCB, cte);
        }
    }
}

/// All pages there are: covered, or given back before.
fn all(m: &TestMachine, returned: &BTreeSet<u64>) -> BTreeSet<u64> {
    let here = covered(m);
    assert!(
        here.is_disjoint(returned),
        "a page is here and was given back"
    );
    here.union(returned).copied().collect()
}

/// Chooses an event that concerns this OSnode alone.
fn local_event(w: &mut W, r: &mut Rng) -> Event {
    let event = random_event(w, r);
    if let (Event::Syscall, Next::Run { page, .. }) = (event, w.last.next) {
        let area = live_area(&w.m, page);
        let regs = w.regs(area);
        let op = Op::from_u8((regs[0] >> 8) as u8).filter(|_| regs[0] as u8 == 0);
        if op.is_some_and(|op| ELSEWHERE.contains(&op)) {
            w.m.store(
                area.add(TestMachine::SYSCALL_REGS[0]),
                Syscall::Yield as u64,
            );
        }
    }
    event
}

fn run(seed: u64, steps: u64, channel: u64) {
    tell_only_surprises();
    let mut r = Rng::new(seed);
    let (mut back, mut deaths, mut paused) = (0, 0, 0);
    let mut done = 0;
    while done < steps {
        // Now and then there is hardly any place.
        let taken = *r.pick(&[0, 0, 254, 255, 256]);
        // A service that is slow to take it leaves none at all.
        let often = if taken == 0 { 16 } else { 100 };
        let mut w = fresh(taken, channel);
        let mut returned = BTreeSet::new();
        let whole = all(&w.m, &returned);
        for _ in 0..400 {
            done += 1;
            if w.last.next == Next::Pen {
                break;
            }
            let event = local_event(&mut w, &mut r);
            if r.one_in(3) {
                w = W::adopt(w.m);
                let mut m = w.m.clone();
                if dies::<RoundRobin>(&mut m, event, r.below(120)) {
                    deaths += 1;
                    let m = adopted::<RoundRobin>(&m);
                    if KCB.reclaim_cnode(&m) == 0 {
                        break;
                    }
                    assert_eq!(
                        all(&m, &returned),
                        whole,
                        "seed {seed}: after a death in {event:?}"
                    );
                    if r.one_in(2) {
                        w = W::adopt(m);
                        continue;
                    }
                }
            }
            w.event(event);
            // Its holder may take the CNode itself away: then nothing comes back any more.
            if KCB.reclaim_cnode(&w.m) == 0 {
                break;
            }
            assert_eq!(all(&w.m, &returned), whole, "seed {seed}: after {event:?}");
            paused += u64::from(KCB.op_kind(&w.m) != 0 && is_full(&w.m));
            if r.one_in(often) {
                let before = returned.len();
                collect(&mut w.m, &mut returned);
                back += returned.len() - before;
            }
        }
    }
    println!("{back} pages came back, {deaths} deaths, {paused} entries of a paused operation");
    assert!(
        back > 200 && deaths > 200 && paused > 20,
        "too little to mean anything: {back}, {deaths}, {paused}"
    );
}

#[test]
fn no_page_is_lost_and_none_comes_back_twice() {
    run(21, scaled(30_000), u64::MAX);
}

/// One of the processes is told of what comes back, and does not wait for what waits for it.
#[test]
fn the_same_with_a_collector() {
    run(23, scaled(30_000), 9);
}

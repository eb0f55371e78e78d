//! Memory whose last capability goes comes back as Ram, whole pages, once.

use crate::support::check::check_all;
use crate::support::world::{DCB, KCB, RAM, TIME_PAGE, World, slot_at};
use abi::{CapAddr, Op, SysError, Syscall, disp, slots};
use capfmt::{Cap, CapType, Cte, LongOpKind, MdbFlags, PhysAddr, PhysMap, mdb};
use kernel::RoundRobin;

type W = World<RoundRobin>;

const ROOT: CapAddr = slots::ROOT_CNODE;
/// Root slot of the CNode that memory comes back to, and its own capability.
const BACK: u32 = 5;
const CHANNEL: u64 = 9;

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, 100 + k)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// A world where memory comes back, and nothing is above what is made from `slots::RAM` until that goes.
fn world() -> W {
    let mut w = World::new(0x40_0000);
    w.make(CapType::CNode, 8, 0, 0, 1, CapAddr::root(BACK));
    w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    let back = n(CapAddr::root(BACK));
    w.ok(Op::ReclaimBind, slots::KERNEL, &[back, CHANNEL]);
    w
}

/// Deletes a capability of the first process.
#[track_caller]
fn delete(w: &mut W, slot: CapAddr) {
    w.ok(Op::Delete, ROOT, &[n(slot)]);
    check_all(&w.m);
}

/// What came back, and is taken out of the CNode now.
fn take(w: &mut W) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for k in 0..256 {
        let slot = CapAddr::new(BACK, k);
        let cte = Cte(RAM.add(64 * u64::from(k)));
        let cap = cte.cap(&w.m);
        if cap.kind == CapType::Null {
            continue;
        }
        assert_eq!(cap.kind, CapType::Ram);
        all.push((cap.base.0 - RAM.0, cap.size));
        // Given to another OSnode, it is gone here.
        assert_eq!(w.ok(Op::CapRemove, slots::KERNEL, &[n(slot)])[1], 0);
    }
    all.sort_unstable();
    all
}

fn told(w: &mut W) -> bool {
    let pending = DCB.notify_pending(&w.m);
    DCB.set_notify_pending(&mut w.m, 0);
    pending & 1 << CHANNEL != 0
}

/// A world of some objects without anything above them, and where they start.
fn bare(objects: &[(CapType, u32, u64, u64)]) -> W {
    let mut w = world();
    for (k, (kind, param, offset, size)) in objects.iter().enumerate() {
        w.make(*kind, *param, *offset, *size, 1, at(k as u32));
    }
    delete(&mut w, slots::RAM);
    take(&mut w);
    told(&mut w);
    w
}

#[test]
fn gaps_come_back_when_what_covers_them_goes() {
    let mut w = world();
    w.make(CapType::Frame, 0, 0x1_0000, 0x1000, 1, at(0));
    w.make(CapType::Frame, 0, 0x2_0000, 0x3000, 1, at(1));
    w.make(CapType::Dispatcher, 0, 0x3_0800, 0, 1, at(2));
    told(&mut w);
    delete(&mut w, slots::RAM);
    let size = 0x40_0000 - 0x10_0000;
    assert_eq!(
        take(&mut w),
        [
            (0x4000, 0xc000),
            (0x1_1000, 0xf000),
            (0x2_3000, 0xd000),
            (0x3_1000, size - 0x3_1000)
        ]
    );
    assert!(told(&mut w));
}

#[test]
fn the_last_capability_brings_it_back() {
    let mut w = bare(&[(CapType::Frame, 0, 0x1_0000, 0x3000)]);
    w.copy(at(0), ROOT, at(1));
    delete(&mut w, at(0));
    assert_eq!(take(&mut w), []);
    assert!(!told(&mut w));
    delete(&mut w, at(1));
    assert_eq!(take(&mut w), [(0x1_0000, 0x3000)]);
    assert!(told(&mut w));
}

#[test]
fn the_right_to_device_addresses_holds_no_memory() {
    let mut w = bare(&[(CapType::Frame, 0, 0x1_0000, 0x3000)]);
    for (k, (base, size)) in [(0, 1 << 40), (RAM.0 + 0x1_0000, 0x3000)]
        .into_iter()
        .enumerate()
    {
        let all = Cap::region(CapType::PhysAddr, PhysAddr(base), size);
        mdb::place(&mut w.m, KCB, slot_at(at(5 + k as u32)), &all);
    }
    delete(&mut w, at(0));
    assert_eq!(take(&mut w), [(0x1_0000, 0x3000)]);
}

#[test]
fn parts_and_mappings_hold_their_pages() {
    let mut w = bare(&[
        (CapType::Frame, 0, 0x1_0000, 0x8000),
        (CapType::VNode, 0, 0x2_0000, 0),
    ]);
    w.ok(
        Op::Retype,
        at(0),
        &[0x2000, 3, 0x1000, 1, n(ROOT), n(at(2))],
    );
    w.ok(
        Op::Map,
        at(1),
        &[n(at(0)), 5, 0x5000, 2 | 1 << 32, n(at(3))],
    );
    delete(&mut w, at(0));
    assert_eq!(
        take(&mut w),
        [(0x1_0000, 0x2000), (0x1_3000, 0x2000), (0x1_7000, 0x1000)]
    );
    delete(&mut w, at(2));
    assert_eq!(take(&mut w), [(0x1_2000, 0x1000)]);
    delete(&mut w, at(3));
    assert_eq!(take(&mut w), [(0x1_5000, 0x2000)]);
    delete(&mut w, at(1));
    assert_eq!(take(&mut w), [(0x2_0000, 0x2000)]);
}

#[test]
fn a_page_comes_back_with_the_last_object_in_it() {
    let mut w = bare(&[
        (CapType::Dispatcher, 0, 0x1_0000, 0),
        (CapType::Dispatcher, 0, 0x1_0800, 0),
        (CapType::CNode, 2, 0x2_0000, 0),
        (CapType::CNode, 4, 0x2_0400, 0),
    ]);
    w.ok(Op::EndpointOpen, at(1), &[0, 0, 8, n(at(4))]);
    for k in 0..3 {
        delete(&mut w, at(k));
        assert_eq!(take(&mut w), [], "object {k}");
    }
    delete(&mut w, at(3));
    assert_eq!(take(&mut w), [(0x2_0000, 0x1000)]);
    // A right to the dispatcher that is no more.
    delete(&mut w, at(4));
    assert_eq!(take(&mut w), [(0x1_0000, 0x1000)]);
}

#[test]
fn contents_come_back_with_their_object() {
    let mut w = bare(&[
        (CapType::CNode, 8, 0x1_0000, 0),
        (CapType::Ram, 0, 0x2_0000, 0x1_0000),
    ]);
    w.copy(at(0), ROOT, CapAddr::root(6));
    let frames = [0, 3, 0x1000, 5, n(ROOT), n(CapAddr::new(6, 7))];
    w.ok(Op::Retype, at(1), &frames);
    delete(&mut w, at(1));
    assert_eq!(take(&mut w), [(0x2_5000, 0xb000)]);
    delete(&mut w, at(0));
    delete(&mut w, CapAddr::root(6));
    let back = take(&mut w);
    let bytes: u64 = back.iter().map(|(_, size)| size).sum();
    assert_eq!(bytes, 0x5000 + 0x4000, "{back:x?}");
}

#[test]
fn a_process_comes_back_whole() {
    let mut w = world();
    let p = w.spawn(1);
    w.start(&p);
    let bytes = 0x4000 + 0x4000 + 0x1000 + 0x2000 + disp::FRAME_BYTES;
    delete(&mut w, slots::RAM);
    take(&mut w);
    // It holds itself, so what it holds is taken away first.
    for slot in [p.dispatcher, p.root, p.task, p.vnode, p.frame] {
        w.ok(Op::Revoke, ROOT, &[n(slot)]);
        delete(&mut w, slot);
    }
    let back = take(&mut w);
    let sum: u64 = back.iter().map(|(_, size)| size).sum();
    assert_eq!(sum, bytes, "{back:x?}");
}

/// Fills the first `count` slots of the CNode.
fn fill(w: &mut W, count: u32) {
    for k in 0..count {
        if Cte(RAM.add(64 * u64::from(k))).cap(&w.m).kind == CapType::Null {
            w.copy(slots::KERNEL, ROOT, CapAddr::new(BACK, k));
        }
    }
}

/// Empties one of them as the collector would.
fn make_place(w: &mut W, k: u32, to: CapAddr) {
    let from = n(CapAddr::new(BACK, k));
    w.ok(Op::Move, ROOT, &[from, n(to)]);
}

#[test]
fn without_a_slot_a_deletion_waits_for_one() {
    let mut w = bare(&[(CapType::Frame, 0, 0x1_0000, 0x3000)]);
    fill(&mut w, 256);
    // Another dispatcher makes the place.
    let back = n(CapAddr::root(BACK));
    w.ok(Op::ReclaimBind, slots::KERNEL, &[back, u64::MAX]);
    let area = w.area();
    let regs = [(Op::Delete as u64) << 8, n(ROOT), n(at(0)), 0, 0, 0, 0, 0];
    w.enter(regs);
    assert_eq!(KCB.op_kind(&w.m), LongOpKind::Delete as u64);
    assert_eq!(w.running(), None, "the caller waits");
    assert_eq!(
        w.last.deadline, None,
        "nothing is to be done until there is a slot"
    );
    for _ in 0..3 {
        w = W::adopt(w.m);
        assert_eq!(w.running(), None);
    }
    // As the memory service would.
    mdb::clear(&mut w.m, KCB, Cte(RAM.add(64 * 17)));
    w.event(kernel::Event::Idle);
    assert_eq!(KCB.op_kind(&w.m), 0);
    assert_eq!(w.running(), Some(DCB));
    assert_eq!(w.m.load(area), 0);
    let cap = Cte(RAM.add(64 * 17)).cap(&w.m);
    assert_eq!(cap, Cap::region(CapType::Ram, RAM.add(0x1_0000), 0x3000));
    check_all(&w.m);
}

#[test]
fn the_collector_does_not_wait_for_its_own_deletion() {
    let mut w = bare(&[(CapType::Frame, 0, 0x1_0000, 0x3000)]);
    fill(&mut w, 256);
    w.refused(SysError::BackFull, Op::Delete, ROOT, &[n(at(0))]);
    assert_eq!(KCB.op_kind(&w.m), LongOpKind::Delete as u64);
    w.refused(SysError::InDelete, Op::Delete, ROOT, &[n(at(0))]);
    check_all(&w.m);
    make_place(&mut w, 17, at(50));
    assert_eq!(KCB.op_kind(&w.m), 0);
    assert_eq!(w.cap(at(0)).kind, CapType::Null);
    let cap = Cte(RAM.add(64 * 17)).cap(&w.m);
    assert_eq!(cap, Cap::region(CapType::Ram, RAM.add(0x1_0000), 0x3000));
    check_all(&w.m);
}

#[test]
fn the_collector_does_not_wait_for_others_that_wait_for_it() {
    // Another process deletes a CNode with more in it than there is place for.
    let mut w = world();
    let p = w.spawn(1);
    w.make(CapType::CNode, 8, 0x10_0000, 0, 1, at(0));
    w.make(CapType::Ram, 0, 0x11_0000, 0x3_0000, 1, at(1));
    w.make(CapType::Ram, 0, 0x16_0000, 0x2_0000, 1, at(2));
    w.copy(at(0), ROOT, CapAddr::root(6));
    let frames = [0, 3, 0x1000, 48, n(ROOT), n(CapAddr::new(6, 1))];
    w.ok(Op::Retype, at(1), &frames);
    w.copy(at(0), p.root, CapAddr::new(0, 30));
    for slot in [at(0), at(1), CapAddr::root(6), slots::RAM] {
        delete(&mut w, slot);
    }
    take(&mut w);
    fill(&mut w, 216);
    w.start(&p);
    while w.running() != Some(p.dcb) {
        w.tick();
    }
    let doomed = n(CapAddr::new(0, 30));
    w.enter([(Op::Delete as u64) << 8, n(ROOT), doomed, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(DCB));
    // It waits while the other's operation goes on, and not when that stands still.
    let kind = CapType::Frame as u64;
    let big = [
        (Op::Retype as u64) << 8,
        n(at(2)),
        0,
        kind,
        0x1_0000,
        1,
        n(ROOT),
        n(at(3)),
    ];
    let area = w.area();
    w.enter(big);
    assert_eq!(w.running(), None, "it waits for the end");
    for _ in 0..20 {
        if w.running().is_none() {
            w.tick();
        }
    }
    assert_eq!(w.running(), Some(DCB), "it goes on");
    assert_eq!(KCB.op_kind(&w.m), LongOpKind::Delete as u64);
    assert_eq!(w.last.deadline, None);
    w.enter(big);
    assert_eq!(w.m.load(area), SysError::BackFull as u64);
    check_all(&w.m);
    for k in 0..40 {
        make_place(&mut w, k, CapAddr::new(1, 150 + k));
    }
    assert_eq!(KCB.op_kind(&w.m), 0, "the other's operation has ended");
    w.ok(Op::Retype, at(2), &big[2..]);
    let bytes: u64 = (0..256)
        .map(|k| Cte(RAM.add(64 * k)).cap(&w.m))
        .filter(|cap| cap.kind == CapType::Ram)
        .map(|cap| cap.size)
        .sum();
    assert_eq!(bytes, 0x3_0000 + 0x4000);
    check_all(&w.m);
}

#[test]
fn what_is_shared_or_no_memory_does_not_come_back() {
    let mut w = bare(&[
        (CapType::Frame, 0, 0x1_0000, 0x1000),
        (CapType::Frame, 0, 0x1_1000, 0x1000),
        (CapType::Frame, 0, 0x1_2000, 0x1000),
    ]);
    w.ok(Op::MonitorBind, slots::KERNEL, &[u64::MAX]);
    w.ok(Op::MonitorBind, slots::KERNEL, &[3]);
    let words = |w: &W, k| w.cap(at(k)).emit().0;
    for (k, (op, value)) in [(Op::CapSetOwner, 99), (Op::CapSetRemote, 2)]
        .iter()
        .enumerate()
    {
        let [a, b, c, d] = words(&w, k as u32);
        w.ok(*op, slots::KERNEL, &[a, b, c, d, *value]);
        delete(&mut w, at(k as u32));
    }
    // Given to another OSnode, or revoked by the monitors.
    let [a, b, c, d] = words(&w, 2);
    w.ok(Op::CapMark, slots::KERNEL, &[a, b, c, d, 0]);
    w.ok(Op::CapSweep, slots::KERNEL, &[a, b, c, d]);
    assert_eq!(w.cap(at(2)).kind, CapType::Null);
    delete(&mut w, slots::DEVICES);
    assert_eq!(take(&mut w), []);
    // What the kernel itself needs stays, whoever has a capability to it.
    let own = Cap::region(CapType::Frame, PhysAddr(TIME_PAGE.0), 0x1000);
    mdb::place(&mut w.m, KCB, slot_at(at(5)), &own);
    delete(&mut w, at(5));
    assert_eq!(take(&mut w), []);
}

#[test]
fn the_binding_ends_with_its_cnode() {
    let mut w = bare(&[(CapType::Frame, 0, 0x1_0000, 0x1000)]);
    w.refused(
        SysError::WrongType,
        Op::ReclaimBind,
        slots::KERNEL,
        &[n(at(0)), 1],
    );
    let small = [CapAddr::root(BACK), at(0)];
    w.refused(
        SysError::BadArgument,
        Op::ReclaimBind,
        slots::KERNEL,
        &[n(small[0]), 5000],
    );
    delete(&mut w, CapAddr::root(BACK));
    assert_eq!((KCB.reclaim_cnode(&w.m), KCB.reclaim_channel(&w.m)), (0, 0));
    delete(&mut w, at(0));
    let none = MdbFlags(0);
    assert_eq!(slot_at(at(0)).node(&w.m).flags, none);
    w.enter([Syscall::Yield as u64, 0, 0, 0, 0, 0, 0, 0]);
}

//! Objects that other OSnodes know: what monitors ask of a kernel, and calls that wait for a monitor.

mod support;

use abi::{CapAddr, Op, SysError, Syscall, slots};
use capfmt::schema::Class;
use capfmt::{Cap, CapType, Cte, DcbState, Isa, MdbFlags, PhysAddr, PhysMap, RawCap, mdb};
use kernel::{Effect, Event, RoundRobin};
use support::check::{check_all, mappings};

use support::process::Process;
use support::world::{DCB, KCB, OSNODE, RAM, World, live_area, slot_at};

type W = World<RoundRobin>;

const ROOT: CapAddr = slots::ROOT_CNODE;
/// Offset in the RAM capability of what no process takes.
const FREE_RAM: u64 = 0x2_0000;
/// The monitor's channel.
const CHANNEL: u64 = 5;
const OTHER: u64 = 99;

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, 100 + k)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// A world whose first process is the monitor.
fn world() -> W {
    let mut w = World::new(0x40_0000);
    w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    w.ok(Op::MonitorBind, slots::KERNEL, &[CHANNEL]);
    told(&mut w);
    w
}

fn words(cap: &Cap) -> [u64; 4] {
    cap.emit().0
}

/// Asks something about an object.
#[track_caller]
fn ask(w: &mut W, op: Op, object: &Cap, more: u64) -> [u64; 8] {
    let [a, b, c, d] = words(object);
    w.ok(op, slots::KERNEL, &[a, b, c, d, more])
}

/// Who owns the object, and its flags, if it is held.
fn holding(w: &mut W, object: &Cap) -> Option<(u64, MdbFlags)> {
    let r = ask(w, Op::CapOwner, object, 0);
    (r[1] != 0).then_some((r[2], MdbFlags(r[3] as u16)))
}

/// A Frame of `pages` in slot `to`.
fn frame(w: &mut W, offset: u64, pages: u64, to: CapAddr) -> Cap {
    w.make(CapType::Frame, 0, FREE_RAM + offset, 0x1000 * pages, 1, to);
    w.cap(to)
}

fn retype(from: CapAddr, kind: CapType, size: u64, to: CapAddr) -> [u64; 8] {
    let op = (Op::Retype as u64) << 8;
    [op, n(from), 0, kind as u64, size, 1, n(ROOT), n(to)]
}

/// A client's revoke of what it was given as number `k`.
fn revoke(k: u32) -> [u64; 8] {
    let op = (Op::Revoke as u64) << 8;
    [op, n(ROOT), n(client_slot(k)), 0, 0, 0, 0, 0]
}

fn drops(w: &mut W) -> u64 {
    w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[7]
}

/// Whether the monitor was told since the last look.
fn told(w: &mut W) -> bool {
    let pending = DCB.notify_pending(&w.m);
    DCB.set_notify_pending(&mut w.m, 0);
    pending & 1 << (CHANNEL % 64) != 0
}

/// What `CapNext` lists of a range.
fn list(w: &mut W, class: Class, base: u64, end: u64) -> Vec<(Cap, u64)> {
    let mut all = Vec::new();
    let mut cursor = Cap::NULL;
    loop {
        let how = class as u64 | (cursor.kind as u64) << 8 | u64::from(cursor.param) << 32;
        let args = [base, end, how, cursor.base.0, cursor.size, cursor.extra];
        let r = w.op(Op::CapNext, slots::KERNEL, &args);
        if r[0] == SysError::NoCapability as u64 {
            return all;
        }
        assert_eq!(r[0], 0);
        cursor = RawCap([r[1], r[2], r[3], r[4]]).parse().expect("words");
        if r[7] != 0 {
            all.push((cursor.mapped(Isa::X86).unwrap_or(cursor), r[5]));
        }
    }
}

/// A client, with copies of `given` from slot 60 on. Its root CNode is `ROOT` to itself.
fn client(w: &mut W, given: &[CapAddr]) -> Process {
    let p = w.spawn(0);
    for (k, from) in (60..).zip(given) {
        w.copy(*from, p.root, CapAddr::new(0, k));
    }
    w.start(&p);
    p
}

/// Lets the client make a call; the monitor waits meanwhile and runs again afterwards. r0 and r1 of the client, if
/// it did not have to wait.
fn client_calls(w: &mut W, p: &Process, regs: [u64; 8]) -> Option<(u64, u64)> {
    let until = w.m.counter.get() + 3_000_000;
    w.enter([Syscall::Wait as u64, until, 1, 0, 0, 0, 0, 0]);
    while w.running() != Some(p.dcb) {
        w.tick();
    }
    w.enter(regs);
    let mut answer = None;
    while w.running() != Some(DCB) {
        if w.running() == Some(p.dcb) {
            answer = answer.or(Some(result(w, p)));
            let until = w.m.counter.get() + 1000;
            w.enter([Syscall::Wait as u64, until, 32, 0, 0, 0, 0, 0]);
        } else {
            w.tick();
        }
    }
    answer
}

fn client_slot(k: u32) -> CapAddr {
    CapAddr::new(0, 60 + k)
}

/// r0 and r1 of the client.
fn result(w: &W, p: &Process) -> (u64, u64) {
    let regs = w.regs(live_area(&w.m, p.page));
    (regs[0], regs[1])
}

#[test]
fn an_object_is_held_by_copies_and_by_mappings() {
    let mut w = world();
    let f = frame(&mut w, 0, 2, at(0));
    w.make(CapType::VNode, 0, FREE_RAM + 0x4000, 0, 1, at(1));
    w.ok(
        Op::Map,
        at(1),
        &[n(at(0)), 5, 0x1000, 1 | 3 << 32, n(at(2))],
    );
    assert_eq!(holding(&mut w, &f), Some((OSNODE, MdbFlags(0))));
    ask(&mut w, Op::CapSetOwner, &f, OTHER);
    ask(&mut w, Op::CapSetRemote, &f, 1);
    assert_eq!(holding(&mut w, &f), Some((OTHER, MdbFlags::REMOTE_COPIES)));
    assert!(!told(&mut w));
    // The Mapping stands for it when the Frame is gone.
    w.ok(Op::Delete, ROOT, &[n(at(0))]);
    assert_eq!(holding(&mut w, &f), Some((OTHER, MdbFlags::REMOTE_COPIES)));
    assert_eq!(drops(&mut w), 1);
    assert!(told(&mut w));
    let mapped = Cap::region(CapType::Frame, RAM.add(FREE_RAM + 0x1000), 0x1000);
    let there = list(&mut w, Class::Physical, f.base.0, f.base.0 + f.size);
    assert!(
        there.iter().any(|(c, o)| *c == mapped && *o == OTHER),
        "{there:x?}"
    );
    w.ok(Op::Delete, ROOT, &[n(at(2))]);
    assert_eq!(holding(&mut w, &f), None);
    assert_eq!(drops(&mut w), 2);
    assert!(told(&mut w));
    check_all(&w.m);
}

#[test]
fn objects_are_listed_once_in_order() {
    let mut w = world();
    let all: Vec<Cap> = (0..40)
        .map(|k| frame(&mut w, 0x1000 * k, 1, at(k as u32)))
        .collect();
    for k in 0..40 {
        w.copy(at(k), ROOT, at(50 + k));
    }
    let (base, end) = (all[3].base.0 + 0x800, all[30].base.0 + 1);
    let found = list(&mut w, Class::Physical, base, end);
    let ram = w.cap(slots::RAM);
    let expected: Vec<(Cap, u64)> = std::iter::once(&ram)
        .chain(&all[3..=30])
        .map(|c| (*c, OSNODE))
        .collect();
    assert_eq!(found, expected);
    // Classes do not mix, and numbers have their own.
    assert!(
        list(&mut w, Class::Nowhere, 0, 0)
            .iter()
            .all(|(c, _)| c.size == 0)
    );
    assert_eq!(list(&mut w, Class::Irq, 5, 6).len(), 1);
}

/// So many Mappings of one Frame that one call does not look past them.
#[test]
fn mappings_of_what_is_listed_are_skipped_in_any_number() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    w.make(CapType::VNode, 0, FREE_RAM + 0x4000, 0, 1, at(1));
    w.make(CapType::CNode, 8, FREE_RAM + 0x8000, 0, 1, at(2));
    w.copy(at(2), ROOT, CapAddr::root(5));
    w.make(CapType::CNode, 8, FREE_RAM + 0xc000, 0, 1, at(3));
    w.copy(at(3), ROOT, CapAddr::root(6));
    for k in 0..300_u32 {
        let to = CapAddr::new(5 + k / 200, k % 200);
        w.ok(Op::Map, at(1), &[n(at(0)), k.into(), 0, 1 | 1 << 32, n(to)]);
    }
    let found = list(&mut w, Class::Physical, f.base.0, f.base.0 + 1);
    assert_eq!(
        found.iter().map(|(c, _)| *c).collect::<Vec<_>>(),
        [w.cap(slots::RAM), f]
    );
}

#[test]
fn what_is_derived_from_foreign_memory_is_its_owners() {
    let mut w = world();
    frame(&mut w, 0, 4, at(0));
    let f = w.cap(at(0));
    ask(&mut w, Op::CapSetOwner, &f, OTHER);
    ask(&mut w, Op::CapSetRemote, &f, 1);
    w.copy(at(0), ROOT, at(1));
    let p = client(&mut w, &[at(1)]);
    client_calls(
        &mut w,
        &p,
        retype(client_slot(0), CapType::Frame, 0x1000, CapAddr::new(0, 90)),
    );
    let id = p.dcb.id(&w.m);
    let r = w.ok(Op::CapPending, slots::KERNEL, &[0, 0]);
    assert_eq!(r[1], id);
    assert_eq!(r[2], Op::Retype as u64 | 1 << 16);
    assert_eq!(&r[3..7], &words(&f));
    let child = Cap::region(CapType::Frame, f.base, 0x1000);
    let r = w.ok(Op::CapPending, slots::KERNEL, &[id, 1]);
    assert_eq!(&r[3..7], &words(&child));
    assert!(told(&mut w));
    assert_eq!(w.ok(Op::CapAnswer, slots::KERNEL, &[id, 0])[1], 0);
    assert_eq!(result(&w, &p), (0, 1));
    let node = Cte(mdb::copy_of(&w.m, KCB, &child).expect("made").0).node(&w.m);
    assert_eq!((node.owner, node.flags), (1, MdbFlags::REMOTE_ANCESTORS));
    // A second time it would overlap: that is found before anybody is asked.
    let answer = client_calls(
        &mut w,
        &p,
        retype(client_slot(0), CapType::Frame, 0x1000, CapAddr::new(0, 91)),
    )
    .expect("no wait");
    assert_eq!(answer.0, SysError::Overlaps as u64);
    assert_eq!(w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[1], 0);
    check_all(&w.m);
}

#[test]
fn a_large_retype_by_leave_of_the_monitor_is_zeroed_first() {
    let mut w = world();
    let ram = CapAddr::new(1, 100);
    w.make(CapType::Ram, 0, 0x10_0000, 0x10_0000, 1, ram);
    let object = w.cap(ram);
    w.m.store(object.base.add(0x8_0000), 0x1234);
    ask(&mut w, Op::CapSetRemote, &object, 1);
    let p = client(&mut w, &[ram]);
    client_calls(
        &mut w,
        &p,
        retype(
            client_slot(0),
            CapType::Frame,
            0x10_0000,
            CapAddr::new(0, 90),
        ),
    );
    let id = p.dcb.id(&w.m);
    // What is allowed is what was shown: not what stands in the save area now.
    let area = live_area(&w.m, p.page);
    let old = w.regs(area);
    w.set_regs(area, [old[0], n(CapAddr::new(0, 1)), 7, 7, 7, 7, 7, 7]);
    assert_eq!(w.ok(Op::CapAnswer, slots::KERNEL, &[id, 0])[1], 0);
    assert_eq!(result(&w, &p), (0, 1));
    let child = Cap::region(CapType::Frame, object.base, object.size);
    assert!(mdb::copy_of(&w.m, KCB, &child).is_some());
    assert_eq!(w.m.load(object.base.add(0x8_0000)), 0);
    check_all(&w.m);
}

#[test]
fn what_was_shown_must_still_stand_there() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    frame(&mut w, 0x1000, 1, at(1));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    let p = client(&mut w, &[at(0)]);
    client_calls(&mut w, &p, revoke(0));
    let id = p.dcb.id(&w.m);
    w.ok(Op::Delete, p.root, &[n(client_slot(0))]);
    w.copy(at(1), p.root, client_slot(0));
    w.copy(at(1), ROOT, at(2));
    let answer = w.ok(Op::CapAnswer, slots::KERNEL, &[id, 0]);
    assert_eq!(answer[1], SysError::NoCapability as u64);
    assert_eq!(result(&w, &p).0, SysError::NoCapability as u64);
    assert_eq!(w.cap(at(2)).kind, CapType::Frame);
    w.refused(
        SysError::NoCapability,
        Op::CapAnswer,
        slots::KERNEL,
        &[id, 1],
    );
}

#[test]
fn a_revoke_waits_for_the_monitor_in_two_phases() {
    let mut w = world();
    let f = frame(&mut w, 0, 4, at(0));
    w.ok(Op::Retype, at(0), &[0, 3, 0x1000, 1, n(ROOT), n(at(3))]);
    w.copy(at(0), ROOT, at(1));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    let p = client(&mut w, &[at(0)]);
    client_calls(&mut w, &p, revoke(0));
    let id = p.dcb.id(&w.m);
    assert_eq!(p.dcb.state(&w.m), DcbState::WaitingMonitor as u64);
    ask(&mut w, Op::CapMark, &f, id + 2);
    for k in [0, 1, 3] {
        w.refused(
            SysError::InDelete,
            Op::Retype,
            at(k),
            &retype(at(k), CapType::Frame, 0x1000, at(9))[2..],
        );
        let args = [n(at(k)), n(at(8)), 15];
        w.refused(SysError::InDelete, Op::Copy, ROOT, &args);
    }
    check_all(&w.m);
    // Called off: all as before.
    ask(&mut w, Op::CapUnmark, &f, 0);
    assert_eq!(KCB.marked(&w.m), 0);
    w.copy(at(3), ROOT, at(8));
    ask(&mut w, Op::CapMark, &f, id + 2);
    // A kernel that comes now finds the marks.
    w = W::adopt(w.m);
    w.refused(
        SysError::InDelete,
        Op::Copy,
        ROOT,
        &[n(at(3)), n(at(9)), 15],
    );
    ask(&mut w, Op::CapSweep, &f, 0);
    for k in [0, 1, 3, 8] {
        assert_eq!(w.cap(at(k)).kind, CapType::Null);
    }
    let kept = mdb::copy_of(&w.m, KCB, &f).expect("the keeper's copy");
    assert!(!mdb::copies_exist(&w.m, KCB, kept));
    assert_eq!(kept.node(&w.m).flags, MdbFlags::REMOTE_COPIES);
    assert_eq!(KCB.marked(&w.m), 0);
    w.ok(Op::CapAnswer, slots::KERNEL, &[id, 1]);
    assert_eq!(result(&w, &p).0, 0);
    check_all(&w.m);
}

#[test]
fn a_mark_is_all_or_nothing() {
    let mut w = world();
    w.make(CapType::Ram, 0, 0x10_0000, 0x4_0000, 1, at(0));
    let ram = w.cap(at(0));
    w.ok(
        Op::Retype,
        at(0),
        &[0, CapType::CNode as u64 | 6 << 8, 0, 1, n(ROOT), n(at(1))],
    );
    w.ok(
        Op::Retype,
        at(0),
        &[0x1_0000, 3, 0x1_0000, 1, n(ROOT), n(at(2))],
    );
    let kcb = support::process::write_osnode(&mut w.m, ram.base.add(0x1_0000), 0x1_0000);
    w.ok(Op::Seal, slots::KERNEL, &[n(at(2)), CapType::Kcb as u64, 0]);
    // Somebody runs it.
    kcb.set_state(&mut w.m, 1 | 5 << 2 | 1 << 32);
    let args = [words(&ram), [1, 0, 0, 0]].concat();
    w.refused(SysError::StillInUse, Op::CapMark, slots::KERNEL, &args[..5]);
    assert_eq!(KCB.marked(&w.m), 0);
    check_all(&w.m);
    // In a CNode that would go with it, too.
    w.copy(at(1), ROOT, CapAddr::root(5));
    w.ok(Op::Move, ROOT, &[n(at(2)), n(CapAddr::new(5, 3))]);
    w.refused(SysError::StillInUse, Op::CapMark, slots::KERNEL, &args[..5]);
    kcb.set_state(&mut w.m, 1 << 32);
    ask(&mut w, Op::CapMark, &ram, 1);
    ask(&mut w, Op::CapSweep, &ram, 0);
    assert_eq!(w.cap(at(0)), ram);
    assert!(!mdb::descendants_exist(&w.m, KCB, slot_at(at(0))));
    check_all(&w.m);
}

/// A family that takes many entries, while others run.
#[test]
fn a_large_family_is_marked_and_swept_in_steps() {
    let mut w = world();
    w.make(CapType::Ram, 0, 0x10_0000, 0x20_0000, 1, at(0));
    let ram = w.cap(at(0));
    w.ok(
        Op::Retype,
        at(0),
        &[0, CapType::CNode as u64 | 8 << 8, 0, 1, n(ROOT), n(at(1))],
    );
    w.copy(at(1), ROOT, CapAddr::root(5));
    let frames = [0x1_0000, 3, 0x1000, 200, n(ROOT), n(CapAddr::new(5, 0))];
    w.ok(Op::Retype, at(0), &frames);
    let steps = KCB.op_steps(&w.m);
    ask(&mut w, Op::CapMark, &ram, 1);
    assert!(KCB.op_steps(&w.m) > steps.max(3), "one entry was enough");
    assert_eq!(KCB.marked(&w.m), 203);
    w = W::adopt(w.m);
    ask(&mut w, Op::CapSweep, &ram, 0);
    assert_eq!(KCB.marked(&w.m), 0);
    assert!(!mdb::descendants_exist(&w.m, KCB, slot_at(at(0))));
    check_all(&w.m);
}

#[test]
fn locks_route_to_the_monitor() {
    let mut w = world();
    let f = frame(&mut w, 0, 4, at(0));
    w.ok(Op::Retype, at(0), &[0, 3, 0x1000, 1, n(ROOT), n(at(3))]);
    let p = client(&mut w, &[at(0), at(3)]);
    ask(&mut w, Op::CapLock, &f, 1);
    for k in 0..2 {
        client_calls(&mut w, &p, revoke(k));
        assert_eq!(p.dcb.state(&w.m), DcbState::WaitingMonitor as u64);
        let error = SysError::TryLater as u64;
        w.ok(Op::CapAnswer, slots::KERNEL, &[p.dcb.id(&w.m), 2, error]);
        assert_eq!(result(&w, &p).0, error);
    }
    ask(&mut w, Op::CapLock, &f, 0);
    let answer = client_calls(&mut w, &p, revoke(0)).expect("no wait");
    assert_eq!(answer.0, 0);
    assert_eq!(w.cap(at(3)).kind, CapType::Null);
}

#[test]
fn an_unmap_in_a_shared_table_waits_until_others_flushed() {
    let mut w = world();
    frame(&mut w, 0, 1, at(0));
    w.make(CapType::VNode, 0, FREE_RAM + 0x4000, 0, 1, at(1));
    let table = w.cap(at(1));
    w.ok(Op::Map, at(1), &[n(at(0)), 5, 0, 1 | 3 << 32, n(at(2))]);
    let p = client(&mut w, &[]);
    w.ok(Op::Move, p.root, &[n(at(2)), n(client_slot(0))]);
    let protect = |rights| {
        [
            (Op::Protect as u64) << 8,
            n(client_slot(0)),
            rights,
            0,
            0,
            0,
            0,
            0,
        ]
    };
    let unmap = [(Op::Unmap as u64) << 8, n(client_slot(0)), 0, 0, 0, 0, 0, 0];
    let answer = client_calls(&mut w, &p, protect(1)).expect("no wait");
    assert_eq!(answer.0, 0);
    ask(&mut w, Op::CapSetRemote, &table, 1);
    // To give a right needs nobody; to take one does.
    let answer = client_calls(&mut w, &p, protect(3)).expect("no wait");
    assert_eq!(answer.0, 0);
    let id = p.dcb.id(&w.m);
    for (regs, op) in [(protect(1), Op::Protect), (unmap, Op::Unmap)] {
        w.effects.clear();
        client_calls(&mut w, &p, regs);
        assert_eq!(w.effects, [Effect::TlbAll]);
        assert_eq!(p.dcb.state(&w.m), DcbState::WaitingMonitor as u64);
        let r = w.ok(Op::CapPending, slots::KERNEL, &[id, 1]);
        assert_eq!((r[1], r[2]), (id, op as u64 | 1 << 16));
        assert_eq!(&r[3..7], &words(&table));
        let word = w.m.load(table.base.add(40));
        assert_eq!(word & 2, 0);
        assert_eq!(word == 0, op == Op::Unmap);
        w.ok(
            Op::CapAnswer,
            slots::KERNEL,
            &[id, u64::from(op == Op::Unmap)],
        );
        assert_eq!(result(&w, &p).0, 0);
    }
    w.effects.clear();
    w.ok(Op::TlbFlush, slots::KERNEL, &[]);
    assert_eq!(w.effects, [Effect::TlbAll]);
    let all = check_all(&w.m);
    mappings(&w.m, &all);
}

/// Who shares a table walks through it to those below: what is unmapped there concerns all who hold the upper one.
#[test]
fn an_unmap_below_a_shared_table_waits_for_who_holds_that_one() {
    let mut w = world();
    frame(&mut w, 0, 1, at(0));
    for level in 0..3 {
        let place = FREE_RAM + 0x4000 + u64::from(level) * 0x2000;
        w.make(CapType::VNode, level, place, 0, 1, at(1 + level));
    }
    w.ok(Op::Map, at(2), &[n(at(1)), 7, 0, 1 | 3 << 32, n(at(5))]);
    w.ok(Op::Map, at(3), &[n(at(2)), 9, 0, 1 | 3 << 32, n(at(6))]);
    w.ok(Op::Map, at(1), &[n(at(0)), 5, 0, 1 | 3 << 32, n(at(7))]);
    let top = w.cap(at(3));
    let p = client(&mut w, &[]);
    w.ok(Op::Move, p.root, &[n(at(7)), n(client_slot(0))]);
    let protect = [
        (Op::Protect as u64) << 8,
        n(client_slot(0)),
        1,
        0,
        0,
        0,
        0,
        0,
    ];
    let unmap = [(Op::Unmap as u64) << 8, n(client_slot(0)), 0, 0, 0, 0, 0, 0];
    let answer = client_calls(&mut w, &p, protect).expect("nobody shares a table");
    assert_eq!(answer.0, 0);
    ask(&mut w, Op::CapSetRemote, &top, 1);
    client_calls(&mut w, &p, unmap);
    assert_eq!(p.dcb.state(&w.m), DcbState::WaitingMonitor as u64);
    let id = p.dcb.id(&w.m);
    let r = w.ok(Op::CapPending, slots::KERNEL, &[id, 1]);
    assert_eq!(&r[3..7], &words(&top), "the table that others hold");
    w.ok(Op::CapAnswer, slots::KERNEL, &[id, 1]);
    assert_eq!(result(&w, &p).0, 0);
    let all = check_all(&w.m);
    mappings(&w.m, &all);
}

/// A table that another OSnode fills: its entries are no business of this one.
#[test]
fn a_foreign_table_is_linked_but_not_written() {
    let mut w = world();
    w.make(CapType::VNode, 1, FREE_RAM + 0x2000, 0, 1, at(1));
    frame(&mut w, 0, 1, at(0));
    w.m.store(PhysAddr(RAM.0 + FREE_RAM + 0x8000), 0);
    // Imported memory lies outside all RAM that is held here.
    let table = Cap::vnode(PhysAddr(0x18_0000), 0, Isa::X86);
    let [a, b, c, d] = words(&table);
    w.ok(Op::CapImport, slots::KERNEL, &[a, b, c, d, OTHER, n(at(2))]);
    w.refused(
        SysError::SharedRemote,
        Op::Map,
        at(2),
        &[n(at(0)), 5, 0, 1 | 1 << 32, n(at(3))],
    );
    w.ok(Op::Map, at(1), &[n(at(2)), 7, 0, 1, n(at(3))]);
    // The owner's words.
    w.m.store(table.base.add(16), 0x1234_5007);
    w.m.store(table.base.add(4096 + 16), 0x77_0040);
    w.ok(Op::Delete, ROOT, &[n(at(2))]);
    assert_eq!(drops(&mut w), 1);
    assert_eq!(w.m.load(table.base.add(16)), 0x1234_5007);
    assert_eq!(holding(&mut w, &table).map(|h| h.0), Some(OTHER));
    w.ok(Op::Delete, ROOT, &[n(at(3))]);
    assert_eq!(holding(&mut w, &table), None);
}

#[test]
fn every_crossing_type_is_imported_and_dropped_at_once() {
    let mut w = world();
    for (k, kind) in [CapType::Ram, CapType::Frame, CapType::UmpEndpoint]
        .into_iter()
        .enumerate()
    {
        let cap = Cap::region(kind, PhysAddr(0x18_0000), 0x2000);
        let [a, b, c, d] = words(&cap);
        let to = n(at(0));
        w.ok(Op::CapImport, slots::KERNEL, &[a, b, c, d, OTHER, to]);
        assert_eq!(
            holding(&mut w, &cap),
            Some((OTHER, MdbFlags::REMOTE_COPIES))
        );
        let other = Cap::region(CapType::UmpEndpoint, PhysAddr(0x18_1000), 0x2000);
        let [a, b, c, d] = words(&other);
        let args = [a, b, c, d, OTHER, n(at(1))];
        w.refused(SysError::Overlaps, Op::CapImport, slots::KERNEL, &args);
        w.copy(at(0), ROOT, at(1));
        w.ok(Op::Delete, ROOT, &[to]);
        assert_eq!(drops(&mut w), k as u64);
        w.ok(Op::Delete, ROOT, &[n(at(1))]);
        assert_eq!(drops(&mut w), k as u64 + 1);
        assert!(told(&mut w));
    }
    let kernel = words(&w.cap(slots::KERNEL));
    let args = [kernel[0], 0, 0, 0, OTHER, n(at(1))];
    w.refused(SysError::WrongType, Op::CapImport, slots::KERNEL, &args);
}

#[test]
fn a_monitor_removes_without_being_told() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    w.copy(at(0), ROOT, at(1));
    told(&mut w);
    assert_eq!(w.ok(Op::CapRemove, slots::KERNEL, &[n(at(0))])[1], 1);
    assert_eq!(w.ok(Op::CapRemove, slots::KERNEL, &[n(at(1))])[1], 0);
    assert_eq!(drops(&mut w), 0);
    assert!(!told(&mut w));
    // With contents it is a long operation.
    w.make(CapType::CNode, 8, FREE_RAM + 0x4000, 0, 1, at(2));
    w.copy(at(2), ROOT, CapAddr::root(5));
    w.ok(Op::Delete, ROOT, &[n(at(2))]);
    for k in 0..100 {
        w.copy(slots::RAM, ROOT, CapAddr::new(5, k));
    }
    assert_eq!(
        w.ok(Op::CapRemove, slots::KERNEL, &[n(CapAddr::root(5))])[1],
        0
    );
    check_all(&w.m);
}

#[test]
fn without_a_monitor_nothing_waits() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    let p = client(&mut w, &[at(0)]);
    client_calls(&mut w, &p, revoke(0));
    w.ok(Op::MonitorBind, slots::KERNEL, &[u64::MAX]);
    assert_eq!(result(&w, &p).0, SysError::SharedRemote as u64);
    let answer = client_calls(&mut w, &p, revoke(0)).expect("no wait");
    assert_eq!(answer.0, SysError::SharedRemote as u64);
    w.ok(Op::Delete, ROOT, &[n(at(0))]);
    w.refused(
        SysError::SharedRemote,
        Op::Delete,
        p.root,
        &[n(client_slot(0))],
    );
}

#[test]
fn who_waits_may_be_stopped_or_deleted() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    let p = client(&mut w, &[at(0)]);
    client_calls(&mut w, &p, revoke(0));
    let id = p.dcb.id(&w.m);
    w.ok(Op::DispRun, p.dispatcher, &[0]);
    assert_eq!(w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[1], 0);
    w.refused(
        SysError::NoCapability,
        Op::CapAnswer,
        slots::KERNEL,
        &[id, 0],
    );
    assert_eq!(result(&w, &p).0, SysError::TimedOut as u64);
    w.ok(Op::DispRun, p.dispatcher, &[1]);
    client_calls(&mut w, &p, revoke(0));
    assert_eq!(w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[1], id);
    w.ok(Op::Revoke, ROOT, &[n(p.dispatcher)]);
    w.ok(Op::Delete, ROOT, &[n(p.dispatcher)]);
    assert_eq!(w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[1], 0);
    check_all(&w.m);
}

/// An update while a call waits changes nothing.
#[test]
fn a_call_waits_over_an_update() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    ask(&mut w, Op::CapSetRemote, &f, 1);
    let p = client(&mut w, &[at(0)]);
    client_calls(&mut w, &p, revoke(0));
    told(&mut w);
    w = W::adopt(w.m);
    assert!(
        told(&mut w),
        "the new kernel tells what the old one may not have told"
    );
    let id = p.dcb.id(&w.m);
    assert_eq!(w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[1], id);
    assert_eq!(w.ok(Op::CapAnswer, slots::KERNEL, &[id, 0])[1], 0);
    assert_eq!(result(&w, &p).0, 0);
    assert_eq!(w.cap(at(0)).kind, CapType::Null);
    assert_eq!(w.event(Event::Idle).next, w.last.next);
    check_all(&w.m);
}

#[test]
fn only_a_monitor_may() {
    let mut w = world();
    w.ok(Op::Copy, ROOT, &[n(slots::KERNEL), n(at(0)), 7]);
    let ops = [
        Op::CapOwner,
        Op::CapNext,
        Op::CapRemove,
        Op::CapSetOwner,
        Op::CapSetRemote,
        Op::CapLock,
        Op::CapMark,
        Op::CapUnmark,
        Op::CapSweep,
        Op::CapPending,
        Op::CapAnswer,
        Op::MonitorBind,
        Op::TlbFlush,
    ];
    let ram = words(&w.cap(slots::RAM));
    for op in ops {
        w.refused(SysError::NoRight, op, at(0), &ram);
        w.refused(SysError::WrongType, op, slots::RAM, &ram);
    }
}

/// 255 other OSnodes fit the peer table; the places of those of which nothing is held any more are used again.
#[test]
fn places_of_peers_are_used_again() {
    let mut w = world();
    w.make(CapType::CNode, 8, FREE_RAM, 0, 1, at(0));
    w.copy(at(0), ROOT, CapAddr::root(5));
    let [a, b, c, d] = words(&Cap::region(CapType::Frame, PhysAddr(0x18_0000), 0x1000));
    let import = |w: &mut W, owner: u64, slot: u32| {
        let to = n(CapAddr::new(5, slot));
        // Registers that are as they were mean that the call is to be made again.
        let again = (Op::CapImport as u64) << 8;
        let args = [a, b, c, d, owner, to];
        let mut calls = (0..3).map(|_| w.op(Op::CapImport, slots::KERNEL, &args)[0]);
        calls.find(|r0| *r0 != again).expect("an end")
    };
    for k in 1..256 {
        assert_eq!(import(&mut w, 1000 + u64::from(k), k), 0, "{k}");
    }
    assert_eq!(KCB.peer_count(&w.m), 256);
    assert_eq!(import(&mut w, 5000, 0), SysError::TableFull as u64);
    // Who is known needs no new place.
    assert_eq!(import(&mut w, 1007, 0), 0);
    for k in [0, 77, 78] {
        w.ok(Op::Delete, ROOT, &[n(CapAddr::new(5, k))]);
    }
    for (owner, slot) in [(5000, 77), (5001, 78)] {
        assert_eq!(import(&mut w, owner, slot), 0);
        let cte = Cte(RAM.add(FREE_RAM + 64 * u64::from(slot)));
        assert_eq!(u32::from(cte.node(&w.m).owner), slot);
        assert_eq!(KCB.peer(&w.m, slot.into()), owner);
    }
    assert_eq!(import(&mut w, 5002, 0), SysError::TableFull as u64);
    check_all(&w.m);
}

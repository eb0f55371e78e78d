//! What a kernel says of objects that others know, and how they come and go.

use super::*;

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
        Op::Flushed,
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

//! Translation tables that others walk, too.

use super::*;

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

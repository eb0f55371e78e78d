//! What is taken out of shared tables without an unmap: nothing follows from it until all have flushed.

use super::*;

/// A world whose client has a Frame of one page (slot 0), and Mappings of it in a table that another OSnode uses (slot 1)
/// and in one that none uses (slot 2).
fn mapped() -> (W, Process) {
    let mut w = world();
    frame(&mut w, 0, 1, at(0));
    for (k, entry) in [(1, 5), (2, 6)] {
        let place = FREE_RAM + 0x4000 + u64::from(k) * 0x2000;
        w.make(CapType::VNode, 0, place, 0, 1, at(k));
        w.ok(
            Op::Map,
            at(k),
            &[n(at(0)), entry, 0, 1 | 3 << 32, n(at(k + 3))],
        );
    }
    let table = w.cap(at(1));
    ask(&mut w, Op::CapSetRemote, &table, 1);
    let p = client(&mut w, &[at(0)]);
    for (k, from) in [(1, 4), (2, 5)] {
        w.ok(Op::Move, p.root, &[n(at(from)), n(client_slot(k))]);
    }
    (w, p)
}

fn delete(k: u32) -> [u64; 8] {
    [
        (Op::Delete as u64) << 8,
        n(ROOT),
        n(client_slot(k)),
        0,
        0,
        0,
        0,
        0,
    ]
}

fn waits(w: &W, p: &Process) -> bool {
    p.dcb.state(&w.m) == DcbState::WaitingMonitor as u64
}

/// Number of the last removal, and how far all have flushed.
fn flushes(w: &mut W) -> (u64, u64) {
    let r = w.ok(Op::Flushed, slots::KERNEL, &[0]);
    (r[1], r[2])
}

#[test]
fn a_deletion_waits_until_others_flushed() {
    let (mut w, p) = mapped();
    assert_eq!(flushes(&mut w), (1, 1));
    let answer = client_calls(&mut w, &p, delete(2)).expect("nobody shares that table");
    assert_eq!(answer.0, 0);
    assert_eq!(flushes(&mut w), (1, 1));
    w.effects.clear();
    assert_eq!(client_calls(&mut w, &p, delete(1)), None);
    assert_eq!(w.effects, [Effect::TlbAll]);
    assert!(waits(&w, &p));
    assert_eq!(flushes(&mut w), (2, 1));
    let r = w.ok(Op::CapPending, slots::KERNEL, &[0, 0]);
    let id = p.dcb.id(&w.m);
    assert_eq!((r[1], r[2]), (id, Op::Flushed as u64 | 2 << 16));
    // It is done: neither carried out nor ended, and not for what was never removed.
    for how in [0, 1] {
        w.refused(
            SysError::BadArgument,
            Op::CapAnswer,
            slots::KERNEL,
            &[id, how],
        );
    }
    w.refused(SysError::BadArgument, Op::Flushed, slots::KERNEL, &[3]);
    assert!(waits(&w, &p));
    w = W::adopt(w.m);
    w.ok(Op::Flushed, slots::KERNEL, &[2]);
    assert!(!waits(&w, &p));
    assert_eq!(result(&w, &p).0, 0);
    assert_eq!(flushes(&mut w), (2, 2));
    let all = check_all(&w.m);
    mappings(&w.m, &all);
}

#[test]
fn a_revoke_waits_and_may_be_told_not_to() {
    for late in [false, true] {
        let (mut w, p) = mapped();
        let revoke = [
            (Op::Revoke as u64) << 8,
            n(ROOT),
            n(client_slot(0)),
            0,
            0,
            0,
            0,
            0,
        ];
        assert_eq!(client_calls(&mut w, &p, revoke), None);
        assert!(waits(&w, &p));
        assert_eq!(flushes(&mut w), (2, 1));
        let told = if late { abi::late(9) } else { 0 };
        if late {
            w.ok(Op::CapAnswer, slots::KERNEL, &[p.dcb.id(&w.m), 2, told]);
        } else {
            w.ok(Op::Flushed, slots::KERNEL, &[2]);
        }
        assert!(!waits(&w, &p));
        assert_eq!(result(&w, &p).0, told);
        check_all(&w.m);
    }
}

/// Without the monitor nobody would be told to flush, and without the memory server no memory would come back.
#[test]
fn who_serves_the_others_does_not_wait() {
    let (mut w, p) = mapped();
    w.ok(Op::Delete, p.root, &[n(client_slot(1))]);
    assert_eq!(flushes(&mut w), (2, 1));
    assert_eq!(w.running(), Some(DCB));
    // Who ends in the middle of an unmap leaves a removal behind.
    w.ok(Op::Map, at(1), &[n(at(0)), 5, 0, 1 | 3 << 32, n(at(9))]);
    w.ok(Op::Move, p.root, &[n(at(9)), n(client_slot(1))]);
    let unmap = [(Op::Unmap as u64) << 8, n(client_slot(1)), 0, 0, 0, 0, 0, 0];
    assert_eq!(client_calls(&mut w, &p, unmap), None);
    assert_eq!(flushes(&mut w), (2, 1));
    w.ok(Op::DispRun, p.dispatcher, &[0]);
    assert_eq!(flushes(&mut w), (3, 1));
    check_all(&w.m);
}

#[test]
fn without_a_monitor_nothing_is_owed() {
    let (mut w, p) = mapped();
    assert_eq!(client_calls(&mut w, &p, delete(1)), None);
    w.ok(Op::MonitorBind, slots::KERNEL, &[u64::MAX]);
    assert!(!waits(&w, &p));
    assert_eq!(result(&w, &p).0, 0);
    assert_eq!(flushes(&mut w), (2, 2));
}

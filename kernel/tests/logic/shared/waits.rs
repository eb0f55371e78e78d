//! Calls that wait for a monitor.

use super::*;

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

/// An owner elsewhere knows nothing of what was mapped here: it would never say that it decides.
#[test]
fn a_revoke_of_a_mapping_waits_for_nobody() {
    let mut w = world();
    let f = frame(&mut w, 0, 1, at(0));
    w.make(CapType::VNode, 0, FREE_RAM + 0x4000, 0, 1, at(1));
    ask(&mut w, Op::CapSetOwner, &f, OTHER);
    ask(&mut w, Op::CapSetRemote, &f, 1);
    w.ok(Op::Map, at(1), &[n(at(0)), 5, 0, 1 | 3 << 32, n(at(2))]);
    let p = client(&mut w, &[]);
    w.ok(Op::Move, p.root, &[n(at(2)), n(client_slot(0))]);
    let answer = client_calls(&mut w, &p, revoke(0)).expect("no wait");
    assert_eq!(answer.0, 0);
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
    let kcb = crate::support::process::write_osnode(&mut w.m, ram.base.add(0x1_0000), 0x1_0000);
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
        let id = p.dcb.id(&w.m);
        for no_error in [0, 999, SysError::OsnodeGone as u64 | 1 << 16] {
            let args = [id, 2, no_error];
            w.refused(SysError::BadArgument, Op::CapAnswer, slots::KERNEL, &args);
        }
        let later = abi::late(77);
        w.ok(Op::CapAnswer, slots::KERNEL, &[id, 2, later]);
        assert_eq!(result(&w, &p).0, later);
    }
    ask(&mut w, Op::CapLock, &f, 0);
    let answer = client_calls(&mut w, &p, revoke(0)).expect("no wait");
    assert_eq!(answer.0, 0);
    assert_eq!(w.cap(at(3)).kind, CapType::Null);
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

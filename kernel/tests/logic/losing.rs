//! The policies of test kernels lose exactly one wake-up.

use crate::support::world::{DCB, NOTIFICATION, World};
use abi::{Op, SysError, Syscall, WaitResult, slots};
use capfmt::Notification;
use kernel::{Erring, Event, Losing, Loss, Next, OneNotification, OneTick};

fn world<L: Loss>() -> World<Erring<Losing<L>>> {
    let mut w = World::new(8 << 20);
    w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    DCB.set_name0(&mut w.m, u64::from_le_bytes(L::OF));
    w
}

/// As [`world`], but the process has another name.
fn bystander<L: Loss>() -> World<Erring<Losing<L>>> {
    let mut w = world();
    DCB.set_name0(&mut w.m, u64::from_le_bytes(*b"monitor\0"));
    w
}

/// Waits until a time or for ever; what the timer does then, and whether the wait has ended.
fn sleeps<L: Loss>(w: &mut World<Erring<Losing<L>>>, ns: u64) -> bool {
    let r = w.enter([Syscall::Wait as u64, ns, 0, 0, 0, 0, 0, 0]);
    let deadline = r.deadline.expect("a time-out is pending");
    w.m.counter.set(deadline + 1000);
    w.event(Event::Timer);
    w.last.next != Next::Idle
}

/// A bit from another core comes; whether whoever waits for ever gets it.
fn is_notified<L: Loss>(w: &mut World<Erring<Losing<L>>>) -> bool {
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    notify(w)
}

fn notify<L: Loss>(w: &mut World<Erring<Losing<L>>>) -> bool {
    let page = Notification(NOTIFICATION);
    page.set_word(&mut w.m, 0, 0x30);
    page.set_summary(&mut w.m, 1);
    w.event(Event::Notified);
    assert_eq!((page.word(&w.m, 0), page.summary(&w.m)), (0, 0));
    w.last.next != Next::Idle
}

#[test]
fn one_tick_is_lost_and_none_after_it() {
    let mut w = world::<OneTick>();
    assert!((1..9).all(|k| sleeps(&mut w, k * 1_000_000)));
    assert!(!sleeps(&mut w, 9_000_000));
    assert_eq!(w.last.deadline, None, "the time-out is forgotten");
    assert!(notify(&mut w), "what comes otherwise ends the wait");
    assert_eq!(w.regs(w.area())[..3], [0, WaitResult::NOTIFICATION, 0x30]);
    assert!((10..60).all(|k| sleeps(&mut w, k * 1_000_000)));
    assert_eq!(w.regs(w.area())[0], SysError::TimedOut as u64);
    w.check();
}

#[test]
fn one_notification_is_lost_and_none_after_it() {
    let mut w = world::<OneNotification>();
    // A time-out would make up for it: those do not count.
    for k in 1..20 {
        w.enter([Syscall::Wait as u64, k << 40, 0, 0, 0, 0, 0, 0]);
        assert!(notify(&mut w));
    }
    assert!((0..8).all(|_| is_notified(&mut w)));
    assert!(!is_notified(&mut w));
    assert!(notify(&mut w), "the next one comes");
    assert!((0..40).all(|_| is_notified(&mut w)));
    w.check();
}

#[test]
fn others_lose_nothing() {
    let mut w = bystander::<OneTick>();
    assert!((1..40).all(|k| sleeps(&mut w, k * 1_000_000)));
    let mut w = bystander::<OneNotification>();
    assert!((0..40).all(|_| is_notified(&mut w)));
    w.check();
}

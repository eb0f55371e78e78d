//! The tables.

use crate::agree::Shipped;
use crate::agree::membership::{MemberInput, MemberMessage, MemberOutput, Members, Status};
use crate::*;
use capfmt::OsnodeId;
use proto::Name;
use proto::iface::system::{ELSEWHERE, NOWHERE};
use std::vec::Vec;

fn name(s: &str) -> Name {
    Name::new(s).expect("short")
}

#[test]
fn waiters_get_what_they_wait_for() {
    let mut t: NameTable<u32, char> = NameTable::new();
    t.wait(name("console"), 'a');
    t.wait(name("files"), 'b');
    t.wait(name("console"), 'c');
    t.wait(name("console"), 'd');
    t.give_up(|waiter| *waiter == 'd');
    assert_eq!(
        t.register(name("console"), 7),
        (Vec::from(['a', 'c']), None)
    );
    assert_eq!(t.get(&name("console")), Some(&7));
    assert_eq!(t.get(&name("files")), None);
    assert_eq!(t.register(name("console"), 8), (Vec::new(), Some(7)));
    assert_eq!(t.forget(|e| *e == 7), Vec::new());
    t.register(name("ended"), 7);
    assert_eq!(t.forget(|e| *e == 7), Vec::from([(name("ended"), 7)]));
    assert_eq!(t.get(&name("ended")), None);
    t.register(name(".memory"), 9);
    assert!(is_private(&name(".memory")) && !is_private(&name("console")));
    assert_eq!((t.nth(0), t.nth(1)), (Some(name("console")), None));
}

#[test]
fn osnodes_move_and_go() {
    let mut t = OsnodeTable::new(1, 0);
    t.locate(3, 2);
    t.locate(2, NOWHERE);
    assert_eq!(
        (t.next(0), t.next(1), t.next(3)),
        (Some((1, 0)), Some((2, NOWHERE)), None)
    );
    assert_eq!((t.on_core(2), t.on_core(NOWHERE)), (Some(3), None));
    t.locate(3, NOWHERE);
    assert_eq!(t.on_core(2), None);
    // What membership says does not replace what the device manager knows.
    let stopped = Status::Stopped(OsnodeId(1));
    for (status, there) in [(Status::Running, ELSEWHERE), (stopped, NOWHERE)] {
        t.told(4, status);
        assert_eq!((t.next(3), t.on_core(ELSEWHERE)), (Some((4, there)), None));
    }
    t.locate(4, 1);
    for status in [Status::Joining, Status::Running] {
        t.told(4, status);
        assert_eq!(t.next(3), Some((4, 1)));
    }
    t.remove(4);
    t.remove(3);
    assert!(!t.knows(3) && t.knows(2));
    assert_eq!(t.next(u64::MAX), None);
}

#[test]
fn a_block_is_cut_from_the_end() {
    let range = Piece {
        base: 0x3000,
        bytes: 0x1_2000,
    };
    let block = fit(range, 0x4000).expect("fits");
    assert_eq!(
        block,
        Piece {
            base: 0x1_0000,
            bytes: 0x4000
        }
    );
    let [before, after] = around(range, block);
    assert_eq!(
        before,
        Some(Piece {
            base: 0x3000,
            bytes: 0xd000
        })
    );
    assert_eq!(
        after,
        Some(Piece {
            base: 0x1_4000,
            bytes: 0x1000
        })
    );
    assert_eq!(fit(range, 0x2_0000), None);
    assert_eq!(
        fit(
            Piece {
                base: 0x1000,
                bytes: 0x1000
            },
            0x1000
        ),
        Some(Piece {
            base: 0x1000,
            bytes: 0x1000
        })
    );
}

#[test]
fn a_stop_and_a_return_wake_nobody_else() {
    let [home, other, stopped, fresh] = [1, 2, 3, 4].map(OsnodeId);
    let mut home = Members::new(home, &[home, other, stopped], Shipped);
    let said = |home: &Members, out: Vec<MemberOutput>| -> Vec<(OsnodeId, bool)> {
        let sent = out.into_iter().filter_map(|o| match o {
            MemberOutput::Send(to, message) => Some((to, home.keeps(to, &message))),
            MemberOutput::News(_) => None,
        });
        sent.collect()
    };
    let out = home.step(MemberInput::Stopped(stopped));
    assert_eq!(said(&home, out), [(other, true), (stopped, false)]);
    // It is back: told to enter, it enters, and all hear that it runs.
    let fact = *home.known().get(&stopped).expect("known");
    let out = home.step(MemberInput::Message(stopped, MemberMessage::Back(fact)));
    assert_eq!(said(&home, out), [(stopped, false)]);
    let out = home.step(MemberInput::Message(stopped, MemberMessage::Entered));
    assert_eq!(said(&home, out), [(other, true), (stopped, false)]);
    // While somebody joins, a sponsor may wait for a stop.
    home.step(MemberInput::Sponsor(fresh));
    let out = home.step(MemberInput::Stopped(stopped));
    assert!(said(&home, out).iter().all(|(_, keeps)| !keeps));
}

//! A block is cut around what others hold, against a model that has one entry per page.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const PAGES: u64 = 64;

/// Pages that a step says are free; each must be within the block.
fn freed(outputs: &[Output]) -> Vec<u64> {
    let mut pages = Vec::new();
    for output in outputs {
        match output {
            Output::Freed { base, end, .. } => {
                assert!(base < end && (base | end).is_multiple_of(4096));
                pages.extend((base / 4096..end / 4096).map(|p| p - 1000));
            }
            other => panic!("{other:?}"),
        }
    }
    pages
}

/// Objects that stand beside each other in any family: blocks of 1, 2, 4 or 8 pages, aligned.
fn part() -> impl Strategy<Value = Object> {
    (0..4u32, 0..PAGES).prop_map(|(log, at)| {
        let pages = 1 << log;
        frames(at / pages * pages, pages)
    })
}

proptest! {
    #[test]
    fn each_page_is_free_once_when_its_last_holder_drops_it(
        own in prop::collection::btree_set(part(), 0..6),
        others in prop::collection::btree_map(part(), prop::collection::btree_set(2..4u64, 1..3), 0..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut agent = Agent::new(ME, &[YOU, THIRD], Shipped);
        let mut caps = Caps::default();
        let mut held: BTreeMap<(Object, u64), ()> = BTreeMap::new();
        for object in &own {
            caps.0.insert(*object, ME);
            held.insert((*object, 1), ());
        }
        for (object, holders) in &others {
            for holder in holders {
                agent.enter(*object, OsnodeId(*holder));
                held.insert((*object, *holder), ());
            }
        }
        // What this OSnode holds and nobody else knows is its kernel's to bring back: here it stays.
        let covered = |held: &BTreeMap<(Object, u64), ()>| -> BTreeSet<u64> {
            let pages = held.keys().flat_map(|(o, _)| o.base() / 4096 - 1000..o.end() / 4096 - 1000);
            pages.collect()
        };
        let block = Object::of(&Cap::region(CapType::Ram, PhysAddr(1000 * 4096), PAGES * 4096));
        prop_assert!(agent.accounts_for(&block) != others.is_empty());
        let at_once = freed(&agent.reclaim(0, block, &mut caps));
        let mut free: BTreeSet<u64> = at_once.iter().copied().collect();
        prop_assert_eq!(free.len(), at_once.len());
        let now = covered(&held);
        prop_assert_eq!(&free, &(0..PAGES).filter(|p| !now.contains(p)).collect::<BTreeSet<_>>());
        for pick in order {
            let left: Vec<(Object, u64)> = held.keys().filter(|(_, h)| *h != 1).copied().collect();
            if left.is_empty() {
                break;
            }
            let (object, holder) = left[pick.index(left.len())];
            held.remove(&(object, holder));
            let message = Message::Dropped { object };
            let from = OsnodeId(holder);
            for page in freed(&agent.step(0, Input::Message { from, message }, &mut caps)) {
                prop_assert!(free.insert(page), "page {} is free twice", page);
            }
            let now = covered(&held);
            prop_assert_eq!(&free, &(0..PAGES).filter(|p| !now.contains(p)).collect::<BTreeSet<_>>());
        }
    }
}

const FOURTH: OsnodeId = OsnodeId(4);

/// ME holds a family of THIRD's, which dies; YOU are home.
fn heir() -> (Agent, Caps) {
    let mut agent = Agent::new(ME, &[YOU, THIRD, FOURTH], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), THIRD);
    agent.know(whole(), THIRD);
    agent.pass_on_to(YOU);
    agent.step(0, Input::Gone(THIRD), &mut caps);
    for (from, held) in [(YOU, vec![]), (FOURTH, vec![(frames(3, 1), THIRD)])] {
        let message = Message::Inventory {
            dead: [THIRD].into(),
            held,
            more: false,
        };
        agent.step(0, Input::Message { from, message }, &mut caps);
    }
    assert!(agent.bequests().eq(&[whole()]) && caps.owner(&whole()) == Some(ME));
    (agent, caps)
}

#[test]
fn what_an_heir_loses_before_it_passed_it_on_is_not_free_there() {
    let (mut agent, mut caps) = heir();
    caps.0.clear();
    assert_eq!(agent.step(0, Input::Deleted, &mut caps), []);
    // Somebody else still has a part of it.
    assert!(agent.bequests().eq(&[whole()]) && agent.accounts_for(&whole()));
    let message = Message::Dropped {
        object: frames(3, 1),
    };
    let from = FOURTH;
    assert_eq!(
        agent.step(0, Input::Message { from, message }, &mut caps),
        []
    );
    assert!(agent.bequests().next().is_none() && !agent.accounts_for(&whole()));
}

#[test]
fn an_heir_passes_on_what_it_lost_and_others_have() {
    let (mut agent, mut caps) = heir();
    caps.0.clear();
    let (object, to) = (whole(), FOURTH);
    let out = ask(&mut agent, &mut caps, 0, Request::Transfer { object, to });
    assert_eq!(
        out,
        [answer(0, Err(Refusal::NotOwner))],
        "only home may have it"
    );
    let request = Request::Transfer { object, to: YOU };
    let out = ask(&mut agent, &mut caps, 1, request);
    assert!(matches!(
        out[..],
        [Output::Send {
            to: FOURTH,
            message: Message::Freeze { .. }
        }]
    ));
    let frozen = Message::Frozen { op: op(1) };
    let adopted = Message::Adopted {
        op: op(1),
        outcome: Ok(()),
    };
    for (from, message) in [(FOURTH, frozen), (YOU, adopted)] {
        agent.step(0, Input::Message { from, message }, &mut caps);
    }
    assert!(agent.bequests().next().is_none() && agent.is_idle());
}

#[test]
fn a_move_of_what_is_to_be_passed_on_takes_no_ownership_along() {
    let (mut agent, mut caps) = heir();
    let gift = Gift {
        rights: Rights::ALL,
        channel: 0,
    };
    let (object, to) = (whole(), FOURTH);
    let out = ask(&mut agent, &mut caps, 0, Request::Move { object, to, gift });
    assert!(matches!(
        out[..],
        [Output::Send {
            to: FOURTH,
            message: Message::Take { .. }
        }]
    ));
}

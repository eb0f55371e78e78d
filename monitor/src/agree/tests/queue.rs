//! Requests that wait while what they are about goes away, and something else gets its name.

use super::*;

const FOURTH: OsnodeId = OsnodeId(4);

fn theirs(origin: OsnodeId) -> OpId {
    OpId { origin, number: 1 }
}

fn from(osnode: OsnodeId, message: Message) -> Input {
    Input::Message {
        from: osnode,
        message,
    }
}

#[test]
fn an_owner_does_not_take_another_object_for_the_one_that_was_asked_about() {
    let mut agent = Agent::new(ME, &[YOU, THIRD, FOURTH], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), ME);
    let object = frames(0, 1);
    agent.enter(object, YOU);
    agent.enter(object, THIRD);
    let gift = Gift {
        rights: Rights::ALL,
        channel: 0,
    };
    let to = FOURTH;
    let moves = Message::Ask {
        op: theirs(THIRD),
        request: Request::Move { object, to, gift },
    };
    agent.step(0, from(THIRD, moves), &mut caps);
    let revokes = Message::Ask {
        op: theirs(YOU),
        request: Request::Revoke { object },
    };
    // It waits for the move.
    assert_eq!(agent.step(0, from(YOU, revokes), &mut caps), []);
    agent.step(0, from(YOU, Message::Dropped { object }), &mut caps);
    agent.enter(object, YOU);
    let taken = Message::Taken {
        op: theirs(THIRD),
        object,
        outcome: Ok(()),
        holds: true,
    };
    let out = agent.step(0, from(FOURTH, taken), &mut caps);
    let message = Message::Reply {
        op: theirs(YOU),
        outcome: Err(Refusal::NoSuch),
    };
    assert_eq!(out.last(), Some(&Output::Send { to: YOU, message }));
    assert!(agent.is_idle());
}

#[test]
fn an_origin_does_not_ask_again_about_what_it_lost() {
    let mut agent = Agent::new(ME, &[YOU], Shipped);
    let mut caps = Caps::default();
    let object = frames(0, 1);
    caps.0.insert(object, YOU);
    agent.know(object, YOU);
    ask(&mut agent, &mut caps, 0, Request::Revoke { object });
    caps.0.clear();
    agent.step(0, Input::Deleted, &mut caps);
    caps.0.insert(object, YOU);
    let message = Message::NotOwner { op: op(0) };
    let out = agent.step(0, from(YOU, message), &mut caps);
    assert_eq!(out, [answer(0, Err(Refusal::NoSuch))]);
    assert!(agent.is_idle());
}

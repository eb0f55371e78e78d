//! Bounds and refusals that a small model does not reach. The protocols themselves are explored in `model/`.

use alloc::collections::BTreeMap;
use alloc::{vec, vec::Vec};

use capfmt::{Cap, CapType, OsnodeId, PhysAddr, Rights};

use super::codec::Bytes;
use super::membership::{Fact, MemberInput, MemberMessage, MemberOutput, Members, Status};
use super::unmap::{FlushMessage, FlushOutput, Pages, Scope, Translations, Unmapper};
use super::*;

mod estate;
mod queue;
mod unasked;

/// Capabilities without marks: enough for what is tested here.
#[derive(Default)]
struct Caps(BTreeMap<Object, OsnodeId>);

impl Kernel for Caps {
    fn owner(&self, object: &Object) -> Option<OsnodeId> {
        self.0.get(object).copied()
    }
    fn overlapping(&self, object: &Object) -> Vec<(Object, OsnodeId)> {
        let all = self.0.iter().filter(|(o, _)| o.overlaps(object));
        all.map(|(o, n)| (*o, *n)).collect()
    }
    fn orphans(&self, living: &Nodes) -> Vec<Object> {
        let all = self.0.iter().filter(|(_, n)| !living.contains(n));
        all.map(|(o, _)| *o).collect()
    }
    fn insert(&mut self, _: OpId, object: &Object, owner: OsnodeId, _: &Gift) -> Outcome {
        self.0.insert(*object, owner);
        Ok(())
    }
    fn create(&mut self, _: OpId, source: &Object, child: &Object, count: u32) -> Outcome {
        let owner = self.owner(source).ok_or(Refusal::NoSuch)?;
        self.0.extend(child.row(count).map(|o| (o, owner)));
        Ok(())
    }
    fn remove(&mut self, _: OpId, object: &Object) -> bool {
        self.0.remove(object);
        false
    }
    fn set_owner(&mut self, object: &Object, owner: OsnodeId) {
        self.0.insert(*object, owner);
    }
    fn set_remote(&mut self, _: &Object, _: Remote) {}
    fn lock(&mut self, _: OpId, _: &Object) {}
    fn unlock(&mut self, _: OpId) {}
    fn mark(&mut self, _: OpId, _: &Object, _: bool) -> Outcome {
        Ok(())
    }
    fn unmark(&mut self, _: OpId) {}
    fn sweep(&mut self, _: OpId) -> bool {
        true
    }
}

const ME: OsnodeId = OsnodeId(1);
const YOU: OsnodeId = OsnodeId(2);
const THIRD: OsnodeId = OsnodeId(3);

fn frames(first: u64, count: u64) -> Object {
    let base = PhysAddr((1000 + first) * 4096);
    Object::of(&Cap::region(CapType::Frame, base, count * 4096))
}

fn op(number: u64) -> OpId {
    OpId { origin: ME, number }
}

fn ask(agent: &mut Agent, caps: &mut Caps, number: u64, request: Request) -> Vec<Output> {
    let input = Input::Client {
        op: op(number),
        request,
        deadline: 10,
    };
    agent.step(0, input, caps)
}

fn answer(number: u64, outcome: Outcome) -> Output {
    let op = op(number);
    Output::Answer { op, outcome }
}

fn whole() -> Object {
    frames(0, 1 << 20)
}

#[test]
fn a_family_that_one_message_cannot_tell_stays() {
    let mut agent = Agent::new(ME, &[YOU, THIRD], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), ME);
    for i in 0..128 {
        agent.enter(frames(i, 1), THIRD);
    }
    let request = Request::Transfer {
        object: whole(),
        to: YOU,
    };
    let out = ask(&mut agent, &mut caps, 0, request);
    assert_eq!(out, [answer(0, Err(Refusal::TooLarge))]);
    assert!(agent.is_idle());
}

#[test]
fn operations_of_one_origin_are_bounded() {
    let mut agent = Agent::new(ME, &[YOU], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), YOU);
    let request = Request::Retype {
        object: whole(),
        child: frames(0, 1),
        count: 1,
    };
    for number in 0..64 {
        let out = ask(&mut agent, &mut caps, number, request);
        assert!(matches!(out[..], [Output::Send { to: YOU, .. }]));
    }
    let out = ask(&mut agent, &mut caps, 64, request);
    assert_eq!(out, [answer(64, Err(Refusal::TryLater))]);
    // The same operation again is the same operation.
    assert_eq!(ask(&mut agent, &mut caps, 3, request), []);
}

#[test]
fn who_is_late_hears_it_once() {
    let mut agent = Agent::new(ME, &[YOU], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), YOU);
    let request = Request::Revoke { object: whole() };
    ask(&mut agent, &mut caps, 0, request);
    assert_eq!(agent.step(9, Input::Tick, &mut caps), []);
    let late = answer(0, Err(Refusal::TryLater));
    assert_eq!(agent.step(10, Input::Tick, &mut caps), [late]);
    assert_eq!(agent.step(11, Input::Tick, &mut caps), []);
    let message = Message::Reply {
        op: op(0),
        outcome: Ok(()),
    };
    let input = Input::Message { from: YOU, message };
    assert_eq!(agent.step(12, input, &mut caps), []);
    assert!(agent.is_idle());
}

#[test]
fn long_inventories_go_in_parts() {
    let mut heir = Agent::new(ME, &[YOU, THIRD], Shipped);
    let mut other = Agent::new(YOU, &[ME, THIRD], Shipped);
    let (mut held, mut here) = (Caps::default(), Caps::default());
    here.0.insert(whole(), THIRD);
    for i in 0..130 {
        held.0.insert(frames(i, 1), THIRD);
    }
    assert_eq!(heir.step(0, Input::Gone(THIRD), &mut here).len(), 1);
    let parts = other.step(0, Input::Gone(THIRD), &mut held);
    assert_eq!(parts.len(), 3);
    for part in parts {
        assert!(!heir.is_idle());
        let Output::Send { to: ME, message } = part else {
            panic!("an inventory goes to each survivor")
        };
        heir.step(0, Input::Message { from: YOU, message }, &mut here);
    }
    assert!(heir.is_idle());
    assert_eq!(heir.directory().family(&whole()).len(), 130);
    assert_eq!(here.owner(&whole()), Some(ME));
}

#[derive(Default)]
struct Flushes(u32);

impl Translations for Flushes {
    fn clear(&mut self, _: &Scope) {}
    fn flush(&mut self, _: &Scope) {
        self.0 += 1;
    }
}

#[test]
fn a_tree_with_wrong_counts_is_still_a_tree() {
    let mut unmapper = Unmapper::new(Shipped);
    let mut flushes = Flushes::default();
    let pages = Scope::Pages(Pages {
        domain: 7,
        base: 0x1000,
        end: 0x2000,
    });
    let tree = vec![(YOU, u16::MAX), (THIRD, 9)];
    let out = unmapper.unmap(op(0), pages, &tree, &mut flushes);
    let [FlushOutput::Send { to: YOU, message }] = &out[..] else {
        panic!("one branch: {out:?}")
    };
    let FlushMessage::Flush { below, .. } = message else {
        panic!("a flush")
    };
    assert_eq!(below, &[(THIRD, 9)]);
    // An answer of somebody who was not asked changes nothing.
    let answer = FlushMessage::Flushed { op: op(0) };
    assert_eq!(unmapper.take(THIRD, answer.clone(), &mut flushes), []);
    let done = unmapper.take(YOU, answer, &mut flushes);
    assert_eq!(done, [FlushOutput::Done { op: op(0) }]);
    assert!(unmapper.is_idle() && flushes.0 == 1);
}

#[test]
fn views_count_changes_and_gone_is_for_ever() {
    let mut members = Members::new(ME, &[ME, YOU], Shipped);
    let before = members.view();
    let stopped = MemberInput::Stopped(YOU);
    let out = members.step(stopped);
    assert!(matches!(
        out[..],
        [MemberOutput::News(_), MemberOutput::Send(YOU, _)]
    ));
    assert_eq!(members.view(), before + 1);
    members.step(MemberInput::Fenced(YOU));
    let late = Fact {
        osnode: YOU,
        count: 99,
        status: Status::Running,
        teller: THIRD,
    };
    let input = MemberInput::Message(THIRD, MemberMessage::Fact(late));
    assert_eq!(members.step(input), []);
    assert_eq!(members.known()[&YOU].status, Status::Gone);
    assert!(members.view() > before + 1);
}

fn messages() -> Vec<Message> {
    let (object, gift) = (
        whole(),
        Gift {
            rights: Rights(3),
            channel: u64::MAX,
        },
    );
    let op = op(u64::MAX);
    let outcomes = [Ok(()), Err(Refusal::Gone(YOU)), Err(Refusal::TryLater)];
    let mut all = vec![
        Message::NotOwner { op },
        Message::Take { op, object, gift },
        Message::Dropped { object },
        Message::Sweep { op },
        Message::Holds {
            objects: vec![object, frames(5, 1)],
        },
    ];
    for outcome in outcomes {
        all.push(Message::Reply { op, outcome });
        let holds = outcome.is_ok();
        all.push(Message::Taken {
            op,
            object,
            outcome,
            holds,
        });
    }
    for give in [None, Some(gift)] {
        let holders = vec![(frames(1, 2), YOU), (whole(), THIRD)];
        all.push(Message::Adopt {
            op,
            object,
            holders,
            give,
        });
    }
    let request = Request::Retype {
        object,
        child: frames(0, 3),
        count: 200,
    };
    all.push(Message::Ask { op, request });
    all.push(Message::Inventory {
        dead: [YOU, THIRD].into(),
        held: vec![(object, ME)],
        more: true,
    });
    all
}

#[test]
fn messages_are_read_as_they_were_written() {
    for message in messages() {
        let bytes = message.to_bytes();
        assert_eq!(Message::from_bytes(&bytes), Some(message.clone()));
        // Cut short or continued it is no message.
        for end in 0..bytes.len() {
            assert_eq!(Message::from_bytes(&bytes[..end]), None, "{message:?}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(Message::from_bytes(&long), None);
    }
}

#[test]
fn messages_about_channels_are_read_as_they_were_written() {
    use super::bind::{BindMessage, Wanted};
    let wanted = Wanted {
        name: proto::Name::truncated("a service"),
        region: 0x1_0000_0004,
        bell: u64::MAX,
    };
    let number = 300;
    let messages = [
        BindMessage::Open { number, wanted },
        BindMessage::Opened {
            number,
            bound: Ok(7),
        },
        BindMessage::Opened {
            number,
            bound: Err(11),
        },
        BindMessage::Shut { number, region: 4 },
        BindMessage::Ended { number },
    ];
    for message in messages {
        let bytes = message.to_bytes();
        assert_eq!(BindMessage::from_bytes(&bytes), Some(message.clone()));
        for end in 0..bytes.len() {
            assert_eq!(BindMessage::from_bytes(&bytes[..end]), None, "{message:?}");
        }
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    let samples: Vec<Vec<u8>> = messages().iter().map(Bytes::to_bytes).collect();
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 33
    };
    let mut read = 0;
    for _ in 0..100_000 {
        let mut bytes = samples[next() as usize % samples.len()].clone();
        for _ in 0..next() % 4 {
            let at = next() as usize % bytes.len();
            bytes[at] = next() as u8;
        }
        if let Some(message) = Message::from_bytes(&bytes) {
            // What is read is what would be written, but for longer ways to write a number.
            assert_eq!(Message::from_bytes(&message.to_bytes()), Some(message));
            read += 1;
        }
    }
    assert!(read > 1000, "{read} of the damaged messages were read");
}

#[test]
fn a_row_of_objects_is_derived_or_given_back_as_a_whole() {
    let mut agent = Agent::new(ME, &[YOU], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), YOU);
    let request = Request::Retype {
        object: whole(),
        child: frames(8, 2),
        count: 3,
    };
    ask(&mut agent, &mut caps, 0, request);
    let reply = |number| Input::Message {
        from: YOU,
        message: Message::Reply {
            op: op(number),
            outcome: Ok(()),
        },
    };
    let out = agent.step(0, reply(0), &mut caps);
    assert_eq!(out, [answer(0, Ok(()))]);
    assert_eq!(caps.owner(&frames(12, 2)), Some(YOU));
    ask(&mut agent, &mut caps, 1, request);
    caps.0.clear();
    let out = agent.step(0, reply(1), &mut caps);
    let dropped = |first| Output::Send {
        to: YOU,
        message: Message::Dropped {
            object: frames(first, 2),
        },
    };
    let refused = answer(1, Err(Refusal::NoSuch));
    assert_eq!(out, [dropped(8), dropped(10), dropped(12), refused]);
    // What it derived before is gone as well; that is told when the kernel says so.
    let out = agent.step(0, Input::Deleted, &mut caps);
    assert_eq!(out, [dropped(8), dropped(10), dropped(12)]);
    assert!(agent.is_idle());
}

/// What the owner answers to a retype by another OSnode of a row: first Frame, pages of each, how many.
fn reserved(
    agent: &mut Agent<Shipped>,
    caps: &mut Caps,
    (first, size, count): (u64, u64, u32),
) -> Outcome {
    let op = OpId {
        origin: YOU,
        number: first,
    };
    let request = Request::Retype {
        object: whole(),
        child: frames(first, size),
        count,
    };
    let message = Message::Ask { op, request };
    let out = agent.step(0, Input::Message { from: YOU, message }, caps);
    match &out[..] {
        [
            Output::Send {
                message: Message::Reply { outcome, .. },
                ..
            },
        ] => *outcome,
        other => panic!("one reply: {other:?}"),
    }
}

#[test]
fn an_owner_reserves_a_row_only_where_nothing_stands() {
    let mut agent = Agent::new(ME, &[YOU, THIRD], Shipped);
    let mut caps = Caps::default();
    caps.0.insert(whole(), ME);
    agent.enter(whole(), YOU);
    agent.enter(frames(5, 1), THIRD);
    let mut asked = |first, size, count| reserved(&mut agent, &mut caps, (first, size, count));
    assert_eq!(asked(0, 2, 3), Err(Refusal::Overlaps));
    assert_eq!(asked(0, 1, 5), Ok(()));
    assert_eq!(asked(4, 1, 1), Err(Refusal::Overlaps));
    assert_eq!(asked(6, 1, 257), Err(Refusal::BadArgument));
    assert_eq!(asked((1 << 20) - 1, 1, 2), Err(Refusal::BadArgument));
    assert_eq!(agent.directory().family(&whole()).len(), 7);
}

/// Boot drivers hold the KCB of the home OSnode, whose first memory comes out of the same block.
#[test]
fn a_kcb_is_not_in_the_way_of_what_lies_in_its_block() {
    let mut agent = Agent::new(ME, &[YOU, THIRD], Shipped);
    let mut caps = Caps::default();
    let block = |bytes| Cap::region(CapType::Kcb, PhysAddr(whole().base()), bytes);
    let bytes = whole().end() - whole().base();
    caps.0.insert(whole(), ME);
    caps.0.insert(Object::of(&block(2 * bytes)), THIRD);
    agent.enter(whole(), YOU);
    assert_eq!(reserved(&mut agent, &mut caps, (0, 1, 1)), Ok(()));
    // One that somebody made of a part of it is.
    caps.0.insert(Object::of(&block(bytes / 2)), THIRD);
    assert_eq!(
        reserved(&mut agent, &mut caps, (1, 1, 1)),
        Err(Refusal::Overlaps)
    );
}

#[test]
fn nobody_waits_for_who_is_stopped_when_somebody_joins() {
    let new = OsnodeId(4);
    let enters = |out: &[MemberOutput]| {
        let enter = |o: &MemberOutput| matches!(o, MemberOutput::Send(to, MemberMessage::Enter(_)) if *to == new);
        out.iter().any(enter)
    };
    // Stopped before.
    let mut members = Members::new(ME, &[ME, YOU, THIRD], Shipped);
    members.step(MemberInput::Stopped(YOU));
    let out = members.step(MemberInput::Sponsor(new));
    assert!(!enters(&out), "the third has not answered");
    let known = MemberMessage::Announced(new, Nodes::new());
    let out = members.step(MemberInput::Message(THIRD, known));
    assert!(enters(&out));
    // Stopped meanwhile.
    let mut members = Members::new(ME, &[ME, YOU], Shipped);
    assert!(!enters(&members.step(MemberInput::Sponsor(new))));
    let out = members.step(MemberInput::Stopped(YOU));
    assert!(enters(&out));
}

#[test]
fn who_is_in_motion_says_that_it_is_back() {
    let mut here = Members::new(ME, &[ME, YOU, THIRD], Shipped);
    let mut moved = Members::new(YOU, &[ME, YOU, THIRD], Shipped);
    let out = here.step(MemberInput::Moving(YOU));
    assert_eq!(here.known()[&YOU].status, Status::Moving(ME));
    assert_eq!(Status::Moving(ME).caretaker(), Some(ME));
    let to_it = |out: &[MemberOutput], to: OsnodeId| {
        let said = out.iter().find_map(|o| match o {
            MemberOutput::Send(n, m) if *n == to => Some(m.clone()),
            _ => None,
        });
        said.expect("a message")
    };
    // It finds the news where it runs again, and enters once more.
    let back = moved.step(MemberInput::Message(ME, to_it(&out, YOU)));
    let enter = here.step(MemberInput::Message(YOU, to_it(&back, ME)));
    assert_eq!(here.known()[&YOU].status, Status::Moving(ME));
    let entered = moved.step(MemberInput::Message(ME, to_it(&enter, YOU)));
    here.step(MemberInput::Message(YOU, to_it(&entered, ME)));
    assert_eq!(here.known()[&YOU].status, Status::Running);
    assert_eq!(here.known()[&YOU].count, 4);
}

#[test]
fn ram_is_its_kernels_alone_whoever_has_the_right_to_its_addresses() {
    let ram = |first: u64| Object::of(&Cap::region(CapType::Ram, PhysAddr(first << 20), 1 << 20));
    let all = Cap::region(CapType::PhysAddr, PhysAddr(0), 1 << PhysAddr::BITS);
    let right = Object::of(&all);
    let mut agent = Agent::new(ME, &[YOU, THIRD], Shipped);
    agent.enter(right, YOU);
    let beside = |agent: &Agent, object: &Object| agent.directory().beside(object);
    assert_eq!(beside(&agent, &ram(7)), Remote::default());
    assert!(beside(&agent, &right).copies);
    // Device frames do come from it.
    assert!(beside(&agent, &frames(0, 1)).ancestors);
    // And of RAM that others hold, parts of it do.
    agent.enter(ram(7), THIRD);
    let part = Cap::region(CapType::Ram, PhysAddr(7 << 20), 4096);
    assert!(beside(&agent, &Object::of(&part)).ancestors);
    assert_eq!(beside(&agent, &ram(8)), Remote::default());
}

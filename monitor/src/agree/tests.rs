//! Bounds and refusals that a small model does not reach. The protocols themselves are explored in `model/`.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use capfmt::{Cap, CapType, OsnodeId, PhysAddr};

use super::membership::{Fact, MemberInput, MemberMessage, MemberOutput, Members, Status};
use super::unmap::{FlushMessage, FlushOutput, Pages, Translations, Unmapper};
use super::*;

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
    assert_eq!(out, [answer(64, Err(Refusal::TryLater(agent.view())))]);
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
    let late = answer(0, Err(Refusal::TryLater(agent.view())));
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
    fn clear(&mut self, _: &Pages) {}
    fn flush(&mut self, _: &Pages) {
        self.0 += 1;
    }
}

#[test]
fn a_tree_with_wrong_counts_is_still_a_tree() {
    let mut unmapper = Unmapper::new(Shipped);
    let mut flushes = Flushes::default();
    let pages = Pages {
        domain: 7,
        base: 0x1000,
        end: 0x2000,
    };
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
    let stopped = MemberInput::Changed(YOU, Status::Stopped(ME));
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

//! Several OSnodes in one process: the shipped kernel logic and the shipped agreement machines, each OSnode with
//! memory of its own for its state, and one pool of "physical" memory that they share out among themselves.
//!
//! Clients retype, copy, move, give, revoke and delete at random, messages arrive in
//! any order that channels allow, kernels are replaced in between, OSnodes stop and die.
//! What must hold is stated over all of them at once: who owns what, that nothing
//! conflicts anywhere, that a revoke leaves one capability, and that each page is somewhere.

mod node;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use abi::{Op, slots};
use capfmt::{Cap, CapType, OsnodeId, Rights, schema};
use model::{Rng, scaled};
use monitor::agree::{Gift, Input, Message, Object, Output, Request};
use node::{Node, POOL, SHARE, SLOTS, delete, put, shelf};
use support::check::check_all;

const GIFT: Gift = Gift {
    rights: Rights::ALL,
    channel: 0,
};

struct System {
    nodes: BTreeMap<OsnodeId, Node>,
    channels: BTreeMap<(OsnodeId, OsnodeId), VecDeque<Message>>,
    /// Pages that went back to memory servers.
    freed: BTreeSet<u64>,
    pages: BTreeSet<u64>,
    tally: BTreeMap<&'static str, u64>,
}

fn pages_of(base: u64, end: u64) -> impl Iterator<Item = u64> {
    base >> 12..(end + 0xfff) >> 12
}

impl System {
    fn new(count: u64) -> System {
        let ids: Vec<OsnodeId> = (1..=count).map(OsnodeId).collect();
        let nodes = ids.iter().map(|id| (*id, Node::new(id.0, &ids))).collect();
        System {
            nodes,
            channels: BTreeMap::new(),
            freed: BTreeSet::new(),
            pages: pages_of(POOL, POOL + count * SHARE).collect(),
            tally: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Tells a machine something, and does what it wants.
    fn tell(&mut self, to: OsnodeId, input: Input) {
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        let before = node.local.came;
        let outputs = node.agent.step(0, input, &mut node.local);
        let came = (before != node.local.came).then_some(to);
        for output in outputs {
            match output {
                Output::Send { to: other, message } => {
                    self.channels
                        .entry((to, other))
                        .or_default()
                        .push_back(message);
                }
                Output::Answer { op, outcome } => {
                    let node = self.nodes.get_mut(&to).expect("it lives");
                    let request = node.local.calls.remove(&op);
                    let back = node.local.leaving.remove(&op);
                    if let Some(dispatcher) = request {
                        node.answer(dispatcher, outcome);
                    }
                    // It could not leave.
                    if let Some(k) = back {
                        match node.free(0, SLOTS) {
                            Some(slot) => put(node, Op::Move, k, slot),
                            None => delete(node, k),
                        };
                    }
                    self.count(if outcome.is_ok() {
                        "granted"
                    } else {
                        "refused"
                    });
                }
                Output::Freed { base, end, .. } => {
                    for page in pages_of(base, end) {
                        assert!(self.freed.insert(page), "page {page:#x} was freed twice");
                    }
                }
                Output::Revoked { op, object } => {
                    self.check_revoked((op.origin, to), &object, came)
                }
                Output::Inherited { .. } | Output::Estate { .. } => {}
            }
        }
        self.look(to);
    }

    /// What a monitor does when its kernel has told it: new calls, and deletions.
    fn look(&mut self, id: OsnodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.dropped() {
            self.tell(id, Input::Deleted);
        }
        let node = self.nodes.get_mut(&id).expect("it lives");
        let Some((dispatcher, op, object, child, count)) = node.pending() else {
            return;
        };
        let request = match (op, child) {
            (Op::Revoke, _) => Request::Revoke { object },
            (Op::Retype, Some(child)) => Request::Retype {
                object,
                child,
                count,
            },
            _ => panic!("{op:?} waits for the monitor"),
        };
        let number = node.next_op();
        node.local.calls.insert(number, dispatcher);
        self.count(if op == Op::Revoke {
            "revokes"
        } else {
            "retypes"
        });
        self.ask(id, number, request);
    }

    fn ask(&mut self, id: OsnodeId, op: monitor::agree::OpId, request: Request) {
        let input = Input::Client {
            op,
            request,
            deadline: u64::MAX,
        };
        self.tell(id, input);
    }

    /// REVOKED: copies at the keeper only; nothing derived, nothing on its way. What the owner got in the same
    /// step, it got afterwards. If the keeper deleted its copy over it, the object is nowhere, and the owner
    /// may derive the same again from what it has above it.
    fn check_revoked(
        &mut self,
        (keeper, owner): (OsnodeId, OsnodeId),
        object: &Object,
        came: Option<OsnodeId>,
    ) {
        let holds = |n: &Node| n.held().iter().any(|(_, c, _)| Object::of(c) == *object);
        let kept = self.nodes.get(&keeper).is_some_and(holds);
        let judged = |n: &&Node| came != Some(n.me) && (kept || n.me != owner);
        for node in self.nodes.values().filter(judged) {
            for (_, cap, _) in node.held() {
                let held = Object::of(&cap);
                // Whoever has the copy that stays may have copied it since, at home.
                let kept = node.me == keeper && held == *object;
                assert!(
                    !held.is_within(object) || kept,
                    "{held:x?} at {:?} survived the revoke of {object:x?}",
                    node.me
                );
            }
        }
        let late = self.channels.values().flatten().any(|m| match m {
            Message::Take { object: o, .. } => o.is_within(object),
            _ => false,
        });
        assert!(!late, "a copy of {object:x?} is on its way");
        self.count("revoked");
    }

    /// What holds at any time: no conflicts within or between OSnodes, and no page is free and held.
    fn check(&self, at_rest: bool) {
        let mut all: Vec<(OsnodeId, Cap, OsnodeId)> = Vec::new();
        for (id, node) in &self.nodes {
            all.extend(
                node.held()
                    .into_iter()
                    .map(|(_, cap, owner)| (*id, cap, owner)),
            );
        }
        let mut covered = BTreeSet::new();
        for (_, cap, _) in &all {
            covered.extend(pages_of(cap.base.0, cap.base.0 + cap.size));
        }
        all.sort_by_key(|(_, cap, _)| (cap.base.0, cap.size));
        for (k, (x, a, owner_a)) in all.iter().enumerate() {
            for (y, b, owner_b) in all[k + 1..]
                .iter()
                .take_while(|(_, b, _)| b.base.0 <= a.last())
            {
                assert!(
                    schema::may_overlap(a, b),
                    "NO-CONFLICT: {a:x?} of {x:?}, {b:x?} of {y:?}"
                );
                let one = owner_a == owner_b || !at_rest;
                assert!(
                    one,
                    "ONE-OWNER: {a:x?} of {x:?}: {owner_a:?}, {b:x?} of {y:?}: {owner_b:?}"
                );
            }
        }
        let both: Vec<_> = covered.intersection(&self.freed).collect();
        assert!(both.is_empty(), "pages both held and freed: {both:x?}");
        if at_rest {
            let lost: Vec<_> = self
                .pages
                .iter()
                .filter(|p| !covered.contains(p) && !self.freed.contains(p))
                .collect();
            assert!(lost.is_empty(), "NOTHING-LOST: {lost:x?}");
            for node in self.nodes.values() {
                check_all(&node.local.w.borrow().m);
            }
        }
    }

    /// Delivers a message of a random channel; `false`: there is none.
    fn deliver(&mut self, r: &mut Rng) -> bool {
        let full: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, q)| !q.is_empty())
            .map(|(k, _)| *k)
            .collect();
        if full.is_empty() {
            return false;
        }
        let (from, to) = *r.pick(&full);
        let message = self
            .channels
            .get_mut(&(from, to))
            .and_then(VecDeque::pop_front);
        self.count("messages");
        self.tell(
            to,
            Input::Message {
                from,
                message: message.expect("one"),
            },
        );
        true
    }

    /// Lets everything come to its end.
    fn rest(&mut self, r: &mut Rng) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.keep(id, false);
        }
        for _ in 0..100_000 {
            if !self.deliver(r) {
                break;
            }
        }
        for node in self.nodes.values() {
            assert!(node.agent.is_idle(), "{:?} never ends", node.me);
            assert!(
                !node.client_waits(),
                "a client of {:?} waits for ever",
                node.me
            );
        }
        self.check(true);
    }

    /// Stops an OSnode, or starts it: its machine goes on anyway, its programs do not.
    fn keep(&mut self, id: OsnodeId, kept: bool) {
        self.nodes.get_mut(&id).expect("it lives").kept = kept;
    }

    /// The OSnode is fenced: its last messages are taken, then all hear of it.
    fn die(&mut self, id: OsnodeId) {
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            while let Some(message) = self
                .channels
                .get_mut(&(id, other))
                .and_then(VecDeque::pop_front)
            {
                self.tell(other, Input::Message { from: id, message });
            }
        }
        self.nodes.remove(&id);
        self.channels
            .retain(|(from, to), _| *from != id && *to != id);
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.tell(other, Input::Gone(id));
        }
        self.count("deaths");
    }

    /// What was only the dead's goes back to the memory servers.
    fn bury(&mut self, r: &mut Rng) {
        for _ in 0..100_000 {
            if !self.deliver(r) {
                break;
            }
        }
        let mut covered = BTreeSet::new();
        for node in self.nodes.values() {
            for (_, cap, _) in node.held() {
                covered.extend(pages_of(cap.base.0, cap.base.0 + cap.size));
            }
        }
        let rest = self.pages.difference(&covered).copied();
        self.freed = rest.collect();
    }

    /// Something that a client or the machine room does.
    fn act(&mut self, r: &mut Rng) {
        let ids: Vec<OsnodeId> = self.nodes.keys().copied().collect();
        let id = *r.pick(&ids);
        let to = *r.pick(&ids);
        let node = self.nodes.get_mut(&id).expect("it lives");
        let used: Vec<u32> = (0..SLOTS)
            .filter(|k| node.cap(*k).kind != CapType::Null)
            .collect();
        let what = r.below(20);
        if what == 19 {
            node.update();
            return self.count("updates");
        }
        if node.kept || used.is_empty() || what == 18 {
            let kept = !node.kept && what == 18 && r.one_in(4);
            return self.keep(id, kept);
        }
        let k = *r.pick(&used);
        let cap = node.cap(k);
        let object = Object::of(&cap);
        let free = node.free(0, SLOTS);
        match what {
            0..4 => {
                let done = delete(node, k);
                self.count(if done { "deletes" } else { "deletes refused" });
            }
            4..6 => {
                if let Some(to) = free {
                    put(node, Op::Copy, k, to);
                }
            }
            6..11 if !node.client_waits() => {
                let kind = if cap.kind == CapType::Ram && r.one_in(2) {
                    CapType::Ram
                } else {
                    CapType::Frame
                };
                let size = 0x1000 << r.below(3);
                let offset = 0x1000 * r.below(8);
                if let Some(to) = free {
                    let root = u64::from(slots::ROOT_CNODE.0);
                    let args = [offset, kind as u64, size, 1, root, u64::from(shelf(to).0)];
                    node.client_calls(Op::Retype, shelf(k), &args);
                }
            }
            11..13 if !node.client_waits() => {
                node.client_calls(Op::Revoke, slots::ROOT_CNODE, &[u64::from(shelf(k).0)]);
            }
            13..15 if to != id => {
                let op = node.next_op();
                self.count("copies");
                self.ask(
                    id,
                    op,
                    Request::Copy {
                        object,
                        to,
                        gift: GIFT,
                    },
                );
            }
            15..17 if to != id => {
                let Some(slot) = node.free(SLOTS, 250) else {
                    return;
                };
                if !put(node, Op::Move, k, slot) {
                    return;
                }
                let op = node.next_op();
                node.local.leaving.insert(op, slot);
                self.count("moves");
                self.ask(
                    id,
                    op,
                    Request::Move {
                        object,
                        to,
                        gift: GIFT,
                    },
                );
            }
            17 if to != id => {
                let op = node.next_op();
                self.count("transfers");
                self.ask(id, op, Request::Transfer { object, to });
            }
            _ => {}
        }
        self.look(id);
    }
}

fn run(seed: u64, steps: u64) -> BTreeMap<&'static str, u64> {
    let mut r = Rng::new(seed);
    let mut tally = BTreeMap::new();
    let mut done = 0;
    while done < steps {
        let mut s = System::new(2 + r.below(3));
        let episode = 100 + r.below(400);
        for k in 0..episode {
            done += 1;
            if r.one_in(2) || !s.deliver(&mut r) {
                s.act(&mut r);
            }
            if k % 4 == 0 {
                s.check(false);
            }
            if k % 100 == 99 {
                s.rest(&mut r);
                if r.one_in(4) && s.nodes.len() > 2 {
                    // Things under way, and then a death in the middle of them.
                    for _ in 0..20 {
                        s.act(&mut r);
                    }
                    let ids: Vec<OsnodeId> = s.nodes.keys().copied().collect();
                    s.die(*r.pick(&ids));
                    s.bury(&mut r);
                    s.rest(&mut r);
                }
            }
        }
        s.rest(&mut r);
        for (what, count) in s.tally {
            *tally.entry(what).or_default() += count;
        }
    }
    tally
}

#[test]
fn osnodes_agree_about_capabilities() {
    let steps = scaled(1_000_000);
    let tally = run(31, steps);
    println!("{tally:?}");
    for what in [
        "granted",
        "revoked",
        "retypes",
        "copies",
        "moves",
        "transfers",
        "deletes",
        "updates",
        "deaths",
    ] {
        let count = tally.get(what).copied().unwrap_or_default();
        assert!(count > 1000, "{what}: {count}");
    }
}

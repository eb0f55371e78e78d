//! All OSnodes, the channels between them, and the reference that is told of everything.

use std::collections::{BTreeMap, VecDeque};

use abi::Op;
use capfmt::{CapType, OsnodeId};
use model::Rng;
use monitor::agree::{Input, Message, Object, OpId, Outcome, Output, Request};

use crate::estates::Estate;
use crate::local::{AllBut, Wrong};
use crate::node::{ALL_SLOTS, Node, POOL, SHARE, SLOTS, delete, put};
use crate::reference::{Open, Reference, pages_of};

/// Accounts for the memory of whoever is gone; it does not die.
pub const HOME: OsnodeId = OsnodeId(1);

pub struct System {
    pub nodes: BTreeMap<OsnodeId, Node>,
    pub channels: BTreeMap<(OsnodeId, OsnodeId), VecDeque<Message>>,
    pub reference: Reference,
    /// Memory of the dead that home has not taken over.
    pub estates: Vec<Estate>,
    /// Somebody died since all was quiet.
    pub died: bool,
    /// How many OSnodes there were at first.
    pub size: u64,
    pub tally: BTreeMap<&'static str, u64>,
    /// Everything is said.
    traced: bool,
}

fn trace(traced: bool, what: impl FnOnce() -> String) {
    if traced {
        eprintln!("{}", what());
    }
}

impl System {
    /// OSnodes that share the pool out among them.
    pub fn new(count: u64, rules: AllBut, wrong: Wrong) -> System {
        let ids: Vec<OsnodeId> = (1..=count).map(OsnodeId).collect();
        let nodes = ids
            .iter()
            .map(|id| (*id, Node::new(id.0, &ids, rules, wrong)));
        let nodes: BTreeMap<OsnodeId, Node> = nodes.collect();
        let mut reference = Reference::default();
        reference.living.extend(&ids);
        for (id, node) in &nodes {
            let share = Object::of(&node.cap(0));
            let base = POOL + (id.0 - 1) * SHARE;
            assert_eq!((share.base(), share.end()), (base, base + SHARE));
            reference.out += SHARE >> 12;
            let thing = reference.make(share, None, *id);
            reference.put(*id, 0, thing, capfmt::Rights::ALL);
        }
        System {
            nodes,
            channels: BTreeMap::new(),
            reference,
            estates: Vec::new(),
            died: false,
            size: count,
            tally: BTreeMap::new(),
            traced: std::env::var_os("OSNODES_TRACE").is_some(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub fn trace(&self, what: impl FnOnce() -> String) {
        trace(self.traced, what);
    }

    pub fn ids(&self) -> Vec<OsnodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn node(&mut self, id: OsnodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("it lives")
    }

    /// Tells a machine something, and does what it wants.
    pub fn tell(&mut self, to: OsnodeId, input: Input) {
        self.trace(|| format!("{to:?} is told {input:x?}"));
        self.run(to, |node| node.agent.step(0, input, &mut node.local));
    }

    /// Lets a machine take a step.
    pub fn run(&mut self, to: OsnodeId, step: impl FnOnce(&mut Node) -> Vec<Output>) {
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        self.reference.now += 1;
        let outputs = step(node);
        for effect in std::mem::take(&mut node.local.log) {
            trace(self.traced, || format!("{to:?}: {effect:x?}"));
            self.reference.effect(to, effect);
        }
        for output in outputs {
            self.trace(|| format!("{to:?} says {output:x?}"));
            self.perform(to, output);
        }
        self.look(to);
    }

    fn perform(&mut self, to: OsnodeId, output: Output) {
        match output {
            Output::Send { to: other, message } => {
                let channel = self.channels.entry((to, other)).or_default();
                channel.push_back(message);
            }
            Output::Answer { op, outcome } => self.answer(to, op, outcome),
            Output::Freed { base, end, .. } => {
                for page in pages_of(base, end) {
                    let cover = self.reference.cover(page);
                    assert!(cover.is_none(), "{page:#x} is freed and held: {cover:x?}");
                }
                self.node(to).free_bytes(base, end);
                self.look_back(to);
                let back = pages_of(base, end).all(|p| self.reference.back.get(&p) == Some(&to));
                assert!(back, "what was freed did not come back");
                self.count("freed");
            }
            Output::Revoked { op, object } => {
                let late = |m: &Message| matches!(m, Message::Take { object: o, .. } if o.is_within(&object));
                let late = self.channels.values().flatten().any(late);
                assert!(!late, "a copy of {object:x?} is on its way");
                self.reference.revoked(to, op);
                self.count("revoked");
            }
            Output::Inherited { .. } => self.count("inherited"),
            Output::Estate { .. } => {}
        }
    }

    /// A client hears how its operation ended.
    fn answer(&mut self, id: OsnodeId, op: OpId, outcome: Outcome) {
        self.reference.answered(op, outcome);
        let node = self.node(id);
        let dispatcher = node.local.calls.remove(&op);
        let back = node.local.leaving.remove(&op);
        if let Some(dispatcher) = dispatcher {
            node.answer(dispatcher, outcome);
        }
        // It could not leave.
        if let Some(k) = back.filter(|k| node.cap(*k).kind != CapType::Null) {
            match node.free(0, SLOTS) {
                Some(slot) => {
                    if put(node, Op::Move, k, slot) {
                        self.reference.moved(id, k, slot);
                    }
                }
                None => {
                    let code = delete(node, k);
                    self.reference.deleted(id, k, code);
                }
            }
        }
        let granted = outcome.is_ok();
        self.count(if granted { "granted" } else { "refused" });
    }

    /// What a monitor does when its kernel has told it: new calls, deletions, memory.
    pub fn look(&mut self, id: OsnodeId) {
        self.look_back(id);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.dropped() {
            self.tell(id, Input::Deleted);
        }
        let node = self.node(id);
        let Some((dispatcher, op, object, child, count)) = node.pending() else {
            return;
        };
        let (request, slot, to) = match (op, child) {
            (Op::Revoke, _) => (Request::Revoke { object }, node.revoking, None),
            (Op::Retype, Some(child)) => {
                let call = node.making.expect("a retype waits");
                assert_eq!((child, count), (call.child, 1), "what is to be made");
                let request = Request::Retype {
                    object,
                    child,
                    count,
                };
                (request, Some(call.from), Some(call.to))
            }
            _ => panic!("{op:?} waits for the monitor"),
        };
        let number = node.next_op();
        node.local.calls.insert(number, dispatcher);
        let revokes = op == Op::Revoke;
        self.count(if revokes { "revokes" } else { "retypes" });
        self.ask(id, number, request, slot, to);
    }

    /// Memory that is back since the last look.
    pub fn look_back(&mut self, id: OsnodeId) {
        let Some(pages) = self.nodes.get_mut(&id).and_then(Node::came_back) else {
            return;
        };
        for page in pages {
            if self.reference.back.get(&page) != Some(&id) {
                trace(self.traced, || format!("{id:?}: page {page:x} is back"));
                self.reference.came_back(id, page);
                self.note_back(id, page);
            }
        }
    }

    /// A client, or a monitor, asks for something about what its OSnode holds.
    pub fn ask(
        &mut self,
        id: OsnodeId,
        op: OpId,
        request: Request,
        slot: Option<u32>,
        to: Option<u32>,
    ) {
        let object = request.object();
        let thing = match slot {
            Some(k) => Some(self.reference.slot(id, k).id),
            None => self.reference.held_as(id, &object),
        };
        let thing = thing.or_else(|| self.bequeathed(&object));
        let thing = thing.expect("a request is about something");
        assert_eq!(self.reference.things[&thing].object, object);
        let open = Open {
            node: id,
            request,
            id: thing,
            slot,
            to,
            lapsed: !self.reference.holds(id, thing),
            clash: false,
            derived: false,
            came: 0,
            full: false,
            revoked: false,
            over: false,
        };
        self.reference.ask(op, open);
        let input = Input::Client {
            op,
            request,
            deadline: u64::MAX,
        };
        self.tell(id, input);
    }

    /// Delivers a message of a random channel; `false`: there is none.
    pub fn deliver(&mut self, r: &mut Rng) -> bool {
        let full = self.channels.iter().filter(|(_, q)| !q.is_empty());
        let full: Vec<_> = full.map(|(k, _)| *k).collect();
        if full.is_empty() {
            return false;
        }
        let (from, to) = *r.pick(&full);
        let channel = self.channels.get_mut(&(from, to));
        let message = channel.and_then(VecDeque::pop_front).expect("one");
        self.count("messages");
        self.tell(to, Input::Message { from, message });
        true
    }

    /// Until no message is left.
    pub fn deliver_all(&mut self, r: &mut Rng) {
        for _ in 0..100_000 {
            if !self.deliver(r) {
                return;
            }
        }
        panic!("messages without end");
    }

    /// What stands in the slots is what the reference says.
    pub fn compare(&self, id: OsnodeId) {
        let node = &self.nodes[&id];
        let mut expected = self
            .reference
            .slots
            .range((id, 0)..=(id, u32::MAX))
            .peekable();
        for k in 0..ALL_SLOTS {
            let cap = node.cap(k);
            let slot = expected
                .next_if(|((_, slot), _)| *slot == k)
                .map(|(_, s)| s);
            let Some(slot) = slot else {
                assert_eq!(
                    cap.kind,
                    CapType::Null,
                    "slot {k} of {id:?} should be empty"
                );
                continue;
            };
            let thing = &self.reference.things[&slot.id];
            let is = (Object::of(&cap), cap.rights);
            assert_eq!(is, (thing.object, slot.rights), "slot {k} of {id:?}");
            assert!(
                !thing.gone,
                "slot {k} of {id:?} has what is gone: {thing:x?}"
            );
        }
    }
}

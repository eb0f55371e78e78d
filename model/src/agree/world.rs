//! Some OSnodes, the channels between them, and everything that can happen next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use capfmt::OsnodeId;
use monitor::agree::{
    Agent, Input, Limits, Message, OpId, Outcome, Output, Remote, Request, Rule, Rules,
};

use super::check;
use super::event::Event;
use super::kernel::Caps;
use super::part::Part;
use super::said;
use super::scenario::{Act, Scenario};
use crate::explore::System;

/// The shipped rules, with one missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Broken(pub Option<Rule>);

impl Rules for Broken {
    fn hold(&self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// Small enough to be reached.
pub const LIMITS: Limits = Limits {
    open: 2,
    family: 6,
    inventory: 2,
};

/// How an OSnode is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// It runs.
    Running,
    /// It is stopped: its machine goes on on its caretaker's core, its programs do not.
    Kept,
    /// Its kernel crashed: nothing happens.
    Crashed,
    /// It was fenced.
    Dead,
}

/// One OSnode.
#[derive(Clone, Hash, Debug)]
pub struct Node {
    pub agent: Agent<Broken>,
    pub caps: Caps,
    pub phase: Phase,
}

/// What happened so far, as far as later checks need it.
#[derive(Clone, Hash, Debug, Default)]
pub struct Past {
    /// Requests that were made, by place in the scenario.
    pub asked: BTreeSet<usize>,
    /// Answers to clients.
    pub answers: BTreeMap<OpId, Outcome>,
    /// Pages that went back to a memory server.
    pub freed: u8,
    /// OSnode that accounts for each page.
    pub ledger: [u64; 3],
    /// Faults that happened.
    pub faults: u8,
    /// Time passed.
    pub late: bool,
    /// Those that are gone of whom somebody said what they left.
    pub estates: BTreeSet<Vec<OsnodeId>>,
    /// Requests at their owner that have not ended, in the order in which they came; only where many are made.
    pub turns: Vec<OpId>,
}

/// A state.
#[derive(Clone, Hash, Debug)]
pub struct State {
    pub nodes: Vec<Part<Node>>,
    /// From OSnode `i` to `j` of `n` at `i * n + j`.
    pub channels: Vec<Part<VecDeque<Message>>>,
    /// Who has not heard that who is gone.
    pub untold: BTreeSet<(u64, u64)>,
    pub past: Part<Past>,
    /// Messages that the running step may still send.
    pub breath: Option<usize>,
}

/// A scenario, with shipped or broken rules.
#[derive(Clone, Debug)]
pub struct World {
    /// Where it starts, and what is asked.
    pub scenario: Scenario,
    /// Which rule is missing.
    pub rules: Broken,
}

impl State {
    /// An OSnode.
    pub fn node(&self, id: OsnodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }
    fn node_mut(&mut self, id: OsnodeId) -> &mut Part<Node> {
        &mut self.nodes[id.0 as usize - 1]
    }
    fn place(&self, from: OsnodeId, to: OsnodeId) -> usize {
        (from.0 as usize - 1) * self.nodes.len() + to.0 as usize - 1
    }
    /// A channel.
    pub fn channel(&self, from: OsnodeId, to: OsnodeId) -> &VecDeque<Message> {
        &self.channels[self.place(from, to)]
    }
    fn channel_mut(&mut self, from: OsnodeId, to: OsnodeId) -> &mut Part<VecDeque<Message>> {
        let place = self.place(from, to);
        &mut self.channels[place]
    }
    /// All OSnodes.
    pub fn ids(&self) -> impl Iterator<Item = OsnodeId> + use<> {
        (1..=self.nodes.len() as u64).map(OsnodeId)
    }
    /// OSnodes that are not fenced.
    pub fn living(&self) -> impl Iterator<Item = (OsnodeId, &Node)> {
        let all = self.ids().map(|id| (id, self.node(id)));
        all.filter(|(_, n)| n.phase != Phase::Dead)
    }
}

impl World {
    /// The number of an ask is its place among its OSnode's.
    pub fn op(&self, place: usize) -> OpId {
        let origin = self.scenario.asks[place].0;
        let before = self.scenario.asks[..place].iter();
        OpId {
            origin,
            number: before.filter(|(n, _)| *n == origin).count() as u64,
        }
    }
    /// The request of an operation.
    pub fn request(&self, op: &OpId) -> Option<&Request> {
        let place = (0..self.scenario.asks.len()).find(|p| self.op(*p) == *op)?;
        self.scenario.asks[place].1.request()
    }

    fn fresh(&self, id: OsnodeId) -> Node {
        let all = (1..=self.scenario.nodes).map(OsnodeId);
        let others: Vec<OsnodeId> = all.filter(|o| *o != id).collect();
        let mut agent = Agent::new(id, &others, self.rules);
        let mut caps = Caps::default();
        for (object, owner, holders) in &self.scenario.objects {
            if holders.contains(&id) {
                caps.add(*object, *owner);
                if *owner != id {
                    agent.know(*object, *owner);
                }
            }
            for holder in holders {
                if *owner == id && *holder != id {
                    agent.enter(*object, *holder);
                }
            }
        }
        let tell = self.rules.hold(Rule::FlagsTold);
        for (object, held) in caps.held.iter_mut().filter(|(_, h)| h.owner == id && tell) {
            held.remote = agent.directory().beside(object);
            if held.remote != Remote::default() {
                agent.know(*object, id);
            }
        }
        caps.busy = self.scenario.busy.filter(|b| b.0 == id).map(|b| b.1);
        caps.slow = self.scenario.slow == Some(id);
        caps.shared = self.scenario.shared == Some(id);
        caps.full = self.scenario.full == Some(id);
        Node {
            agent,
            caps,
            phase: Phase::Running,
        }
    }

    /// Lets a machine take an input, and does what it says.
    fn step(&self, s: &mut State, id: OsnodeId, input: Input) -> Result<(), String> {
        let now = u64::from(s.past.late);
        let told = input.clone();
        said::comes(self, s, id, &told);
        let before = s.node(id).caps.clone();
        let outputs = s
            .node_mut(id)
            .change(|n| n.agent.step(now, input, &mut n.caps));
        let caps = &s.node(id).caps;
        if let Some(fault) = caps.fault {
            return Err(format!("{fault} (o{})", id.0));
        }
        if !caps.gifts.is_empty() {
            check::gifts(self, &caps.gifts)?;
            s.node_mut(id).change(|n| n.caps.gifts.clear());
        }
        for output in &outputs {
            if let Output::Send { .. } = output
                && let Some(breath) = &mut s.breath
            {
                if *breath == 0 {
                    break;
                }
                *breath -= 1;
            }
            if let Output::Send { to, message } = output
                && s.node(*to).phase != Phase::Dead
            {
                let message = message.clone();
                s.channel_mut(id, *to).change(|c| c.push_back(message));
            }
            self.note(s, id, &told, output, &before)?;
        }
        Ok(())
    }

    fn note(
        &self,
        s: &mut State,
        id: OsnodeId,
        input: &Input,
        output: &Output,
        before: &Caps,
    ) -> Result<(), String> {
        match output {
            Output::Send { to, message } => {
                said::sent(self, s, (id, *to), message)?;
                check::adoption(s, id, input, message);
                Ok(())
            }
            Output::Answer { op, outcome } => {
                said::in_turn(self, s, id, *op)?;
                check::answer(self, s, *op, *outcome, before)
            }
            Output::Freed { base, end, .. } => check::freed(s, *base, *end),
            Output::Revoked { op, object } => check::revoked(self, s, *op, object, (id, before)),
            Output::Inherited { object } => {
                s.past
                    .change_with(|p| check::enter(&mut p.ledger, object, id));
                Ok(())
            }
            Output::Estate { dead, held } => check::estate(s, dead, held),
        }
    }

    fn ask(&self, s: &mut State, place: usize) -> Result<(), String> {
        let (id, act) = self.scenario.asks[place];
        let op = self.op(place);
        s.past.change_with(|p| p.asked.insert(place));
        let object = act.object();
        let Act::Ask(request) = act else {
            s.node_mut(id).change(|n| n.caps.delete_here(&object, id));
            return Ok(());
        };
        if s.node(id).caps.is_private(&object, id) {
            // The kernel does these itself.
            let done = match request {
                Request::Retype { child, count, .. } => {
                    s.node_mut(id)
                        .change(|n| n.caps.retype_here(op, &object, (child, count)));
                    true
                }
                Request::Revoke { .. } => {
                    s.node_mut(id).change(|n| n.caps.revoke_here(&object));
                    true
                }
                _ => false,
            };
            if done {
                s.past.change_with(|p| p.answers.insert(op, Ok(())));
                return Ok(());
            }
        }
        let deadline = 1;
        let input = Input::Client {
            op,
            request,
            deadline,
        };
        self.step(s, id, input.clone())?;
        if self.scenario.hurry {
            // It may be told twice, and look at the time before the deadline.
            if !s.past.answers.contains_key(&op) {
                self.step(s, id, input)?;
            }
            if !s.past.late {
                self.step(s, id, Input::Tick)?;
            }
        }
        Ok(())
    }

    fn deliver(&self, s: &mut State, from: OsnodeId, to: OsnodeId) -> Result<(), String> {
        let message = s.channel_mut(from, to).change(VecDeque::pop_front);
        match message {
            Some(message) => self.step(s, to, Input::Message { from, message }),
            None => Ok(()),
        }
    }

    fn fence(&self, s: &mut State, dead: OsnodeId) {
        s.node_mut(dead).change(|n| n.phase = Phase::Dead);
        let others: Vec<OsnodeId> = s.living().map(|(id, _)| id).collect();
        for other in others {
            s.channel_mut(other, dead).change(VecDeque::clear);
            s.untold.insert((other.0, dead.0));
        }
    }

    fn faults(&self, s: &State, events: &mut Vec<Event>) {
        if s.past.faults >= self.scenario.faults.times {
            return;
        }
        let running = s.living().filter(|(_, n)| n.phase == Phase::Running);
        for (id, _) in running {
            if self.scenario.faults.stop {
                events.push(Event::Stop(id));
            }
            if self.scenario.faults.crash {
                events.push(Event::Crash(id));
            }
        }
    }

    /// What must happen sooner or later.
    fn due(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, node) in s.living() {
            match node.phase {
                Phase::Crashed => {
                    events.extend([Event::Recover(id), Event::Fence(id)]);
                    continue;
                }
                Phase::Kept => events.push(Event::Start(id)),
                Phase::Running | Phase::Dead => {}
            }
            if node.caps.deleted {
                events.push(Event::Deleted(id));
            }
            if node.caps.stale != 0 {
                events.push(Event::Flushed(id));
            }
            for op in node.caps.sweeping.iter().filter(|_| node.caps.stale == 0) {
                events.push(Event::Swept(id, *op));
            }
            for from in s.ids() {
                if let Some(message) = s.channel(from, id).front() {
                    events.push(Event::Deliver(from, id, message.clone()));
                } else if s.untold.contains(&(id.0, from.0)) {
                    events.push(Event::Gone(id, from));
                }
            }
        }
        for (place, (id, request)) in self.scenario.asks.iter().enumerate() {
            let asked = |p: usize| s.past.asked.contains(&p);
            // Of many, each OSnode's come in the order of their numbers.
            let many = self.scenario.asks.len() > 2;
            let later = many && (0..place).any(|p| self.scenario.asks[p].0 == *id && !asked(p));
            if !asked(place) && !later && s.node(*id).phase == Phase::Running {
                events.push(Event::Ask(place, *id, *request));
            }
        }
        events
    }
}

impl Part<Past> {
    /// Changes what is remembered.
    pub fn change_with<O>(&mut self, change: impl FnOnce(&mut Past) -> O) {
        self.change(|p| {
            change(p);
        });
    }
}

impl System for World {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        let n = self.scenario.nodes;
        let empty = Part::new(VecDeque::new());
        let mut past = Past::default();
        for (object, owner, _) in &self.scenario.objects {
            check::enter(&mut past.ledger, object, *owner);
        }
        State {
            nodes: (1..=n)
                .map(|id| Part::new(self.fresh(OsnodeId(id))))
                .collect(),
            channels: vec![empty; (n * n) as usize],
            untold: BTreeSet::new(),
            past: Part::new(past),
            breath: None,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = self.due(s);
        if self.scenario.faults.crash && s.past.faults < self.scenario.faults.times {
            let steps = events.iter().filter(|e| e.stepper().is_some());
            let steps: Vec<Event> = steps.cloned().collect();
            for step in steps {
                // To die before the first message is to die before the step; nobody sends more than four.
                events.extend((1..4).map(|sent| Event::Die(Box::new(step.clone()), sent)));
            }
        }
        self.faults(s, &mut events);
        if self.scenario.hurry && !s.past.late {
            events.push(Event::Late);
        }
        events
    }

    fn next(&self, state: &State, event: &Event) -> Result<State, String> {
        let mut s = state.clone();
        match event {
            Event::Deliver(from, to, _) => self.deliver(&mut s, *from, *to)?,
            Event::Ask(place, ..) => self.ask(&mut s, *place)?,
            Event::Deleted(id) => {
                s.node_mut(*id).change(|n| n.caps.deleted = false);
                self.step(&mut s, *id, Input::Deleted)?;
            }
            Event::Flushed(id) => s.node_mut(*id).change(|n| {
                (n.caps.stale, n.caps.revoked) = (0, 0);
                n.caps.deleted = true;
            }),
            Event::Swept(id, op) => {
                s.node_mut(*id).change(|n| n.caps.delete_marked(*op));
                self.step(&mut s, *id, Input::SweepDone { op: *op })?;
            }
            Event::Stop(id) | Event::Start(id) => {
                let kept = matches!(event, Event::Stop(_));
                let phase = if kept { Phase::Kept } else { Phase::Running };
                s.node_mut(*id).change(|n| n.phase = phase);
                s.past.change_with(|p| p.faults += u8::from(kept));
            }
            Event::Crash(id) => {
                s.node_mut(*id).change(|n| n.phase = Phase::Crashed);
                s.past.change_with(|p| p.faults += 1);
            }
            Event::Recover(id) => s.node_mut(*id).change(|n| n.phase = Phase::Running),
            Event::Fence(id) => self.fence(&mut s, *id),
            Event::Die(event, sent) => {
                s.breath = Some(*sent);
                let dead = event.stepper();
                s = self.next(&s, event)?;
                s.breath = None;
                s.past.change_with(|p| p.faults += 1);
                if let Some(dead) = dead {
                    self.fence(&mut s, dead);
                }
            }
            Event::Gone(id, dead) => {
                s.untold.remove(&(id.0, dead.0));
                // It may hear so twice.
                self.step(&mut s, *id, Input::Gone(*dead))?;
                self.step(&mut s, *id, Input::Gone(*dead))?;
            }
            Event::Late => {
                s.past.change_with(|p| p.late = true);
                for id in s.living().map(|(id, _)| id).collect::<Vec<_>>() {
                    if s.node(id).phase == Phase::Running {
                        self.step(&mut s, id, Input::Tick)?;
                        self.step(&mut s, id, Input::Tick)?;
                    }
                }
            }
        }
        check::always(&s)?;
        Ok(s)
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        if self.due(s).is_empty() {
            check::at_rest(self, s)?;
        }
        Ok(())
    }
}

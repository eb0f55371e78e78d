//! The shoot-down of translations, explored with the shipped machine.
//!
//! The core of an OSnode that is stopped is off, and knows no translations any more; what its caretaker's core loads in
//! visits, its monitor has forgotten there. When it goes on, it does so on a core that knows none, either.
//!
//! The tables of an OSnode that is gone stay what they were in memory, and all others walk them until they have taken
//! them out of their own. Whoever hears of the death buries it: what follows (memory that becomes free) may follow when
//! the machine says so, and then nobody may be able to use anything through a table of the dead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use capfmt::OsnodeId;
use monitor::agree::OpId;
use monitor::agree::unmap::{
    FlushMessage, FlushOutput, Pages, Scope, Translations, Tree, Unmapper,
};

use crate::agree::Broken;
use crate::explore::System;

/// What an OSnode's core may have loaded, and the tables it loads from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Buffers {
    /// Pages that stand in the table that this OSnode owns.
    mapped: BTreeSet<u64>,
    /// Pages whose entries its core has loaded, with the owner of the table in which they stood.
    loaded: BTreeSet<(OsnodeId, u64)>,
    /// Whose tables stand in its own.
    linked: BTreeSet<OsnodeId>,
}

impl Translations for Buffers {
    fn clear(&mut self, scope: &Scope) {
        if let Scope::Pages(pages) = scope {
            self.mapped.remove(&pages.base);
        }
    }
    fn flush(&mut self, scope: &Scope) {
        match scope {
            Scope::Pages(pages) => self.loaded.retain(|(_, page)| *page != pages.base),
            Scope::TablesOf(dead) => {
                self.linked.remove(dead);
                self.loaded.retain(|(owner, _)| owner != dead);
            }
        }
    }
}

/// A state: machines and buffers by OSnode, and channels.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    nodes: BTreeMap<OsnodeId, (Unmapper<Broken>, Buffers)>,
    channels: BTreeMap<(OsnodeId, OsnodeId), VecDeque<FlushMessage>>,
    asked: BTreeSet<usize>,
    done: BTreeSet<OpId>,
    /// To whom who is gone.
    buried: BTreeSet<(OsnodeId, OsnodeId)>,
    /// Whose programs do not run; its machine does, on its caretaker's core.
    stopped: Option<OsnodeId>,
    /// Who stands still until it is recovered or fenced.
    crashed: Option<OsnodeId>,
    dead: BTreeSet<OsnodeId>,
    untold: BTreeSet<(OsnodeId, OsnodeId)>,
    fault: bool,
    /// Messages that the running step may still send.
    breath: Option<usize>,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(OsnodeId, OsnodeId, FlushMessage),
    /// Somebody unmaps (place in the list).
    Unmap(usize),
    /// A core loads an entry.
    Load(OsnodeId, u64),
    /// An OSnode is stopped.
    Stop(OsnodeId),
    /// It is started again.
    Start,
    /// A kernel crashes.
    Crash(OsnodeId),
    /// It is recovered.
    Recover,
    /// It is fenced.
    Fence,
    /// A step is taken, but after so many messages its OSnode dies.
    Die(Box<Event>, usize),
    /// Somebody hears that somebody is gone.
    Gone(OsnodeId, OsnodeId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Deliver(from, to, FlushMessage::Flush { scope, below, .. }) => {
                let below: Vec<u64> = below.iter().map(|b| b.0.0).collect();
                let what = match scope {
                    Scope::Pages(pages) => format!("{}", pages.base),
                    Scope::TablesOf(dead) => format!("tables of o{}", dead.0),
                };
                write!(f, "o{} → o{}: Flush {what}, below {below:?}", from.0, to.0)
            }
            Event::Deliver(from, to, FlushMessage::Flushed { .. }) => {
                write!(f, "o{} → o{}: Flushed", from.0, to.0)
            }
            Event::Unmap(place) => write!(f, "unmap {place}"),
            Event::Load(n, page) => write!(f, "o{} loads the entry of {page}", n.0),
            Event::Stop(n) => write!(f, "o{} is stopped", n.0),
            Event::Start => f.write_str("it is started again"),
            Event::Crash(n) => write!(f, "o{} crashes", n.0),
            Event::Recover => f.write_str("it is recovered"),
            Event::Fence => f.write_str("it is fenced"),
            Event::Die(event, sent) => write!(f, "{event}; it dies after {sent} messages"),
            Event::Gone(n, dead) => write!(f, "o{} hears that o{} is gone", n.0, dead.0),
        }
    }
}

/// A domain over some OSnodes, and who unmaps what.
#[derive(Clone, Debug)]
pub struct Domain {
    /// OSnodes 1 to this.
    pub nodes: u64,
    /// Owner, and the tree of the others. The page is the place in this list.
    pub unmaps: Vec<(OsnodeId, Tree)>,
    /// Whether who is gone is buried, or only not waited for; that has many more orders.
    pub burials: bool,
    /// Which rule is missing.
    pub rules: Broken,
}

/// Numbers of burials: this and the dead OSnode's.
const BURIAL: u64 = 100;

impl Domain {
    fn op(&self, place: usize) -> OpId {
        OpId {
            origin: self.unmaps[place].0,
            number: place as u64,
        }
    }
    fn emit(&self, s: &mut State, from: OsnodeId, out: Vec<FlushOutput>) -> Result<(), String> {
        for output in out {
            if let Some(breath) = &mut s.breath {
                if *breath == 0 {
                    break;
                }
                *breath -= 1;
            }
            match output {
                FlushOutput::Send { to, message } if !s.dead.contains(&to) => {
                    s.channels.entry((from, to)).or_default().push_back(message);
                }
                FlushOutput::Send { .. } => {}
                FlushOutput::Done { op } => {
                    if op.number >= BURIAL {
                        s.buried.insert((from, OsnodeId(op.number - BURIAL)));
                    }
                    if !s.done.insert(op) {
                        return Err("answered twice".into());
                    }
                }
            }
        }
        Ok(())
    }
    /// The OSnode that takes a step.
    fn stepper(&self, event: &Event) -> Option<OsnodeId> {
        match event {
            Event::Deliver(_, n, _) | Event::Gone(n, _) => Some(*n),
            Event::Unmap(place) => Some(self.unmaps[*place].0),
            _ => None,
        }
    }
    /// Whether anybody can still use a page whose unmap was answered, or a table of somebody who is gone.
    fn check(&self, s: &State) -> Result<(), String> {
        let living = || s.nodes.iter().filter(|(n, _)| !s.dead.contains(n));
        for op in &s.done {
            for (n, (_, buffers)) in living() {
                if buffers.loaded.iter().any(|(_, page)| *page == op.number) {
                    return Err(format!(
                        "o{} can use page {} after its unmap",
                        n.0, op.number
                    ));
                }
            }
        }
        for (of, dead) in &s.buried {
            for (n, (_, buffers)) in living() {
                let uses = buffers.loaded.iter().any(|(owner, _)| owner == dead);
                if uses || buffers.linked.contains(dead) {
                    return Err(format!(
                        "o{} walks tables of o{}, which is gone to o{}",
                        n.0, dead.0, of.0
                    ));
                }
            }
        }
        Ok(())
    }
    /// Whom `n`, which hears of a death, tells, along a chain: all others that it does not know to be dead.
    fn mourners(&self, s: &State, n: OsnodeId) -> Tree {
        let heard = |o: &OsnodeId| s.dead.contains(o) && !s.untold.contains(&(n, *o));
        let others = s.nodes.keys().filter(|o| **o != n && !heard(o));
        let others: Vec<OsnodeId> = others.copied().collect();
        let count = others.len();
        let tree = others.into_iter().enumerate();
        tree.map(|(i, o)| (o, (count - 1 - i) as u16)).collect()
    }
    fn due(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for ((from, to), messages) in &s.channels {
            if s.crashed != Some(*to) && !s.dead.contains(to) {
                let first = messages.front().cloned();
                events.extend(first.map(|m| Event::Deliver(*from, *to, m)));
            }
        }
        for (n, dead) in &s.untold {
            let drained = s.channels.get(&(*dead, *n)).is_none_or(VecDeque::is_empty);
            if drained && s.crashed != Some(*n) {
                events.push(Event::Gone(*n, *dead));
            }
        }
        if s.crashed.is_some() {
            events.extend([Event::Recover, Event::Fence]);
        }
        events.extend(s.stopped.map(|_| Event::Start));
        for (place, (owner, _)) in self.unmaps.iter().enumerate() {
            let still = s.crashed == Some(*owner) || s.stopped == Some(*owner);
            let runs = !still && !s.dead.contains(owner);
            if runs && !s.asked.contains(&place) {
                events.push(Event::Unmap(place));
            }
        }
        events
    }
    fn fence(s: &mut State, dead: OsnodeId) {
        s.crashed = None;
        s.dead.insert(dead);
        s.channels.retain(|(_, to), _| *to != dead);
        for n in s.nodes.keys().filter(|n| !s.dead.contains(n)) {
            s.untold.insert((*n, dead));
        }
    }
    fn run<O>(
        s: &mut State,
        n: OsnodeId,
        act: impl FnOnce(&mut Unmapper<Broken>, &mut Buffers) -> O,
    ) -> O {
        let (unmapper, buffers) = s.nodes.get_mut(&n).expect("an OSnode of the domain");
        act(unmapper, buffers)
    }
}

impl System for Domain {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        let node = |n: u64| {
            let owner = OsnodeId(n);
            let own = self.unmaps.iter().enumerate().filter(|(_, u)| u.0 == owner);
            let buffers = Buffers {
                mapped: own.map(|(place, _)| place as u64).collect(),
                loaded: (0..).zip(&self.unmaps).map(|(p, u)| (u.0, p)).collect(),
                linked: self.unmaps.iter().map(|u| u.0).collect(),
            };
            (owner, (Unmapper::new(self.rules), buffers))
        };
        State {
            nodes: (1..=self.nodes).map(node).collect(),
            channels: BTreeMap::new(),
            asked: BTreeSet::new(),
            done: BTreeSet::new(),
            stopped: None,
            crashed: None,
            dead: BTreeSet::new(),
            untold: BTreeSet::new(),
            buried: BTreeSet::new(),
            fault: false,
            breath: None,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = self.due(s);
        if !s.fault {
            let steps = |e: &&Event| self.stepper(e).is_some();
            let steps: Vec<Event> = events.iter().filter(steps).cloned().collect();
            for step in steps {
                events.extend((1..3).map(|sent| Event::Die(Box::new(step.clone()), sent)));
            }
        }
        for (n, (_, buffers)) in &s.nodes {
            if s.crashed == Some(*n) || s.dead.contains(n) {
                continue;
            }
            if !s.fault {
                events.extend([Event::Crash(*n), Event::Stop(*n)]);
            }
            for (page, (owner, _)) in self.unmaps.iter().enumerate() {
                let page = page as u64;
                let reached = buffers.linked.contains(owner);
                let stands = s.nodes[owner].1.mapped.contains(&page);
                if reached && stands && !buffers.loaded.contains(&(*owner, page)) {
                    events.push(Event::Load(*n, page));
                }
            }
        }
        events
    }

    fn next(&self, state: &State, event: &Event) -> Result<State, String> {
        let mut s = state.clone();
        match event {
            Event::Deliver(from, to, _) => {
                let messages = s.channels.entry((*from, *to)).or_default();
                if let Some(message) = messages.pop_front() {
                    let out = Domain::run(&mut s, *to, |u, b| u.take(*from, message, b));
                    self.emit(&mut s, *to, out)?;
                }
                s.channels.retain(|_, m| !m.is_empty());
            }
            Event::Unmap(place) => {
                s.asked.insert(*place);
                let (owner, tree) = &self.unmaps[*place];
                let base = *place as u64;
                let pages = Scope::Pages(Pages {
                    domain: 1,
                    base,
                    end: base + 1,
                });
                let op = self.op(*place);
                let out = Domain::run(&mut s, *owner, |u, b| u.unmap(op, pages, tree, b));
                self.emit(&mut s, *owner, out)?;
            }
            Event::Load(n, page) => {
                let entry = (self.unmaps[*page as usize].0, *page);
                Domain::run(&mut s, *n, |_, b| b.loaded.insert(entry));
            }
            Event::Stop(n) => {
                s.fault = true;
                s.stopped = Some(*n);
                Domain::run(&mut s, *n, |_, b| b.loaded.clear());
            }
            Event::Start => {
                if let Some(n) = s.stopped.take() {
                    Domain::run(&mut s, n, |_, b| b.loaded.clear());
                }
            }
            Event::Crash(n) => {
                s.fault = true;
                s.crashed = Some(*n);
            }
            Event::Recover => s.crashed = None,
            Event::Die(event, sent) => {
                s.breath = Some(*sent);
                s = self.next(&s, event)?;
                s.breath = None;
                s.fault = true;
                if let Some(dead) = self.stepper(event) {
                    Domain::fence(&mut s, dead);
                }
            }
            Event::Fence => {
                let dead = s.crashed.expect("only what crashed is fenced");
                Domain::fence(&mut s, dead);
            }
            Event::Gone(n, dead) => {
                s.untold.remove(&(*n, *dead));
                let op = OpId {
                    origin: *n,
                    number: BURIAL + dead.0,
                };
                let tree = self.mourners(&s, *n);
                let out = Domain::run(&mut s, *n, |u, b| match self.burials {
                    true => u.bury(op, *dead, &tree, b),
                    false => u.gone(*dead),
                });
                self.emit(&mut s, *n, out)?;
            }
        }
        self.check(&s)?;
        Ok(s)
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        if !self.due(s).is_empty() {
            return Ok(());
        }
        for (n, (unmapper, _)) in s.nodes.iter().filter(|(n, _)| !s.dead.contains(n)) {
            if !unmapper.is_idle() {
                return Err(format!("o{} waits for ever", n.0));
            }
        }
        for n in s
            .nodes
            .keys()
            .filter(|n| self.burials && !s.dead.contains(n))
        {
            if let Some(dead) = s.dead.iter().find(|d| !s.buried.contains(&(*n, **d))) {
                return Err(format!("o{} is never gone to o{}", dead.0, n.0));
            }
        }
        for (place, (owner, _)) in self.unmaps.iter().enumerate() {
            if !s.dead.contains(owner) && !s.done.contains(&self.op(place)) {
                return Err(format!("unmap {place} is not answered"));
            }
        }
        Ok(())
    }
}

/// Trees over `nodes` OSnodes below OSnode 1: a chain, a star, and two levels.
#[must_use]
pub fn trees(nodes: u64) -> Vec<Tree> {
    let below: Vec<OsnodeId> = (2..=nodes).map(OsnodeId).collect();
    let count = below.len();
    let chain = |(i, n): (usize, &OsnodeId)| (*n, (count - 1 - i) as u16);
    let two = |(i, n): (usize, &OsnodeId)| (*n, if i == 0 { (count - 1) as u16 } else { 0 });
    vec![
        below.iter().enumerate().map(chain).collect(),
        below.iter().map(|n| (*n, 0)).collect(),
        below.iter().enumerate().map(two).collect(),
    ]
}

//! Channels between clients and services, explored with the shipped machine.
//!
//! Around the machines stands what monitors have around them: Frames that are lent in order with the messages, a
//! directory that knows who has a copy, services that accept, end and start again, clients that close or end.

mod judge;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use capfmt::OsnodeId;
use monitor::agree::bind::{BindInput, BindOutput, Binder, Line, Wanted};
use proto::{Name, ServiceError};

use crate::agree::Broken;
use crate::explore::System;
use state::{Client, Node, Offer};
pub use state::{Event, Item, State};

/// Which faults there may be, one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// A service ends.
    pub service: bool,
    /// A client ends.
    pub client: bool,
    /// An OSnode dies.
    pub death: bool,
    /// Deadlines pass (besides).
    pub late: bool,
}

/// OSnodes with a service each, and clients: on which OSnode, of which one's service.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Clients.
    pub clients: Vec<(OsnodeId, OsnodeId)>,
    /// Frames of each OSnode.
    pub frames: usize,
    /// Clients keep their channels until they see them closed.
    pub keep: bool,
    /// What may go wrong.
    pub faults: Faults,
    /// Rules, one missing.
    pub rules: Broken,
}

fn service() -> Name {
    Name::truncated("service")
}

impl Lines {
    fn nodes(&self) -> BTreeSet<OsnodeId> {
        self.clients.iter().flat_map(|(a, b)| [*a, *b]).collect()
    }

    fn say(s: &mut State, from: OsnodeId, to: OsnodeId, item: Item) {
        if s.dead.contains(&to) {
            return;
        }
        if let Some(breath) = &mut s.breath {
            if *breath == 0 {
                return;
            }
            *breath -= 1;
        }
        s.channels.entry((from, to)).or_default().push_back(item);
    }

    /// The client of a line of `n`.
    fn client<'a>(&self, s: &'a mut State, n: OsnodeId, number: u64) -> Option<&'a mut Client> {
        let all = s.clients.iter_mut().zip(&self.clients);
        let mut of = all.filter(|(c, (at, _))| *at == n && c.number == Some(number));
        of.next().map(|(c, _)| c)
    }

    /// An OSnode has no copy of a Frame any more, if it had one.
    fn drop_copy(s: &mut State, at: OsnodeId, owner: OsnodeId, frame: u64) {
        if at != owner {
            Lines::say(s, at, owner, Item::Dropped(frame));
        }
    }

    fn step(&self, s: &mut State, n: OsnodeId, input: BindInput) -> Result<(), String> {
        let now = u64::from(s.late);
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        for output in node.binder.step(now, input) {
            if s.breath == Some(0) {
                break;
            }
            self.perform(s, n, output)?;
        }
        Ok(())
    }

    fn perform(&self, s: &mut State, n: OsnodeId, output: BindOutput) -> Result<(), String> {
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        match output {
            BindOutput::Send { to, message } => Lines::say(s, n, to, Item::Bind(message)),
            BindOutput::Lend { number, to } if to == n => {
                let outcome = Ok(());
                self.step(s, n, BindInput::Lent { number, outcome })?;
            }
            BindOutput::Lend { number, to } => {
                node.lending.insert(number, to);
                // To who is known to be gone nothing goes.
                if !s.dead.contains(&to) || s.untold.contains(&(n, to)) {
                    let mut frames = node.frames.iter_mut();
                    let frame = frames.find(|f| f.0 == Some(number));
                    frame.expect("it was taken").1 = Some(to);
                    Lines::say(s, n, to, Item::Frame(number));
                }
            }
            BindOutput::Answer { number, bound } => {
                let client = self.client(s, n, number).expect("a client");
                if client.answer.replace(bound.is_ok()).is_some() {
                    return Err("a client is answered twice".into());
                }
            }
            BindOutput::Release { number } => {
                let frame = node.frames.iter_mut().find(|f| f.0 == Some(number));
                frame.ok_or("a Frame is given up twice")?.0 = None;
            }
            BindOutput::CloseAtClient { number } => {
                let client = self.client(s, n, number).expect("a client");
                client.closed = true;
            }
            BindOutput::Offer { line, wanted } => {
                node.offers.insert(line, Offer::Made(wanted.region));
            }
            BindOutput::CloseAtService { line, .. } => {
                if !node.accepted.contains_key(&line) && !node.end_untold {
                    return Err("a line is closed that no service has".into());
                }
            }
            BindOutput::Withdraw { line, region } => {
                let had = node.accepted.remove(&line).is_some();
                let lent = node.parcels.remove(&(line.client, region));
                if had || lent {
                    Lines::drop_copy(s, n, line.client, region);
                }
            }
            BindOutput::ForgetLent { client } => node.parcels.retain(|p| p.0 != client),
        }
        Ok(())
    }

    fn deliver(&self, s: &mut State, from: OsnodeId, to: OsnodeId) -> Result<(), String> {
        let queue = s.channels.entry((from, to)).or_default();
        let item = queue.pop_front();
        s.channels.retain(|_, q| !q.is_empty());
        match item {
            Some(Item::Bind(message)) => self.step(s, to, BindInput::Message { from, message }),
            Some(Item::Frame(number)) => {
                // A Frame goes by its region; here that is its place, which its owner knows.
                let frames = &s.nodes[&from].frames;
                let place = frames.iter().position(|f| f.0 == Some(number));
                let region = place.ok_or("a Frame is lent that no line uses")? as u64;
                let node = s.nodes.get_mut(&to).expect("an OSnode");
                node.parcels.insert((from, region));
                Lines::say(s, to, from, Item::Taken(number));
                Ok(())
            }
            Some(Item::Taken(number)) => {
                let node = s.nodes.get_mut(&to).expect("an OSnode");
                node.lending.remove(&number);
                let outcome = Ok(());
                self.step(s, to, BindInput::Lent { number, outcome })
            }
            Some(Item::Dropped(region)) => {
                let node = s.nodes.get_mut(&to).expect("an OSnode");
                node.frames[region as usize].1 = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn accept(s: &mut State, n: OsnodeId, line: Line) {
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        let Some(Offer::Made(region)) = node.offers.get(&line).copied() else {
            return;
        };
        let came = line.client == n || node.parcels.remove(&(line.client, region));
        let offer = if came { Offer::Accepted } else { Offer::Failed };
        if came {
            node.accepted.insert(line, region);
        }
        node.offers.insert(line, offer);
    }

    fn ask(&self, s: &mut State, place: usize) -> Result<(), String> {
        let (n, to) = self.clients[place];
        let number = s.next;
        s.next += 1;
        s.clients[place].number = Some(number);
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        let frame = node.frames.iter().position(|f| *f == (None, None));
        let region = frame.expect("a free Frame") as u64;
        node.frames[region as usize].0 = Some(number);
        let holds = |node: &Node| {
            node.parcels.contains(&(n, region))
                || (node.accepted.iter()).any(|(l, r)| l.client == n && *r == region)
        };
        let mut living = s.nodes.iter().filter(|(n, _)| !s.dead.contains(n));
        if living.any(|(_, node)| holds(node)) {
            return Err("a Frame is used again that somebody holds".into());
        }
        let wanted = Wanted {
            name: service(),
            region,
            bell: 0,
        };
        let input = BindInput::Ask {
            number,
            to,
            wanted,
            asker: place as u32,
            deadline: 1,
        };
        self.step(s, n, input)
    }

    /// A service ends: what it had is dropped.
    fn service_ends(s: &mut State, n: OsnodeId) {
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        node.end_untold = true;
        for (line, region) in std::mem::take(&mut node.accepted) {
            Lines::drop_copy(s, n, line.client, region);
        }
    }

    fn fence(s: &mut State, dead: OsnodeId) {
        s.dead.insert(dead);
        s.channels.retain(|(_, to), _| *to != dead);
        let others: Vec<OsnodeId> = s.nodes.keys().copied().collect();
        for n in others.into_iter().filter(|n| !s.dead.contains(n)) {
            s.untold.insert((n, dead));
        }
    }

    fn stepper(&self, event: &Event) -> Option<OsnodeId> {
        match event {
            Event::Deliver(_, n, _) | Event::Offered(n, _) | Event::EndTold(n) => Some(*n),
            Event::Ask(place) | Event::Close(place) | Event::ClientEnds(place) => {
                Some(self.clients[*place].0)
            }
            _ => None,
        }
    }

    /// What must happen sooner or later.
    fn due(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for ((from, to), queue) in s.channels.iter().filter(|(k, _)| !s.dead.contains(&k.1)) {
            let first = queue.front().cloned();
            events.extend(first.map(|i| Event::Deliver(*from, *to, i)));
        }
        for (n, dead) in s.untold.iter().filter(|(n, _)| !s.dead.contains(n)) {
            if !s.channels.contains_key(&(*dead, *n)) {
                events.push(Event::Gone(*n, *dead));
            }
        }
        for (n, node) in s.nodes.iter().filter(|(n, _)| !s.dead.contains(n)) {
            for (line, offer) in &node.offers {
                events.push(match offer {
                    Offer::Made(_) => Event::Accept(*n, *line),
                    _ => Event::Offered(*n, *line),
                });
            }
            if node.end_untold {
                events.push(Event::EndTold(*n));
            }
            for (number, to) in &node.lending {
                if s.dead.contains(to) && !s.untold.contains(&(*n, *to)) {
                    events.push(Event::LentNot(*n, *number));
                }
            }
        }
        for (place, client) in s.clients.iter().enumerate() {
            let (n, _) = self.clients[place];
            if s.dead.contains(&n) || client.over {
                continue;
            }
            let free = |f: &(Option<u64>, Option<OsnodeId>)| *f == (None, None);
            if client.number.is_none() {
                if s.nodes[&n].frames.iter().any(free) {
                    events.push(Event::Ask(place));
                }
            } else if client.answer == Some(true) && (client.closed || !self.keep) {
                events.push(Event::Close(place));
            }
        }
        events
    }
}

impl System for Lines {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        let node = |n: OsnodeId| Node {
            binder: Binder::new(n, self.rules),
            frames: vec![(None, None); self.frames],
            lending: BTreeMap::new(),
            parcels: BTreeSet::new(),
            offers: BTreeMap::new(),
            accepted: BTreeMap::new(),
            end_untold: false,
        };
        State {
            nodes: self.nodes().into_iter().map(|n| (n, node(n))).collect(),
            channels: BTreeMap::new(),
            clients: vec![Client::default(); self.clients.len()],
            next: 1,
            dead: BTreeSet::new(),
            untold: BTreeSet::new(),
            faults: 1,
            late: false,
            breath: None,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = self.due(s);
        let living = s.nodes.keys().filter(|n| !s.dead.contains(n));
        if s.faults > 0 && self.faults.death {
            let steps = events.iter().filter(|e| self.stepper(e).is_some());
            let steps: Vec<Event> = steps.cloned().collect();
            for step in steps {
                events.extend((1..3).map(|sent| Event::Die(Box::new(step.clone()), sent)));
            }
            events.extend(living.clone().map(|n| Event::Dead(*n)));
        }
        if s.faults > 0 && self.faults.service {
            events.extend(living.map(|n| Event::ServiceEnds(*n)));
        }
        if s.faults > 0 && self.faults.client {
            let asked = s.clients.iter().enumerate();
            let asked = asked.filter(|(_, c)| c.number.is_some() && !c.over);
            events.extend(asked.map(|(place, _)| Event::ClientEnds(place)));
        }
        if self.faults.late && !s.late {
            events.push(Event::Late);
        }
        events
    }

    fn next(&self, state: &State, event: &Event) -> Result<State, String> {
        let mut s = state.clone();
        match event {
            Event::Deliver(from, to, _) => self.deliver(&mut s, *from, *to)?,
            Event::Ask(place) => self.ask(&mut s, *place)?,
            Event::Close(place) => {
                s.clients[*place].over = true;
                let number = s.clients[*place].number.expect("asked");
                self.step(&mut s, self.clients[*place].0, BindInput::Close(number))?;
            }
            Event::ClientEnds(place) => {
                s.faults -= 1;
                s.clients[*place].over = true;
                let input = BindInput::ClientEnded(*place as u32);
                self.step(&mut s, self.clients[*place].0, input)?;
            }
            Event::Accept(n, line) => Lines::accept(&mut s, *n, *line),
            Event::Offered(n, line) => {
                let node = s.nodes.get_mut(n).expect("an OSnode");
                let bound = match node.offers.remove(line) {
                    Some(Offer::Accepted) => Ok(7),
                    _ => Err(ServiceError::NoCapability.code()),
                };
                self.step(&mut s, *n, BindInput::Offered { line: *line, bound })?;
            }
            Event::ServiceEnds(n) => {
                s.faults -= 1;
                Lines::service_ends(&mut s, *n);
            }
            Event::EndTold(n) => {
                s.nodes.get_mut(n).expect("an OSnode").end_untold = false;
                self.step(&mut s, *n, BindInput::ServiceEnded(service()))?;
            }
            Event::LentNot(n, number) => {
                let node = s.nodes.get_mut(n).expect("an OSnode");
                node.lending.remove(number);
                let outcome = Err(ServiceError::OsnodeGone.code());
                let number = *number;
                self.step(&mut s, *n, BindInput::Lent { number, outcome })?;
            }
            Event::Late => {
                s.late = true;
                let living: Vec<OsnodeId> = s.nodes.keys().copied().collect();
                for n in living.into_iter().filter(|n| !state.dead.contains(n)) {
                    self.step(&mut s, n, BindInput::Tick)?;
                }
            }
            Event::Die(event, sent) => {
                s.breath = Some(*sent);
                s = self.next(&s, event)?;
                s.breath = None;
                s.faults = s.faults.saturating_sub(1);
                if let Some(dead) = self.stepper(event) {
                    Lines::fence(&mut s, dead);
                }
            }
            Event::Dead(n) => {
                s.faults -= 1;
                Lines::fence(&mut s, *n);
            }
            Event::Gone(n, dead) => {
                s.untold.remove(&(*n, *dead));
                let node = s.nodes.get_mut(n).expect("an OSnode");
                for frame in &mut node.frames {
                    frame.1 = frame.1.filter(|h| h != dead);
                }
                self.step(&mut s, *n, BindInput::Gone(*dead))?;
            }
        }
        Ok(s)
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        match self.due(s).is_empty() {
            true => self.judge(s),
            false => Ok(()),
        }
    }
}

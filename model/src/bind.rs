//! Channels between clients and services, explored with the shipped machine.
//!
//! Around the machines stands what monitors have around them: Frames that are lent in order with the messages, a
//! directory that knows who has a copy, services that accept, end and start again, clients that close or end.
//! Of an OSnode that is stopped the programs do nothing until it is started again, while its monitor goes on, on its
//! caretaker's core. Of one that crashed nothing goes on until it is recovered.

mod due;
mod judge;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    /// An OSnode is stopped, and started again.
    pub stop: bool,
    /// An OSnode crashes; it is recovered, or fenced.
    pub crash: bool,
    /// Deadlines pass (besides).
    pub late: bool,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.service, "a service ends"),
            (self.client, "a client ends"),
            (self.stop, "one stop"),
            (self.crash, "one crash or death"),
            (self.late, "late"),
        ];
        let named: Vec<&str> = all.iter().filter(|f| f.0).map(|f| f.1).collect();
        f.write_str(if named.is_empty() { "no fault" } else { "" })?;
        f.write_str(&named.join(", "))
    }
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
            BindOutput::Send { to, .. } if s.dead.contains(&to) && !s.untold.contains(&(n, to)) => {
                return Err("a message to who is known to be gone".into());
            }
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
                if bound == Err(ServiceError::NoAnswer.code()) && !s.late {
                    return Err("a client hears that nobody answers before its deadline".into());
                }
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
                if node.frames.iter().all(|f| f.0 != Some(number)) {
                    return Err("a channel is closed that nobody has".into());
                }
                let place = self.clients.iter().zip(&s.clients);
                let mut of = place.filter(|((at, _), c)| *at == n && c.number == Some(number));
                let to = of
                    .next()
                    .map(|((_, to), _)| *to)
                    .ok_or("nobody's channel")?;
                let line = Line { client: n, number };
                // Of an end it is not known whether the line was of the one before.
                let lives = !s.dead.contains(&to) && !self.faults.service;
                if lives && s.nodes[&to].accepted.contains_key(&line) {
                    return Err("a channel is closed that its service has".into());
                }
                let client = self.client(s, n, number).expect("a client");
                client.closed = true;
            }
            BindOutput::Offer { line, wanted } => {
                node.offers.insert(line, Offer::Made(wanted.region));
            }
            BindOutput::Withdraw { line, region } => {
                if node.accepted.contains_key(&line) {
                    // The service lets go of it when it hears that.
                    node.told.insert(line);
                }
                if node.parcels.remove(&(line.client, region)) {
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
        self.step(s, n, input)?;
        if self.faults.late && !s.late {
            self.step(s, n, BindInput::Tick)?;
        }
        Ok(())
    }

    /// A service ends: what it had is dropped.
    fn service_ends(s: &mut State, n: OsnodeId) {
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        node.end_untold = true;
        node.told.clear();
        for (line, region) in std::mem::take(&mut node.accepted) {
            Lines::drop_copy(s, n, line.client, region);
        }
    }

    /// A service knows that nobody is at the other end, and keeps nothing of it.
    fn let_go(s: &mut State, n: OsnodeId, line: Line) {
        let node = s.nodes.get_mut(&n).expect("an OSnode");
        node.told.remove(&line);
        if let Some(region) = node.accepted.remove(&line) {
            Lines::drop_copy(s, n, line.client, region);
        }
    }

    fn fence(s: &mut State, dead: OsnodeId) {
        s.crashed = None;
        s.unticked.remove(&dead);
        s.dead.insert(dead);
        s.channels.retain(|(_, to), _| *to != dead);
        let others: Vec<OsnodeId> = s.nodes.keys().copied().collect();
        for n in others.into_iter().filter(|n| !s.dead.contains(n)) {
            s.untold.insert((n, dead));
        }
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
            told: BTreeSet::new(),
            end_untold: false,
        };
        State {
            nodes: self.nodes().into_iter().map(|n| (n, node(n))).collect(),
            channels: BTreeMap::new(),
            clients: vec![Client::default(); self.clients.len()],
            next: 1,
            dead: BTreeSet::new(),
            untold: BTreeSet::new(),
            stopped: None,
            crashed: None,
            faults: 1,
            late: false,
            unticked: BTreeSet::new(),
            breath: None,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = self.due(s);
        if s.faults > 0 {
            self.faults(s, &mut events);
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
                let client = &mut s.clients[*place];
                (client.over, client.hung_up) = (true, true);
                let number = client.number.expect("asked");
                self.step(&mut s, self.clients[*place].0, BindInput::Close(number))?;
            }
            Event::ClientEnds(place) => {
                s.faults -= 1;
                s.clients[*place].over = true;
                let input = BindInput::ClientEnded(*place as u32);
                self.step(&mut s, self.clients[*place].0, input)?;
            }
            Event::Accept(n, line) => Lines::accept(&mut s, *n, *line),
            Event::LetGo(n, line) => Lines::let_go(&mut s, *n, *line),
            Event::Offered(n, line) => {
                let node = s.nodes.get_mut(n).expect("an OSnode");
                let bound = match node.offers.remove(line) {
                    Some(Offer::Accepted) => Ok(7),
                    _ => Err(ServiceError::NoCapability.code()),
                };
                self.step(&mut s, *n, BindInput::Offered { line: *line, bound })?;
                // Another service ends.
                let another = Name::truncated("another");
                self.step(&mut s, *n, BindInput::ServiceEnded(another))?;
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
                let nodes = state.nodes.keys().filter(|n| !state.dead.contains(n));
                for n in nodes {
                    // Monitors that do not run by themselves look at the time later.
                    match state.has_programs(*n) {
                        true => self.step(&mut s, *n, BindInput::Tick)?,
                        false => s.unticked.extend([*n]),
                    }
                }
            }
            Event::Tick(n) => {
                s.unticked.remove(n);
                self.step(&mut s, *n, BindInput::Tick)?;
            }
            Event::Stop(n) => {
                s.faults -= 1;
                s.stopped = Some(*n);
            }
            Event::Start => s.stopped = None,
            Event::Crash(n) => {
                s.faults -= 1;
                s.crashed = Some(*n);
            }
            Event::Recover => s.crashed = None,
            Event::Fence => {
                let dead = s.crashed.expect("only what crashed is fenced");
                Lines::fence(&mut s, dead);
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

//! Joining, stopping and dying, explored with the shipped machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use capfmt::OsnodeId;
use monitor::agree::membership::{Fact, MemberInput, MemberMessage, MemberOutput, Members, Status};

use crate::agree::Broken;
use crate::explore::System;

/// A state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    nodes: BTreeMap<OsnodeId, Members<Broken>>,
    channels: BTreeMap<(OsnodeId, OsnodeId), VecDeque<MemberMessage>>,
    /// Places of the plan that were carried out.
    done: BTreeSet<usize>,
    crashed: Option<OsnodeId>,
    dead: BTreeSet<OsnodeId>,
    /// Who takes no messages until it is started again.
    stopped: BTreeSet<OsnodeId>,
    /// Who crashed so far.
    faults: u8,
    /// Who told whom to enter, of those that start.
    entering: BTreeSet<(OsnodeId, OsnodeId)>,
    /// A machine said what it may not.
    wrong: Option<&'static str>,
    /// What crashed cannot be recovered.
    lost: bool,
    /// Messages that the running step may still send.
    breath: Option<usize>,
}

/// What is to happen, each at any time.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// The first starts the second.
    Join(OsnodeId, OsnodeId),
    /// The first stops the second.
    Stop(OsnodeId, OsnodeId),
    /// The first stops the second, to have it go on on another core.
    Move(OsnodeId, OsnodeId),
    /// Neither core runs it: it stays stopped.
    Strand(OsnodeId, OsnodeId),
    /// It is started again, on whichever core.
    Start(OsnodeId),
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(OsnodeId, OsnodeId, MemberMessage),
    /// Something that is planned.
    Act(usize, Plan),
    /// A kernel crashes.
    Crash(OsnodeId),
    /// It is recovered.
    Recover,
    /// It is fenced by this one.
    Fence(OsnodeId),
    /// A step is taken, but after so many messages its OSnode crashes, not to be recovered.
    Die(Box<Event>, usize),
}

fn brief(fact: &Fact) -> String {
    format!("o{} {:?} ({})", fact.osnode.0, fact.status, fact.count)
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Deliver(from, to, message) => {
                write!(f, "o{} → o{}: ", from.0, to.0)?;
                let all = |facts: &[Fact]| facts.iter().map(brief).collect::<Vec<_>>().join(", ");
                match message {
                    MemberMessage::Announce(fact) => write!(f, "Announce {}", brief(fact)),
                    MemberMessage::Announced(new, _) => write!(f, "Announced o{}", new.0),
                    MemberMessage::Enter(facts) => write!(f, "Enter; {}", all(facts)),
                    MemberMessage::Entered => f.write_str("Entered"),
                    MemberMessage::Back(_) => f.write_str("Back"),
                    MemberMessage::Fact(fact) => write!(f, "Fact {}", brief(fact)),
                }
            }
            Event::Act(_, Plan::Join(by, new)) => write!(f, "o{} starts o{}", by.0, new.0),
            Event::Act(_, Plan::Stop(by, n)) => {
                write!(f, "o{} stops o{}", by.0, n.0)
            }
            Event::Act(_, Plan::Move(by, n)) => write!(f, "o{} moves o{}", by.0, n.0),
            Event::Act(_, Plan::Strand(by, n)) => {
                write!(f, "o{} finds o{} on no core", by.0, n.0)
            }
            Event::Act(_, Plan::Start(n)) => write!(f, "o{} is started again", n.0),
            Event::Crash(n) => write!(f, "o{} crashes", n.0),
            Event::Recover => f.write_str("it is recovered"),
            Event::Fence(by) => write!(f, "it is fenced by o{}", by.0),
            Event::Die(event, sent) => write!(f, "{event}; it dies after {sent} messages"),
        }
    }
}

/// Some OSnodes, and what is planned.
#[derive(Clone, Debug)]
pub struct Membership {
    /// How many there are at first: 1 to n.
    pub members: u64,
    /// In any order.
    pub plan: Vec<Plan>,
    /// How many may crash or die.
    pub crashes: u8,
    /// Which rule is missing.
    pub rules: Broken,
}

fn says_gone(message: &MemberMessage) -> Vec<OsnodeId> {
    let facts = match message {
        MemberMessage::Announce(f) | MemberMessage::Fact(f) | MemberMessage::Back(f) => {
            std::slice::from_ref(f)
        }
        MemberMessage::Enter(facts) => facts,
        MemberMessage::Announced(..) | MemberMessage::Entered => &[],
    };
    let gone = facts.iter().filter(|f| f.status == Status::Gone);
    gone.map(|f| f.osnode).collect()
}

impl Membership {
    /// Who starts it by the plan.
    fn starter(&self, new: OsnodeId) -> Option<OsnodeId> {
        self.plan.iter().find_map(|plan| match plan {
            Plan::Join(by, n) if *n == new => Some(*by),
            _ => None,
        })
    }

    /// What is wrong about a message of `n`, if anything is.
    fn judge(
        &self,
        s: &State,
        n: OsnodeId,
        to: OsnodeId,
        message: &MemberMessage,
    ) -> Option<&'static str> {
        let known = s.nodes.get(&n).and_then(|m| m.known().get(&to));
        if to == n {
            return Some("a message to oneself");
        }
        if known.is_some_and(|f| f.status == Status::Gone) {
            return Some("a message to who is known to be gone");
        }
        match message {
            MemberMessage::Announce(fact) => {
                let starter = self.starter(fact.osnode)?;
                let stands = starter != n && !s.dead.contains(&starter);
                stands.then_some("a second sponsor")
            }
            MemberMessage::Enter(_) => {
                let again = s.entering.contains(&(n, to));
                again.then_some("who is told twice to enter")
            }
            _ => None,
        }
    }

    fn step(&self, s: &mut State, n: OsnodeId, input: MemberInput) {
        let Some(machine) = s.nodes.get_mut(&n) else {
            return;
        };
        let outputs = machine.step(input);
        for output in outputs {
            if let MemberOutput::Send(..) = output
                && let Some(breath) = &mut s.breath
            {
                if *breath == 0 {
                    break;
                }
                *breath -= 1;
            }
            if let MemberOutput::Send(to, message) = &output {
                s.wrong = s.wrong.or(self.judge(s, n, *to, message));
                if self.starter(*to).is_some() && matches!(message, MemberMessage::Enter(_)) {
                    s.entering.insert((n, *to));
                }
            }
            if let MemberOutput::Send(to, message) = output
                && !s.dead.contains(&to)
            {
                s.channels.entry((n, to)).or_default().push_back(message);
            }
        }
    }

    fn can_act(s: &State, n: OsnodeId) -> bool {
        let there = s.nodes.get(&n).is_some_and(Members::has_entered);
        there && s.crashed != Some(n) && !s.dead.contains(&n) && !s.stopped.contains(&n)
    }

    fn due(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        let empty = |from, to| s.channels.get(&(from, to)).is_none_or(VecDeque::is_empty);
        for ((from, to), messages) in &s.channels {
            let Some(message) = messages.front() else {
                continue;
            };
            // The last message of who is gone is taken first.
            let drained = says_gone(message)
                .iter()
                .all(|dead| dead == from || empty(*dead, *to));
            let hears = s.crashed != Some(*to) && !s.dead.contains(to) && !s.stopped.contains(to);
            if hears && drained {
                events.push(Event::Deliver(*from, *to, message.clone()));
            }
        }
        for (place, plan) in self.plan.iter().enumerate() {
            let may = match plan {
                Plan::Join(by, _) => Membership::can_act(s, *by),
                Plan::Stop(by, n) | Plan::Move(by, n) => {
                    let known = s.nodes.get(by).and_then(|m| m.known().get(n));
                    let runs = known.is_some_and(|f| f.status == Status::Running);
                    runs && Membership::can_act(s, *by) && Membership::can_act(s, *n)
                }
                Plan::Strand(by, n) => {
                    let known = s.nodes.get(by).and_then(|m| m.known().get(n));
                    let moves = known.is_some_and(|f| f.status == Status::Moving(*by));
                    moves && s.stopped.contains(n) && Membership::can_act(s, *by)
                }
                Plan::Start(n) => s.stopped.contains(n),
            };
            if !s.done.contains(&place) && may {
                events.push(Event::Act(place, *plan));
            }
        }
        if let Some(crashed) = s.crashed {
            if !s.lost {
                events.push(Event::Recover);
            }
            let living = s.nodes.keys().filter(|n| Membership::can_act(s, **n));
            events.extend(
                living
                    .filter(|n| empty(crashed, **n))
                    .map(|n| Event::Fence(*n)),
            );
        }
        events
    }

    /// Before anybody takes another OSnode for running, all know it, and it knows all, but for who was stopped and
    /// is not back for everybody: that learns of others late, and they may already know that it was away.
    fn check(s: &State) -> Result<(), String> {
        if let Some(wrong) = s.wrong {
            return Err(wrong.into());
        }
        let living = || {
            s.nodes
                .iter()
                .filter(|(n, m)| !s.dead.contains(n) && m.has_entered())
        };
        let stopped = |f: &Fact| f.status.caretaker().is_some();
        let away = |n: &OsnodeId| living().any(|(_, m)| m.known().get(n).is_some_and(stopped));
        for (m, machine) in living() {
            for (n, fact) in machine.known() {
                if fact.status != Status::Running || s.dead.contains(n) || n == m || away(n) {
                    continue;
                }
                for (k, other) in living() {
                    let known = away(k) || other.known().contains_key(n);
                    let knows = s.nodes.get(n).is_some_and(|x| x.known().contains_key(k));
                    if !known || !knows {
                        return Err(format!(
                            "o{} takes o{} for running, but it and o{} do not know each other",
                            m.0, n.0, k.0
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl System for Membership {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        let all: Vec<OsnodeId> = (1..=self.members).map(OsnodeId).collect();
        let node = |n: &OsnodeId| (*n, Members::new(*n, &all, self.rules));
        State {
            nodes: all.iter().map(node).collect(),
            channels: BTreeMap::new(),
            done: BTreeSet::new(),
            crashed: None,
            dead: BTreeSet::new(),
            stopped: BTreeSet::new(),
            faults: 0,
            entering: BTreeSet::new(),
            wrong: None,
            lost: false,
            breath: None,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = self.due(s);
        if s.faults < self.crashes && s.crashed.is_none() {
            let steps: Vec<Event> = events.clone();
            for step in steps {
                events.extend((1..3).map(|sent| Event::Die(Box::new(step.clone()), sent)));
            }
            let living = s.nodes.keys().filter(|n| !s.dead.contains(n));
            events.extend(living.map(|n| Event::Crash(*n)));
        }
        events
    }

    fn next(&self, state: &State, event: &Event) -> Result<State, String> {
        let mut s = state.clone();
        match event {
            Event::Deliver(from, to, _) => {
                let messages = s.channels.entry((*from, *to)).or_default();
                if let Some(message) = messages.pop_front() {
                    self.step(&mut s, *to, MemberInput::Message(*from, message));
                }
                s.channels.retain(|_, m| !m.is_empty());
            }
            Event::Act(place, plan) => {
                s.done.insert(*place);
                match *plan {
                    Plan::Join(by, new) => {
                        let machine = Members::new(new, &[], self.rules);
                        s.nodes.insert(new, machine);
                        self.step(&mut s, by, MemberInput::Sponsor(new));
                    }
                    Plan::Stop(by, n) => {
                        s.stopped.insert(n);
                        self.step(&mut s, by, MemberInput::Stopped(n));
                    }
                    Plan::Move(by, n) => {
                        s.stopped.insert(n);
                        self.step(&mut s, by, MemberInput::Moving(n));
                    }
                    Plan::Strand(by, n) => self.step(&mut s, by, MemberInput::Stopped(n)),
                    Plan::Start(n) => {
                        s.stopped.remove(&n);
                    }
                }
            }
            Event::Crash(n) => {
                s.faults += 1;
                s.crashed = Some(*n);
            }
            Event::Recover => s.crashed = None,
            Event::Die(event, sent) => {
                s.breath = Some(*sent);
                s = self.next(&s, event)?;
                s.breath = None;
                s.faults += 1;
                s.lost = true;
                if let Event::Deliver(_, n, _)
                | Event::Act(
                    _,
                    Plan::Join(n, _)
                    | Plan::Stop(n, _)
                    | Plan::Move(n, _)
                    | Plan::Strand(n, _)
                    | Plan::Start(n),
                ) = **event
                {
                    s.crashed = Some(n);
                }
            }
            Event::Fence(by) => {
                s.lost = false;
                if let Some(dead) = s.crashed.take() {
                    s.dead.insert(dead);
                    s.stopped.remove(&dead);
                    s.channels.retain(|(_, to), _| *to != dead);
                    self.step(&mut s, *by, MemberInput::Fenced(dead));
                }
            }
        }
        Membership::check(&s)?;
        Ok(s)
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        if !self.due(s).is_empty() {
            return Ok(());
        }
        if !s.stopped.is_empty() {
            return Err("somebody stays stopped".into());
        }
        // Of a new one, all who knew it may be gone.
        let is_known = |n: &OsnodeId| {
            let mut others = s.nodes.iter().filter(|(o, _)| !s.dead.contains(o));
            others.any(|(_, m)| m.has_entered() && m.known().contains_key(n))
        };
        let living: Vec<_> = s
            .nodes
            .iter()
            .filter(|(n, m)| !s.dead.contains(n) && (m.has_entered() || is_known(n)))
            .collect();
        let view = |m: &Members<Broken>| -> Vec<(OsnodeId, u32, Status)> {
            let known = m.known().values();
            known.map(|f| (f.osnode, f.count, f.status)).collect()
        };
        let same = |a: &Members<Broken>, b: &Members<Broken>| {
            let alike = |x: &(OsnodeId, u32, Status), y: &(OsnodeId, u32, Status)| {
                x.0 == y.0 && x.2 == y.2 && (x.1 == y.1 || x.2 == Status::Gone)
            };
            let (a, b) = (view(a), view(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| alike(x, y))
        };
        for (n, machine) in &living {
            if !machine.is_idle() || !machine.has_entered() {
                return Err(format!("o{} waits for ever", n.0));
            }
            if !same(machine, living[0].1) {
                return Err(format!(
                    "o{} sees another system than o{}",
                    n.0, living[0].0.0
                ));
            }
            for (other, fact) in machine.known() {
                let gone = s.dead.contains(other);
                let wrong = fact.status == Status::Joining || fact.status.caretaker().is_some();
                if gone != (fact.status == Status::Gone) || wrong {
                    return Err(format!("o{} is wrong about o{}", n.0, other.0));
                }
            }
        }
        Ok(())
    }
}

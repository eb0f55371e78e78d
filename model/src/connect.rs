//! How two monitors connect, explored with the shipped decision.
//!
//! Offers and answers go by introducers that may end: each can be lost, and an offer can arrive after any number of
//! other tries. An answer that comes after its try was given up is not seen.

use std::collections::BTreeSet;
use std::fmt;

use capfmt::OsnodeId;
use monitor::agree::connect::{self, Answer, Link, Offer};

use crate::agree::Broken;
use crate::explore::System;

/// One monitor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Side {
    link: Link,
    /// The pair that it made last.
    pair: Option<Offer>,
    /// Its try that waits for an answer.
    asks: Option<u64>,
    /// It was refused, and nothing happened since.
    rests: bool,
    /// Tries so far.
    tries: u64,
    /// Whether it has, or had, something to say.
    began: bool,
}

/// A message on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Flying {
    /// Of this side, at its try of that number.
    Offered(usize, u64, Offer),
    /// To this side, about its try of that number.
    Answered(usize, u64, bool),
}

/// Both monitors, and what is between them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    sides: [Side; 2],
    flying: BTreeSet<Flying>,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A side has something to say.
    Begin(usize),
    /// It offers its pair.
    Offer(usize),
    /// It waits no longer; what is on its way may arrive later.
    GiveUp(usize),
    /// Something arrives.
    Arrive(Arrival),
    /// Its introducer ends with it.
    Lose(Arrival),
}

/// A message that arrives, or does not.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(Flying);

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Begin(n) => write!(f, "o{} has something to say", n + 1),
            Event::Offer(n) => write!(f, "o{} offers", n + 1),
            Event::GiveUp(n) => write!(f, "o{} waits no longer", n + 1),
            Event::Arrive(what) => write!(f, "{:?} arrives", what.0),
            Event::Lose(what) => write!(f, "{:?} is lost", what.0),
        }
    }
}

/// Two monitors without channels.
#[derive(Clone, Copy, Debug)]
pub struct Introductions {
    /// Which of them have something to say.
    pub speak: [bool; 2],
    /// Tries of each that may get no answer.
    pub unanswered: u64,
    /// Rules, one missing.
    pub rules: Broken,
}

impl Introductions {
    fn offered(&self, s: &mut State, from: usize, number: u64, offer: Offer) {
        let to = 1 - from;
        let id = |n: usize| OsnodeId(n as u64 + 1);
        let answer = s.sides[to].link.judge(self.rules, id(to), id(from), offer);
        if answer == Answer::Accept {
            let side = &mut s.sides[to];
            side.link = Link::Theirs(offer);
            side.asks = None;
        }
        let ok = answer != Answer::Refuse;
        s.flying.insert(Flying::Answered(from, number, ok));
    }

    fn answered(&self, s: &mut State, to: usize, number: u64, ok: bool) {
        let side = &mut s.sides[to];
        if side.asks != Some(number) {
            return;
        }
        side.asks = None;
        match ok {
            true => side.link = Link::Own,
            false => side.rests = true,
        }
    }

    /// Both use the same pair, or one of them is about to.
    fn agree(s: &State) -> Result<(), String> {
        for (n, side) in s.sides.iter().enumerate() {
            let other = &s.sides[1 - n];
            let same = match (side.link, other.link) {
                (Link::Own, Link::Theirs(used)) => Some(used) == side.pair,
                (Link::Own, _) => false,
                (Link::Theirs(used), Link::Asking | Link::Own) => Some(used) == other.pair,
                (Link::Theirs(_), _) => false,
                (Link::Idle | Link::Asking, _) => true,
            };
            if !same {
                return Err(format!(
                    "o1 is {:?} and o2 is {:?}: not the same channels",
                    s.sides[0].link, s.sides[1].link
                ));
            }
        }
        Ok(())
    }
}

impl System for Introductions {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        State {
            sides: Default::default(),
            flying: BTreeSet::new(),
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut all = Vec::new();
        for (n, side) in s.sides.iter().enumerate() {
            if self.speak[n] && !side.began {
                all.push(Event::Begin(n));
            }
            let may = !side.rests || side.tries <= self.unanswered;
            if side.link == Link::Asking && side.asks.is_none() && may {
                all.push(Event::Offer(n));
            }
            if side.asks.is_some() && side.tries <= self.unanswered {
                all.push(Event::GiveUp(n));
            }
        }
        for flying in &s.flying {
            all.push(Event::Arrive(Arrival(*flying)));
            let (Flying::Offered(n, number, _) | Flying::Answered(n, number, _)) = *flying;
            // Who waits for it must be able to give up.
            if s.sides[n].asks != Some(number) || s.sides[n].tries <= self.unanswered {
                all.push(Event::Lose(Arrival(*flying)));
            }
        }
        // Who was refused tries again when nothing else is left to happen.
        if all.is_empty() {
            let asking = |n: &usize| s.sides[*n].link == Link::Asking;
            all.extend((0..2).filter(asking).map(Event::Offer));
        }
        all
    }

    fn next(&self, state: &State, event: &Event) -> Result<State, String> {
        let mut s = state.clone();
        match *event {
            Event::Begin(n) => {
                s.sides[n].began = true;
                if s.sides[n].link == Link::Idle {
                    s.sides[n].link = Link::Asking;
                }
            }
            Event::Offer(n) => {
                let side = &mut s.sides[n];
                // A new pair's Frames: the numbers say whose, and of which try.
                let new = || [n as u64 + 1, side.tries];
                let pair = connect::offered(self.rules, side.pair).unwrap_or_else(new);
                side.pair = Some(pair);
                side.tries = (side.tries + 1).min(self.unanswered + 1);
                side.rests = false;
                side.asks = Some(side.tries);
                let number = side.tries;
                s.flying.insert(Flying::Offered(n, number, pair));
            }
            Event::GiveUp(n) => s.sides[n].asks = None,
            Event::Arrive(Arrival(what)) => {
                s.flying.remove(&what);
                match what {
                    Flying::Offered(n, number, pair) => self.offered(&mut s, n, number, pair),
                    Flying::Answered(n, number, ok) => self.answered(&mut s, n, number, ok),
                }
            }
            Event::Lose(Arrival(what)) => {
                s.flying.remove(&what);
            }
        }
        Introductions::agree(&s)?;
        Ok(s)
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        let speaks = s.sides.iter().any(|side| side.began);
        let connected = |side: &Side| matches!(side.link, Link::Own | Link::Theirs(_));
        let rests = self.events(s).is_empty();
        match rests && speaks && !s.sides.iter().all(connected) {
            true => Err("somebody has something to say, and is not connected".into()),
            false => Ok(()),
        }
    }
}

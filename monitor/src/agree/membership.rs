//! Membership: which OSnodes there are, and how each is.
//!
//! ```text
//! sponsor           every other one     new OSnode
//!   │── Announce ────▶│ knows it          │
//!   │◀──── Announced ─│                   │
//!   │── Enter (all that is known) ───────▶│ knows all
//!   │◀──────────────────────────── Entered ─│
//!   │── Fact (it runs) ▶│ may give it things │
//! ```
//! The rule that inheritance builds on: *before anybody takes an OSnode for running,
//! all know it, and it knows all*. What changes later (stopped, started, gone) is a
//! [`Fact`]. Each OSnode has a count of its changes, so facts can arrive in any order and
//! more than once; the sum of the counts is the number of the view. If who told a fact
//! is gone, all who heard it tell it again, and the lowest that lives goes on with
//! what it was sponsoring. To leave is to be stopped, and then fenced.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Nodes, Rule, Rules, Shipped};

/// How an OSnode is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// It is made known.
    Joining,
    /// It runs.
    Running,
    /// It is stopped; this one answers for it.
    Stopped(OsnodeId),
    /// It was fenced.
    Gone,
}

/// What somebody says of an OSnode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fact {
    /// Of whom.
    pub osnode: OsnodeId,
    /// How many changes it has been through.
    pub count: u32,
    /// How it is.
    pub status: Status,
    /// Who says so first, or looks after it.
    pub teller: OsnodeId,
}

impl Fact {
    /// Whether this is known after `other` was. *Gone* is for ever.
    fn is_newer_than(&self, other: &Fact) -> bool {
        let is_gone = |f: &Fact| f.status == Status::Gone;
        !is_gone(other) && (is_gone(self) || self.count > other.count)
    }
}

/// Between the machines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MemberMessage {
    /// Sponsor to all: this one joins.
    Announce(Fact),
    /// To the sponsor: it is known. Whom the sender makes known itself, it has announced before.
    Announced(OsnodeId),
    /// Sponsor to the new one: all that is known.
    Enter(Vec<Fact>),
    /// To the sponsor.
    Entered,
    /// To all.
    Fact(Fact),
}

/// What a machine is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MemberInput {
    /// A new OSnode was started here.
    Sponsor(OsnodeId),
    /// A message. One that says that somebody is gone is given after the last message of who is gone.
    Message(OsnodeId, MemberMessage),
    /// An OSnode was fenced from here.
    Fenced(OsnodeId),
    /// An OSnode was stopped from here, or started again.
    Changed(OsnodeId, Status),
}

/// What a machine wants to be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MemberOutput {
    /// Send a message.
    Send(OsnodeId, MemberMessage),
    /// Something new is true; agreement machines and services want to know.
    News(Fact),
}

/// The membership machine of one OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Members<R = Shipped> {
    me: OsnodeId,
    rules: R,
    known: BTreeMap<OsnodeId, Fact>,
    entered: bool,
    /// Who joins by this one's help, and who has not said that it knows it.
    joins: BTreeMap<OsnodeId, Nodes>,
}

impl<R: Rules> Members<R> {
    /// The machine of `me`; the first OSnode knows `running` ones, a new one nobody.
    #[must_use]
    pub fn new(me: OsnodeId, running: &[OsnodeId], rules: R) -> Members<R> {
        let fact = |n: &OsnodeId| {
            let fact = Fact {
                osnode: *n,
                count: 2,
                status: Status::Running,
                teller: *n,
            };
            (*n, fact)
        };
        Members {
            me,
            rules,
            known: running.iter().map(fact).collect(),
            entered: running.contains(&me),
            joins: BTreeMap::new(),
        }
    }
    /// All that is known.
    #[must_use]
    pub fn known(&self) -> &BTreeMap<OsnodeId, Fact> {
        &self.known
    }
    /// The number of the view.
    #[must_use]
    pub fn view(&self) -> u64 {
        let gone = |f: &&Fact| f.status == Status::Gone;
        let counts: u64 = self.known.values().map(|f| u64::from(f.count)).sum();
        counts + self.known.values().filter(gone).count() as u64
    }
    /// Whether this OSnode has entered, or was there first.
    #[must_use]
    pub fn has_entered(&self) -> bool {
        self.entered
    }
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.joins.is_empty()
    }

    /// Takes one input.
    pub fn step(&mut self, input: MemberInput) -> Vec<MemberOutput> {
        let mut out = Vec::new();
        match input {
            MemberInput::Sponsor(new) => self.sponsor(new, &mut out),
            MemberInput::Message(from, message) => self.message(from, message, &mut out),
            MemberInput::Fenced(osnode) => self.change(osnode, Status::Gone, &mut out),
            MemberInput::Changed(osnode, status) => self.change(osnode, status, &mut out),
        }
        out
    }

    fn message(&mut self, from: OsnodeId, message: MemberMessage, out: &mut Vec<MemberOutput>) {
        match message {
            MemberMessage::Announce(fact) => {
                self.learn(fact, out);
                if let Some(known) = self.known.get_mut(&fact.osnode) {
                    // Whoever announces it looks after it now.
                    known.teller = fact.teller;
                }
                if self.rules.hold(Rule::JoinSaysKnown) {
                    let message = MemberMessage::Announced(fact.osnode);
                    out.push(MemberOutput::Send(from, message));
                }
            }
            MemberMessage::Announced(new) => {
                if let Some(waiting) = self.joins.get_mut(&new)
                    && waiting.remove(&from)
                {
                    self.enter_if_known(new, out);
                }
            }
            MemberMessage::Enter(known) => {
                self.entered = true;
                for fact in known {
                    self.learn(fact, out);
                }
                if self.rules.hold(Rule::JoinSaysEntered) {
                    out.push(MemberOutput::Send(from, MemberMessage::Entered));
                }
            }
            MemberMessage::Entered => self.entered(from, out),
            MemberMessage::Fact(fact) => self.learn(fact, out),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        self.known.values().copied().collect()
    }

    /// Everybody known who is not gone, without this one.
    fn others(&self) -> Vec<OsnodeId> {
        let others = self.known.values().filter(|f| f.status != Status::Gone);
        others.map(|f| f.osnode).filter(|n| *n != self.me).collect()
    }

    fn tell(&self, fact: Fact, out: &mut Vec<MemberOutput>) {
        for to in self.others() {
            out.push(MemberOutput::Send(to, MemberMessage::Fact(fact)));
        }
    }

    fn is_stopped(&self, osnode: &OsnodeId) -> bool {
        let known = self.known.get(osnode);
        known.is_some_and(|f| matches!(f.status, Status::Stopped(_)))
    }

    fn is_gone(&self, osnode: &OsnodeId) -> bool {
        let known = self.known.get(osnode);
        known.is_some_and(|f| f.status == Status::Gone)
    }

    /// Sponsor: makes a new one known.
    fn sponsor(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        let fact = Fact {
            osnode: new,
            count: 1,
            status: Status::Joining,
            teller: self.me,
        };
        self.learn(fact, out);
        if let Some(known) = self.known.get_mut(&new) {
            known.teller = self.me;
        }
        let mut waiting = Nodes::new();
        for to in self.others().into_iter().filter(|n| *n != new) {
            if self.rules.hold(Rule::JoinTellsAll) {
                out.push(MemberOutput::Send(to, MemberMessage::Announce(fact)));
            }
            // Who is stopped learns it before anything else when it is started again.
            if self.rules.hold(Rule::JoinAwaitsKnown) && !self.is_stopped(&to) {
                waiting.insert(to);
            }
        }
        self.joins.insert(new, waiting);
        self.enter_if_known(new, out);
    }

    /// Sponsor: once all know it, it may know all.
    fn enter_if_known(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        let known = self.joins.get(&new).is_some_and(Nodes::is_empty);
        if !known {
            return;
        }
        let message = MemberMessage::Enter(self.facts());
        out.push(MemberOutput::Send(new, message));
        if !self.rules.hold(Rule::JoinAwaitsEntered) {
            self.entered(new, out);
        }
    }

    /// Sponsor: it runs.
    fn entered(&mut self, new: OsnodeId, out: &mut Vec<MemberOutput>) {
        if self.joins.remove(&new).is_none() {
            return;
        }
        let fact = Fact {
            osnode: new,
            count: 2,
            status: Status::Running,
            teller: self.me,
        };
        self.learn(fact, out);
        self.tell(fact, out);
    }

    /// Says what happened to an OSnode.
    fn change(&mut self, osnode: OsnodeId, status: Status, out: &mut Vec<MemberOutput>) {
        let count = self.known.get(&osnode).map_or(0, |f| f.count);
        let fact = Fact {
            osnode,
            count: count + 1,
            status,
            teller: self.me,
        };
        self.learn(fact, out);
        if self.rules.hold(Rule::ViewTells) {
            self.tell(fact, out);
        }
    }

    /// Takes a fact for true, if it is newer.
    fn learn(&mut self, fact: Fact, out: &mut Vec<MemberOutput>) {
        let known = self.known.get(&fact.osnode);
        let newer = known.is_none_or(|k| fact.is_newer_than(k));
        if !newer && self.rules.hold(Rule::ViewNewer) {
            return;
        }
        self.known.insert(fact.osnode, fact);
        out.push(MemberOutput::News(fact));
        if fact.status == Status::Gone {
            self.gone(fact.osnode, out);
        } else if let Status::Stopped(_) = fact.status {
            self.not_waited_for(fact.osnode, out);
        } else if fact.status == Status::Joining {
            self.take_over(&fact, out);
        }
    }

    /// Who is gone or stopped need not say that it knows a new one.
    fn not_waited_for(&mut self, absent: OsnodeId, out: &mut Vec<MemberOutput>) {
        for new in self.joins.keys().copied().collect::<Vec<_>>() {
            let waiting = self.joins.get_mut(&new);
            if waiting.is_some_and(|w| w.remove(&absent)) {
                self.enter_if_known(new, out);
            }
        }
    }

    /// Nobody waits for it, and what only it may have said is said again.
    fn gone(&mut self, dead: OsnodeId, out: &mut Vec<MemberOutput>) {
        self.joins.remove(&dead);
        if self.rules.hold(Rule::JoinAnswersForGone) {
            self.not_waited_for(dead, out);
        }
        let told = |f: &&Fact| f.teller == dead && f.osnode != dead;
        for fact in self
            .known
            .values()
            .filter(told)
            .copied()
            .collect::<Vec<_>>()
        {
            if self.rules.hold(Rule::ViewTellsAgain) {
                self.tell(fact, out);
            }
            self.take_over(&fact, out);
        }
    }

    /// Who joins by the help of somebody who is gone gets another sponsor.
    fn take_over(&mut self, fact: &Fact, out: &mut Vec<MemberOutput>) {
        let member = |f: &&Fact| matches!(f.status, Status::Running | Status::Stopped(_));
        let lowest = self.known.values().find(member).map(|f| f.osnode);
        let orphan = fact.status == Status::Joining && self.is_gone(&fact.teller);
        if orphan && lowest == Some(self.me) && self.rules.hold(Rule::JoinTakesOver) {
            self.sponsor(fact.osnode, out);
        }
    }
}

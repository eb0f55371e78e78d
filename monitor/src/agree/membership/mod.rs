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
//! all know it, and it knows all*; only who is taken for stopped may learn of it later.
//! Who was stopped finds that in its messages when it runs again, says that it is back
//! to whom it has it from, and enters once more, until it knows what was learnt
//! meanwhile; only then does anybody take it for running.
//!
//! What changes later (stopped, running again, gone) is a [`Fact`]. Each OSnode has a
//! count of its changes, so facts can arrive in any order and more than once; the sum of
//! the counts is the number of the view. If who told a fact is gone, all who heard it
//! tell it again, and the lowest that lives goes on with what it was sponsoring. To leave
//! is to be stopped, and then fenced.
//!
//! No core is woken only to hear that another OSnode was stopped or is back ([`Members::keeps`]).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use capfmt::OsnodeId;

use self::join::Join;
use super::{Nodes, Rule, Rules, Shipped};

mod join;

/// How an OSnode is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// It is made known.
    Joining,
    /// It runs.
    Running,
    /// It is stopped; this one answers for it.
    Stopped(OsnodeId),
    /// It is on its way from one core to another; this one answers for it as if it were stopped.
    Moving(OsnodeId),
    /// It was fenced.
    Gone,
}

impl Status {
    /// Who answers for it while no core runs it.
    #[must_use]
    pub const fn caretaker(&self) -> Option<OsnodeId> {
        match self {
            Status::Stopped(by) | Status::Moving(by) => Some(*by),
            Status::Joining | Status::Running | Status::Gone => None,
        }
    }

    /// Of facts that count as many changes, the one with the highest is the last.
    const fn rank(&self) -> u8 {
        match self {
            Status::Joining => 0,
            Status::Running => 1,
            Status::Moving(_) => 2,
            Status::Stopped(_) => 3,
            Status::Gone => 4,
        }
    }

    /// Whether it is a member: it has entered, and is not gone.
    const fn is_member(&self) -> bool {
        matches!(self, Status::Running) || self.caretaker().is_some()
    }
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
    fn is_newer_than(&self, other: &Fact, rules: &impl Rules) -> bool {
        let is_gone = |f: &Fact| f.status == Status::Gone;
        let stays = is_gone(other) && rules.hold(Rule::ViewGoneStays);
        let goes = is_gone(self) && rules.hold(Rule::ViewGoneCounts);
        // Two may count the same change: one says that it stopped, another that it runs, which is older news than
        // that it stopped once more. It hears of it, and says again that it runs.
        let ranks = rules.hold(Rule::ViewRanks);
        let order = |f: &Fact| (f.count, if ranks { f.status.rank() } else { 0 });
        !stays && (goes || order(self) > order(other))
    }
}

/// Between the machines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MemberMessage {
    /// Sponsor to all: this one joins.
    Announce(Fact),
    /// To the sponsor: it is known. Whom the sender makes known itself, it has announced before; who may have
    /// entered by then is named, to be told as well.
    Announced(OsnodeId, Nodes),
    /// Sponsor to the new one, or to one that is back: all that is known.
    Enter(Vec<Fact>),
    /// To the sponsor.
    Entered,
    /// To who says that the sender is stopped: it runs again.
    Back(Fact),
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
    /// An OSnode was stopped from here.
    Stopped(OsnodeId),
    /// An OSnode was stopped from here, to go on another core.
    Moving(OsnodeId),
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
    /// Who joins by this one's help.
    joins: BTreeMap<OsnodeId, Join>,
    /// Who is back by this one's help, and the view that it was last told.
    returns: BTreeMap<OsnodeId, u64>,
    /// Who is said to run again, but has not said that it knows who entered meanwhile.
    held: BTreeMap<OsnodeId, Fact>,
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
            returns: BTreeMap::new(),
            held: BTreeMap::new(),
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
        self.joins.is_empty() && self.returns.is_empty()
    }

    /// Whether a message can lie until its receiver is awake. Who sleeps waits for no OSnode to stop or to be back
    /// but itself, and its joins' answers. If one of those is under way that is not known here, the answer
    /// to its announcement is still to come, in the same order, and wakes.
    #[must_use]
    pub fn keeps(&self, to: OsnodeId, message: &MemberMessage) -> bool {
        let MemberMessage::Fact(fact) = message else {
            return false;
        };
        let calm = matches!(fact.status, Status::Stopped(_) | Status::Running);
        let joining = |f: &Fact| f.status == Status::Joining;
        calm && fact.osnode != to && !self.known.values().any(joining)
    }

    /// Takes one input.
    pub fn step(&mut self, input: MemberInput) -> Vec<MemberOutput> {
        let mut out = Vec::new();
        match input {
            MemberInput::Sponsor(new) => self.sponsor(new, &mut out),
            MemberInput::Message(from, message) => self.message(from, message, &mut out),
            MemberInput::Fenced(osnode) => self.change(osnode, Status::Gone, &mut out),
            MemberInput::Stopped(osnode) => {
                self.change(osnode, Status::Stopped(self.me), &mut out);
            }
            MemberInput::Moving(osnode) => {
                self.change(osnode, Status::Moving(self.me), &mut out);
            }
        }
        out
    }

    fn message(&mut self, from: OsnodeId, message: MemberMessage, out: &mut Vec<MemberOutput>) {
        match message {
            MemberMessage::Announce(fact) => {
                self.learn(fact, out);
                if self.rules.hold(Rule::JoinSaysKnown) {
                    let message = MemberMessage::Announced(fact.osnode, self.inside());
                    out.push(MemberOutput::Send(from, message));
                }
            }
            MemberMessage::Announced(new, inside) => self.announced(from, new, &inside, out),
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
            MemberMessage::Back(fact) => {
                self.learn(fact, out);
                let first = !self.returns.contains_key(&from);
                if self.needs(Rule::ViewBackOnce, first) {
                    self.take_back(from, out);
                }
            }
            MemberMessage::Fact(fact) => self.learn(fact, out),
        }
    }

    /// A condition that a rule asks for.
    fn needs(&self, rule: Rule, condition: bool) -> bool {
        condition || !self.rules.hold(rule)
    }

    fn facts(&self) -> Vec<Fact> {
        self.known.values().copied().collect()
    }

    /// Everybody known who is not gone, without this one.
    fn others(&self) -> Vec<OsnodeId> {
        let there = |f: &&Fact| self.needs(Rule::ViewTellsLiving, f.status != Status::Gone);
        let others = self.known.values().filter(there);
        others.map(|f| f.osnode).filter(|n| *n != self.me).collect()
    }

    fn tell(&self, fact: Fact, out: &mut Vec<MemberOutput>) {
        for to in self.others() {
            out.push(MemberOutput::Send(to, MemberMessage::Fact(fact)));
        }
    }

    fn is_stopped(&self, osnode: &OsnodeId) -> bool {
        let known = self.known.get(osnode);
        known.is_some_and(|f| f.status.caretaker().is_some())
    }

    fn is_gone(&self, osnode: &OsnodeId) -> bool {
        let known = self.known.get(osnode);
        known.is_some_and(|f| f.status == Status::Gone)
    }

    /// Who was stopped runs again: first it learns what it missed.
    fn take_back(&mut self, osnode: OsnodeId, out: &mut Vec<MemberOutput>) {
        if !self.rules.hold(Rule::ViewBackEnters) {
            return self.change(osnode, Status::Running, out);
        }
        self.returns.insert(osnode, self.view());
        let message = MemberMessage::Enter(self.facts());
        out.push(MemberOutput::Send(osnode, message));
    }

    /// If this one is taken for stopped, it says that it is back: to who says so, or to the lowest that runs.
    fn say_back(&mut self, out: &mut Vec<MemberOutput>) {
        let Some(fact) = self.known.get(&self.me).copied() else {
            return;
        };
        if fact.status.caretaker().is_none() {
            return;
        }
        let helps = |f: &&Fact| f.status == Status::Running && f.osnode != self.me;
        let teller = self.known.get(&fact.teller);
        let teller = teller.filter(|f| self.needs(Rule::ViewBackAsksRunning, helps(f)));
        match teller.or_else(|| self.known.values().find(helps)) {
            Some(helper) => {
                let to = helper.osnode;
                out.push(MemberOutput::Send(to, MemberMessage::Back(fact)));
            }
            None => self.change(self.me, Status::Running, out),
        }
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
        let newer = known.is_none_or(|k| fact.is_newer_than(k, &self.rules));
        if !newer && self.rules.hold(Rule::ViewNewer) {
            return;
        }
        let back = fact.status == Status::Running && self.is_stopped(&fact.osnode);
        if back && self.owes_answer(fact.osnode) && self.rules.hold(Rule::JoinHoldsBack) {
            self.held.insert(fact.osnode, fact);
            return;
        }
        self.known.insert(fact.osnode, fact);
        out.push(MemberOutput::News(fact));
        let entering = |(new, j): (&OsnodeId, &Join)| j.entering.then_some(*new);
        for to in self.joins.iter().filter_map(entering) {
            if to != fact.osnode && self.rules.hold(Rule::JoinTellsNews) {
                out.push(MemberOutput::Send(to, MemberMessage::Fact(fact)));
            }
        }
        if fact.status == Status::Running {
            self.announce_joins(fact.osnode, out);
        } else if fact.status == Status::Gone {
            self.gone(fact.osnode, out);
        } else if fact.status.caretaker().is_some() {
            if fact.osnode == self.me && self.rules.hold(Rule::ViewBackSays) {
                self.say_back(out);
            }
            for new in self.joins.keys().copied().collect::<Vec<_>>() {
                self.enter_if_known(new, out);
            }
        } else if fact.status == Status::Joining {
            self.take_over(&fact, out);
        }
    }

    /// Nobody waits for it, and what only it may have said is said again.
    fn gone(&mut self, dead: OsnodeId, out: &mut Vec<MemberOutput>) {
        if self.rules.hold(Rule::JoinDropsGone) {
            self.joins.remove(&dead);
        }
        if self.rules.hold(Rule::ViewBackDropsGone) {
            self.returns.remove(&dead);
        }
        self.held.remove(&dead);
        let told = |f: &Fact| f.teller == dead && f.osnode != dead;
        for mut fact in self.facts().into_iter().filter(told) {
            if self.rules.hold(Rule::ViewTellsAgain) {
                // This one may be gone, too, before all have heard it. Who joins has a sponsor to answer for it.
                let answers = fact.status != Status::Joining;
                if answers && self.rules.hold(Rule::ViewAnswersFor) {
                    fact.teller = self.me;
                    self.known.insert(fact.osnode, fact);
                }
                self.tell(fact, out);
            }
        }
        // Not only those of whom it told: who was to look after others' may be gone now.
        let joins = |f: &Fact| f.status == Status::Joining;
        for fact in self.facts().into_iter().filter(joins) {
            self.take_over(&fact, out);
        }
        for new in self.joins.keys().copied().collect::<Vec<_>>() {
            if let Some(join) = self.joins.get_mut(&new)
                && self.rules.hold(Rule::JoinAnswersForGone)
                && join.waiting.remove(&dead)
            {
                self.enter_if_known(new, out);
            }
        }
        if self.rules.hold(Rule::JoinLetsBackForGone) {
            self.let_back(out);
        }
        for new in self.joins.keys().copied().collect::<Vec<_>>() {
            if self.rules.hold(Rule::JoinEndsForGone) {
                self.end_if_done(new);
            }
        }
        if self.rules.hold(Rule::ViewBackAsksAgain) {
            self.say_back(out);
        }
    }
}

//! Bind: a channel between a client of one OSnode and a service of another, until one of them gives it up.
//!
//! ```text
//! client's monitor                      service's monitor              service
//!   │ takes a Frame, lends a copy (copy)  │                              │
//!   │── Open ────────────────────────────▶│── offers it ────────────────▶│
//!   │                                     │◀──────────────────── accepts─│
//!   │◀─────────────────────────── Opened ─│ (or why not)                 │
//!   │ answers the client                  │                              │
//!   ┊                                     ┊                              ┊
//!   │── Shut ────────────────────────────▶│── closed ───────────────────▶│  the client is done, or ended
//!   │◀──────────────────────────── Ended ─│                                 the service ended
//! ```
//! The client's monitor owns the Frame, and numbers its lines. It gives a line up with one
//! message, whatever became of it at the other end, and the other end gives its copy of the
//! Frame back; only then is the Frame used again (the directory knows). Nothing is asked twice
//! and nobody waits for an answer to an end: what was said before comes first. A line whose
//! client is in this OSnode, too, takes the same way without messages.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use capfmt::OsnodeId;
use proto::{Name, ServiceError};

use super::{Nodes, Rule, Rules, Shipped};

/// A channel, by the OSnode of its client and that one's number for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Line {
    /// OSnode of the client, which owns the Frame.
    pub client: OsnodeId,
    /// Its number; never used again.
    pub number: u64,
}

/// The service's bell, or the number of a [`ServiceError`].
pub type Bound = Result<u64, u64>;

/// What the service's side must know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// The service.
    pub name: Name,
    /// The Frame, packed.
    pub region: u64,
    /// The client's bell.
    pub bell: u64,
}

/// Between machines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BindMessage {
    /// A client wants a channel; its Frame came before.
    Open {
        /// The sender's number for it.
        number: u64,
        /// What the service must know.
        wanted: Wanted,
    },
    /// It stands, or not.
    Opened {
        /// The receiver's number for it.
        number: u64,
        /// The service's bell, or why not.
        bound: Bound,
    },
    /// The client's side is done with it, whether it stands or not.
    Shut {
        /// The sender's number for it.
        number: u64,
        /// Its Frame: a copy that no service took is not needed any more.
        region: u64,
    },
    /// The service ended.
    Ended {
        /// The receiver's number for it.
        number: u64,
    },
}

/// What the machine is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BindInput {
    /// A client here wants a channel. The Frame is there.
    Ask {
        /// A new number.
        number: u64,
        /// OSnode of the service.
        to: OsnodeId,
        /// What the service must know.
        wanted: Wanted,
        /// The client's connection.
        asker: u32,
        /// When it is told that nobody answers.
        deadline: u64,
    },
    /// What became of [`BindOutput::Lend`].
    Lent {
        /// The line.
        number: u64,
        /// Or the number of a [`ServiceError`].
        outcome: Result<(), u64>,
    },
    /// What became of [`BindOutput::Offer`].
    Offered {
        /// The line.
        line: Line,
        /// The service's bell, or why it does not accept it.
        bound: Bound,
    },
    /// A message of another machine.
    Message {
        /// Whose.
        from: OsnodeId,
        /// What.
        message: BindMessage,
    },
    /// A client here is done with its channel.
    Close(u64),
    /// A client here ended.
    ClientEnded(u32),
    /// A service here ended.
    ServiceEnded(Name),
    /// An OSnode is gone; its last messages were taken.
    Gone(OsnodeId),
    /// Time passes.
    Tick,
}

/// What the machine wants to be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BindOutput {
    /// Send a message to another OSnode.
    Send {
        /// To whom.
        to: OsnodeId,
        /// What.
        message: BindMessage,
    },
    /// Let the service's OSnode have a copy of the Frame.
    Lend {
        /// The line.
        number: u64,
        /// OSnode of the service.
        to: OsnodeId,
    },
    /// Answer the client.
    Answer {
        /// The line.
        number: u64,
        /// The service's bell, or why not.
        bound: Bound,
    },
    /// The client's side does not use the Frame any more.
    Release {
        /// The line.
        number: u64,
    },
    /// Close the channel as the service would.
    CloseAtClient {
        /// The line.
        number: u64,
    },
    /// Offer the channel to the service.
    Offer {
        /// The line.
        line: Line,
        /// What it is.
        wanted: Wanted,
    },
    /// Tell the service, if it accepted the channel, that it is over, so that it lets go of the Frame; a copy that none
    /// took goes.
    Withdraw {
        /// The line.
        line: Line,
        /// The Frame.
        region: u64,
    },
    /// Nobody takes any more what an OSnode that is gone had lent.
    ForgetLent {
        /// Which.
        client: OsnodeId,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Lending,
    Asking,
    Bound,
}

/// A line of a client here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Outgoing {
    to: OsnodeId,
    wanted: Wanted,
    asker: u32,
    deadline: u64,
    phase: Phase,
    /// It is given up, and answered; its Frame is still on its way.
    over: bool,
}

/// A line to a service here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Incoming {
    wanted: Wanted,
    /// It is being offered.
    offered: bool,
    /// The client's side is done with it, or the service ended, while it is offered.
    over: Option<Over>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Over {
    Shut,
    Ended,
}

/// The bind machine of one OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Binder<R = Shipped> {
    me: OsnodeId,
    rules: R,
    gone: Nodes,
    outgoing: BTreeMap<u64, Outgoing>,
    incoming: BTreeMap<Line, Incoming>,
}

/// One step.
struct Turn<'a, R> {
    b: &'a mut Binder<R>,
    out: Vec<BindOutput>,
    /// What this OSnode says to itself.
    own: VecDeque<BindMessage>,
}

impl<R: Rules> Binder<R> {
    /// The machine of `me`, with no lines.
    #[must_use]
    pub fn new(me: OsnodeId, rules: R) -> Binder<R> {
        Binder {
            me,
            rules,
            gone: Nodes::new(),
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
        }
    }
    /// Whether there are no lines.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty()
    }
    /// Whether somebody here waits for an answer.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.outgoing.values().any(|o| o.phase != Phase::Bound)
    }
    /// The other end of a line of the client of connection `asker`, and its Frame.
    #[must_use]
    pub fn service_of(&self, number: u64, asker: u32) -> Option<(OsnodeId, u64)> {
        let line = self.outgoing.get(&number).filter(|o| o.asker == asker)?;
        Some((line.to, line.wanted.region))
    }
    /// The Frame of a line to a service here, and the service.
    #[must_use]
    pub fn client_of(&self, line: Line) -> Option<(u64, Name)> {
        let line = self.incoming.get(&line)?;
        Some((line.wanted.region, line.wanted.name))
    }
    /// Whether a channel with `osnode` over this Frame has an end here.
    #[must_use]
    pub fn has_end(&self, osnode: OsnodeId, region: u64) -> bool {
        let mut incoming = self.incoming.iter();
        let mut outgoing = self.outgoing.values();
        incoming.any(|(l, i)| l.client == osnode && i.wanted.region == region)
            || outgoing.any(|o| o.to == osnode && o.wanted.region == region)
    }
    /// Takes one input, at `now` (ns of system time).
    pub fn step(&mut self, now: u64, input: BindInput) -> Vec<BindOutput> {
        let mut turn = Turn {
            b: self,
            out: Vec::new(),
            own: VecDeque::new(),
        };
        turn.take(now, input);
        while let Some(message) = turn.own.pop_front() {
            let me = turn.b.me;
            turn.message(me, message);
        }
        turn.out
    }
}

impl<R: Rules> Turn<'_, R> {
    fn rule(&self, rule: Rule) -> bool {
        self.b.rules.hold(rule)
    }

    /// A condition that a rule asks for.
    fn needs(&self, rule: Rule, condition: bool) -> bool {
        condition || !self.rule(rule)
    }

    /// Messages to who is gone go nowhere.
    fn send(&mut self, to: OsnodeId, message: BindMessage) {
        if to == self.b.me {
            self.own.push_back(message);
        } else if !self.rule(Rule::BindTellsLiving) || !self.b.gone.contains(&to) {
            self.out.push(BindOutput::Send { to, message });
        }
    }

    fn take(&mut self, now: u64, input: BindInput) {
        match input {
            BindInput::Ask {
                number,
                to,
                wanted,
                asker,
                deadline,
            } => {
                let line = Outgoing {
                    to,
                    wanted,
                    asker,
                    deadline,
                    phase: Phase::Lending,
                    over: false,
                };
                self.b.outgoing.insert(number, line);
                self.out.push(BindOutput::Lend { number, to });
            }
            BindInput::Lent { number, outcome } => self.lent(number, outcome),
            BindInput::Offered { line, bound } => self.offered(line, bound),
            BindInput::Message { from, message } => self.message(from, message),
            BindInput::Close(number) => self.give_up(number, ServiceError::ProcessGone),
            BindInput::ClientEnded(asker) => {
                let of = self.numbers(|o| o.asker == asker);
                for number in of {
                    self.give_up(number, ServiceError::ProcessGone);
                }
            }
            BindInput::ServiceEnded(name) => self.service_ended(&name),
            BindInput::Gone(osnode) => self.gone(osnode),
            BindInput::Tick => {
                let (unbound, awaits) = (Rule::BindLateUnbound, Rule::BindAwaitsDeadline);
                let late = |o: &Outgoing| {
                    self.needs(unbound, o.phase != Phase::Bound)
                        && self.needs(awaits, o.deadline <= now)
                };
                for number in self.numbers(late) {
                    self.give_up(number, ServiceError::NoAnswer);
                }
            }
        }
    }

    fn message(&mut self, from: OsnodeId, message: BindMessage) {
        let line = |number| Line {
            client: from,
            number,
        };
        match message {
            BindMessage::Open { number, wanted } => self.open(line(number), wanted),
            BindMessage::Opened { number, bound } => self.opened(number, bound),
            BindMessage::Shut { number, region } => self.shut(line(number), region),
            BindMessage::Ended { number } => {
                let open = self.b.outgoing.contains_key(&number);
                if self.needs(Rule::BindClosesOpen, open) && self.rule(Rule::BindClosesEnded) {
                    self.out.push(BindOutput::CloseAtClient { number });
                }
            }
        }
    }

    fn numbers(&self, which: impl Fn(&Outgoing) -> bool) -> Vec<u64> {
        let all = self.b.outgoing.iter();
        all.filter(|(_, o)| which(o)).map(|(n, _)| *n).collect()
    }

    /// Client's side: the Frame is there, or cannot be.
    fn lent(&mut self, number: u64, outcome: Result<(), u64>) {
        let Some(line) = self.b.outgoing.get_mut(&number) else {
            return;
        };
        let (to, wanted) = (line.to, line.wanted);
        match (outcome, line.over) {
            (Ok(()), false) => {
                line.phase = Phase::Asking;
                self.send(to, BindMessage::Open { number, wanted });
            }
            (Err(code), false) => self.refused(number, code),
            (outcome, true) => {
                if outcome.is_ok() && self.rule(Rule::BindShutsLent) {
                    self.say_shut(to, number, wanted.region);
                }
                self.release(number);
            }
        }
    }

    fn refused(&mut self, number: u64, code: u64) {
        let bound = Err(code);
        self.out.push(BindOutput::Answer { number, bound });
        self.release(number);
    }

    fn release(&mut self, number: u64) {
        self.b.outgoing.remove(&number);
        self.out.push(BindOutput::Release { number });
    }

    fn say_shut(&mut self, to: OsnodeId, number: u64, region: u64) {
        if self.rule(Rule::BindShuts) {
            self.send(to, BindMessage::Shut { number, region });
        }
    }

    /// Client's side: what the service's monitor says of it.
    fn opened(&mut self, number: u64, bound: Bound) {
        let Some(line) = self.b.outgoing.get_mut(&number) else {
            return;
        };
        match bound {
            Ok(_) => {
                line.phase = Phase::Bound;
                self.out.push(BindOutput::Answer { number, bound });
            }
            Err(code) => self.refused(number, code),
        }
    }

    /// Client's side: it is not wanted any more, however far it came.
    fn give_up(&mut self, number: u64, why: ServiceError) {
        let once = self.rule(Rule::BindGivesUpOnce);
        let awaits = self.rule(Rule::BindAwaitsLent);
        let Some(line) = self.b.outgoing.get_mut(&number) else {
            return;
        };
        if line.over && once {
            return;
        }
        let (to, phase, region) = (line.to, line.phase, line.wanted.region);
        if phase != Phase::Bound || !self.b.rules.hold(Rule::BindAnswersOnce) {
            let bound = Err(why.code());
            self.out.push(BindOutput::Answer { number, bound });
        }
        if phase == Phase::Lending && awaits {
            // A Frame that is on its way cannot be called back.
            line.over = true;
            return;
        }
        self.say_shut(to, number, region);
        self.release(number);
    }

    /// Service's side: a client wants a channel.
    fn open(&mut self, line: Line, wanted: Wanted) {
        let incoming = Incoming {
            wanted,
            offered: true,
            over: None,
        };
        self.b.incoming.insert(line, incoming);
        self.out.push(BindOutput::Offer { line, wanted });
    }

    /// Service's side: the service has it, or does not want it.
    fn offered(&mut self, line: Line, bound: Bound) {
        let Some(incoming) = self.b.incoming.get_mut(&line) else {
            return;
        };
        incoming.offered = false;
        let (over, region) = (incoming.over, incoming.wanted.region);
        let bound = match over {
            Some(Over::Ended) if self.b.rules.hold(Rule::BindRefusesEnded) => {
                Err(ServiceError::ProcessGone.code())
            }
            _ => bound,
        };
        // A client's side that is done with it does not hear it.
        let number = line.number;
        self.send(line.client, BindMessage::Opened { number, bound });
        let over = over.is_some() && self.rule(Rule::BindEndsOver);
        if over || bound.is_err() && self.rule(Rule::BindEndsRefused) {
            self.withdraw(line, region);
        }
    }

    fn withdraw(&mut self, line: Line, region: u64) {
        self.b.incoming.remove(&line);
        if self.rule(Rule::BindWithdraws) {
            self.out.push(BindOutput::Withdraw { line, region });
        }
    }

    /// Service's side: the client's side is done with it.
    fn shut(&mut self, line: Line, region: u64) {
        match self.b.incoming.get_mut(&line) {
            Some(incoming) if incoming.offered => {
                if self.b.rules.hold(Rule::BindRemembersShut) {
                    incoming.over = Some(Over::Shut);
                }
            }
            // Without one, a copy of the Frame may have come all the same.
            _ => self.withdraw(line, region),
        }
    }

    /// Service's side: clients see that their channels are closed.
    fn service_ended(&mut self, name: &Name) {
        let of = self.b.incoming.iter();
        let of = of.filter(|(_, i)| self.needs(Rule::BindEndsOwn, i.wanted.name == *name));
        let of: Vec<(Line, u64)> = of.map(|(l, i)| (*l, i.wanted.region)).collect();
        for (line, region) in of {
            let remembers = self.rule(Rule::BindRemembersEnded);
            match self.b.incoming.get_mut(&line) {
                // Whether it was offered to the one that ended is not known.
                Some(incoming) if incoming.offered => {
                    if remembers {
                        incoming.over.get_or_insert(Over::Ended);
                    }
                }
                _ => {
                    let number = line.number;
                    if self.rule(Rule::BindTellsEnded) {
                        self.send(line.client, BindMessage::Ended { number });
                    }
                    self.withdraw(line, region);
                }
            }
        }
    }

    fn gone(&mut self, osnode: OsnodeId) {
        self.b.gone.insert(osnode);
        for number in self.numbers(|o| o.to == osnode) {
            let phase = self.b.outgoing.get(&number).map(|o| o.phase);
            if phase != Some(Phase::Bound) {
                if self.rule(Rule::BindAnswersForGone) {
                    self.give_up(number, ServiceError::OsnodeGone);
                }
            } else if self.rule(Rule::BindClosesForGone) {
                self.out.push(BindOutput::CloseAtClient { number });
            }
        }
        let of = self.b.incoming.iter();
        let of = of.filter(|(l, _)| l.client == osnode);
        let of: Vec<(Line, u64)> = of.map(|(l, i)| (*l, i.wanted.region)).collect();
        for (line, region) in of {
            if self.rule(Rule::BindShutsForGone) {
                self.shut(line, region);
            }
        }
        if self.rule(Rule::BindForgetsLent) {
            self.out.push(BindOutput::ForgetLent { client: osnode });
        }
    }
}

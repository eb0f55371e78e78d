//! A state of machines, Frames, services and clients, and what can happen in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use capfmt::OsnodeId;
use monitor::agree::bind::{BindMessage, Binder, Line};

use crate::agree::Broken;

/// On a channel between two monitors.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// Of the machines.
    Bind(BindMessage),
    /// A copy of the sender's Frame, for a line.
    Frame(u64),
    /// It was taken.
    Taken(u64),
    /// The sender has no copy of this Frame of the receiver's any more.
    Dropped(u64),
}

/// An offer to a service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Offer {
    Made(u64),
    Accepted,
    Failed,
}

/// One OSnode.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Node {
    pub(super) binder: Binder<Broken>,
    /// Own Frames, each with the line that uses it, and whether another OSnode has a copy.
    pub(super) frames: Vec<(Option<u64>, Option<OsnodeId>)>,
    /// Frames on their way to others.
    pub(super) lending: BTreeMap<u64, OsnodeId>,
    /// Others' Frames that no service took yet: OSnode and Frame.
    pub(super) parcels: BTreeSet<(OsnodeId, u64)>,
    pub(super) offers: BTreeMap<Line, Offer>,
    /// Lines that the running service has, with their Frames.
    pub(super) accepted: BTreeMap<Line, u64>,
    /// Those of them of which its monitor has told it that they are over.
    pub(super) told: BTreeSet<Line>,
    /// The service ended, and the monitor has not heard.
    pub(super) end_untold: bool,
}

/// A client.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Client {
    pub(super) number: Option<u64>,
    pub(super) answer: Option<bool>,
    /// It sees that its channel is closed.
    pub(super) closed: bool,
    /// It closed, or ended.
    pub(super) over: bool,
    /// It closed: its service sees that in the memory that they share.
    pub(super) hung_up: bool,
}

/// A state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(super) nodes: BTreeMap<OsnodeId, Node>,
    pub(super) channels: BTreeMap<(OsnodeId, OsnodeId), VecDeque<Item>>,
    pub(super) clients: Vec<Client>,
    pub(super) next: u64,
    pub(super) dead: BTreeSet<OsnodeId>,
    pub(super) untold: BTreeSet<(OsnodeId, OsnodeId)>,
    /// Whose programs do not run, while its monitor does.
    pub(super) stopped: Option<OsnodeId>,
    /// Who stands still until it is recovered or fenced.
    pub(super) crashed: Option<OsnodeId>,
    /// Faults that may still happen.
    pub(super) faults: u8,
    pub(super) late: bool,
    /// Whose monitors have not looked at the time since.
    pub(super) unticked: BTreeSet<OsnodeId>,
    pub(super) breath: Option<usize>,
}

impl State {
    /// Whether the monitor of an OSnode runs, on whichever core.
    pub(super) fn runs(&self, n: OsnodeId) -> bool {
        !self.dead.contains(&n) && self.crashed != Some(n)
    }
    /// Whether its services and clients do.
    pub(super) fn has_programs(&self, n: OsnodeId) -> bool {
        self.runs(n) && self.stopped != Some(n)
    }
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something arrives.
    Deliver(OsnodeId, OsnodeId, Item),
    /// A client (place in the list) wants a channel.
    Ask(usize),
    /// It closes its channel.
    Close(usize),
    /// It ends.
    ClientEnds(usize),
    /// A service takes an offer, or is not there.
    Accept(OsnodeId, Line),
    /// It lets go of one that is over.
    LetGo(OsnodeId, Line),
    /// The monitor hears what it said to an offer.
    Offered(OsnodeId, Line),
    /// A service ends; another instance starts.
    ServiceEnds(OsnodeId),
    /// The monitor hears of it.
    EndTold(OsnodeId),
    /// A Frame cannot be lent: the OSnode is gone.
    LentNot(OsnodeId, u64),
    /// Deadlines pass.
    Late,
    /// A step is taken, but after so many messages its OSnode dies.
    Die(Box<Event>, usize),
    /// A monitor that did not run by itself looks at the time.
    Tick(OsnodeId),
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
    /// Somebody hears that somebody is gone.
    Gone(OsnodeId, OsnodeId),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Deliver(from, to, item) => write!(f, "o{} → o{}: {item:?}", from.0, to.0),
            Event::Ask(place) => write!(f, "client {place} asks"),
            Event::Close(place) => write!(f, "client {place} closes"),
            Event::ClientEnds(place) => write!(f, "client {place} ends"),
            Event::Accept(n, line) => {
                write!(
                    f,
                    "o{}: the service looks at o{}.{}",
                    n.0, line.client.0, line.number
                )
            }
            Event::LetGo(n, line) => {
                write!(
                    f,
                    "o{}: the service lets go of o{}.{}",
                    n.0, line.client.0, line.number
                )
            }
            Event::Offered(n, line) => {
                write!(
                    f,
                    "o{}: o{}.{} was offered",
                    n.0, line.client.0, line.number
                )
            }
            Event::ServiceEnds(n) => write!(f, "o{}: the service ends", n.0),
            Event::EndTold(n) => write!(f, "o{} hears that its service ended", n.0),
            Event::LentNot(n, number) => write!(f, "o{}: {number} cannot be lent", n.0),
            Event::Late => f.write_str("deadlines pass"),
            Event::Die(event, sent) => write!(f, "{event}; it dies after {sent} messages"),
            Event::Tick(n) => write!(f, "o{} looks at the time", n.0),
            Event::Stop(n) => write!(f, "o{} is stopped", n.0),
            Event::Start => f.write_str("it is started again"),
            Event::Crash(n) => write!(f, "o{} crashes", n.0),
            Event::Recover => f.write_str("it is recovered"),
            Event::Fence => f.write_str("it is fenced"),
            Event::Gone(n, dead) => write!(f, "o{} hears that o{} is gone", n.0, dead.0),
        }
    }
}

//! What can happen in a world.

use std::fmt;

use capfmt::OsnodeId;
use monitor::agree::{Message, OpId};

use super::check;
use super::scenario::{Act, done};

impl Event {
    /// The OSnode that takes a step.
    pub fn stepper(&self) -> Option<OsnodeId> {
        match self {
            Event::Deliver(_, id, _)
            | Event::Ask(_, id, _)
            | Event::Gone(id, _)
            | Event::Deleted(id) => Some(*id),
            _ => None,
        }
    }
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(OsnodeId, OsnodeId, Message),
    /// A client asks (place in the scenario).
    Ask(usize, OsnodeId, Act),
    /// The kernel tells the monitor that it deleted something.
    Deleted(OsnodeId),
    /// Nobody can use any more what an OSnode deleted.
    Flushed(OsnodeId),
    /// A slow deletion ends.
    Swept(OsnodeId, OpId),
    /// An OSnode is stopped.
    Stop(OsnodeId),
    /// It is started again.
    Start(OsnodeId),
    /// A kernel crashes.
    Crash(OsnodeId),
    /// Another kernel goes on.
    Recover(OsnodeId),
    /// A crashed core is fenced.
    Fence(OsnodeId),
    /// A step is taken, but after so many messages its OSnode dies.
    Die(Box<Event>, usize),
    /// An OSnode hears that another is gone.
    Gone(OsnodeId, OsnodeId),
    /// Deadlines pass.
    Late,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Deliver(from, to, message) => {
                write!(f, "o{} → o{}: {}", from.0, to.0, check::brief(message))
            }
            Event::Ask(_, node, act) => write!(f, "o{}: a client asks: {}", node.0, done(act)),
            Event::Deleted(node) => write!(f, "o{}: something was deleted", node.0),
            Event::Flushed(node) => write!(f, "all have flushed for o{}", node.0),
            Event::Swept(node, op) => write!(f, "o{}: all deleted for {}", node.0, check::op(op)),
            Event::Stop(n) => write!(f, "o{} is stopped", n.0),
            Event::Start(n) => write!(f, "o{} is started again", n.0),
            Event::Crash(n) => write!(f, "o{} crashes", n.0),
            Event::Recover(n) => write!(f, "o{} is recovered", n.0),
            Event::Fence(n) => write!(f, "o{} is fenced", n.0),
            Event::Gone(n, dead) => write!(f, "o{} hears that o{} is gone", n.0, dead.0),
            Event::Die(event, sent) => write!(f, "{event}; it dies after {sent} messages"),
            Event::Late => f.write_str("deadlines pass"),
        }
    }
}

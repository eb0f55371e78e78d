//! What the agreement machines say to each other, to their clients, and to their OSnode.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use capfmt::{OsnodeId, Rights};

use super::Object;

/// A set of OSnodes.
pub type Nodes = BTreeSet<OsnodeId>;

/// Names an operation, for ever: the OSnode of the client that asked for it, and that OSnode's count.
/// Whoever is told of it twice does it once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId {
    /// OSnode of the client.
    pub origin: OsnodeId,
    /// Count of the origin's operations.
    pub number: u64,
}

/// How a copy is handed to its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Gift {
    /// Rights of the copy.
    pub rights: Rights,
    /// For whom at the receiver: what its monitor knows a channel by.
    pub channel: u64,
}

/// What a client asks for. Its OSnode holds `object`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Let `to` have a copy.
    Copy {
        /// Of what.
        object: Object,
        /// For whom.
        to: OsnodeId,
        /// How.
        gift: Gift,
    },
    /// Let `to` have it instead of this OSnode.
    Move {
        /// What.
        object: Object,
        /// For whom.
        to: OsnodeId,
        /// How.
        gift: Gift,
    },
    /// Make `to` the owner of the object and of all that is derived from it.
    Transfer {
        /// What; nothing that it is derived from exists.
        object: Object,
        /// The new owner.
        to: OsnodeId,
    },
    /// Derive `count` objects from it, here: `child` and its neighbours of the same size.
    Retype {
        /// From what.
        object: Object,
        /// The first.
        child: Object,
        /// How many.
        count: u32,
    },
    /// Take away all other copies, and everything derived from it.
    Revoke {
        /// Of what.
        object: Object,
    },
}

impl Request {
    /// The object concerned.
    #[must_use]
    pub fn object(&self) -> Object {
        match *self {
            Request::Copy { object, .. }
            | Request::Move { object, .. }
            | Request::Transfer { object, .. }
            | Request::Retype { object, .. }
            | Request::Revoke { object } => object,
        }
    }
}

/// Why an operation was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The OSnode does not hold the object (any more).
    NoSuch,
    /// The request makes no sense.
    BadArgument,
    /// Something else stands on common bytes.
    Overlaps,
    /// Only clients of the owner may ask that.
    NotOwner,
    /// Something that it is derived from exists: its owner decides with it.
    NotRoot,
    /// More is derived from it than one message can tell.
    TooLarge,
    /// A part of it is in use and cannot go (a running Kcb, a core that is not off).
    StillInUse,
    /// No slot or no memory for it.
    NoSpace,
    /// That OSnode no longer exists.
    Gone(OsnodeId),
    /// That OSnode does not run now, or the answer is late: the operation may still take place. The origin says
    /// its view of the membership with it.
    TryLater,
}

/// How an operation ended.
pub type Outcome = Result<(), Refusal>;

/// Messages between machines. Channels are first-in-first-out per pair; nothing else is assumed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Message {
    /// To the owner: a client's request.
    Ask {
        /// The operation.
        op: OpId,
        /// What is asked.
        request: Request,
    },
    /// To the origin: how it ended. A retype that was agreed to is carried out by the origin now.
    Reply {
        /// The operation.
        op: OpId,
        /// How it ended.
        outcome: Outcome,
    },
    /// To the origin: the sender does not decide about the object; look again who does.
    NotOwner {
        /// The operation.
        op: OpId,
    },

    /// Owner to receiver: a copy.
    Take {
        /// The operation.
        op: OpId,
        /// Of what.
        object: Object,
        /// How.
        gift: Gift,
    },
    /// Receiver to owner.
    Taken {
        /// The operation.
        op: OpId,
        /// Of what.
        object: Object,
        /// Whether it was taken.
        outcome: Outcome,
        /// Whether the receiver holds the object now.
        holds: bool,
    },

    /// Holder to owner: the sender no longer holds this.
    Dropped {
        /// What.
        object: Object,
    },

    /// Owner to holder: nobody may use this object and what is derived from it.
    Mark {
        /// The operation.
        op: OpId,
        /// What is revoked.
        object: Object,
        /// Whether this OSnode keeps its copy of the object itself.
        keep: bool,
    },
    /// Holder to owner: marked, or why not.
    Marked {
        /// The operation.
        op: OpId,
        /// Whether.
        outcome: Outcome,
    },
    /// Owner to holder: delete what was marked.
    Sweep {
        /// The operation.
        op: OpId,
    },
    /// Holder to owner: deleted.
    Swept {
        /// The operation.
        op: OpId,
    },
    /// Owner to holder: use what was marked again.
    Unmark {
        /// The operation.
        op: OpId,
    },

    /// Owner to holder: change nothing of this family until somebody says who owns it.
    Freeze {
        /// The operation.
        op: OpId,
        /// Root of the family.
        object: Object,
        /// Who will own it.
        to: OsnodeId,
    },
    /// Holder to owner.
    Frozen {
        /// The operation.
        op: OpId,
    },
    /// Owner to holder: the owner stays the same.
    Thaw {
        /// The operation.
        op: OpId,
    },
    /// Owner to the new owner.
    Adopt {
        /// The operation.
        op: OpId,
        /// Root of the family.
        object: Object,
        /// Who holds what of it, the receiver apart.
        holders: Vec<(Object, OsnodeId)>,
        /// The receiver also gets the sender's copy of the root.
        give: Option<Gift>,
    },
    /// New owner to the old one.
    Adopted {
        /// The operation.
        op: OpId,
        /// Whether.
        outcome: Outcome,
    },
    /// New owner, and old one, to holder; the second is ignored.
    NewOwner {
        /// The operation.
        op: OpId,
        /// Root of the family.
        object: Object,
        /// Who owns it.
        owner: OsnodeId,
    },

    /// A new OSnode to the one that made it: what it was made with of the receiver's.
    Holds {
        /// What.
        objects: Vec<Object>,
    },

    /// To every survivor: what the sender holds of OSnodes that are gone.
    Inventory {
        /// Who is gone.
        dead: Nodes,
        /// What it holds of theirs, or inherited with others before, and who owns that now.
        held: Vec<(Object, OsnodeId)>,
        /// Another part follows.
        more: bool,
    },
}

/// What a machine is told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// A client of this OSnode asks; it wants to hear of it before `deadline` (ns of system time).
    Client {
        /// The operation; a client that asks again uses the same.
        op: OpId,
        /// What it asks.
        request: Request,
        /// When it wants to hear [`Refusal::TryLater`] at the latest.
        deadline: u64,
    },
    /// A message of another machine.
    Message {
        /// Whose.
        from: OsnodeId,
        /// What.
        message: Message,
    },
    /// Capabilities of this OSnode that others have to do with may be gone: the kernel says so after it deleted any.
    Deleted,
    /// The kernel has deleted what [`Kernel::sweep`](super::Kernel::sweep) left to be deleted later.
    SweepDone {
        /// The operation.
        op: OpId,
    },
    /// An OSnode was fenced, and every message it ever sent here was taken.
    Gone(OsnodeId),
    /// An OSnode was made known to all.
    Joined(OsnodeId),
    /// Time passed.
    Tick,
}

/// What a machine wants to be done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: OsnodeId,
        /// What.
        message: Message,
    },
    /// Answer a client of this OSnode.
    Answer {
        /// The operation.
        op: OpId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Nobody holds a capability to these bytes any more: they go to the memory server.
    Freed {
        /// The object whose last capability died.
        object: Object,
        /// First byte.
        base: u64,
        /// First byte after.
        end: u64,
    },
    /// A revoke is complete: except for the keeper's copy nothing is left of the object. (For traces and checks.)
    Revoked {
        /// The operation.
        op: OpId,
        /// What was revoked.
        object: Object,
    },
    /// This OSnode inherited the object with its family: it accounts for the memory from now on.
    Inherited {
        /// The root of the family.
        object: Object,
    },
    /// The dead owned these objects, and somebody still holds them. All other memory of theirs goes to the memory
    /// servers. Said by the lowest survivor.
    Estate {
        /// Who is gone.
        dead: Nodes,
        /// What is still held.
        held: Vec<Object>,
    },
}

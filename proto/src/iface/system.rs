//! What the monitor of an OSnode does for its services: other OSnodes, and the machine.

use crate::ServiceError;

crate::codes! {
    /// How an OSnode is, for the others.
    pub enum MemberStatus {
        /// It is being made known.
        Joining = 1,
        /// It runs.
        Running = 2,
        /// It is stopped.
        Stopped = 3,
        /// It was fenced, for ever.
        Gone = 4,
        /// It is on its way to another core.
        Moving = 5,
    }
}

/// `core` of an OSnode that runs nowhere.
pub const NOWHERE: u32 = u32::MAX;
/// `core` of an OSnode that runs, on a core that only the device manager's monitor knows.
pub const ELSEWHERE: u32 = u32::MAX - 1;

crate::interface! {
    /// Other OSnodes and the machine, for services of the system.
    pub interface System = 11, version 3, errors ServiceError;
    messages SystemRequest, SystemReply;
    stubs SystemClient, SystemServer;
    replies {
        /// Done.
        Done = 0x8001 {};
        /// A channel's Frame comes along.
        Prepared = 0x8002 {
            /// Its address.
            base: u64,
            /// Its bytes.
            bytes: u64,
            /// Notification page of this OSnode.
            notification: u64,
            /// Channel in it by which this side is woken.
            channel: u64,
        } gives frame;
        /// One OSnode.
        Osnode = 0x8003 {
            /// Its id.
            osnode: u64,
            /// Core, [`NOWHERE`] or [`ELSEWHERE`].
            core: u32,
        };
        /// One OSnode, as this monitor knows it.
        Member = 0x8004 {
            /// Its id.
            osnode: u64,
            /// How it is.
            status: MemberStatus,
            /// Who looks after it while it is stopped, else 0.
            caretaker: u64,
            /// Changes that it has been through.
            count: u32,
            /// Number of the view: it grows with every change of any OSnode.
            view: u64,
        };
        /// A tree, in preorder: a [`list`](crate::list) of OSnodes, with the number of those below each (`(u64, u32)`).
        Tree = 0x8005 {
            /// Version of what the knowledge base said of where they are; 0 = nothing is known.
            version: u64,
        } blob nodes;
        /// Memory is free again, or will be.
        Reclaimed = 0x8006 {
            /// Bytes of the OSnode's block.
            block: u64,
            /// Bytes that it had got from memory servers besides.
            got: u64,
            /// Bytes of both that others still hold: they are free when these drop them.
            held: u64,
        };
    }
    requests {
        /// Boot driver: an OSnode is about to be made. Answer: `Prepared` with the Frame of one of
        /// the channels to its monitor (the other is asked for with `Second`).
        Prepare = 1 prepare {
            /// Its id.
            osnode: u64,
            /// Core that it will run on.
            core: u32,
        } -> Prepared;
        /// Boot driver: the other channel's Frame.
        Second = 2 second {
            /// Id of the OSnode.
            osnode: u64,
        } -> Prepared;
        /// Boot driver: the OSnode could not be made.
        Abandon = 3 abandon {
            /// Its id.
            osnode: u64,
        } -> Done;
        /// Device manager: where an OSnode runs now. Answer: `Done`; for an OSnode that starts,
        /// when its monitor has said hello.
        Located = 4 located {
            /// Its id.
            osnode: u64,
            /// Core, or [`NOWHERE`].
            core: u32,
        } => Done;
        /// Device manager: an OSnode was fenced, for ever: no core runs it, and none will. Answer: `Done`, when it is
        /// known here that it is gone.
        Fenced = 11 fenced {
            /// Its id.
            osnode: u64,
        } => Done;
        /// Boot driver: the memory of an OSnode that is gone goes back to the memory servers, and its KCB, which
        /// comes along, goes. Answer: `Reclaimed`, when it is settled who accounts for what others still hold; until
        /// then the monitor does it without anybody waiting.
        Reclaim = 12 reclaim {
            /// Its id.
            osnode: u64,
        } gives kcb -> Reclaimed;
        /// Boot driver: an OSnode left its core, to go on another. No answer.
        Moving = 10 moving {
            /// Its id.
            osnode: u64,
        };
        /// The first OSnode with an id above this one. Answer: `Osnode` or `Refused(End)`.
        Next = 5 next {
            /// Id before.
            osnode: u64,
        } -> Osnode;
        /// The OSnode that runs on a core. Answer: `Osnode` or `Refused`.
        OnCore = 6 on_core {
            /// Core.
            core: u32,
        } -> Osnode;
        /// Spawn service: a process ended; its channels are given up, and its clients on other OSnodes are told.
        ServiceEnded = 8 service_ended {} -> Done;
        /// The first OSnode with an id above this one in the membership view of this monitor. Answer: `Member` or
        /// `Refused(End)`.
        Member = 9 member {
            /// Id before.
            osnode: u64,
        } -> Member;
        /// The tree along which this monitor has others forget translations. Answer: `Tree`, or `Refused(NotFound)` when
        /// there was no unmap that more than a few had to hear of.
        Tree = 13 tree {
            /// The one of the last unmap, and not one to all others, by what is known now.
            last: bool,
        } -> Tree;
        /// Halts the machine. Who hears an answer still runs: refused with why.
        Halt = 7 halt {
            /// 0 = success.
            status: u32,
        } -> Done;
    }
}

//! Names and bindings, served by the monitor of the OSnode (the `PARENT` or `names` capability).

use crate::{Name, ServiceError};

crate::messages! {
    /// Requests.
    pub enum NamesRequest: 3 {
        /// Publishes the Endpoint capability that comes along. Answer: `Done`.
        Register = 1 {
            /// Under this name, in this OSnode.
            name: Name,
        },
        /// Asks for the Endpoint capability published under a name. Answer: `Found` with it.
        Lookup = 2 {
            /// Name.
            name: Name,
            /// Answer only once the name is there (else `Refused(NotFound)` at once).
            wait: bool,
        },
        /// Asks for a UMP channel to a service of another OSnode. Answer: `UmpFrame` with the
        /// channel's Frame; then `UmpNotify` gets the rest.
        BindUmp = 3 {
            /// OSnode of the service.
            osnode: u64,
            /// Name of the service there.
            name: Name,
            /// Own notification channel that the service signals (`u64::MAX` = only polls).
            channel: u64,
        },
        /// Asks for the Notify capability of a binding. Answer: `UmpNotify` with it, or
        /// without one when the peer only polls.
        UmpNotify = 4 {
            /// From `UmpFrame`.
            bind: u64,
        },
        /// Gives up a binding; the peer sees the channel closed.
        UmpClose = 5 {
            /// From `UmpFrame`.
            bind: u64,
        },
        /// Asks for a Notify for one's own channel (to be given to someone in the same OSnode).
        /// Answer: `Found` with it.
        MintNotify = 6 {
            /// Channel from `Op::NotifyBind`.
            channel: u64,
        },
        /// The services of this OSnode by index. Answer: `Service` or `Refused(End)`.
        Next = 7 {
            /// Position.
            index: u32,
        },
        /// Sends the capability that comes along to the other OSnode of a binding. Either side of it
        /// may ask, each its own monitor. Answer: `CapSent` once the other OSnode has it, or
        /// `Refused` (blob: why this one cannot go there).
        SendCap = 8 {
            /// The binding: `UmpFrame` told the client, `AcceptRequest::Ump` the service.
            bind: u64,
            /// Ownership goes along, as in a move; the asker deletes its copy afterwards.
            give: bool,
        },
        /// Takes a capability that the other side of a binding sent here, once. Answer: `Found`
        /// with it, or `Refused(NotFound)`.
        TakeCap = 9 {
            /// The binding, as in `SendCap`.
            bind: u64,
            /// From word 6 of the message that the capability belongs to.
            number: u64,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum NamesReply: 3 {
        /// Done.
        Done = 0x8001 {},
        /// Here is the capability.
        Found = 0x8002 {},
        /// The channel's Frame. The asker is side 0 of the ring ([`crate::ump`]).
        UmpFrame = 0x8003 {
            /// Number of the binding at this monitor.
            bind: u64,
            /// Bytes of the Frame.
            bytes: u64,
        },
        /// The Notify capability of a binding, if the peer wants to be notified.
        UmpNotify = 0x8004 {
            /// A capability is there.
            given: bool,
        },
        /// One service.
        Service = 0x8005 {
            /// Its name.
            name: Name,
        },
        /// The other OSnode has the capability.
        CapSent = 0x8006 {
            /// What its receiver asks for it with (never 0); goes in word 6 of the message.
            number: u64,
        },
        /// Refused.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

crate::messages! {
    /// Monitor → service (a service takes these on its own endpoint): a UMP channel from elsewhere.
    pub enum AcceptRequest: 10 {
        /// A client on another OSnode: its channel's Frame comes along; the service is side 1.
        /// Answer: `Accepted`, or `Refused`.
        Ump = 1 {
            /// Number of the binding.
            bind: u64,
            /// OSnode of the client.
            osnode: u64,
        },
        /// The Notify capability for the client comes along. Answer: `Accepted`.
        Notify = 2 {
            /// Number of the binding.
            bind: u64,
        },
        /// The client or its OSnode is gone. Answer: `Accepted`.
        Closed = 3 {
            /// Number of the binding.
            bind: u64,
        },
    }
}

crate::messages! {
    /// Service → monitor.
    pub enum AcceptReply: 10 {
        /// Taken.
        Accepted = 0x8001 {
            /// Own notification channel that the client signals (`u64::MAX` = only polls).
            channel: u64,
        },
        /// Not taken.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

//! Names and bindings, served by the monitor of the OSnode (the `PARENT` or `names` capability).

use crate::{Name, ServiceError};

crate::interface! {
    /// Services of this OSnode by name, and channels to those of any other.
    pub interface Names = 3, version 1, errors ServiceError;
    messages NamesRequest, NamesReply;
    stubs NamesClient, NamesServer;
    replies {
        /// Done.
        Done = 0x8001 {};
        /// Here is the capability.
        Found = 0x8002 {} gives cap;
        /// The channel's Frame. The asker is side 0 of the ring ([`crate::ump`]).
        UmpFrame = 0x8003 {
            /// Number of the binding at this monitor.
            bind: u64,
            /// Bytes of the Frame.
            bytes: u64,
        } gives frame;
        /// The Notify capability of a binding, if the peer wants to be notified.
        UmpNotify = 0x8004 {
            /// A capability is there.
            given: bool,
        } may give notify;
        /// One service.
        Service = 0x8005 {
            /// Its name.
            name: Name,
        };
        /// The other OSnode has the capability.
        CapSent = 0x8006 {
            /// What its receiver asks for it with (never 0); goes in word 6 of the message.
            number: u64,
        };
    }
    requests {
        /// Publishes an Endpoint capability in this OSnode.
        Register = 1 register {
            /// Under this name.
            name: Name,
        } gives endpoint -> Done;
        /// Asks for the Endpoint capability published under a name.
        Lookup = 2 lookup {
            /// Name.
            name: Name,
            /// Answer only once the name is there (else `Refused(NotFound)` at once).
            wait: bool,
        } => Found;
        /// Asks for a UMP channel to a service of another OSnode: the channel's Frame;
        /// then `UmpNotify` gets the rest.
        BindUmp = 3 bind_ump {
            /// OSnode of the service.
            osnode: u64,
            /// Name of the service there.
            name: Name,
            /// Own notification channel that the service signals (`u64::MAX` = only polls).
            channel: u64,
        } -> UmpFrame;
        /// Asks for the Notify capability of a binding; there is none when the peer only polls.
        UmpNotify = 4 ump_notify {
            /// From `UmpFrame`.
            bind: u64,
        } -> UmpNotify;
        /// Gives up a binding; the peer sees the channel closed.
        UmpClose = 5 ump_close {
            /// From `UmpFrame`.
            bind: u64,
        } -> Done;
        /// Asks for a Notify for one's own channel (to be given to someone in the same OSnode).
        MintNotify = 6 mint_notify {
            /// Channel from `Op::NotifyBind`.
            channel: u64,
        } -> Found;
        /// Asks for a Notify for a channel of another OSnode.
        NotifyOf = 10 notify_of {
            /// The OSnode.
            osnode: u64,
            /// Channel there, from `Op::NotifyBind`.
            channel: u64,
        } -> Found;
        /// The services of this OSnode by index; refused with `End` past the last.
        Next = 7 next {
            /// Position.
            index: u32,
        } -> Service;
        /// Sends a capability to the other OSnode of a binding. Either side of it may ask, each
        /// its own monitor. Answered once the other OSnode has it, or refused (blob: why this one
        /// cannot go there).
        SendCap = 8 send_cap {
            /// The binding: `UmpFrame` told the client, `AcceptRequest::Ump` the service.
            bind: u64,
            /// The asker deletes its copy afterwards. If it is a service of the system, ownership goes along.
            give: bool,
        } copies cap -> CapSent;
        /// Takes a capability that the other side of a binding sent here, once.
        TakeCap = 9 take_cap {
            /// The binding, as in `SendCap`.
            bind: u64,
            /// From word 6 of the message that the capability belongs to.
            number: u64,
        } -> Found;
    }
}

crate::interface! {
    /// Monitor → service (a service takes these on its own endpoint): UMP channels from elsewhere.
    pub interface Accept = 10, version 1, errors ServiceError;
    messages AcceptRequest, AcceptReply;
    stubs AcceptClient, AcceptServer;
    replies {
        /// Taken.
        Accepted = 0x8001 {
            /// Own notification channel that the client signals (`u64::MAX` = only polls).
            channel: u64,
        };
    }
    requests {
        /// A client on another OSnode, and its channel's Frame; the service is side 1.
        Ump = 1 ump {
            /// Number of the binding.
            bind: u64,
            /// OSnode of the client.
            osnode: u64,
        } copies frame => Accepted;
        /// The Notify capability for the client.
        Notify = 2 notify {
            /// Number of the binding.
            bind: u64,
        } copies notify => Accepted;
        /// The client or its OSnode is gone.
        Closed = 3 closed {
            /// Number of the binding.
            bind: u64,
        } => Accepted;
    }
}

//! Monitor ↔ monitor, over UMP. Two monitors that have to do with each other have two channels, one
//! for the requests of each side. A new OSnode is made with those to its home monitor; all others
//! are made at first use: `Connect` is all that a third monitor ever passes on.
//!
//! *Regions* are packed: base | pages (fewer than 4096); *bells* are packed: notification page of
//! the OSnode | channel in it ([`NO_BELL`] = only polls).

use crate::ServiceError;

/// The bell of somebody who only polls.
pub const NO_BELL: u64 = u64::MAX;

/// Packs a region; `None` unless it is made of whole pages, fewer than 4096.
#[must_use]
pub fn pack_region(base: u64, bytes: u64) -> Option<u64> {
    let pages = bytes / 4096;
    let fits =
        base.is_multiple_of(4096) && bytes.is_multiple_of(4096) && (1..4096).contains(&pages);
    fits.then_some(base | pages)
}

/// Base and bytes of a packed region.
#[must_use]
pub fn unpack_region(region: u64) -> (u64, u64) {
    (region & !0xfff, (region & 0xfff) * 4096)
}

/// Packs a bell; `channel` = `u64::MAX` for [`NO_BELL`].
#[must_use]
pub fn pack_bell(notification: u64, channel: u64) -> u64 {
    if channel < 4096 && notification.is_multiple_of(4096) {
        notification | channel
    } else {
        NO_BELL
    }
}

/// Notification page and channel of a bell; `None` for [`NO_BELL`].
#[must_use]
pub fn unpack_bell(bell: u64) -> Option<(u64, u64)> {
    (bell != NO_BELL).then_some((bell & !0xfff, bell & 0xfff))
}

crate::messages! {
    /// Requests.
    pub enum MonitorRequest: 6 (Monitor 1) {
        /// First message of a monitor to its home: who it is. Answer: `Done`.
        Hello = 1 {
            /// OSnode id.
            osnode: u64,
            /// Its bell for the channel on which it asks.
            asking_bell: u64,
            /// Its bell for the channel on which it is asked.
            asked_bell: u64,
        },
        /// A UMP channel to a service; blob: its name. Answer: `Bound`.
        BindUmp = 2 {
            /// OSnode of the service.
            osnode: u64,
            /// OSnode of the client, which owns the channel's Frame.
            client: u64,
            /// The channel's Frame.
            region: u64,
            /// The client's bell.
            bell: u64,
        },
        /// A binding is given up by its client. Answer: `Done`. The Frame may be reused after it.
        CloseUmp = 3 {
            /// OSnode of the service.
            osnode: u64,
            /// OSnode of the client.
            client: u64,
            /// The channel's Frame.
            region: u64,
        },
        /// Are you there? Answer: `Done`.
        Ping = 4 {},
        /// The service at the other end of a channel ended: the channel is closed for it. Answer: `Done`.
        ServiceGone = 5 {
            /// OSnode of the client.
            osnode: u64,
            /// The channel's Frame.
            region: u64,
        },
        /// Channels between two monitors that have none; blob: the client's bells for them, as two
        /// words, in the order of the regions. Answer: `Connected`, or `Refused(Exists)` when the
        /// asked one is connecting itself.
        Connect = 6 {
            /// OSnode asked.
            osnode: u64,
            /// OSnode that asks and owns both Frames.
            client: u64,
            /// The channel on which the client will ask.
            asking: u64,
            /// The channel on which it will be asked.
            asked: u64,
        },
        /// A message of the agreement machine; blob: the message. No answer.
        Agree = 7 {},
        /// A message of the membership machine; blob: the message. No answer.
        Member = 8 {},
        /// A message of the unmap machine; blob: the message. No answer.
        Flush = 9 {},
        /// Is anything held of the memory of an OSnode that is gone? Answer: `Done` if nothing is, or
        /// `Refused(Busy)`.
        Holds = 10 {
            /// Whose memory it was.
            dead: u64,
            /// Its address.
            base: u64,
            /// Its bytes.
            bytes: u64,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum MonitorReply: 6 (Monitor 1) {
        /// Done.
        Done = 0x8001 {},
        /// UMP channel accepted.
        Bound = 0x8002 {
            /// The service's bell.
            bell: u64,
        },
        /// Connected.
        Connected = 0x8003 {
            /// The asked one's bell for the channel on which the client asks.
            asking_bell: u64,
            /// The asked one's bell for the channel on which the client is asked.
            asked_bell: u64,
        },
        /// Refused; blob: which object, what to do.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

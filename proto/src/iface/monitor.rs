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

crate::interface! {
    /// Between monitors.
    pub interface Monitor = 6, version 3, errors ServiceError;
    messages MonitorRequest, MonitorReply;
    stubs MonitorClient, MonitorServer;
    replies {
        /// Done.
        Done = 0x8001 {};
        /// Connected.
        Connected = 0x8003 {
            /// The asked one's bell for the channel on which the client asks.
            asking_bell: u64,
            /// The asked one's bell for the channel on which the client is asked.
            asked_bell: u64,
        };
        /// Groups of OSnodes: words of `monitor::Placement`, unless the version is the one that is known.
        Placement = 0x8004 {
            /// Number of what it follows from.
            version: u64,
        } blob words;
    }
    requests {
        /// First message of a monitor to its home: who it is.
        Hello = 1 hello {
            /// OSnode id.
            osnode: u64,
            /// Its bell for the channel on which it asks.
            asking_bell: u64,
            /// Its bell for the channel on which it is asked.
            asked_bell: u64,
        } blob endowment -> Done;
        /// Channels between two monitors that have none; blob: the client's bells for them, as two
        /// words, in the order of the regions. Refused with `Exists` when the asked one
        /// is connecting itself.
        Connect = 6 connect {
            /// OSnode asked.
            osnode: u64,
            /// OSnode that asks and owns both Frames.
            client: u64,
            /// The channel on which the client will ask.
            asking: u64,
            /// The channel on which it will be asked.
            asked: u64,
        } blob bells -> Connected;
        /// A message of the agreement machine.
        Agree = 7 agree {} blob message;
        /// A message of the membership machine.
        Member = 8 member {} blob message;
        /// A message of the unmap machine.
        Flush = 9 flush {} blob message;
        /// A message of the bind machine.
        Bind = 12 bind {} blob message;
        /// Whether the asked one accounts for nothing of the memory of an OSnode that is gone, whatever it holds of it:
        /// then it never will. Refused with `Busy` if it does, or if that is not settled.
        Settled = 10 settled {
            /// Whose memory it was.
            dead: u64,
            /// Its address.
            base: u64,
            /// Its bytes.
            bytes: u64,
        } -> Done;
        /// Where other OSnodes are, as the knowledge base says: whoever is not on its OSnode asks its home.
        Placement = 11 placement {
            /// As seen from this one.
            osnode: u64,
            /// Version that the asker has; 0 = none.
            known: u64,
        } -> Placement;
    }
}

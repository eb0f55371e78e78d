//! The notification page of an OSnode (DESIGN §3, §4): reached only by atomics.

use crate::layout::layout;

/// Size of the object in bytes.
pub const NOTIFICATION_BYTES: u64 = 4096;
/// Channels (bits) of one page.
pub const NOTIFICATION_CHANNELS: u64 = 4096;

layout! {
    /// Where an OSnode runs, and the bits that others set to wake it.
    ///
    /// Sender: set the channel's bit, set the summary bit, full fence, read
    /// `location`, interrupt that core. Attach: write `location`, full fence, scan.
    /// Detach writes 0 (nowhere).
    struct Notification [NOTIFICATION_BYTES] {
        /// [`Notification::MAGIC`].
        magic / set_magic @ 0x000,
        /// OSnode that owns the page.
        osnode / set_osnode @ 0x008,
        /// Hardware id of the core plus one | epoch << 32; low half 0 = detached.
        location / set_location @ 0x010,
        /// Bit i: word i has bits set.
        summary / set_summary @ 0x018,
    ;
        /// The channels' bits: channel c is bit c % 64 of word c / 64.
        word / set_word @ 0x200 [64],
    }
}

impl Notification {
    /// First word of a notification page.
    pub const MAGIC: u64 = 0x0146_544e_4b4e;
}

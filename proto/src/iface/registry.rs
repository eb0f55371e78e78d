//! Registry: records, queries, watches, locks, barriers, as text (`docs/book/registry.md`).
//!
//! A connection is a client: what it holds (locks, records that are its own, watches) goes with it.

use crate::{Pid, ServiceError};

crate::codes! {
    /// What `Set` does with what is there.
    pub enum SetMode {
        /// The record is there afterwards, whatever was there before.
        Replace = 0,
        /// Refused (`Exists`) if the record is there.
        Create = 1,
        /// The attributes given replace those of a record that is there; others stay.
        Merge = 2,
    }
}

crate::codes! {
    /// What a watch tells.
    pub enum WatchOn {
        /// A record that fits was set.
        Set = 1,
        /// A record that fitted was deleted, or fits no longer.
        Delete = 2,
        /// Both.
        Both = 3,
    }
}

crate::codes! {
    /// What happened.
    pub enum EventKind {
        /// The record was set; the blob is the record.
        Set = 1,
        /// The record was deleted; the blob is what it was.
        Delete = 2,
        /// The record was set and fits no longer; the blob is the record.
        Leave = 3,
        /// So many events behind the one before found no room: ask anew what is there.
        Lost = 4,
    }
}

crate::messages! {
    /// Requests.
    pub enum RegistryRequest: 13 {
        /// Sets the record in the blob. Answer: `Stored`.
        Set = 1 {
            /// What to do with what is there.
            mode: SetMode,
            /// The record goes when this connection ends (with `Merge`: no meaning).
            ephemeral: bool,
            /// A number that no name had before is put behind the name.
            sequential: bool,
            /// Refused (`Busy`) unless the record has this version; 0 = whatever it has.
            version: u64,
        },
        /// The record with the name in the blob. Answer: `Record`.
        Get = 2 {},
        /// Deletes every record that fits the query in the blob. Answer: `Deleted`.
        Delete = 3 {},
        /// Records that fit, in the order of their names. Blob: the query; then, behind a zero byte,
        /// the name after which the answer begins. Answer: `Records`.
        Query = 4 {},
        /// How many records fit the query in the blob. Answer: `Counted`.
        Count = 5 {},
        /// Events of records that fit the query in the blob come to `Next`. Answer: `Watching`.
        Watch = 6 {
            /// Which.
            on: WatchOn,
            /// Ends with its first event.
            once: bool,
            /// What fits already counts as set now.
            present: bool,
        },
        /// Ends a watch; its events that were not taken are dropped. Answer: `Done`.
        Unwatch = 7 {
            /// Which.
            watch: u64,
        },
        /// The next event of any watch of this connection, when there is one. Answer: `Event`.
        Next = 8 {
            /// Refused (`NotFound`) instead of waiting.
            at_once: bool,
        },
        /// The lock named in the blob, when it is this connection's turn. Answer: `Locked`.
        Lock = 9 {
            /// So many may hold it at a time (1 = a lock, more = a semaphore).
            places: u32,
            /// Refused (`Busy`) instead of waiting.
            at_once: bool,
        },
        /// Gives the lock named in the blob back, or waits for it no longer. Answer: `Done`.
        Unlock = 10 {},
        /// Waits until so many connections wait at the barrier named in the blob. Answer: `Passed`.
        Barrier = 11 {
            /// How many.
            parties: u32,
        },
        /// Whose connection this is: it is ended with the process. Answer: `Done`.
        Attach = 12 {
            /// The process.
            pid: Pid,
        },
        /// Spawn services, on `.registry` only: a process ended. Answer: `Done`.
        Ended = 13 {
            /// The process.
            pid: Pid,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum RegistryReply: 13 {
        /// Done.
        Done = 0x8001 {},
        /// The record is there; the blob is its name.
        Stored = 0x8002 {
            /// Its version: grows with every change of any record.
            version: u64,
        },
        /// The blob is the record.
        Record = 0x8003 {
            /// Its version.
            version: u64,
        },
        /// Gone.
        Deleted = 0x8004 {
            /// How many.
            count: u64,
        },
        /// Records, one a line, in the blob.
        Records = 0x8005 {
            /// How many.
            count: u64,
            /// There are more: ask again with the last name.
            more: bool,
        },
        /// So many fit.
        Counted = 0x8006 {
            /// How many.
            count: u64,
        },
        /// The watch is set.
        Watching = 0x8007 {
            /// Its number.
            watch: u64,
        },
        /// One event.
        Event = 0x8008 {
            /// Whose.
            watch: u64,
            /// What happened.
            kind: EventKind,
            /// Version of the change; for `Lost` how many events there were.
            version: u64,
        },
        /// The lock is held.
        Locked = 0x8009 {},
        /// All parties are there.
        Passed = 0x800a {},
        /// Refused; blob: why.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

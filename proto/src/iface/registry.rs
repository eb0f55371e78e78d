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

crate::interface! {
    /// Records with attributes, found by queries; watches, locks, barriers.
    pub interface Registry = 13, version 1, errors ServiceError;
    messages RegistryRequest, RegistryReply;
    stubs RegistryClient, RegistryServer;
    replies {
        /// Done.
        Done = 0x8001 {};
        /// The record is there.
        Stored = 0x8002 {
            /// Its version: grows with every change of any record.
            version: u64,
        } blob name;
        /// A record.
        Record = 0x8003 {
            /// Its version.
            version: u64,
        } blob record;
        /// Gone.
        Deleted = 0x8004 {
            /// How many.
            count: u64,
        };
        /// Records, one a line.
        Records = 0x8005 {
            /// How many.
            count: u64,
            /// There are more: ask again with the last name.
            more: bool,
        } blob records;
        /// So many fit.
        Counted = 0x8006 {
            /// How many.
            count: u64,
        };
        /// The watch is set.
        Watching = 0x8007 {
            /// Its number.
            watch: u64,
        };
        /// One event.
        Event = 0x8008 {
            /// Whose.
            watch: u64,
            /// What happened.
            kind: EventKind,
            /// Version of the change; for `Lost` how many events there were.
            version: u64,
        } blob record;
        /// The lock is held.
        Locked = 0x8009 {};
        /// All parties are there.
        Passed = 0x800a {};
    }
    requests {
        /// Sets a record.
        Set = 1 set {
            /// What to do with what is there.
            mode: SetMode,
            /// The record goes when this connection ends (with `Merge`: no meaning).
            ephemeral: bool,
            /// A number that no name had before is put behind the name.
            sequential: bool,
            /// Refused (`Busy`) unless the record has this version; 0 = whatever it has.
            version: u64,
        } blob record -> Stored;
        /// The record with this name.
        Get = 2 get {} blob name -> Record;
        /// Deletes every record that fits the query.
        Delete = 3 delete {} blob query -> Deleted;
        /// Records that fit, in the order of their names. Blob: the query; then, behind a zero byte,
        /// the name after which the answer begins.
        Query = 4 query {} blob query -> Records;
        /// How many records fit the query.
        Count = 5 count {} blob query -> Counted;
        /// Events of records that fit the query come to `Next`.
        Watch = 6 watch {
            /// Which.
            on: WatchOn,
            /// Ends with its first event.
            once: bool,
            /// What fits already counts as set now.
            present: bool,
        } blob query -> Watching;
        /// Ends a watch; its events that were not taken are dropped.
        Unwatch = 7 unwatch {
            /// Which.
            watch: u64,
        } -> Done;
        /// The next event of any watch of this connection, when there is one.
        Next = 8 next {
            /// Refused (`NotFound`) instead of waiting.
            at_once: bool,
        } => Event;
        /// The lock of this name, when it is this connection's turn.
        Lock = 9 lock {
            /// So many may hold it at a time (1 = a lock, more = a semaphore).
            places: u32,
            /// Refused (`Busy`) instead of waiting.
            at_once: bool,
        } blob name => Locked;
        /// Gives the lock of this name back, or waits for it no longer.
        Unlock = 10 unlock {} blob name -> Done;
        /// Waits until so many connections wait at the barrier of this name.
        Barrier = 11 barrier {
            /// How many.
            parties: u32,
        } blob name => Passed;
        /// Whose connection this is: it is ended with the process.
        Attach = 12 attach {
            /// The process.
            pid: Pid,
        } -> Done;
        /// Spawn services, on `.registry` only: a process ended.
        Ended = 13 ended {
            /// The process.
            pid: Pid,
        } -> Done;
    }
}

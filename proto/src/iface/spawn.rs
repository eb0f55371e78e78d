//! Spawn service: processes of this OSnode and, through the monitors, of any other.

use crate::{Name, Pid, ServiceError};

crate::codes! {
    /// Where to spawn.
    pub enum Place {
        /// The OSnode of the asker.
        Here = 0,
        /// The OSnode attached to this core.
        Core = 1,
        /// The OSnode with this id.
        Osnode = 2,
        /// The OSnode that made the asker's (the asker's own, if the loader made it).
        Home = 3,
    }
}

crate::codes! {
    /// What a process does.
    pub enum ProcessState {
        /// Being built.
        Starting = 0,
        /// Runs.
        Running = 1,
        /// Ended by itself.
        Exited = 2,
        /// Ended by a fault or panic.
        Faulted = 3,
        /// Ended by request.
        Killed = 4,
    }
}

crate::messages! {
    /// Requests.
    pub enum SpawnRequest: 2 {
        /// Keeps the capability that comes along for the connection's next `Spawn`, which
        /// gives it to the process under this name. Answer: `Kept`. This OSnode only.
        Give = 1 {
            /// Name in the start block.
            name: Name,
        },
        /// Starts a program. Blob: program name and arguments, each ended by a zero byte.
        /// Answer: `Spawned`, or `Refused` with the reason in the blob.
        Spawn = 2 {
            /// How `number` is meant.
            place: Place,
            /// Core number or OSnode id.
            number: u64,
            /// Bytes of memory for the process (0 = the usual).
            memory: u64,
        },
        /// The first process after this one, in the order OSnode, number. Answer: `Process` or `Refused(End)`.
        Next = 3 {
            /// Start with `Pid::default()`.
            after: Pid,
        },
        /// Asks a process to check itself. Blob: its name when `pid` is 0 (must be one process).
        /// Answer: `Checked` with its text in the blob.
        Check = 4 {
            /// Which.
            pid: Pid,
        },
        /// Asks a process to end, and ends it when it does not.
        Kill = 5 {
            /// Which.
            pid: Pid,
        },
        /// Waits until the process has ended. Answer: `Ended`.
        Wait = 6 {
            /// Which.
            pid: Pid,
        },
        /// An argument to a process's own command. Blob: text, after the process's name and a
        /// zero byte when `pid` is 0. Answer: `Checked`.
        Tell = 7 {
            /// Which.
            pid: Pid,
        },
        /// The first process of the asked OSnode itself after `number`. Answer: `Process` or `Refused(End)`.
        NextHere = 9 {
            /// Number of the process before.
            number: u64,
        },
        /// What the kernel that runs an OSnode says of itself. Answer: `Kernel` (blob: build id as hex).
        Kernel = 10 {
            /// OSnode.
            osnode: u64,
        },
        /// Memory of an OSnode. Answer: `Memory`.
        Memory = 8 {
            /// Its id.
            osnode: u64,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum SpawnReply: 2 {
        /// The capability is kept.
        Kept = 0x8001 {},
        /// The process runs.
        Spawned = 0x8002 {
            /// Its id.
            pid: Pid,
            /// Core of its OSnode at the time.
            core: u32,
        },
        /// One process. Blob: its name and arguments.
        Process = 0x8003 {
            /// Its id.
            pid: Pid,
            /// What it does.
            state: ProcessState,
            /// Bytes of memory it holds.
            memory: u64,
            /// Core time used, in nanoseconds.
            used_ns: u64,
        },
        /// The process answered. Blob: its text.
        Checked = 0x8004 {
            /// Every check of it is clean.
            ok: bool,
            /// Kernel changes that fell inside its long operations, if it counts them.
            inside: u64,
        },
        /// The process ended. Blob: the last report, if any.
        Ended = 0x8005 {
            /// How.
            state: ProcessState,
            /// Exit status (0 = success), when it exited by itself.
            status: i32,
        },
        /// Memory figures.
        Memory = 0x8006 {
            /// Bytes managed.
            total: u64,
            /// Bytes free.
            free: u64,
            /// Largest free block.
            largest: u64,
            /// Blocks given out.
            blocks: u64,
        },
        /// The running kernel.
        Kernel = 0x8007 {
            /// Its name.
            name: Name,
            /// Core that it runs on.
            core: u32,
            /// Attach epoch of the OSnode.
            epoch: u64,
        },
        /// Refused. Blob: which object, what to do.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

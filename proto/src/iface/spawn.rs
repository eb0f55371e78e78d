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

crate::codes! {
    /// After which ends a process is started again, with what it was given.
    pub enum Restart {
        /// After none.
        Never = 0,
        /// After a fault, a status that is not 0, or when it was killed.
        OnFailure = 1,
        /// After every end.
        Always = 2,
    }
}

crate::codes! {
    /// What a supervised process does.
    pub enum ServiceState {
        /// Runs.
        Running = 1,
        /// Ended, and is being started again.
        Restarting = 2,
        /// Ended as it should.
        Finished = 3,
        /// Ended too often: it is not started again.
        GivenUp = 4,
    }
}

crate::messages! {
    /// Requests.
    pub enum SpawnRequest: 2 (Spawn 2) {
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
            /// Most bytes of memory that the process may have, those that it begins with included (0 = no limit).
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
        /// A further dispatcher of the process whose `PARENT` connection this comes over. The level-2
        /// VNode that its dispatchers share comes along. Blob: where it starts (program counter, end
        /// of the stack, TLS base, argument: words). Answer: `Spawned`.
        Span = 14 {
            /// On this OSnode.
            osnode: u64,
        },
        /// Spawn service → spawn service: as `Span`, here, for a process there. Blob: as there, then
        /// the process's name and arguments. Answer: `Spawned`.
        Member = 15 {
            /// The process.
            of: Pid,
        },
        /// Memory of an OSnode's memory servers. Answer: `Memory`, or `Refused(End)` when there is no such server.
        Memory = 8 {
            /// Its id.
            osnode: u64,
            /// 0 = the one that its programs ask; above that, the others that it has, by index.
            server: u32,
        },
        /// What is on a process's memory account. Answer: `Usage`.
        Usage = 20 {
            /// Which.
            pid: Pid,
        },
        /// Checks an OSnode's memory: books, capabilities, and that only live processes hold any. Answer:
        /// `MemoryChecked`; `Refused` with a sentence in the blob when something is wrong.
        CheckMemory = 21 {
            /// Its id.
            osnode: u64,
        },
        /// As `Spawn`, and the process is started again when it ends.
        SpawnSupervised = 11 {
            /// How `number` is meant.
            place: Place,
            /// Core number or OSnode id.
            number: u64,
            /// As in `Spawn`.
            memory: u64,
            /// After which ends.
            restart: Restart,
            /// So often at most, and within how many milliseconds ([`pack_limit`]).
            limit: u64,
        },
        /// A process is not started again any more. Answer: `Kept`.
        Release = 12 {
            /// Which.
            pid: Pid,
        },
        /// How a process is supervised. Answer: `Supervised`, or `Refused(NotFound)`.
        Supervision = 13 {
            /// Which.
            pid: Pid,
        },
    }
}

/// The `limit` of [`SpawnRequest::SpawnSupervised`].
#[must_use]
pub const fn pack_limit(most: u32, within_ms: u32) -> u64 {
    most as u64 | (within_ms as u64) << 32
}

/// The two numbers of a `limit`.
#[must_use]
pub const fn unpack_limit(limit: u64) -> (u32, u32) {
    (limit as u32, (limit >> 32) as u32)
}

/// What services of the system may need: more is a fault that restarts do not cure.
pub const USUAL_LIMIT: u64 = pack_limit(5, 10_000);

crate::messages! {
    /// Replies.
    pub enum SpawnReply: 2 (Spawn 2) {
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
            /// NUMA node that the server is for.
            node: u32,
        },
        /// A process's memory account.
        Usage = 0x8010 {
            /// Bytes held.
            held: u64,
            /// Most bytes (0 = no limit).
            limit: u64,
            /// Bytes that it can always have.
            share: u64,
        },
        /// The memory is in order: sums over the OSnode's memory servers.
        MemoryChecked = 0x8011 {
            /// Bytes that they began with.
            donated: u64,
            /// Ever come from other servers.
            got: u64,
            /// Ever gone to other servers.
            sent: u64,
            /// Free now.
            free: u64,
            /// On accounts now.
            used: u64,
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
        /// How a process is supervised.
        Supervised = 0x8008 {
            /// After which ends it is started again.
            restart: Restart,
            /// What it does.
            state: ServiceState,
            /// How often it was started again.
            restarts: u64,
            /// So often at most, and within how many milliseconds.
            limit: u64,
        },
        /// Refused. Blob: which object, what to do.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

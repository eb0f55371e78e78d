//! Spawn service: processes of this OSnode and, through the monitors, of any other.

use alloc::string::String;
use alloc::vec::Vec;

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
        /// After none, for what it holds would be lost: its OSnode ends with it, and nobody kills it.
        Vital = 3,
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

/// Reads name and arguments of a program; `None` unless there is at least one, each is UTF-8, and the last is ended.
#[must_use]
pub fn split_words(bytes: &[u8]) -> Option<Vec<String>> {
    let bytes = bytes.strip_suffix(b"\0")?;
    let words = bytes.split(|b| *b == 0);
    let words: Option<Vec<String>> = words.map(|w| String::from_utf8(w.to_vec()).ok()).collect();
    words.filter(|w| !w[0].is_empty())
}

/// Name and arguments of a program as bytes, each ended by a zero byte (zero bytes in them are left out).
#[must_use]
pub fn join_words<S: AsRef<str>>(words: &[S]) -> Vec<u8> {
    let mut out = Vec::new();
    for w in words {
        out.extend(w.as_ref().bytes().filter(|b| *b != 0));
        out.push(0);
    }
    out
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

/// Status with which a spawn service exits whose OSnode is to end with it: it is not started again.
pub const OSNODE_ENDS: i32 = 3;

/// What services of the system may need: more is a fault that restarts do not cure.
pub const USUAL_LIMIT: u64 = pack_limit(5, 10_000);

crate::interface! {
    /// Processes: started, watched, asked, ended.
    pub interface Spawn = 2, version 4, errors ServiceError;
    messages SpawnRequest, SpawnReply;
    stubs SpawnClient, SpawnServer;
    replies {
        /// The capability is kept.
        Kept = 0x8001 {};
        /// The process runs.
        Spawned = 0x8002 {
            /// Its id.
            pid: Pid,
            /// Core of its OSnode at the time.
            core: u32,
        };
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
        } blob words;
        /// The process answered. Blob: its text.
        Checked = 0x8004 {
            /// Every check of it is clean.
            ok: bool,
            /// Kernel changes that fell inside its long operations, if it counts them.
            inside: u64,
        } blob text;
        /// The process ended. Blob: the last report, if any.
        Ended = 0x8005 {
            /// How.
            state: ProcessState,
            /// Exit status (0 = success), when it exited by itself.
            status: i32,
        } blob report;
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
        };
        /// A process's memory account.
        Usage = 0x8010 {
            /// Bytes held.
            held: u64,
            /// Most bytes (0 = no limit).
            limit: u64,
            /// Bytes that it can always have.
            share: u64,
        };
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
        };
        /// The running kernel. Blob: its build id as hex.
        Kernel = 0x8007 {
            /// Its name.
            name: Name,
            /// Core that it runs on.
            core: u32,
            /// Attach epoch of the OSnode.
            epoch: u64,
        } blob build;
        /// What the process asks its memory of comes along.
        OwnMemory = 0x8012 {} gives endpoint;
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
        };
    }
    requests {
        /// Keeps the capability that comes along for the connection's next `Spawn`, which
        /// gives it to the process under this name. This OSnode only.
        Give = 1 give {
            /// Name in the start block.
            name: Name,
        } copies cap -> Kept;
        /// Starts a program. Blob: program name and arguments, each ended by a zero byte.
        /// Refused with the reason.
        Spawn = 2 spawn {
            /// How `number` is meant.
            place: Place,
            /// Core number or OSnode id.
            number: u64,
            /// Most bytes of memory that the process may have, those that it begins with included (0 = no limit).
            memory: u64,
        } blob words -> Spawned;
        /// The first process after this one, in the order OSnode, number. Refused with `End` when there is none.
        Next = 3 next {
            /// Start with `Pid::default()`.
            after: Pid,
        } -> Process;
        /// Asks a process to check itself. Blob: its name when `pid` is 0 (must be one process).
        Check = 4 check {
            /// Which.
            pid: Pid,
        } blob name -> Checked;
        /// Asks a process to end, and ends it when it does not.
        Kill = 5 kill {
            /// Which.
            pid: Pid,
        } -> Ended;
        /// Waits until the process has ended.
        Wait = 6 wait {
            /// Which.
            pid: Pid,
        } -> Ended;
        /// An argument to a process's own command. Blob: text, after the process's name and a
        /// zero byte when `pid` is 0.
        Tell = 7 tell {
            /// Which.
            pid: Pid,
        } blob text -> Checked;
        /// The first process of the asked OSnode itself after `number`. Refused with `End` when there is none.
        NextHere = 9 next_here {
            /// Number of the process before.
            number: u64,
        } -> Process;
        /// What the kernel that runs an OSnode says of itself.
        Kernel = 10 kernel {
            /// OSnode.
            osnode: u64,
        } -> Kernel;
        /// A further dispatcher of the process whose `PARENT` connection this comes over. The level-2
        /// VNode that its dispatchers share comes along. Blob: where it starts (program counter, end
        /// of the stack, TLS base, argument: words).
        Span = 14 span {
            /// On this OSnode.
            osnode: u64,
        } blob start copies shared -> Spawned;
        /// The memory service of the process whose `PARENT` connection this comes over, after that was started again: its
        /// Endpoint for the process's account.
        OwnMemory = 22 own_memory {} -> OwnMemory;
        /// Spawn service → spawn service: as `Span`, here, for a process there. Blob: as there, then
        /// the process's name and arguments.
        Member = 15 member {
            /// The process.
            of: Pid,
        } blob start_and_words copies shared -> Spawned;
        /// Memory of an OSnode's memory servers. Refused with `End` when there is no such server.
        Memory = 8 memory {
            /// Its id.
            osnode: u64,
            /// 0 = the one that its programs ask; above that, the others that it has, by index.
            server: u32,
        } -> Memory;
        /// What is on a process's memory account.
        Usage = 20 usage {
            /// Which.
            pid: Pid,
        } -> Usage;
        /// Checks an OSnode's memory: books, capabilities, and that only live processes hold any.
        /// Refused with a sentence when something is wrong.
        CheckMemory = 21 check_memory {
            /// Its id.
            osnode: u64,
        } -> MemoryChecked;
        /// As `Spawn`, and the process is started again when it ends.
        SpawnSupervised = 11 spawn_supervised {
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
        } blob words -> Spawned;
        /// A process is not started again any more.
        Release = 12 release {
            /// Which.
            pid: Pid,
        } -> Kept;
        /// How a process is supervised. Refused with `NotFound` when it is not.
        Supervision = 13 supervision {
            /// Which.
            pid: Pid,
        } -> Supervised;
    }
}

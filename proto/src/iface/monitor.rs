//! Monitor ↔ monitor, over UMP. Tags tie answers to requests; blobs as everywhere.

use crate::iface::spawn::ProcessState;
use crate::{Name, Pid, ServiceError};

crate::messages! {
    /// Requests.
    pub enum MonitorRequest: 6 {
        /// First message of a monitor: who it is. Answer: `Welcome`.
        Hello = 1 {
            /// OSnode id.
            osnode: u64,
            /// Core it runs on.
            core: u32,
            /// Notification page of the OSnode (physical address).
            notification: u64,
        },
        /// Start a program here. Blob as in `SpawnRequest::Spawn`. Answer: `Spawned`.
        Spawn = 2 {
            /// Bytes of memory (0 = the usual).
            memory: u64,
        },
        /// The first process of this OSnode after `number`. Answer: `Process` or `Refused(End)`.
        Next = 3 {
            /// Number of the process before.
            number: u64,
        },
        /// Check a process (blob: its name when `number` is 0). Answer: `Checked`.
        Check = 4 {
            /// Number in the OSnode.
            number: u64,
        },
        /// Send a process a command. Answer: `Checked`.
        Tell = 5 {
            /// Number in the OSnode.
            number: u64,
        },
        /// End a process. Answer: `Ended`.
        Kill = 6 {
            /// Number in the OSnode.
            number: u64,
        },
        /// Wait for the end of a process. Answer: `Ended`.
        Wait = 7 {
            /// Number in the OSnode.
            number: u64,
        },
        /// A UMP channel to a service here. Answer: `Bound`.
        BindUmp = 8 {
            /// Service.
            name: Name,
            /// Physical address of the channel's Frame.
            frame: u64,
            /// Its bytes.
            bytes: u64,
            /// Client's notification channel, or `u64::MAX`.
            channel: u64,
        },
        /// A binding is given up by its client. Answer: `Done`. The frame may be reused after it.
        CloseUmp = 9 {
            /// `bind` of `Bound`.
            bind: u64,
        },
        /// Memory of this OSnode. Answer: `Memory`.
        Memory = 10 {},
        /// A core operation to be executed here; the blob is the kernel's name. Answer: `CoreDone`.
        CoreOp = 11 {
            /// Number of the operation (`cores::CoreOp`).
            op: u64,
            /// Core.
            core: u32,
            /// Flags of the request.
            flags: u64,
        },
        /// Take over the control of a core: the words of its Core object. Answer: `Done`.
        TakeCore = 12 {
            /// Core.
            core: u32,
            /// Physical address of the Core object.
            object: u64,
            /// Physical address of its image areas.
            images: u64,
            /// KCB (memory region) that the operation is about, or 0.
            kcb: u64,
        },
        /// Are you there? Answer: `Done`.
        Ping = 13 {},
        /// A core's state or OSnode changed: ask again. No answer.
        CoresChanged = 14 {},
    }
}

crate::messages! {
    /// Replies.
    pub enum MonitorReply: 6 {
        /// Answer to `Hello`.
        Welcome = 0x8001 {
            /// OSnode id of the answerer.
            osnode: u64,
            /// Its core.
            core: u32,
            /// Its notification page.
            notification: u64,
        },
        /// Done.
        Done = 0x8002 {},
        /// A program runs.
        Spawned = 0x8003 {
            /// Which.
            pid: Pid,
            /// Where.
            core: u32,
        },
        /// One process; blob: name and arguments.
        Process = 0x8004 {
            /// Which.
            pid: Pid,
            /// State.
            state: ProcessState,
            /// Bytes it holds.
            memory: u64,
            /// Core time used.
            used_ns: u64,
        },
        /// Result of a check; blob: text.
        Checked = 0x8005 {
            /// Clean.
            ok: bool,
        },
        /// End of a process; blob: last report.
        Ended = 0x8006 {
            /// How.
            state: ProcessState,
            /// Status.
            status: i32,
        },
        /// UMP channel accepted.
        Bound = 0x8007 {
            /// Number of the binding.
            bind: u64,
            /// Service's notification channel, or `u64::MAX`.
            channel: u64,
        },
        /// Memory figures.
        Memory = 0x8008 {
            /// Bytes managed.
            total: u64,
            /// Bytes free.
            free: u64,
            /// Largest free block.
            largest: u64,
            /// Blocks given out.
            blocks: u64,
        },
        /// A core operation succeeded.
        CoreDone = 0x8009 {
            /// OSnode concerned.
            osnode: u64,
            /// How long it took (system time).
            took_ns: u64,
        },
        /// Refused; blob: which object, what to do.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

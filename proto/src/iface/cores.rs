//! Cores: the device manager's face to the shell, and the boot drivers' to the device manager.

use crate::{Name, ServiceError};

crate::codes! {
    /// Core operations (DESIGN §5).
    pub enum CoreOp {
        /// Start with the KCB last stopped there, or a fresh OSnode.
        Start = 1,
        /// Stop; the KCB is kept.
        Stop = 2,
        /// Another kernel, same KCB.
        Update = 3,
        /// New kernel for a crashed or hung core, same KCB.
        Recover = 4,
    }
}

crate::codes! {
    /// State of a core, as `capfmt::CoreStatus` plus what only the manager knows.
    pub enum CoreState {
        /// Never started, or off.
        Off = 0,
        /// Kernel has detached its KCB.
        Detached = 1,
        /// In the pen.
        Penned = 2,
        /// Kernel starts.
        Starting = 3,
        /// Kernel runs.
        Running = 4,
        /// Kernel crashed.
        Crashed = 5,
        /// Cannot be got back.
        Lost = 6,
    }
}

crate::messages! {
    /// Requests.
    pub enum CoresRequest: 8 {
        /// Executes an operation. Blob: kernel name (empty = `std`). Answer: `Done` or `Refused`, its blob for people.
        Operate = 1 {
            /// What.
            op: CoreOp,
            /// Core.
            core: u32,
            /// `Start`: make a new OSnode even if one was stopped there.
            fresh: bool,
        },
        /// Executes an operation on several cores together: none is touched before all are prepared.
        /// Blob: kernel name (empty = `std`), a zero byte, the cores' numbers (four bytes each,
        /// little-endian). Answer: `Done` or `Refused`, its blob for people.
        OperateAll = 6 {
            /// What.
            op: CoreOp,
            /// As for `Operate`.
            fresh: bool,
        },
        /// The core at this index. Answer: `Core` (blob: where it is, a line feed, the last words of a crashed
        /// kernel) or `Refused(End)`.
        Core = 2 {
            /// Position.
            index: u32,
        },
        /// What the *running* kernel of the core at this index says of itself. Answer: `Kernel` (blob: build id as hex).
        Kernel = 3 {
            /// Position.
            index: u32,
        },
        /// The OSnode at this index. Answer: `Osnode` or `Refused(End)`.
        Osnode = 4 {
            /// Position.
            index: u32,
        },
        /// The last lines of the log of a core's kernels. Answer: `Log`.
        Log = 5 {
            /// Core.
            core: u32,
        },
        /// From the knowledge base, which knows nothing yet, or nothing any more: it is told
        /// everything. Answer: `Told`.
        Tell = 8 {},
    }
}

crate::messages! {
    /// Replies.
    pub enum CoresReply: 8 {
        /// Done; blob: text for people.
        Done = 0x8001 {
            /// OSnode concerned.
            osnode: u64,
            /// Duration (system time).
            took_ns: u64,
            /// `OperateAll`: how long all the cores were between two kernels at the same time.
            together_ns: u64,
        },
        /// One core.
        Core = 0x8002 {
            /// Number.
            core: u32,
            /// State.
            state: CoreState,
            /// OSnode attached or last stopped there, 0 = none.
            osnode: u64,
            /// NUMA node.
            node: u32,
            /// APIC id or MPIDR.
            hw_id: u64,
        },
        /// The running kernel.
        Kernel = 0x8003 {
            /// Name.
            name: Name,
            /// Attach epoch of the OSnode.
            epoch: u64,
        },
        /// One OSnode.
        Osnode = 0x8004 {
            /// Its id.
            osnode: u64,
            /// Core that it runs on, or was stopped on.
            core: u32,
            /// Whether a kernel runs it.
            attached: bool,
        },
        /// The blob is the text.
        Log = 0x8005 {},
        /// It was told.
        Told = 0x8007 {},
        /// Refused; blob: for people.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
        },
    }
}

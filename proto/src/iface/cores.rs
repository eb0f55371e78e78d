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

impl CoreState {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            CoreState::Off => "off",
            CoreState::Detached => "detached",
            CoreState::Penned => "penned",
            CoreState::Starting => "starting",
            CoreState::Running => "running",
            CoreState::Crashed => "crashed",
            CoreState::Lost => "lost",
        }
    }
}

crate::interface! {
    /// Cores, kernels and OSnodes of the machine, and operations on them.
    pub interface Cores = 8, version 1, errors ServiceError;
    messages CoresRequest, CoresReply;
    stubs CoresClient, CoresServer;
    replies {
        /// Done; blob: text for people.
        Done = 0x8001 {
            /// OSnode concerned.
            osnode: u64,
            /// Duration (system time).
            took_ns: u64,
            /// `OperateAll`: how long all the cores were between two kernels at the same time.
            together_ns: u64,
        } blob text;
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
        } blob text;
        /// The running kernel.
        Kernel = 0x8003 {
            /// Name.
            name: Name,
            /// Attach epoch of the OSnode.
            epoch: u64,
        } blob build;
        /// One OSnode.
        Osnode = 0x8004 {
            /// Its id.
            osnode: u64,
            /// Core that it runs on, or was stopped on.
            core: u32,
            /// Whether a kernel runs it.
            attached: bool,
        };
        /// The blob is the text.
        Log = 0x8005 {} blob text;
        /// It was told.
        Told = 0x8007 {};
    }
    requests {
        /// Executes an operation. Blob: kernel name (empty = `std`). Answer: `Done` or `Refused`, its blob for people.
        Operate = 1 operate {
            /// What.
            op: CoreOp,
            /// Core.
            core: u32,
            /// `Start`: make a new OSnode even if one was stopped there.
            fresh: bool,
        } blob kernel -> Done;
        /// Executes an operation on several cores together: none is touched before all are prepared.
        /// Blob: kernel name (empty = `std`), a zero byte, the cores' numbers (four bytes each,
        /// little-endian). Answer: `Done` or `Refused`, its blob for people.
        OperateAll = 6 operate_all {
            /// What.
            op: CoreOp,
            /// As for `Operate`.
            fresh: bool,
        } blob kernel_and_cores -> Done;
        /// Moves the OSnode of a core, running or stopped, to another core. Blob: kernel name (empty = by rule). If it
        /// does not start there, it is afterwards as it was. Answer: `Done` or `Refused`, its blob for people.
        Move = 9 move_osnode {
            /// The core that it leaves.
            from: u32,
            /// The core that it goes to: one without an OSnode.
            to: u32,
        } blob kernel -> Done;
        /// Destroys the OSnode of a core, whether it runs, crashed, or was stopped there. Answer: `Done` or `Refused`,
        /// its blob for people.
        Destroy = 10 destroy {
            /// Core.
            core: u32,
        } -> Done;
        /// Stops a core, to be started again with the same OSnode after a time: by a boot driver on another core, so
        /// that the core may be the one of the device manager. Answer: `Done` or `Refused`, its blob for people.
        Pause = 11 pause {
            /// Core.
            core: u32,
            /// Nanoseconds of system time.
            for_ns: u64,
        } -> Done;
        /// The core at this index. Answer: `Core` (blob: where it is, a line feed, the last words of a crashed
        /// kernel) or `Refused(End)`.
        Core = 2 core_at {
            /// Position.
            index: u32,
        } -> Core;
        /// What the *running* kernel of the core at this index says of itself. Answer: `Kernel` (blob: build id as hex).
        Kernel = 3 kernel_at {
            /// Position.
            index: u32,
        } -> Kernel;
        /// The OSnode at this index. Answer: `Osnode` or `Refused(End)`.
        Osnode = 4 osnode_at {
            /// Position.
            index: u32,
        } -> Osnode;
        /// The last lines of the log of a core's kernels.
        Log = 5 log {
            /// Core.
            core: u32,
        } -> Log;
        /// From the knowledge base, which knows nothing yet, or nothing any more: it is told
        /// everything.
        Tell = 8 tell_everything {} -> Told;
    }
}

//! Device manager → boot driver.

use crate::iface::cores::{CoreOp, CoreState};
use crate::{Name, ServiceError};

crate::messages! {
    /// Requests.
    pub enum DriverRequest: 9 (Driver 1) {
        /// There is such a core. Answer: `Done`.
        Describe = 1 {
            /// Number.
            core: u32,
            /// APIC id or MPIDR.
            hw_id: u64,
            /// NUMA node.
            node: u32,
            /// Arm, GICv3: address and bytes of all redistributors; else 0.
            redistributors: (u64, u64),
        },
        /// Executes an operation. Blob: kernel name. Answer: `Done` or `Refused`, its blob for people.
        Operate = 2 {
            /// What.
            op: CoreOp,
            /// Core.
            core: u32,
            /// OSnode whose KCB is to be run; 0 = make a new one.
            osnode: u64,
            /// Id of the new one.
            fresh: u64,
            /// Operations with the same number touch no core before all of them are prepared; its
            /// low byte says how many there are. 0 = this one goes alone.
            together: u64,
        },
        /// Stops a core, and starts it again with the same OSnode after a time. Blob: kernel name. Answer: `Done` or
        /// `Refused`, its blob for people.
        Pause = 13 {
            /// Core.
            core: u32,
            /// The OSnode that it runs.
            osnode: u64,
            /// Nanoseconds of system time.
            for_ns: u64,
        },
        /// Moves an OSnode to another core. Blob: kernel name. Answer: `Done` or `Refused`, with the state of the
        /// core that it was to go to; its blob for people.
        Move = 7 {
            /// Its id.
            osnode: u64,
            /// The core that it leaves.
            from: u32,
            /// The core that it goes to.
            to: u32,
            /// Whether a kernel runs it.
            runs: bool,
        },
        /// Fences an OSnode that no kernel runs: its core is in the pen or off, and lets go of it; nobody can run it
        /// afterwards. Answer: `Done` or `Refused`; blob: for people.
        Fence = 8 {
            /// Its id.
            osnode: u64,
            /// The core that it was on.
            core: u32,
        },
        /// The memory of a fenced OSnode goes back to the memory service, once nobody holds anything of it. Answer:
        /// `Done`, at once or soon; blob: for people.
        Bury = 9 {
            /// Its id.
            osnode: u64,
        },
        /// Which OSnodes there are, and what each core does, once no operation is under way. Answer: `Survey`.
        Survey = 14 {},
        /// What the core's object says. Answer: `State`.
        State = 3 {
            /// Core.
            core: u32,
        },
        /// Gives the right to command a core to another OSnode. Answer: `Done`.
        HandOver = 4 {
            /// Core.
            core: u32,
            /// OSnode.
            osnode: u64,
        },
        /// The kernel log of a core. Answer: `Log`.
        Log = 5 {
            /// Core.
            core: u32,
        },
        /// What the processor of a core says of itself. Answer: `Processor`.
        Processor = 12 {
            /// Core.
            core: u32,
        },
        /// Whose kernel crashed, of 64 cores. Answer: `Crashed`.
        Crashed = 6 {
            /// The first of them.
            first: u32,
        },
    }
}

crate::messages! {
    /// Replies.
    pub enum DriverReply: 9 (Driver 1) {
        /// Done; blob: text for people.
        Done = 0x8001 {
            /// OSnode concerned.
            osnode: u64,
            /// Duration (system time).
            took_ns: u64,
            /// System time at which the core was first and last touched: between them it ran no
            /// kernel, or was about to.
            switched: (u64, u64),
        },
        /// State of a core; blob: build id of its kernel as hex, or the epitaph of a crashed one.
        State = 0x8002 {
            /// State.
            state: CoreState,
            /// Name of its kernel.
            kernel: Name,
        },
        /// The blob is the text.
        Log = 0x8003 {},
        /// Answer to `Crashed`.
        Crashed = 0x8004 {
            /// A bit for each core, from the first on.
            cores: u64,
        },
        /// Answer to `Processor`; its blob has the eight words of the core's object, little-endian.
        Processor = 0x8005 {},
        /// Answer to `Survey`; its blob has three little-endian words for each OSnode and for each core without one: id
        /// (0 = none), core, [`CoreState`] of that core as far as it is about this OSnode.
        Survey = 0x8006 {},
        /// Refused; blob: for people. The core's state after it.
        Refused = 0x80ff {
            /// Why.
            error: ServiceError,
            /// State of the core now.
            state: CoreState,
            /// OSnode that was made and is kept, or 0.
            osnode: u64,
        },
    }
}

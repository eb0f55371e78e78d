//! Device manager → boot driver.

use core::fmt;

use crate::iface::cores::{CoreOp, CoreState};
use crate::stub::Malformed;
use crate::wire::{Field, Reader, Writer};
use crate::{ServiceError, WireError};

/// Why a boot driver refuses, and what the core does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverError {
    /// Why.
    pub error: ServiceError,
    /// State of the core now.
    pub state: CoreState,
    /// OSnode that was made and is kept, or 0.
    pub osnode: u64,
}

impl Field for DriverError {
    const WORDS: usize = 3;
    fn put(&self, w: &mut Writer) {
        self.error.put(w);
        self.state.put(w);
        self.osnode.put(w);
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        Ok(DriverError {
            error: Field::get(r)?,
            state: Field::get(r)?,
            osnode: Field::get(r)?,
        })
    }
}

impl Malformed for DriverError {
    fn malformed(why: WireError) -> DriverError {
        DriverError {
            error: ServiceError::malformed(why),
            state: CoreState::Off,
            osnode: 0,
        }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// An OSnode, or a core without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Surveyed {
    /// Id of the OSnode; 0 = none.
    pub osnode: u64,
    /// The core that it is, or was last, on.
    pub core: u32,
    /// What that core does, as far as it is about this OSnode.
    pub state: CoreState,
}

impl Field for Surveyed {
    const WORDS: usize = 3;
    fn put(&self, w: &mut Writer) {
        self.osnode.put(w);
        self.core.put(w);
        self.state.put(w);
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Surveyed {
            osnode: Field::get(r)?,
            core: Field::get(r)?,
            state: Field::get(r)?,
        })
    }
}

crate::interface! {
    /// Operations on cores, executed.
    pub interface Driver = 9, version 3, errors DriverError;
    messages DriverRequest, DriverReply;
    stubs DriverClient, DriverServer;
    replies {
        /// Done; blob: for people.
        Done = 0x8001 {
            /// OSnode concerned.
            osnode: u64,
            /// Duration (system time).
            took_ns: u64,
            /// System time at which the core was first and last touched: between them it ran no
            /// kernel, or was about to.
            switched: (u64, u64),
        } blob text;
        /// State of a core; blob: the epitaph of a crashed kernel.
        State = 0x8002 {
            /// State.
            state: CoreState,
            /// The OSnode whose monitor ended, so that the kernel had to crash with it; 0 = the kernel is to blame.
            ended: u64,
        } blob epitaph;
        /// What the kernels logged.
        Log = 0x8003 {} blob text;
        /// Whose kernel crashed.
        Crashed = 0x8004 {
            /// A bit for each core, from the first on.
            cores: u64,
            /// An OSnode, on whatever core, whose monitor ended: nobody can run it any more; 0 = there is none.
            ended: u64,
        };
        /// Blob: the eight words of the core's object, little-endian.
        Processor = 0x8005 {} blob words;
        /// Blob: a [`list`](crate::list) of [`Surveyed`].
        Survey = 0x8006 {} blob found;
    }
    requests {
        /// There is such a core.
        Describe = 1 describe {
            /// Number.
            core: u32,
            /// APIC id or MPIDR.
            hw_id: u64,
            /// NUMA node.
            node: u32,
            /// Arm, GICv3: address and bytes of all redistributors; else 0.
            redistributors: (u64, u64),
        } -> Done;
        /// Executes an operation. Blob: kernel name.
        Operate = 2 operate {
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
        } blob kernel -> Done;
        /// Stops a core, and starts it again with the same OSnode after a time. Blob: kernel name.
        Pause = 13 pause {
            /// Core.
            core: u32,
            /// The OSnode that it runs.
            osnode: u64,
            /// Nanoseconds of system time.
            for_ns: u64,
        } blob kernel -> Done;
        /// Moves an OSnode to another core. Blob: kernel name. A refusal says the
        /// state of the core that it was to go to.
        Move = 7 move_osnode {
            /// Its id.
            osnode: u64,
            /// The core that it leaves.
            from: u32,
            /// The core that it goes to.
            to: u32,
            /// Whether a kernel runs it.
            runs: bool,
        } blob kernel -> Done;
        /// Fences an OSnode that no kernel runs: its core is in the pen or off, and lets go of it; nobody can run it
        /// afterwards.
        Fence = 8 fence {
            /// Its id.
            osnode: u64,
            /// The core that it was on.
            core: u32,
        } -> Done;
        /// The memory of a fenced OSnode goes back to the memory service, each part once nobody holds it. Answered
        /// at once or soon.
        Bury = 9 bury {
            /// Its id.
            osnode: u64,
        } -> Done;
        /// Which OSnodes there are, and what each core does, once no operation is under way.
        Survey = 14 survey {} -> Survey;
        /// What the core's object says.
        State = 3 state {
            /// Core.
            core: u32,
        } -> State;
        /// Gives the right to command a core to another OSnode.
        HandOver = 4 hand_over {
            /// Core.
            core: u32,
            /// OSnode.
            osnode: u64,
        } -> Done;
        /// The kernel log of a core.
        Log = 5 log {
            /// Core.
            core: u32,
        } -> Log;
        /// What the processor of a core says of itself.
        Processor = 12 processor {
            /// Core.
            core: u32,
        } -> Processor;
        /// Whose kernel crashed, of 64 cores.
        Crashed = 6 crashed {
            /// The first of them.
            first: u32,
        } -> Crashed;
    }
}

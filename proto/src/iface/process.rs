//! Between a process and who started it (`PARENT` one way, the process's endpoint 0 the other).

crate::codes! {
    /// What ended a process.
    pub enum FaultKind {
        /// An access to an address that is not mapped, or not so.
        PageFault = 0,
        /// A trap (division, undefined instruction, …): detail is `abi::disp::TrapKind`.
        Trap = 1,
        /// A panic; the text stands in the blob.
        Panic = 2,
        /// The first stack was overrun.
        StackOverrun = 3,
        /// The kernel ended it: it could not take its upcall.
        Kernel = 4,
    }
}

crate::messages! {
    /// Starter → process.
    pub enum ProcessRequest: 5 {
        /// Check yourself. Answer: `Checked`, text in the blob.
        Check = 1 {},
        /// End. Answer: `Stopping`, then `Exited`.
        Stop = 2 {},
        /// A command of the program's own; text in the blob. Answer: `Checked`.
        Tell = 3 {},
        /// Some service ended: look whether those that you wait for are still there. No answer.
        Look = 4 {},
    }
}

crate::messages! {
    /// Process → starter: answers to the above, and notices (tag 0).
    pub enum ProcessNotice: 5 {
        /// Result of a check or command; text in the blob.
        Checked = 0x8001 {
            /// Every check is clean.
            ok: bool,
            /// Kernel changes that fell inside its long operations, if it counts them.
            inside: u64,
        },
        /// Ends now.
        Stopping = 0x8002 {},
        /// The program does not take this request.
        Unsupported = 0x8003 {},
        /// Start-up is over (services: the name is registered).
        Ready = 0x8010 {},
        /// Ended by itself.
        Exited = 0x8011 {
            /// 0 = success.
            status: i32,
        },
        /// Ended by a fault or panic.
        Faulted = 0x8012 {
            /// What.
            kind: FaultKind,
            /// Fault address or trap kind.
            detail: u64,
            /// Program counter, relative to the program's load address.
            pc: u64,
        },
    }
}

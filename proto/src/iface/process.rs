//! Between a process and who started it (`PARENT` one way, the process's endpoint 0 the other).

use crate::{Name, ServiceError};

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

crate::interface! {
    /// What a starter asks of its process. Among the replies are the notices (tag 0) that the
    /// process sends by itself.
    pub interface Process = 5, version 3, errors ServiceError;
    messages ProcessRequest, ProcessNotice;
    stubs ProcessClient, ProcessServer;
    replies {
        /// Result of a check or command.
        Checked = 0x8001 {
            /// Every check is clean.
            ok: bool,
            /// Kernel changes that fell inside its long operations, if it counts them.
            inside: u64,
        } blob text;
        /// Ends now.
        Stopping = 0x8002 {};
        /// Notice: start-up is over (services: the name is registered).
        Ready = 0x8010 {};
        /// Notice: the capability that comes along is given to the program's next process under this
        /// name, if it is started again.
        Keep = 0x8013 {
            /// Name in the start block; what was kept under it before goes.
            name: Name,
        } copies cap;
        /// Notice: ended by itself.
        Exited = 0x8011 {
            /// 0 = success.
            status: i32,
        };
        /// Notice: ended by a fault or panic (its text in the blob).
        Faulted = 0x8012 {
            /// What.
            kind: FaultKind,
            /// Fault address or trap kind.
            detail: u64,
            /// Program counter, relative to the program's load address.
            pc: u64,
        } blob text;
    }
    requests {
        /// Check yourself. Refused with `Unsupported` by a program that cannot.
        Check = 1 check {} -> Checked;
        /// End. `Exited` follows.
        Stop = 2 stop {} => Stopping;
        /// A command of the program's own. Refused with `Unsupported` by a program that has none.
        Tell = 3 command {} blob text -> Checked;
        /// Some service ended: look whether those that you wait for are still there.
        Look = 4 look {};
        /// Your starter ended, and this is another one: say again what is to be kept.
        Adopted = 5 adopted {};
    }
}

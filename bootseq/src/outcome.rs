//! How an operation ended.

use core::fmt;

use abi::SysError;

/// Refused before anything was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The driver has no such core.
    UnknownCore,
    /// The driver runs on that core.
    OwnCore,
    /// A kernel runs there.
    AlreadyRunning,
    /// No kernel runs there: there is nothing to stop.
    AlreadyStopped,
    /// No kernel runs there: there is nothing to update or recover.
    NotRunning,
    /// Its kernel crashed.
    Crashed,
    /// Its kernel is just being started or stopped.
    Changing,
    /// An earlier operation was not finished.
    Unfinished,
    /// It is off and the boot processor, which this machine cannot power on again.
    BootProcessorOff,
    /// No KCB is known for it.
    NoKcb,
    /// The fresh OSnode could not be made.
    Osnode,
    /// The kernel file is refused.
    Kernel,
}

/// Why an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The kernel did not stop in time.
    StopTimedOut,
    /// The kernel panicked; the epitaph says why.
    Panicked,
    /// The new kernel did not get through its start in time.
    Hung,
    /// The firmware refused to power the core on, with this status.
    Firmware(i64),
    /// The core was powered on, but never reached the pen.
    PowerTimedOut,
    /// A system call on the core's control was refused.
    Sys(SysError),
    /// The driver that began the operation ended in it.
    Interrupted,
}

/// How a failed operation left the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// As it was before.
    Unchanged,
    /// The former kernel runs the same KCB again.
    FormerKernel,
    /// No kernel runs; the core waits in the pen (or is off), the KCB is kept.
    Down,
    /// The core cannot be got back; its KCB stays fenced until it is.
    Lost,
    /// Not known: the driver lost the control of the core in the middle.
    Unknown,
}

/// An operation that did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Refused: nothing was touched.
    Refused(Refusal),
    /// Failed on the way.
    Failed {
        /// Why.
        reason: Reason,
        /// How it left the core.
        after: After,
        /// Whether an epitaph was saved for the report.
        epitaph: bool,
    },
}

impl Failure {
    /// Whether the former kernel runs again.
    #[must_use]
    pub const fn former_runs(&self) -> bool {
        matches!(
            self,
            Failure::Failed {
                after: After::FormerKernel,
                ..
            }
        )
    }
}

/// An operation that did what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Success {
    /// A kernel runs this KCB.
    Running {
        /// The KCB.
        kcb: u64,
        /// Whether the former kernel crashed or hung (its epitaph, if any, was saved).
        crashed: bool,
    },
    /// The core is in the pen; this KCB was detached.
    Stopped {
        /// The KCB.
        kcb: u64,
    },
    /// `resume` only: no operation was unfinished.
    Nothing,
}

/// The end of an operation.
pub type Outcome = Result<Success, Failure>;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::UnknownCore => "there is no such core",
            Refusal::OwnCore => "the boot driver runs on this core itself",
            Refusal::AlreadyRunning => "a kernel runs there already",
            Refusal::AlreadyStopped => "it is stopped already",
            Refusal::NotRunning => "no kernel runs there: start it instead",
            Refusal::Crashed => "its kernel crashed: recover it instead",
            Refusal::Changing => "its kernel is being started or stopped: try again, or recover it",
            Refusal::Unfinished => "an earlier operation on it was not finished",
            Refusal::BootProcessorOff => "the boot processor is off: only a reset brings it back",
            Refusal::NoKcb => "no OSnode is known that was run there",
            Refusal::Osnode => "its OSnode cannot be made",
            Refusal::Kernel => "the kernel file is refused",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::StopTimedOut => f.write_str("its kernel does not stop: recover it"),
            Reason::Panicked => f.write_str("its kernel panicked"),
            Reason::Hung => f.write_str("the new kernel did not answer: it hangs in its start"),
            Reason::Firmware(n) => write!(f, "the firmware refused with status {n}"),
            Reason::PowerTimedOut => f.write_str("powered on, it never reached the pen"),
            Reason::Sys(e) => write!(f, "its control was refused: {}", e.message()),
            Reason::Interrupted => f.write_str("the boot driver ended in the operation"),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            After::Unchanged => "nothing was changed",
            After::FormerKernel => "the former kernel is back on the same OSnode",
            After::Down => "no kernel runs there, the OSnode is kept: core recover brings it back",
            After::Lost => "the core is lost, its OSnode stays fenced",
            After::Unknown => "its state is not known",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(r) => write!(f, "{r}"),
            Failure::Failed { reason, after, .. } => write!(f, "{reason}; {after}"),
        }
    }
}

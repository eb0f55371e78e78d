//! Why an operation on a core is refused, and what may help.

use core::fmt;

use proto::iface::cores::CoreState;

/// Why an operation is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// (core, number of cores).
    NoCore(u32, u32),
    /// (core): what firmware says of cores is damaged, and core 0 is used alone.
    Alone(u32),
    /// (core, what it runs): it runs already.
    Running(u32, u64),
    /// (core, state): it does not run.
    NotRunning(u32, CoreState),
    /// (core): it crashed; only `recover` helps.
    Crashed(u32),
    /// (core): its OSnode was stopped; nothing is to be recovered.
    Stopped(u32),
    /// (core): it cannot be got back.
    Lost(u32),
    /// (core): an operation on it, or executed by it, is in progress.
    Busy(u32),
    /// (core): no other core runs an OSnode that could execute the operation.
    NoExecutor(u32),
    /// (core): the shell's console is there and nobody could start the core again.
    Console(u32),
    /// (core): an OSnode cannot move to where it is.
    Same(u32),
    /// (core, OSnode): the boot driver that moves OSnodes runs in it.
    Home(u32, u64),
    /// (core): it has no OSnode to be moved or destroyed.
    NoOsnode(u32),
    /// (core, OSnode): it is not free, that one runs there.
    Occupied(u32, u64),
    /// (core, OSnode): it is not free, that one was stopped there.
    Keeps(u32, u64),
    /// (core): the boot driver of this machine does not drive it.
    NotDriven(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCore(core, 1) => {
                write!(f, "there is no core {core}: this machine has core 0 only")
            }
            Self::NoCore(core, count) => {
                let last = count.saturating_sub(1);
                write!(
                    f,
                    "there is no core {core}: this machine has cores 0 to {last}"
                )
            }
            Self::Alone(core) => write!(
                f,
                "core {core} cannot be used: what firmware says of cores is damaged, so core 0 is used alone (log 0 says what is wrong)"
            ),
            Self::Running(core, o) => write!(
                f,
                "core {core} already runs o{o}: core update {core} replaces its kernel, core stop {core} stops it"
            ),
            Self::NotRunning(core, s) => {
                let s = s.word();
                write!(
                    f,
                    "core {core} is not running (it is {s}): core start {core}"
                )
            }
            Self::Crashed(core) => write!(f, "core {core} has crashed: core recover {core}"),
            Self::Stopped(core) => write!(
                f,
                "core {core} was stopped and keeps its OSnode: core start {core} runs it again"
            ),
            Self::Lost(core) => write!(
                f,
                "core {core} is lost: its kernel could not be stopped; only a reset brings it back"
            ),
            Self::Busy(core) => write!(f, "an operation that needs core {core} is in progress"),
            Self::NoExecutor(core) => write!(
                f,
                "core {core} cannot be driven from itself, and no other core runs: start another core first"
            ),
            Self::Console(core) => write!(
                f,
                "core {core} runs the console: stopped, nothing could start it again; core stop {core} --for 500 stops it for 500 ms"
            ),
            Self::Same(core) => write!(f, "core {core} is where the OSnode is: name another core"),
            Self::Home(core, o) => write!(
                f,
                "core {core} runs o{o}, whose boot driver drives all others: it stays on its core"
            ),
            Self::NoOsnode(core) => write!(
                f,
                "core {core} has no OSnode, neither running nor stopped: cores and osnodes list them"
            ),
            Self::Occupied(core, o) => write!(
                f,
                "core {core} runs o{o}: name a core without an OSnode, or move that one away first"
            ),
            Self::Keeps(core, o) => write!(
                f,
                "core {core} keeps o{o}, which was stopped there: move that one away first"
            ),
            Self::NotDriven(core) => write!(
                f,
                "core {core} cannot be driven: the boot driver of this machine is for another kind of core"
            ),
        }
    }
}

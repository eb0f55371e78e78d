//! What goes into a sequence, and what comes out of it.

use abi::SysError;
use capfmt::{CoreCommand, CoreStatus};

use crate::outcome::Outcome;

/// A core operation. The numbers stand in the Core object (`op`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Op {
    /// Bring a core without a kernel to run an OSnode.
    Start = 1,
    /// Take the kernel away; the KCB is kept.
    Stop = 2,
    /// Another kernel, same KCB.
    Update = 3,
    /// A new kernel for a core whose kernel crashed or hangs, same KCB.
    Recover = 4,
    /// As `Stop`, but the OSnode goes to another core, or goes on here if it cannot ([`crate::Move`]).
    Move = 5,
}

impl Op {
    /// The operation with this number.
    #[must_use]
    pub const fn from_u64(n: u64) -> Option<Op> {
        Some(match n {
            1 => Op::Start,
            2 => Op::Stop,
            3 => Op::Update,
            4 => Op::Recover,
            5 => Op::Move,
            _ => return None,
        })
    }
}

/// How a core without power is brought into the pen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// x86: INIT and two SIPIs, which also bring a hung core back.
    Sipi,
    /// Arm: PSCI CPU_ON, which a running core refuses.
    Psci,
}

/// The core of an operation, as the driver knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Index of the core.
    pub core: u32,
    /// Whether the driver has the core's `CoreControl`.
    pub known: bool,
    /// Whether the driver itself runs on it.
    pub own: bool,
    /// The boot processor (`capfmt::Core::FLAG_BOOT`): on x86 never sent INIT.
    pub boot_processor: bool,
    /// How it is powered on.
    pub power: Power,
}

/// Which KCB to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KcbSource {
    /// That of a new OSnode (`Start` only).
    Fresh,
    /// The one at this physical address. `Stop`, `Update` and `Recover` take the one that
    /// the core says it runs, and this one only if it says none.
    Kept(u64),
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The operation.
    pub op: Op,
    /// Its KCB.
    pub kcb: KcbSource,
}

/// A core's control lines, read at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lines {
    /// Target line: status.
    pub status: CoreStatus,
    /// Target line: sequence number answered.
    pub target_seq: u64,
    /// Target line: KCB being run, or 0.
    pub kcb: u64,
    /// Home line: sequence number of the last command.
    pub home_seq: u64,
    /// Home line: image area of the last command (0 or 1): the one in use.
    pub image: u64,
    /// Whether an epitaph stands in the Core object.
    pub epitaph: bool,
}

/// How far an operation has come. The numbers stand in the Core object (low byte of `op_phase`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Phase {
    /// All is prepared: the core is being stopped, started, or both.
    Switching = 1,
    /// The new kernel failed: the former one is being started again.
    Back = 2,
    /// The new kernel runs: the former image is to be poisoned.
    Releasing = 3,
}

/// The operation record of a Core object (`op`, `op_phase`, `op_kcb`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Number of an [`Op`]; 0 = none.
    pub op: u64,
    /// Number of a [`Phase`] | area of the new image << 8.
    pub phase: u64,
    /// KCB that it is about.
    pub kcb: u64,
}

impl Record {
    /// No operation.
    pub const NONE: Record = Record {
        op: 0,
        phase: 0,
        kcb: 0,
    };

    pub(crate) const fn new(op: Op, phase: Phase, area: u64, kcb: u64) -> Record {
        Record {
            op: op as u64,
            phase: phase as u64 | area << 8,
            kcb,
        }
    }

    /// Operation, phase and area of the new image; `None` for numbers that no driver wrote.
    #[must_use]
    pub const fn decode(&self) -> Option<(Op, Phase, u64)> {
        let phase = match self.phase & 0xff {
            1 => Phase::Switching,
            2 => Phase::Back,
            3 => Phase::Releasing,
            _ => return None,
        };
        match Op::from_u64(self.op) {
            Some(op) if self.phase >> 8 <= 1 => Some((op, phase, self.phase >> 8)),
            _ => None,
        }
    }
}

/// What a core can be sent. The numbers are those of `CoreControl.CoreSignal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Signal {
    /// Wakes it in the pen.
    Wake = 0,
    /// Tells its kernel to look at the home line.
    Stop = 1,
    /// Cannot be masked (x86: NMI; Arm: the stop interrupt at highest priority).
    Nmi = 2,
    /// x86: INIT.
    Init = 3,
    /// x86: SIPI; Arm: PSCI CPU_ON; at the Core object's firmware entry.
    PowerOn = 4,
}

/// What the driver is to do next. The [`Input`] that answers it stands at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Read the operation record. [`Input::Record`].
    ReadRecord,
    /// Write the operation record. [`Input::Done`].
    WriteRecord(Record),
    /// Read the control lines. [`Input::Lines`].
    ReadLines,
    /// Make a fresh OSnode on the core's node and seal it. [`Input::Osnode`].
    MakeOsnode,
    /// Verify the kernel against core and KCB, load it into this image area, clean
    /// caches, write the image record. Nothing else is touched. [`Input::Loaded`].
    LoadImage {
        /// Area (and image record) 0 or 1.
        area: u64,
        /// KCB that it is to run.
        kcb: u64,
    },
    /// All is prepared: the switch follows, in which no service is called. [`Input::Done`].
    Prepared,
    /// Write the home line and signal the core: `Stop` by the stop interrupt, else by a
    /// wake-up. [`Input::Commanded`].
    Command {
        /// The command; `None` takes back one that was not taken, and is answered by the pen alone.
        command: CoreCommand,
        /// KCB.
        kcb: u64,
        /// Image area.
        image: u64,
    },
    /// Signal the core. [`Input::Signalled`].
    Signal(Signal),
    /// Wait until this time; if it is not later than now, let other cores run for a moment
    /// (pause, yield). [`Input::Done`].
    Wait {
        /// System time in nanoseconds.
        until_ns: u64,
    },
    /// Copy the epitaph, if there is one, for the report. [`Input::Done`].
    SaveEpitaph,
    /// Give the image in this area its initial data back: it ran, and is to be started again
    /// (`genesis::restore_kernel`). [`Input::Done`].
    RestoreImage {
        /// Area 0 or 1.
        area: u64,
    },
    /// Overwrite an image area that nothing uses any more. [`Input::Done`].
    Poison {
        /// Area 0 or 1.
        area: u64,
    },
    /// The operation is over.
    Finish(Outcome),
}

impl Action {
    /// Whether it takes long, so that it must not delay another core's switch.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        matches!(
            self,
            Action::MakeOsnode | Action::LoadImage { .. } | Action::Poison { .. }
        )
    }
}

/// What came of an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Nothing was asked yet: the first input of every sequence.
    Begin,
    /// It is done.
    Done,
    /// The operation record.
    Record(Record),
    /// The control lines.
    Lines(Lines),
    /// The new OSnode's KCB; `None` = it could not be made (the driver knows why).
    Osnode(Option<u64>),
    /// Whether the kernel was loaded; `false` = refused (the driver knows why).
    Loaded(bool),
    /// Sequence number of the command.
    Commanded(u64),
    /// Status of the signal: 0, or the firmware's.
    Signalled(i64),
    /// The system call for it was refused.
    Failed(SysError),
}

/// Times and patience, in nanoseconds of system time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// x86: from INIT to the first SIPI (Intel SDM 325462, vol. 3, §10.4.4).
    pub init_ns: u64,
    /// x86: from the first SIPI to the second (same place).
    pub sipi_ns: u64,
    /// From power-on to the pen.
    pub power_ns: u64,
    /// From a stop command to the pen.
    pub stop_ns: u64,
    /// From a start command to a running kernel.
    pub start_ns: u64,
    /// From a command to the pen's answer, if the core is there.
    pub probe_ns: u64,
    /// From an NMI to the pen.
    pub force_ns: u64,
    /// Reads of the lines that follow each other without sleep.
    pub spin_reads: u32,
    /// First sleep between two reads after that; it doubles up to `last_sleep_ns`.
    pub first_sleep_ns: u64,
    /// Longest sleep between two reads.
    pub last_sleep_ns: u64,
}

impl Timing {
    /// The times of the shipped drivers.
    pub const DEFAULT: Timing = Timing {
        init_ns: 10_000_000,
        sipi_ns: 200_000,
        power_ns: 1_000_000_000,
        stop_ns: 1_000_000_000,
        start_ns: 500_000_000,
        probe_ns: 20_000_000,
        force_ns: 200_000_000,
        spin_reads: 200,
        first_sleep_ns: 20_000,
        last_sleep_ns: 1_000_000,
    };
}

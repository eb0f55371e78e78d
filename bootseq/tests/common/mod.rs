//! A core as its pen, kernels and firmware make it behave, and a driver that keeps a trace.
#![allow(dead_code)]

use abi::SysError;
use bootseq::{
    Action, Input, KcbSource, Lines, Op, Outcome, Power, Record, Request, Sequence, Signal, Target,
    Timing,
};
use capfmt::{CoreCommand, CoreStatus};

/// Times small enough that a time-out is a handful of reads: two sleeps of 10 in 20.
pub const TIMING: Timing = Timing {
    init_ns: 10_000,
    sipi_ns: 200,
    power_ns: 20,
    stop_ns: 20,
    start_ns: 20,
    probe_ns: 10,
    force_ns: 10,
    spin_reads: 0,
    first_sleep_ns: 10,
    last_sleep_ns: 10,
};

/// The KCB of most tests, and the one that a fresh OSnode gets.
pub const KCB: u64 = 0x8000;
pub const FRESH: u64 = 0xf000;

/// How a kernel behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// Starts, runs, stops when told.
    Good,
    /// Panics in its start.
    Panics,
    /// Panics before it reports anything.
    PanicsEarly,
    /// Hangs in its start, but takes an NMI.
    Hangs,
    /// Hangs before it reports anything, and with interrupts of every kind off.
    HangsDeaf,
    /// Runs, but does not stop when told; takes an NMI.
    Stubborn,
    /// Runs; does not stop and takes no NMI.
    StubbornDeaf,
    /// Runs; panics when told to stop.
    PanicsInStop,
}

/// What stands in an image area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Area {
    Poisoned,
    /// Loaded (or restored), not run yet.
    Fresh(Kernel),
    /// It ran: its data is no longer what it was.
    Ran(Kernel),
}

/// Where the core is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Off,
    AfterInit,
    Pen,
    Kernel(u64),
    /// In the kernel of this area, which hangs.
    Hung(u64),
}

#[derive(Clone, Debug)]
pub struct Core {
    pub target: Target,
    pub lines: Lines,
    pub record: Record,
    pub areas: [Area; 2],
    pub place: Place,
    pub home_cmd: CoreCommand,
    /// KCB on the home line.
    pub home_kcb: u64,
    pub answered: u64,
    /// What the next `LoadImage` loads; `None` = the file is refused.
    pub file: Option<Kernel>,
    /// What PSCI answers; the last one stays.
    pub psci: Vec<i64>,
    /// What firmware is asked to do has no effect on the core.
    pub dead: bool,
    /// The interrupts that come with commands get lost.
    pub deaf_to_commands: bool,
    pub time: u64,
    pub trace: Vec<String>,
}

impl Core {
    /// A core that never ran.
    pub fn off(power: Power) -> Core {
        Core {
            target: Target {
                core: 1,
                known: true,
                own: false,
                boot_processor: false,
                power,
            },
            lines: Lines {
                status: CoreStatus::Off,
                target_seq: 0,
                kcb: 0,
                home_seq: 0,
                image: 0,
                epitaph: false,
            },
            record: Record::NONE,
            areas: [Area::Poisoned; 2],
            place: Place::Off,
            home_cmd: CoreCommand::None,
            home_kcb: 0,
            answered: 0,
            file: Some(Kernel::Good),
            psci: vec![0],
            dead: false,
            deaf_to_commands: false,
            time: 1000,
            trace: Vec::new(),
        }
    }

    /// A core in the pen, stopped before.
    pub fn penned(power: Power) -> Core {
        let mut c = Core::off(power);
        c.place = Place::Pen;
        c.lines.status = CoreStatus::Penned;
        (c.lines.home_seq, c.lines.target_seq, c.answered) = (4, 4, 4);
        c
    }

    /// A core that runs `kernel` from area 0.
    pub fn running(power: Power, kernel: Kernel) -> Core {
        let mut c = Core::penned(power);
        c.place = Place::Kernel(0);
        c.areas[0] = Area::Ran(kernel);
        c.lines.status = CoreStatus::Running;
        (c.lines.kcb, c.home_kcb) = (KCB, KCB);
        c
    }

    /// A core whose kernel crashed.
    pub fn crashed(power: Power) -> Core {
        let mut c = Core::running(power, Kernel::Good);
        c.crash();
        c
    }

    fn crash(&mut self) {
        self.lines.status = CoreStatus::Crashed;
        self.lines.epitaph = true;
        self.place = Place::Pen;
        self.pen();
    }

    /// The pen looks at the home line.
    fn pen(&mut self) {
        if self.lines.home_seq == self.answered {
            return;
        }
        self.answered = self.lines.home_seq;
        if self.home_cmd != CoreCommand::Start {
            self.lines.target_seq = self.lines.home_seq;
            return;
        }
        let area = self.lines.image as usize;
        let Area::Fresh(kernel) = self.areas[area] else {
            panic!("the pen was told to run {:?}", self.areas[area]);
        };
        self.areas[area] = Area::Ran(kernel);
        self.place = Place::Hung(area as u64);
        if matches!(kernel, Kernel::PanicsEarly) {
            return self.crash();
        }
        if matches!(kernel, Kernel::HangsDeaf) {
            return;
        }
        self.lines.status = CoreStatus::Starting;
        self.lines.kcb = self.home_kcb;
        self.lines.target_seq = self.lines.home_seq;
        match kernel {
            Kernel::Panics => self.crash(),
            Kernel::Hangs => {}
            _ => {
                self.lines.status = CoreStatus::Running;
                self.place = Place::Kernel(area as u64);
            }
        }
    }

    /// The kernel in `area`, which is running or hanging there.
    fn kernel(&self, area: u64) -> Kernel {
        match self.areas[area as usize] {
            Area::Ran(k) => k,
            other => panic!("the core runs {other:?}"),
        }
    }

    fn signal(&mut self, s: Signal) -> i64 {
        match (s, self.place) {
            (Signal::Wake, Place::Pen) => self.pen(),
            (Signal::Stop, Place::Kernel(area)) => self.stop(area),
            (Signal::Nmi, Place::Kernel(area) | Place::Hung(area)) => {
                let deaf = [Kernel::HangsDeaf, Kernel::StubbornDeaf];
                if !deaf.contains(&self.kernel(area)) {
                    self.crash();
                }
            }
            (Signal::Init | Signal::PowerOn, _) => return self.firmware(s),
            _ => {}
        }
        0
    }

    fn stop(&mut self, area: u64) {
        if self.home_cmd != CoreCommand::Stop || self.lines.home_seq == self.lines.target_seq {
            return;
        }
        match self.kernel(area) {
            Kernel::Stubborn | Kernel::StubbornDeaf => {}
            Kernel::PanicsInStop => self.crash(),
            _ => {
                self.lines.target_seq = self.lines.home_seq;
                self.answered = self.lines.home_seq;
                self.lines.status = CoreStatus::Penned;
                self.lines.kcb = 0;
                self.place = Place::Pen;
            }
        }
    }

    fn firmware(&mut self, s: Signal) -> i64 {
        match (self.target.power, s) {
            (Power::Psci, Signal::Init) => return -1,
            (Power::Psci, _) => {
                let status = match self.psci.len() {
                    1 => self.psci[0],
                    _ => self.psci.remove(0),
                };
                let on = self.place != Place::Off;
                if status != 0 || on {
                    return if on { -4 } else { status };
                }
            }
            (Power::Sipi, Signal::Init) => {
                assert!(!self.target.boot_processor, "INIT to the boot processor");
                if !self.dead {
                    self.place = Place::AfterInit;
                }
                return 0;
            }
            (Power::Sipi, _) if self.place != Place::AfterInit => return 0,
            (Power::Sipi, _) => {}
        }
        if !self.dead {
            self.arrive();
        }
        0
    }

    /// Firmware has let the core out: it comes to its pen.
    pub fn arrive(&mut self) {
        self.place = Place::Pen;
        self.lines.status = CoreStatus::Penned;
        self.answered = self.lines.home_seq;
    }

    /// Carries an action out, as a driver does.
    pub fn carry_out(&mut self, action: Action) -> Input {
        self.trace.push(self.name(action));
        match action {
            Action::ReadRecord => Input::Record(self.record),
            Action::WriteRecord(r) => {
                self.record = r;
                Input::Done
            }
            Action::ReadLines => Input::Lines(self.lines),
            Action::MakeOsnode => Input::Osnode(Some(FRESH)),
            Action::LoadImage { area, kcb } => {
                assert!(kcb != 0);
                self.assert_unused(area);
                if let Some(kernel) = self.file {
                    self.areas[area as usize] = Area::Fresh(kernel);
                }
                Input::Loaded(self.file.is_some())
            }
            Action::Command {
                command,
                kcb,
                image,
            } => {
                self.home_cmd = command;
                self.home_kcb = kcb;
                self.lines.image = image;
                self.lines.home_seq += 1;
                let seq = self.lines.home_seq;
                if !self.deaf_to_commands {
                    self.signal(match command {
                        CoreCommand::Stop => Signal::Stop,
                        _ => Signal::Wake,
                    });
                }
                Input::Commanded(seq)
            }
            Action::Signal(s) => Input::Signalled(self.signal(s)),
            Action::Wait { until_ns } => {
                self.time = until_ns.max(self.time + 1);
                Input::Done
            }
            Action::RestoreImage { area } => {
                let area = area as usize;
                assert_eq!(self.place, Place::Pen, "an image in use is restored");
                if let Area::Ran(kernel) = self.areas[area] {
                    self.areas[area] = Area::Fresh(kernel);
                }
                Input::Done
            }
            Action::Poison { area } => {
                self.assert_unused(area);
                self.areas[area as usize] = Area::Poisoned;
                Input::Done
            }
            Action::Prepared | Action::SaveEpitaph => Input::Done,
            Action::Finish(_) => panic!("nothing is to be done"),
        }
    }

    fn assert_unused(&self, area: u64) {
        let used = matches!(self.place, Place::Kernel(a) | Place::Hung(a) if a == area);
        assert!(!used, "area {area} is in use");
    }

    fn name(&self, action: Action) -> String {
        match action {
            Action::ReadRecord => "read record".into(),
            Action::WriteRecord(Record::NONE) => "clear record".into(),
            Action::WriteRecord(r) => {
                let (op, phase, area) = r.decode().expect("a record");
                format!("record {op:?} {phase:?} area {area} kcb {:x}", r.kcb)
            }
            Action::ReadLines => "read".into(),
            Action::MakeOsnode => "make osnode".into(),
            Action::LoadImage { area, kcb } => format!("load {area} for {kcb:x}"),
            Action::Prepared => "prepared".into(),
            Action::Command {
                command,
                kcb,
                image,
            } => format!("command {command:?} kcb {kcb:x} image {image}"),
            Action::Signal(s) => format!("signal {s:?}"),
            Action::Wait { until_ns } => format!("wait {}", until_ns - self.time),
            Action::SaveEpitaph => "save epitaph".into(),
            Action::RestoreImage { area } => format!("restore {area}"),
            Action::Poison { area } => format!("poison {area}"),
            Action::Finish(_) => "finish".into(),
        }
    }

    /// Runs a sequence to its end.
    pub fn run(&mut self, mut sequence: Sequence) -> Outcome {
        self.run_some(&mut sequence, usize::MAX).expect("the end")
    }

    /// Runs at most `actions` actions of a sequence.
    pub fn run_some(&mut self, sequence: &mut Sequence, actions: usize) -> Option<Outcome> {
        let mut input = Input::Begin;
        for _ in 0..actions {
            match sequence.next(self.time, input) {
                Action::Finish(outcome) => return Some(outcome),
                action => input = self.carry_out(action),
            }
            assert!(self.trace.len() < 1000, "it does not end");
        }
        None
    }

    pub fn operate(&mut self, op: Op, kcb: KcbSource) -> Outcome {
        let request = Request { op, kcb };
        self.run(Sequence::new(self.target, request, TIMING))
    }

    pub fn resume(&mut self) -> Outcome {
        self.run(Sequence::resume(self.target, TIMING))
    }

    /// Compares the trace so far, and forgets it.
    #[track_caller]
    pub fn assert_trace(&mut self, expected: &[&str]) {
        let found = std::mem::take(&mut self.trace);
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert_eq!(f, e, "action {i} of {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }
}

/// The refusal that a system call makes.
pub const DENIED: Input = Input::Failed(SysError::NotHolder);

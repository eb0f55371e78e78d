//! From power off to the pen, through firmware.
//!
//! x86 (Intel SDM 325462, vol. 3, §10.4.4): INIT, 10 ms, SIPI, 200 µs, SIPI; a core
//! that took the first SIPI ignores the second. Arm (DEN 0022, §5.6): PSCI CPU_ON;
//! a core that is on its way off still counts as on, so ALREADY_ON is asked again.

use capfmt::CoreStatus;

use crate::outcome::Reason;
use crate::poll::{Part, Poll};
use crate::types::{Action, Input, Power, Signal, Timing};

const PSCI_ALREADY_ON: i64 = -4;
const PSCI_ON_PENDING: i64 = -5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Init,
    AfterInit,
    FirstSipi,
    AfterFirstSipi,
    SecondSipi,
    CpuOn,
    /// CPU_ON was answered ALREADY_ON; it is asked again with each read.
    AlreadyOn,
    Poll,
}

/// Powers a core on; ends when it is in the pen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PowerOn {
    step: Step,
    timing: Timing,
    poll: Poll,
    status: i64,
}

impl PowerOn {
    /// The machine and its first action.
    pub fn begin(power: Power, now: u64, timing: Timing) -> (PowerOn, Action) {
        let (step, signal) = match power {
            Power::Sipi => (Step::Init, Signal::Init),
            Power::Psci => (Step::CpuOn, Signal::PowerOn),
        };
        let part = PowerOn {
            step,
            timing,
            poll: Poll::new(now, timing.power_ns, &timing),
            status: 0,
        };
        (part, Action::Signal(signal))
    }

    pub fn next(&mut self, now: u64, input: Input) -> Part<Result<(), Reason>> {
        if let Input::Signalled(status) = input {
            return self.signalled(now, status);
        }
        let sipi = Part::Do(Action::Signal(Signal::PowerOn));
        match (self.step, input) {
            (Step::AfterInit, _) => {
                self.step = Step::FirstSipi;
                sipi
            }
            (Step::AfterFirstSipi, _) => {
                self.step = Step::SecondSipi;
                sipi
            }
            (_, Input::Lines(l)) if l.status == CoreStatus::Penned => Part::End(Ok(())),
            (_, Input::Lines(_)) => match self.poll.pause(now) {
                Some(wait) => Part::Do(wait),
                None if self.status != 0 => Part::End(Err(Reason::Firmware(self.status))),
                None => Part::End(Err(Reason::PowerTimedOut)),
            },
            (Step::AlreadyOn, _) => {
                self.step = Step::CpuOn;
                sipi
            }
            _ => Part::Do(Action::ReadLines),
        }
    }

    /// What follows a signal with this status.
    fn signalled(&mut self, now: u64, status: i64) -> Part<Result<(), Reason>> {
        let psci = matches!(self.step, Step::CpuOn);
        self.status = 0;
        if psci && status == PSCI_ALREADY_ON {
            self.status = status;
            self.step = Step::AlreadyOn;
            return Part::Do(Action::ReadLines);
        }
        if status != 0 && !(psci && status == PSCI_ON_PENDING) {
            return Part::End(Err(Reason::Firmware(status)));
        }
        let (step, wait_ns) = match self.step {
            Step::Init => (Step::AfterInit, self.timing.init_ns),
            Step::FirstSipi => (Step::AfterFirstSipi, self.timing.sipi_ns),
            _ => (Step::Poll, 0),
        };
        self.step = step;
        if wait_ns == 0 {
            self.poll = Poll::new(now, self.timing.power_ns, &self.timing);
            return Part::Do(Action::ReadLines);
        }
        Part::Do(Action::Wait {
            until_ns: now.saturating_add(wait_ns),
        })
    }
}

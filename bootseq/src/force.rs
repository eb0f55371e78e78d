//! Getting a core back from a kernel that does not go (DESIGN §5).
//!
//! That a core is in the pen is *proved*, not guessed from a status that may be
//! stale: the pen, and only the pen, answers the command `None`, which also takes
//! the place of any command that the hung kernel left unanswered, so that the pen
//! does not run it again. The ways, one after the other: ask; NMI; on x86, unless
//! it is the boot processor (which would run the firmware from its reset vector),
//! INIT and SIPI.

use capfmt::CoreCommand;

use crate::command::command;
use crate::poll::{Part, Poll};
use crate::types::{Action, Input, Lines, Power, Signal, Target, Timing};

/// Ways to the pen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Ask,
    Nmi,
    Init,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Command,
    Poll,
    Init,
    AfterInit,
    FirstSipi,
    AfterFirstSipi,
    SecondSipi,
}

/// Brings a core into the pen; ends with what the lines say there, or `None`: lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Force {
    way: Way,
    step: Step,
    /// INIT may be used.
    init: bool,
    kcb: u64,
    image: u64,
    seq: u64,
    timing: Timing,
    poll: Poll,
    /// Way `Init`: when to give up asking again.
    end_ns: u64,
}

impl Force {
    /// The machine and its first action.
    pub fn begin(target: &Target, kcb: u64, image: u64, timing: Timing) -> (Force, Action) {
        let part = Force {
            way: Way::Ask,
            step: Step::Command,
            init: target.power == Power::Sipi && !target.boot_processor,
            kcb,
            image,
            seq: 0,
            timing,
            poll: Poll::new(0, 0, &timing),
            end_ns: 0,
        };
        (part, command(CoreCommand::None, kcb, image))
    }

    pub fn next(&mut self, now: u64, input: Input) -> Part<Option<Lines>> {
        let sipi = Part::Do(Action::Signal(Signal::PowerOn));
        match (self.step, input) {
            (Step::Command, Input::Commanded(seq)) => {
                self.seq = seq;
                self.poll_for(now, self.timing.probe_ns);
                Part::Do(Action::ReadLines)
            }
            (Step::Init, Input::Signalled(0)) => {
                self.step = Step::AfterInit;
                wait(now, self.timing.init_ns)
            }
            (Step::AfterInit, _) => {
                self.step = Step::FirstSipi;
                sipi
            }
            (Step::FirstSipi, Input::Signalled(0)) => {
                self.step = Step::AfterFirstSipi;
                wait(now, self.timing.sipi_ns)
            }
            (Step::AfterFirstSipi, _) => {
                self.step = Step::SecondSipi;
                sipi
            }
            (Step::SecondSipi, Input::Signalled(0)) => {
                self.end_ns = now.saturating_add(self.timing.power_ns);
                self.ask_again()
            }
            (Step::Init | Step::FirstSipi | Step::SecondSipi, _) => Part::End(None),
            (_, Input::Lines(l)) if l.target_seq == self.seq => Part::End(Some(l)),
            (_, Input::Lines(_)) => match self.poll.pause(now) {
                Some(wait) => Part::Do(wait),
                None => self.next_way(now),
            },
            _ => Part::Do(Action::ReadLines),
        }
    }

    fn poll_for(&mut self, now: u64, for_ns: u64) {
        self.step = Step::Poll;
        self.poll = Poll::new(now, for_ns, &self.timing);
    }

    fn ask_again(&mut self) -> Part<Option<Lines>> {
        self.step = Step::Command;
        Part::Do(command(CoreCommand::None, self.kcb, self.image))
    }

    /// The present way did not lead to the pen in time.
    fn next_way(&mut self, now: u64) -> Part<Option<Lines>> {
        match self.way {
            Way::Ask => {
                self.way = Way::Nmi;
                self.poll_for(now, self.timing.force_ns);
                Part::Do(Action::Signal(Signal::Nmi))
            }
            Way::Nmi if self.init => {
                self.way = Way::Init;
                self.step = Step::Init;
                Part::Do(Action::Signal(Signal::Init))
            }
            // The pen entered by firmware takes no command from before its time: ask anew.
            Way::Init if now < self.end_ns => self.ask_again(),
            Way::Nmi | Way::Init => Part::End(None),
        }
    }
}

fn wait(now: u64, for_ns: u64) -> Part<Option<Lines>> {
    Part::Do(Action::Wait {
        until_ns: now.saturating_add(for_ns),
    })
}

//! Telling a kernel to go, and the pen to run another.

use capfmt::{CoreCommand, CoreStatus};

use crate::poll::{Part, Poll};
use crate::types::{Action, Input, Lines, Signal, Timing};

/// A command for the home line.
pub(crate) const fn command(command: CoreCommand, kcb: u64, image: u64) -> Action {
    Action::Command {
        command,
        kcb,
        image,
    }
}

/// What came of a stop command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stopped {
    /// Detached and in the pen.
    Penned,
    /// The kernel panicked instead; it is in the pen.
    Crashed,
    /// Neither; the command was taken back.
    TimedOut,
}

/// What came of a start command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Started {
    /// The kernel runs its KCB.
    Running,
    /// The kernel panicked; it is in the pen.
    Crashed,
    /// Neither.
    TimedOut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Command,
    Poll,
    /// The command was taken back; one last look.
    TakenBack,
}

/// Stops the running kernel. It was not in the pen before, so that `Penned` is an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopKernel {
    step: Step,
    kcb: u64,
    image: u64,
    timing: Timing,
    poll: Poll,
}

impl StopKernel {
    /// The machine and its first action; `image` is the area in use.
    pub fn begin(kcb: u64, image: u64, timing: Timing) -> (StopKernel, Action) {
        let part = StopKernel {
            step: Step::Command,
            kcb,
            image,
            timing,
            poll: Poll::new(0, 0, &timing),
        };
        (part, command(CoreCommand::Stop, kcb, image))
    }

    /// Waits for a kernel that has detached already.
    pub fn join(kcb: u64, image: u64, now: u64, timing: Timing) -> (StopKernel, Action) {
        let (part, _) = StopKernel::begin(kcb, image, timing);
        let part = StopKernel {
            step: Step::Poll,
            poll: Poll::new(now, timing.stop_ns, &timing),
            ..part
        };
        (part, Action::ReadLines)
    }

    pub fn next(&mut self, now: u64, input: Input) -> Part<Stopped> {
        match (self.step, input) {
            (Step::Command, Input::Commanded(_)) => {
                self.step = Step::Poll;
                self.poll = Poll::new(now, self.timing.stop_ns, &self.timing);
                Part::Do(Action::ReadLines)
            }
            (_, Input::Lines(l)) => match l.status {
                CoreStatus::Penned => Part::End(Stopped::Penned),
                // A command that the dead kernel did not see is the pen's to answer. Until then its number stands on
                // the home line, and what is written there next would be taken for it.
                CoreStatus::Crashed if l.target_seq == l.home_seq => Part::End(Stopped::Crashed),
                _ if self.step == Step::TakenBack => Part::End(Stopped::TimedOut),
                _ if self.poll.repeat_now(now) => Part::Do(Action::Signal(Signal::Stop)),
                _ => Part::Do(self.poll.pause(now).unwrap_or_else(|| {
                    self.step = Step::TakenBack;
                    command(CoreCommand::None, self.kcb, self.image)
                })),
            },
            _ => Part::Do(Action::ReadLines),
        }
    }
}

/// Makes the pen run an image. The core was in the pen before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartKernel {
    step: Step,
    seq: u64,
    /// The line said Crashed before: only a `Crashed` that answers the command is news.
    was_crashed: bool,
    timing: Timing,
    poll: Poll,
}

impl StartKernel {
    /// The machine and its first action; `status` is what the line says now.
    pub fn begin(
        kcb: u64,
        image: u64,
        status: CoreStatus,
        timing: Timing,
    ) -> (StartKernel, Action) {
        let part = StartKernel {
            step: Step::Command,
            seq: 0,
            was_crashed: status == CoreStatus::Crashed,
            timing,
            poll: Poll::new(0, 0, &timing),
        };
        (part, command(CoreCommand::Start, kcb, image))
    }

    /// Goes on after a start command that another driver gave.
    pub fn join(lines: &Lines, now: u64, timing: Timing) -> (StartKernel, Action) {
        let part = StartKernel {
            step: Step::Poll,
            seq: lines.home_seq,
            was_crashed: lines.status == CoreStatus::Crashed,
            timing,
            poll: Poll::new(now, timing.start_ns, &timing),
        };
        (part, Action::Signal(Signal::Wake))
    }

    pub fn next(&mut self, now: u64, input: Input) -> Part<Started> {
        match (self.step, input) {
            (Step::Command, Input::Commanded(seq)) => {
                self.step = Step::Poll;
                self.seq = seq;
                self.poll = Poll::new(now, self.timing.start_ns, &self.timing);
                Part::Do(Action::ReadLines)
            }
            (_, Input::Lines(l)) => {
                let answers = l.target_seq == self.seq;
                match l.status {
                    CoreStatus::Running if answers => Part::End(Started::Running),
                    CoreStatus::Crashed if answers || !self.was_crashed => {
                        Part::End(Started::Crashed)
                    }
                    _ if self.poll.repeat_now(now) => Part::Do(Action::Signal(Signal::Wake)),
                    _ => match self.poll.pause(now) {
                        Some(wait) => Part::Do(wait),
                        None => Part::End(Started::TimedOut),
                    },
                }
            }
            _ => Part::Do(Action::ReadLines),
        }
    }
}

//! What follows from the result of each part of an operation.

use capfmt::CoreStatus;

use crate::command::{Started, Stopped};
use crate::outcome::{After, Reason, Success};
use crate::sequence::{Sequence, Stage, Then};
use crate::types::{Action, Lines, Op, Phase};

impl Sequence {
    pub(crate) fn powered(&mut self, result: Result<(), Reason>) -> Action {
        match result {
            Ok(()) => self.start_new(CoreStatus::Penned),
            Err(reason) => self.end_failed(reason, After::Down, Some(self.new_area)),
        }
    }

    pub(crate) fn stopped(&mut self, result: Stopped) -> Action {
        let op = self.request.op;
        match (result, op) {
            (Stopped::Penned, Op::Move) if self.resuming && !self.elsewhere => self.run_former(),
            (Stopped::Penned, Op::Stop | Op::Move) => {
                let stopped = Success::Stopped { kcb: self.kcb };
                self.end(Ok(stopped), Some(self.old_area))
            }
            (Stopped::Penned, _) => self.start_new(CoreStatus::Penned),
            (Stopped::Crashed, Op::Stop | Op::Move) => self.save_epitaph(Then::EndStop),
            (Stopped::Crashed, _) => self.replace_crashed(),
            (Stopped::TimedOut, Op::Recover) => self.force(self.old_area),
            (Stopped::TimedOut, _) => {
                let loads = !matches!(op, Op::Stop | Op::Move);
                let loaded = loads.then_some(self.new_area);
                self.end_failed(Reason::StopTimedOut, After::Unchanged, loaded)
            }
        }
    }

    pub(crate) fn started(&mut self, result: Started) -> Action {
        let area = if self.former {
            self.old_area
        } else {
            self.new_area
        };
        match result {
            Started::Running if self.former => {
                let reason = self.reason.unwrap_or(Reason::Interrupted);
                self.end_failed(reason, After::FormerKernel, Some(self.new_area))
            }
            Started::Running if self.request.op == Op::Start => {
                let running = Success::Running {
                    kcb: self.kcb,
                    crashed: false,
                };
                self.end(Ok(running), None)
            }
            Started::Running => {
                self.stage = Stage::ReleaseMark;
                self.record_phase(Phase::Releasing)
            }
            // The first failure is the one that matters, and so is its epitaph.
            Started::Crashed if self.reason.is_some() => self.go_back(CoreStatus::Crashed),
            Started::Crashed => {
                self.reason = Some(Reason::Panicked);
                self.save_epitaph(Then::GoBack(CoreStatus::Crashed))
            }
            Started::TimedOut => {
                self.reason = self.reason.or(Some(Reason::Hung));
                self.force(area)
            }
        }
    }

    /// A core that did not go by itself is in the pen, or lost.
    pub(crate) fn forced(&mut self, lines: Option<Lines>) -> Action {
        let reason = self.reason;
        match lines {
            None => {
                let reason = reason.unwrap_or(Reason::StopTimedOut);
                self.end_failed(reason, After::Lost, None)
            }
            Some(l) => {
                let then = match reason {
                    Some(_) => Then::GoBack(l.status),
                    None => Then::StartNew(l.status),
                };
                self.crashed |= reason.is_none();
                if l.epitaph && !self.epitaph {
                    return self.save_epitaph(then);
                }
                match reason {
                    Some(_) => self.go_back(l.status),
                    None => self.start_new(l.status),
                }
            }
        }
    }

    /// The kernel was stopped, but is to go on: the core is in the pen.
    pub(crate) fn run_former(&mut self) -> Action {
        self.former = true;
        self.stage = Stage::BackMark(CoreStatus::Penned);
        self.record_phase(Phase::Back)
    }

    /// The kernel that was started is dead, the core in the pen: the former one again, if there is one.
    pub(crate) fn go_back(&mut self, status: CoreStatus) -> Action {
        if self.request.op == Op::Update && !self.former && !self.crashed {
            self.former = true;
            self.stage = Stage::BackMark(status);
            return self.record_phase(Phase::Back);
        }
        let reason = self.reason.unwrap_or(Reason::Interrupted);
        self.end_failed(reason, After::Down, Some(self.new_area))
    }
}

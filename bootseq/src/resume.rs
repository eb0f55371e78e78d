//! Taking up what an earlier driver left: the record says what it was doing, the
//! lines how far the core has come.
//!
//! The home line's image area is what tells: once a start of the new kernel was
//! commanded it names the new area, before that the old one.

use capfmt::CoreStatus;

use crate::command::{StartKernel, Started, Stopped};
use crate::outcome::{After, Reason, Success};
use crate::sequence::{Sequence, Stage};
use crate::types::{Action, KcbSource, Op, Phase, Request};

impl Sequence {
    /// Goes on from where record and lines say; called once, with both known.
    pub(crate) fn take_up(&mut self, now: u64) -> Action {
        let Some((op, phase, area)) = self.record.decode() else {
            // No driver wrote this: there is nothing to go on from.
            return self.end(Ok(Success::Nothing), None);
        };
        self.kcb = self.record.kcb;
        self.request = Request {
            op,
            kcb: KcbSource::Kept(self.kcb),
        };
        self.new_area = area;
        self.old_area = 1 - area;
        let new_commanded = self.lines.image == area;
        match phase {
            Phase::Releasing => self.take_up_releasing(),
            Phase::Back => self.take_up_back(now, new_commanded),
            Phase::Switching if new_commanded => self.take_up_start(now),
            Phase::Switching => self.take_up_stop(now),
        }
    }

    /// The new kernel ran: only the former image is left to be poisoned.
    fn take_up_releasing(&mut self) -> Action {
        if self.lines.status == CoreStatus::Running {
            return self.started(Started::Running);
        }
        self.end_failed(Reason::Interrupted, After::Down, Some(self.old_area))
    }

    /// The former kernel was being started again.
    fn take_up_back(&mut self, now: u64, new_commanded: bool) -> Action {
        self.former = true;
        self.reason = Some(Reason::Interrupted);
        let l = self.lines;
        match l.status {
            _ if new_commanded => self.start_former(l.status),
            CoreStatus::Running => self.started(Started::Running),
            CoreStatus::Crashed if l.target_seq == l.home_seq => self.started(Started::Crashed),
            // The stop was answered, no start commanded yet.
            CoreStatus::Penned if self.request.op == Op::Move && l.target_seq == l.home_seq => {
                self.start_former(l.status)
            }
            _ => self.join(now),
        }
    }

    /// The new kernel was commanded to start.
    fn take_up_start(&mut self, now: u64) -> Action {
        let l = self.lines;
        let answered = l.target_seq == l.home_seq;
        match l.status {
            // It was commanded from the pen: this status can only be the new kernel's.
            CoreStatus::Running => self.started(Started::Running),
            CoreStatus::Crashed if answered => self.started(Started::Crashed),
            CoreStatus::Penned if answered => {
                // It hung, and was brought into the pen.
                self.reason = Some(Reason::Hung);
                self.go_back(l.status)
            }
            _ => self.join(now),
        }
    }

    /// The new kernel was not commanded to start yet.
    fn take_up_stop(&mut self, now: u64) -> Action {
        let (op, status) = (self.request.op, self.lines.status);
        match (op, status) {
            // The core was at most powered on: it stays in the pen.
            (Op::Start, CoreStatus::Off | CoreStatus::Penned | CoreStatus::Crashed) => {
                self.end_failed(Reason::Interrupted, After::Down, Some(self.new_area))
            }
            (Op::Start, _) => self.end_failed(Reason::Interrupted, After::Unchanged, None),
            (_, CoreStatus::Off | CoreStatus::Penned) => self.stopped(Stopped::Penned),
            (_, CoreStatus::Crashed) => self.stopped(Stopped::Crashed),
            // Stopping again is the same as stopping.
            _ => self.stop(now),
        }
    }

    fn join(&mut self, now: u64) -> Action {
        let (part, action) = StartKernel::join(&self.lines, now, self.timing);
        self.stage = Stage::Start(part);
        action
    }
}

//! One operation on one core, from the first look to the report.

use abi::SysError;
use capfmt::CoreStatus;

use crate::admit;
use crate::command::{StartKernel, StopKernel};
use crate::force::Force;
use crate::outcome::{After, Failure, Outcome, Reason, Refusal, Success};
use crate::poll::Part;
use crate::power::PowerOn;
use crate::types::{Action, Input, KcbSource, Lines, Op, Phase, Record, Request, Target, Timing};

/// Where a sequence stands: which answer it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Begin,
    Record,
    Lines,
    Osnode,
    Load,
    Mark,
    Prepared,
    Power(PowerOn),
    Stop(StopKernel),
    Start(StartKernel),
    Force(Force),
    Epitaph(Then),
    /// The record says Back; the core is in the pen with this status.
    BackMark(CoreStatus),
    /// The former image gets its initial data back; the core is in the pen with this status.
    Restore(CoreStatus),
    ReleaseMark,
    Poison,
    Clear,
    Over,
}

/// What follows once the epitaph is saved; the status is the one in the pen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    StartNew(CoreStatus),
    GoBack(CoreStatus),
    EndStop,
}

/// One operation on one core.
///
/// Call [`Sequence::next`] with [`Input::Begin`], carry out the action, call it
/// again with what came of it, until it says [`Action::Finish`].
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    pub(crate) target: Target,
    pub(crate) request: Request,
    pub(crate) timing: Timing,
    pub(crate) stage: Stage,
    /// A restarted driver looks for an unfinished operation.
    pub(crate) resuming: bool,
    pub(crate) record: Record,
    pub(crate) lines: Lines,
    pub(crate) kcb: u64,
    /// Area of the kernel that runs, or ran last.
    pub(crate) old_area: u64,
    /// The other one.
    pub(crate) new_area: u64,
    /// The former kernel is the one being started.
    pub(crate) former: bool,
    /// The kernel that was to be replaced crashed or had to be forced.
    pub(crate) crashed: bool,
    /// Resuming a move: the OSnode runs on another core.
    pub(crate) elsewhere: bool,
    pub(crate) epitaph: bool,
    /// Why the new kernel failed, once it did.
    pub(crate) reason: Option<Reason>,
    /// What to report after the last clean-up.
    outcome: Outcome,
}

const NO_LINES: Lines = Lines {
    status: CoreStatus::Off,
    target_seq: 0,
    kcb: 0,
    home_seq: 0,
    image: 0,
    epitaph: false,
};

impl Sequence {
    /// A new operation.
    #[must_use]
    pub const fn new(target: Target, request: Request, timing: Timing) -> Sequence {
        Sequence {
            target,
            request,
            timing,
            stage: Stage::Begin,
            resuming: false,
            record: Record::NONE,
            lines: NO_LINES,
            kcb: 0,
            old_area: 0,
            new_area: 1,
            former: false,
            crashed: false,
            elsewhere: false,
            epitaph: false,
            reason: None,
            outcome: Ok(Success::Nothing),
        }
    }

    /// Finishes or undoes what an earlier driver left unfinished on this core.
    #[must_use]
    pub const fn resume(target: Target, timing: Timing) -> Sequence {
        let request = Request {
            op: Op::Recover,
            kcb: KcbSource::Kept(0),
        };
        Sequence {
            resuming: true,
            ..Sequence::new(target, request, timing)
        }
    }

    /// Resuming a move ([`crate::Move`]): whether another core runs the OSnode by now. To be said
    /// once all other cores were resumed; without it the OSnode goes on here.
    #[must_use]
    pub const fn elsewhere(self, elsewhere: bool) -> Sequence {
        Sequence { elsewhere, ..self }
    }

    /// The core that it is about.
    #[must_use]
    pub const fn core(&self) -> u32 {
        self.target.core
    }

    /// Whether the core is between two kernels: nothing must delay the sequence now.
    #[must_use]
    pub const fn is_switching(&self) -> bool {
        matches!(
            self.stage,
            Stage::Power(_)
                | Stage::Stop(_)
                | Stage::Start(_)
                | Stage::Force(_)
                | Stage::Epitaph(_)
                | Stage::BackMark(_)
                | Stage::Restore(_)
        )
    }

    /// What to do next, `input` being what came of the last action, at system time `now` (ns).
    pub fn next(&mut self, now: u64, input: Input) -> Action {
        if let Stage::Over = self.stage {
            return Action::Finish(self.outcome);
        }
        if let Input::Failed(e) = input {
            return self.fail(e);
        }
        match (&mut self.stage, input) {
            (Stage::Begin, _) => self.begin(),
            (Stage::Record, Input::Record(r)) => self.recorded(r),
            (Stage::Lines, Input::Lines(l)) => self.look(now, l),
            (Stage::Osnode, Input::Osnode(kcb)) => match kcb {
                Some(kcb) => self.load(kcb),
                None => self.refuse(Refusal::Osnode),
            },
            (Stage::Load, Input::Loaded(true)) => self.mark(),
            (Stage::Load, Input::Loaded(false)) => self.refuse(Refusal::Kernel),
            (Stage::Mark, _) => {
                self.stage = Stage::Prepared;
                Action::Prepared
            }
            (Stage::Prepared, _) => self.switch(now),
            (Stage::Power(_) | Stage::Stop(_) | Stage::Start(_) | Stage::Force(_), input) => {
                self.part(now, input)
            }
            (Stage::Epitaph(then), _) => match *then {
                Then::StartNew(status) => self.start_new(status),
                Then::GoBack(status) => self.go_back(status),
                Then::EndStop => self.end_failed(Reason::Panicked, After::Down, None),
            },
            (Stage::BackMark(status), _) => {
                let status = *status;
                self.start_former(status)
            }
            (Stage::Restore(status), _) => {
                let status = *status;
                self.start(self.old_area, status)
            }
            (Stage::ReleaseMark, _) => self.release(),
            (Stage::Poison, _) => self.clear(),
            (Stage::Clear, _) => self.finish(self.outcome),
            // An answer to another question than was asked: the driver is at fault, the core is left alone.
            _ => self.fail(SysError::BadArgument),
        }
    }

    /// The part of an operation that is under way goes on.
    fn part(&mut self, now: u64, input: Input) -> Action {
        match &mut self.stage {
            Stage::Power(part) => match part.next(now, input) {
                Part::Do(action) => action,
                Part::End(result) => self.powered(result),
            },
            Stage::Stop(part) => match part.next(now, input) {
                Part::Do(action) => action,
                Part::End(result) => self.stopped(result),
            },
            Stage::Start(part) => match part.next(now, input) {
                Part::Do(action) => action,
                Part::End(result) => self.started(result),
            },
            Stage::Force(part) => match part.next(now, input) {
                Part::Do(action) => action,
                Part::End(lines) => self.forced(lines),
            },
            _ => self.fail(SysError::BadArgument),
        }
    }

    /// The new kernel runs and the record says so: the former image goes.
    fn release(&mut self) -> Action {
        let running = Success::Running {
            kcb: self.kcb,
            crashed: self.crashed,
        };
        self.end(Ok(running), Some(self.old_area))
    }

    fn begin(&mut self) -> Action {
        match admit::target(&self.target) {
            Err(r) => self.refuse(r),
            Ok(()) => {
                self.stage = Stage::Record;
                Action::ReadRecord
            }
        }
    }

    fn recorded(&mut self, r: Record) -> Action {
        self.record = r;
        match (self.resuming, r.op) {
            (true, 0) => self.finish(Ok(Success::Nothing)),
            (false, n) if n != 0 => self.refuse(Refusal::Unfinished),
            _ => {
                self.stage = Stage::Lines;
                Action::ReadLines
            }
        }
    }

    /// The lines are known: refuse, or prepare.
    fn look(&mut self, now: u64, l: Lines) -> Action {
        self.lines = l;
        if self.resuming {
            return self.take_up(now);
        }
        let op = self.request.op;
        if let Err(r) = admit::state(op, &self.target, l.status) {
            return self.refuse(r);
        }
        self.old_area = l.image & 1;
        self.new_area = 1 - self.old_area;
        match admit::kcb(&self.request, &l) {
            Err(r) => self.refuse(r),
            Ok(0) => {
                self.stage = Stage::Osnode;
                Action::MakeOsnode
            }
            Ok(kcb) if matches!(op, Op::Stop | Op::Move) => {
                self.kcb = kcb;
                self.mark()
            }
            Ok(kcb) => self.load(kcb),
        }
    }

    fn load(&mut self, kcb: u64) -> Action {
        self.kcb = kcb;
        self.stage = Stage::Load;
        Action::LoadImage {
            area: self.new_area,
            kcb,
        }
    }

    pub(crate) fn record_phase(&self, phase: Phase) -> Action {
        let op = self.request.op;
        Action::WriteRecord(Record::new(op, phase, self.new_area, self.kcb))
    }

    fn mark(&mut self) -> Action {
        self.stage = Stage::Mark;
        self.record_phase(Phase::Switching)
    }

    /// The first action that touches the core.
    fn switch(&mut self, now: u64) -> Action {
        match (self.request.op, self.lines.status) {
            (Op::Start, CoreStatus::Off) => {
                let (part, action) = PowerOn::begin(self.target.power, now, self.timing);
                self.stage = Stage::Power(part);
                action
            }
            (Op::Start, status) => self.start_new(status),
            (Op::Recover, CoreStatus::Crashed) => self.replace_crashed(),
            _ => self.stop(now),
        }
    }

    /// The kernel to be replaced is dead already, the core in the pen.
    pub(crate) fn replace_crashed(&mut self) -> Action {
        self.crashed = true;
        self.save_epitaph(Then::StartNew(CoreStatus::Crashed))
    }

    pub(crate) fn stop(&mut self, now: u64) -> Action {
        let (kcb, area, timing) = (self.kcb, self.old_area, self.timing);
        let (part, action) = match self.lines.status {
            CoreStatus::Detached => StopKernel::join(kcb, area, now, timing),
            _ => StopKernel::begin(kcb, area, timing),
        };
        self.stage = Stage::Stop(part);
        action
    }

    pub(crate) fn start_new(&mut self, status: CoreStatus) -> Action {
        self.start(self.new_area, status)
    }

    pub(crate) fn start_former(&mut self, status: CoreStatus) -> Action {
        self.stage = Stage::Restore(status);
        Action::RestoreImage {
            area: self.old_area,
        }
    }

    fn start(&mut self, area: u64, status: CoreStatus) -> Action {
        let (part, action) = StartKernel::begin(self.kcb, area, status, self.timing);
        self.stage = Stage::Start(part);
        action
    }

    pub(crate) fn force(&mut self, area: u64) -> Action {
        let (part, action) = Force::begin(&self.target, self.kcb, area, self.timing);
        self.stage = Stage::Force(part);
        action
    }

    pub(crate) fn save_epitaph(&mut self, then: Then) -> Action {
        self.epitaph = true;
        self.stage = Stage::Epitaph(then);
        Action::SaveEpitaph
    }

    pub(crate) fn end_failed(
        &mut self,
        reason: Reason,
        after: After,
        poison: Option<u64>,
    ) -> Action {
        let epitaph = self.epitaph;
        let failed = Failure::Failed {
            reason,
            after,
            epitaph,
        };
        self.end(Err(failed), poison)
    }

    /// The operation is over but for cleaning up.
    pub(crate) fn end(&mut self, outcome: Outcome, poison: Option<u64>) -> Action {
        self.outcome = outcome;
        match poison {
            Some(area) => {
                self.stage = Stage::Poison;
                Action::Poison { area }
            }
            None => self.clear(),
        }
    }

    /// Part of a move: what was prepared is not needed, `poison` being the area that was loaded.
    pub(crate) fn give_up(&mut self, why: Failure, poison: Option<u64>) -> Action {
        self.end(Err(why), poison)
    }

    fn clear(&mut self) -> Action {
        self.stage = Stage::Clear;
        Action::WriteRecord(Record::NONE)
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) -> Action {
        self.outcome = outcome;
        self.stage = Stage::Over;
        Action::Finish(outcome)
    }

    fn refuse(&mut self, r: Refusal) -> Action {
        self.finish(Err(Failure::Refused(r)))
    }

    /// A system call was refused: nothing more can be done, the record stands for a resume.
    fn fail(&mut self, e: SysError) -> Action {
        let untouched = matches!(
            self.stage,
            Stage::Begin | Stage::Record | Stage::Lines | Stage::Osnode | Stage::Load | Stage::Mark
        );
        let after = if untouched && !self.resuming {
            After::Unchanged
        } else {
            After::Unknown
        };
        self.finish(Err(Failure::Failed {
            reason: Reason::Sys(e),
            after,
            epitaph: self.epitaph,
        }))
    }
}

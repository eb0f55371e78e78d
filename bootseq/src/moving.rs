//! Moving an OSnode to another core: two sequences as one operation.
//!
//! ```text
//! prepare here ─▶ prepare there, up to its pen ─▶ stop here ─▶ start there ─▶ clean up here
//!                        │ refused, failed            │ failed       │ failed
//!                        ▼                            ▼              ▼
//!                  nothing happened            nothing happened   let go there, start here again
//! ```
//! Nothing here is touched before the other core waits in its pen with the kernel loaded. The
//! former image stays intact until the OSnode runs there.

use capfmt::CoreCommand;

use crate::outcome::Failure;
use crate::sequence::Sequence;
use crate::types::{Action, Input, KcbSource, Op, Request, Target, Timing};

/// What the driver is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveAction {
    /// On the core that the OSnode leaves.
    Here(Action),
    /// On the core that it goes to.
    There(Action),
    /// Say that the OSnode is in motion: it runs nowhere now. [`Input::Done`].
    InMotion,
    /// Have the core that it should have gone to let go of it. [`Input::Done`].
    Release,
    /// The operation is over.
    Finish(Moved),
}

/// How a move ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    /// The OSnode runs there.
    There,
    /// The core that it was to leave refuses, or its kernel did not stop; nothing is changed there
    /// but what the failure says.
    NotLeft(Failure),
    /// The core that it was to go to refuses or did not come: the OSnode was not touched.
    NotReady(Failure),
    /// It did not start there, and is as it was: it runs here again, or is stopped as before.
    Back(Failure),
    /// It did not start there, nor here again (if it was tried): it is kept.
    Down {
        /// What happened there.
        there: Failure,
        /// What happened here.
        here: Option<Failure>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PrepareHere,
    PrepareThere,
    Stop,
    Announce,
    Start,
    Release(Failure),
    Back(Failure),
    /// What is left to be done on a core that is not concerned any more.
    CleanHere(Moved),
    CleanThere(Moved),
    Over(Moved),
}

/// One move.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    here: Sequence,
    there: Sequence,
    /// A kernel runs the OSnode here; else it is stopped, and nothing is done here.
    runs: bool,
    step: Step,
    /// What waits until the other core has come as far: the start there.
    start: Action,
    /// And the poison for the image that ran here.
    poison: Action,
}

impl Move {
    /// From `here`, where its kernel runs (or not), to `there`.
    #[must_use]
    pub const fn new(here: Target, there: Target, kcb: u64, runs: bool, timing: Timing) -> Move {
        let kcb = KcbSource::Kept(kcb);
        let leave = Request { op: Op::Move, kcb };
        let come = Request { op: Op::Start, kcb };
        Move {
            here: Sequence::new(here, leave, timing),
            there: Sequence::new(there, come, timing),
            runs,
            step: if runs {
                Step::PrepareHere
            } else {
                Step::PrepareThere
            },
            start: Action::ReadLines,
            poison: Action::ReadLines,
        }
    }

    /// Whether the OSnode is between two cores: nothing must delay the move now.
    #[must_use]
    pub const fn is_switching(&self) -> bool {
        match self.step {
            Step::Stop | Step::Announce | Step::Start | Step::Release(_) => true,
            // Cleaning up can wait.
            Step::Back(_) => self.here.is_switching(),
            _ => false,
        }
    }

    /// What to do next, `input` being what came of the last action, at system time `now` (ns).
    pub fn next(&mut self, now: u64, input: Input) -> MoveAction {
        match self.step {
            Step::PrepareHere => match self.here.next(now, input) {
                Action::Prepared => {
                    self.step = Step::PrepareThere;
                    self.prepare_there(now, Input::Begin)
                }
                Action::Finish(outcome) => match outcome {
                    Err(f) => self.finish(Moved::NotLeft(f)),
                    Ok(_) => self.finish(Moved::There),
                },
                action => MoveAction::Here(action),
            },
            Step::PrepareThere => self.prepare_there(now, input),
            Step::Stop => self.stop(now, input),
            Step::Announce => {
                self.step = Step::Start;
                MoveAction::There(self.start)
            }
            Step::Start => self.start(now, input),
            Step::Release(f) => self.released(f, input),
            Step::Back(there) => match self.here.next(now, input) {
                Action::Finish(Err(here)) if here.former_runs() => self.finish(Moved::Back(there)),
                Action::Finish(outcome) => {
                    let here = outcome.err();
                    self.finish(Moved::Down { there, here })
                }
                action => MoveAction::Here(action),
            },
            Step::CleanHere(end) => match self.here.next(now, input) {
                Action::Finish(_) => self.finish(end),
                action => MoveAction::Here(action),
            },
            Step::CleanThere(end) => match self.there.next(now, input) {
                Action::Finish(_) => self.finish(end),
                action => MoveAction::There(action),
            },
            Step::Over(end) => MoveAction::Finish(end),
        }
    }

    fn finish(&mut self, end: Moved) -> MoveAction {
        self.step = Step::Over(end);
        MoveAction::Finish(end)
    }

    fn prepare_there(&mut self, now: u64, input: Input) -> MoveAction {
        match self.there.next(now, input) {
            Action::Finish(Err(f)) => {
                let end = Moved::NotReady(f);
                if !self.runs {
                    return self.finish(end);
                }
                self.step = Step::CleanHere(end);
                MoveAction::Here(self.here.give_up(f, None))
            }
            action @ Action::Command {
                command: CoreCommand::Start,
                ..
            } => {
                self.start = action;
                if !self.runs {
                    self.step = Step::Announce;
                    return MoveAction::InMotion;
                }
                self.step = Step::Stop;
                // The answer to `Prepared`.
                self.stop(now, Input::Done)
            }
            action => MoveAction::There(action),
        }
    }

    fn stop(&mut self, now: u64, input: Input) -> MoveAction {
        match self.here.next(now, input) {
            poison @ Action::Poison { .. } => {
                self.poison = poison;
                self.step = Step::Announce;
                MoveAction::InMotion
            }
            Action::Finish(Err(f)) => {
                self.step = Step::CleanThere(Moved::NotLeft(f));
                let loaded = self.there.new_area;
                MoveAction::There(self.there.give_up(f, Some(loaded)))
            }
            Action::Finish(Ok(_)) => self.finish(Moved::There),
            action => MoveAction::Here(action),
        }
    }

    fn start(&mut self, now: u64, input: Input) -> MoveAction {
        match self.there.next(now, input) {
            Action::Finish(Ok(_)) if self.runs => {
                self.step = Step::CleanHere(Moved::There);
                MoveAction::Here(self.poison)
            }
            Action::Finish(Ok(_)) => self.finish(Moved::There),
            Action::Finish(Err(f)) => {
                self.step = Step::Release(f);
                MoveAction::Release
            }
            action => MoveAction::There(action),
        }
    }

    fn released(&mut self, there: Failure, input: Input) -> MoveAction {
        let freed = !matches!(input, Input::Failed(_));
        match (self.runs, freed) {
            (true, true) => {
                self.step = Step::Back(there);
                MoveAction::Here(self.here.run_former())
            }
            // Its memory is still that core's: nobody else may run it.
            (true, false) => {
                self.step = Step::CleanHere(Moved::Down { there, here: None });
                MoveAction::Here(self.poison)
            }
            (false, true) => self.finish(Moved::Back(there)),
            (false, false) => self.finish(Moved::Down { there, here: None }),
        }
    }
}

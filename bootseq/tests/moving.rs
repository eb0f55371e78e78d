//! Moving an OSnode to another core, and each way back.

mod common;

use bootseq::{After, Failure, Input, Move, MoveAction, Moved, Power, Reason, Record, Refusal};
use bootseq::{Sequence, Success};
use common::{Area, Core, KCB, Kernel, Place, TIMING};

/// Both cores, and what the driver did with them, in order.
struct Pair {
    here: Core,
    there: Core,
    trace: Vec<String>,
    in_motion: bool,
    /// The other core does not let go of the OSnode.
    keeps: bool,
}

impl Pair {
    fn new(here: Core, there: Core) -> Pair {
        Pair {
            here,
            there,
            trace: Vec::new(),
            in_motion: false,
            keeps: false,
        }
    }

    /// At most `actions` actions of a move.
    fn run(&mut self, runs: bool, actions: usize) -> Option<Moved> {
        let mut m = Move::new(self.here.target, self.there.target, KCB, runs, TIMING);
        let mut input = Input::Begin;
        let mut now = 1000;
        for _ in 0..actions {
            let action = m.next(now, input);
            input = match action {
                MoveAction::Finish(end) => return Some(end),
                MoveAction::InMotion => {
                    self.in_motion = true;
                    self.trace.push("in motion".into());
                    Input::Done
                }
                MoveAction::Release => {
                    self.trace.push("release".into());
                    match self.keeps {
                        true => Input::Failed(abi::SysError::BadCoreState),
                        false => Input::Done,
                    }
                }
                MoveAction::Here(a) => Self::on(&mut self.here, "here", a, now, &mut self.trace),
                MoveAction::There(a) => Self::on(&mut self.there, "there", a, now, &mut self.trace),
            };
            now = now.max(self.here.time).max(self.there.time);
            assert!(self.runners() <= 1, "two kernels run it: {:#?}", self.trace);
        }
        None
    }

    fn on(
        core: &mut Core,
        name: &str,
        action: bootseq::Action,
        now: u64,
        trace: &mut Vec<String>,
    ) -> Input {
        core.time = core.time.max(now);
        let input = core.carry_out(action);
        let words = core.trace.pop().expect("a trace");
        core.trace.clear();
        trace.push(format!("{name}: {words}"));
        input
    }

    fn runners(&self) -> usize {
        let runs = |c: &&Core| matches!(c.place, Place::Kernel(_)) && c.lines.kcb == KCB;
        [&self.here, &self.there].iter().filter(|c| runs(c)).count()
    }

    /// Another driver takes up what the one before it left, as the shipped one does.
    fn resume(&mut self) {
        let there = Sequence::resume(self.there.target, TIMING);
        let _ = self.there.run(there);
        let elsewhere = matches!(self.there.place, Place::Kernel(_));
        let here = Sequence::resume(self.here.target, TIMING).elsewhere(elsewhere);
        let _ = self.here.run(here);
    }

    #[track_caller]
    fn assert_as_before(&self) {
        assert_eq!(self.here.place, Place::Kernel(0), "{:#?}", self.trace);
        assert_eq!(self.here.areas[0], Area::Ran(Kernel::Good));
        assert_eq!(self.here.record, Record::NONE);
        assert_eq!(self.there.record, Record::NONE);
        assert!(!matches!(self.there.place, Place::Kernel(_)));
    }
}

fn good(power: Power) -> Core {
    Core::running(power, Kernel::Good)
}

fn failed(reason: Reason, after: After, epitaph: bool) -> Failure {
    Failure::Failed {
        reason,
        after,
        epitaph,
    }
}

#[test]
fn nothing_is_touched_before_the_other_core_is_ready() {
    let mut p = Pair::new(good(Power::Psci), Core::off(Power::Psci));
    assert_eq!(p.run(true, usize::MAX), Some(Moved::There));
    let expected = [
        "here: read record",
        "here: read",
        "here: record Move Switching area 1 kcb 8000",
        "there: read record",
        "there: read",
        "there: load 1 for 8000",
        "there: record Start Switching area 1 kcb 8000",
        "there: prepared",
        "there: signal PowerOn",
        "there: read",
        "here: command Stop kcb 8000 image 0",
        "here: read",
        "in motion",
        "there: command Start kcb 8000 image 1",
        "there: read",
        "there: clear record",
        "here: poison 0",
        "here: clear record",
    ];
    assert_eq!(p.trace, expected);
    assert_eq!(
        (p.here.place, p.there.place),
        (Place::Pen, Place::Kernel(1))
    );
    assert_eq!(p.there.lines.kcb, KCB);
}

#[test]
fn to_and_fro() {
    for power in [Power::Sipi, Power::Psci] {
        let mut p = Pair::new(good(power), Core::off(power));
        for _ in 0..50 {
            assert_eq!(p.run(true, usize::MAX), Some(Moved::There));
            std::mem::swap(&mut p.here, &mut p.there);
            p.trace.clear();
        }
        assert_eq!(p.runners(), 1);
    }
}

#[test]
fn a_stopped_one_is_only_started() {
    let mut p = Pair::new(Core::penned(Power::Sipi), Core::penned(Power::Sipi));
    assert_eq!(p.run(false, usize::MAX), Some(Moved::There));
    assert!(p.in_motion && p.trace.iter().all(|t| !t.starts_with("here")));
    let mut p = Pair::new(Core::penned(Power::Sipi), Core::penned(Power::Sipi));
    p.there.file = Some(Kernel::Panics);
    let panicked = failed(Reason::Panicked, After::Down, true);
    assert_eq!(p.run(false, usize::MAX), Some(Moved::Back(panicked)));
    assert!(p.trace.contains(&"release".to_string()));
}

#[test]
fn a_core_that_cannot_take_it_is_found_before_it_stops() {
    let mut busy = good(Power::Psci);
    busy.lines.kcb = 0x9000;
    let mut refused = Core::off(Power::Psci);
    refused.file = None;
    let mut dead = Core::off(Power::Psci);
    dead.dead = true;
    let mut firmware = Core::off(Power::Psci);
    firmware.psci = vec![-2];
    for (there, expected) in [
        (refused, Failure::Refused(Refusal::Kernel)),
        (busy, Failure::Refused(Refusal::AlreadyRunning)),
        (
            Core::crashed(Power::Psci),
            Failure::Refused(Refusal::Crashed),
        ),
        (dead, failed(Reason::PowerTimedOut, After::Down, false)),
        (firmware, failed(Reason::Firmware(-2), After::Down, false)),
    ] {
        let mut p = Pair::new(good(Power::Psci), there);
        assert_eq!(p.run(true, usize::MAX), Some(Moved::NotReady(expected)));
        let stopped = p.trace.iter().any(|t| t.contains("Stop"));
        assert!(!stopped && !p.in_motion, "{:#?}", p.trace);
        assert_eq!(p.here.place, Place::Kernel(0));
        assert_eq!(p.here.record, Record::NONE);
    }
}

#[test]
fn what_does_not_stop_stays() {
    let mut p = Pair::new(
        Core::running(Power::Psci, Kernel::Stubborn),
        Core::off(Power::Psci),
    );
    let stubborn = failed(Reason::StopTimedOut, After::Unchanged, false);
    assert_eq!(p.run(true, usize::MAX), Some(Moved::NotLeft(stubborn)));
    assert_eq!(
        (p.here.place, p.there.place),
        (Place::Kernel(0), Place::Pen)
    );
    assert_eq!(p.there.areas, [Area::Poisoned; 2]);
    // One that panics when it is told to stop is left to `recover`.
    let mut p = Pair::new(
        Core::running(Power::Psci, Kernel::PanicsInStop),
        Core::off(Power::Psci),
    );
    let panicked = failed(Reason::Panicked, After::Down, true);
    assert_eq!(p.run(true, usize::MAX), Some(Moved::NotLeft(panicked)));
    assert_eq!(
        (p.here.record, p.there.record),
        (Record::NONE, Record::NONE)
    );
    let penned = Core::penned(Power::Psci);
    let mut p = Pair::new(penned, Core::off(Power::Psci));
    let stopped = Failure::Refused(Refusal::AlreadyStopped);
    assert_eq!(p.run(true, usize::MAX), Some(Moved::NotLeft(stopped)));
}

#[test]
fn what_does_not_start_there_runs_here_again() {
    for (kernel, reason, epitaph) in [
        (Kernel::Panics, Reason::Panicked, true),
        (Kernel::PanicsEarly, Reason::Panicked, true),
        (Kernel::Hangs, Reason::Hung, true),
    ] {
        let mut p = Pair::new(good(Power::Sipi), Core::off(Power::Sipi));
        p.there.file = Some(kernel);
        let there = failed(reason, After::Down, epitaph);
        assert_eq!(p.run(true, usize::MAX), Some(Moved::Back(there)));
        p.assert_as_before();
        let order = [
            "in motion",
            "release",
            "here: record Move Back area 1 kcb 8000",
        ];
        let places = order.map(|t| p.trace.iter().position(|w| w == t));
        assert!(places.is_sorted() && places[0].is_some(), "{:#?}", p.trace);
        // And it can go on the next time.
        p.there = Core::off(Power::Sipi);
        assert_eq!(p.run(true, usize::MAX), Some(Moved::There));
    }
}

#[test]
fn what_the_other_core_does_not_let_go_is_kept() {
    let mut p = Pair::new(good(Power::Psci), Core::off(Power::Psci));
    p.there.file = Some(Kernel::HangsDeaf);
    p.keeps = true;
    let there = failed(Reason::Hung, After::Lost, false);
    let end = p.run(true, usize::MAX);
    assert_eq!(end, Some(Moved::Down { there, here: None }));
    assert_eq!((p.here.place, p.here.record), (Place::Pen, Record::NONE));
}

/// A driver that dies after any number of actions: the next one leaves the OSnode running on one of the two.
#[test]
fn a_driver_may_die_anywhere() {
    for power in [Power::Sipi, Power::Psci] {
        for kernel in [Kernel::Good, Kernel::Panics] {
            for n in 0.. {
                let mut p = Pair::new(good(power), Core::off(power));
                p.there.file = Some(kernel);
                let ended = p.run(true, n).is_some();
                p.resume();
                assert_eq!(p.runners(), 1, "after {n} actions: {:#?}", p.trace);
                assert_eq!(
                    (p.here.record, p.there.record),
                    (Record::NONE, Record::NONE)
                );
                if ended {
                    break;
                }
            }
        }
    }
    let nothing = good(Power::Psci).resume();
    assert_eq!(nothing, Ok(Success::Nothing));
}

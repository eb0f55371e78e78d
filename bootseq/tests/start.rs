//! Start: through firmware of both kinds, from the pen, and every way in which it fails.

mod common;

use bootseq::{
    Action, After, Failure, Input, KcbSource, Op, Outcome, Power, Reason, Refusal, Request,
    Sequence, Success,
};
use capfmt::CoreStatus;
use common::{Area, Core, DENIED, FRESH, KCB, Kernel, Place, TIMING};

const KEPT: KcbSource = KcbSource::Kept(KCB);

fn failed(reason: Reason, after: After, epitaph: bool) -> Outcome {
    Err(Failure::Failed {
        reason,
        after,
        epitaph,
    })
}

fn running(kcb: u64) -> Outcome {
    let crashed = false;
    Ok(Success::Running { kcb, crashed })
}

#[test]
fn x86_first_start_goes_through_init_and_sipi() {
    let mut c = Core::off(Power::Sipi);
    assert_eq!(c.operate(Op::Start, KcbSource::Fresh), running(FRESH));
    c.assert_trace(&[
        "read record",
        "read",
        "make osnode",
        "load 1 for f000",
        "record Start Switching area 1 kcb f000",
        "prepared",
        "signal Init",
        "wait 10000",
        "signal PowerOn",
        "wait 200",
        "signal PowerOn",
        "read",
        "command Start kcb f000 image 1",
        "read",
        "clear record",
    ]);
    assert_eq!(c.place, Place::Kernel(1));
}

#[test]
fn arm_first_start_goes_through_cpu_on() {
    let mut c = Core::off(Power::Psci);
    assert_eq!(c.operate(Op::Start, KEPT), running(KCB));
    c.assert_trace(&[
        "read record",
        "read",
        "load 1 for 8000",
        "record Start Switching area 1 kcb 8000",
        "prepared",
        "signal PowerOn",
        "read",
        "command Start kcb 8000 image 1",
        "read",
        "clear record",
    ]);
}

#[test]
fn from_the_pen_no_firmware_is_asked() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::penned(power);
        c.lines.image = 1;
        assert_eq!(c.operate(Op::Start, KEPT), running(KCB));
        c.assert_trace(&[
            "read record",
            "read",
            "load 0 for 8000",
            "record Start Switching area 0 kcb 8000",
            "prepared",
            "command Start kcb 8000 image 0",
            "read",
            "clear record",
        ]);
        assert_eq!((c.place, c.lines.kcb), (Place::Kernel(0), KCB));
    }
}

#[test]
fn psci_statuses_have_their_meaning() {
    // On its way off it still counts as on: asked again.
    let mut c = Core::off(Power::Psci);
    c.psci = vec![-4, -4, 0];
    c.operate(Op::Start, KEPT).expect("a start");
    let firmware: Vec<_> = c.trace[5..c.trace.len() - 3].to_vec();
    let expected = [
        "signal PowerOn",
        "read",
        "wait 10",
        "signal PowerOn",
        "read",
        "wait 10",
        "signal PowerOn",
        "read",
    ];
    assert_eq!(firmware, expected);
    // Somebody else is powering it on.
    let mut c = Core::off(Power::Psci);
    c.psci = vec![-5];
    let late = c.operate(Op::Start, KEPT);
    assert_eq!(late, failed(Reason::PowerTimedOut, After::Down, false));
    // It stays on, but never comes to the pen.
    let mut c = Core::off(Power::Psci);
    c.psci = vec![-4];
    let stuck = c.operate(Op::Start, KEPT);
    assert_eq!(stuck, failed(Reason::Firmware(-4), After::Down, false));
    for status in [-1, -2, -3, -6, -7, -8, -9] {
        let mut c = Core::off(Power::Psci);
        c.psci = vec![status];
        let refused = c.operate(Op::Start, KEPT);
        assert_eq!(
            refused,
            failed(Reason::Firmware(status), After::Down, false)
        );
        c.assert_trace(&[
            "read record",
            "read",
            "load 1 for 8000",
            "record Start Switching area 1 kcb 8000",
            "prepared",
            "signal PowerOn",
            "poison 1",
            "clear record",
        ]);
    }
}

#[test]
fn a_core_that_firmware_does_not_bring_is_given_up() {
    let mut c = Core::off(Power::Sipi);
    c.dead = true;
    let late = c.operate(Op::Start, KEPT);
    assert_eq!(late, failed(Reason::PowerTimedOut, After::Down, false));
    c.assert_trace(&[
        "read record",
        "read",
        "load 1 for 8000",
        "record Start Switching area 1 kcb 8000",
        "prepared",
        "signal Init",
        "wait 10000",
        "signal PowerOn",
        "wait 200",
        "signal PowerOn",
        "read",
        "wait 10",
        "read",
        "wait 10",
        "read",
        "poison 1",
        "clear record",
    ]);
    assert_eq!((c.areas, c.place), ([Area::Poisoned; 2], Place::Off));
}

#[test]
fn a_core_that_comes_after_it_was_given_up_is_started_from_its_pen() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::off(power);
        c.dead = true;
        let late = c.operate(Op::Start, KEPT);
        assert_eq!(late, failed(Reason::PowerTimedOut, After::Down, false));
        // Whatever stands on the home line is older than its arrival: it stays in the pen.
        c.dead = false;
        c.arrive();
        assert_eq!(c.place, Place::Pen);
        c.trace.clear();
        assert_eq!(c.operate(Op::Start, KEPT), running(KCB));
        c.assert_trace(&[
            "read record",
            "read",
            "load 1 for 8000",
            "record Start Switching area 1 kcb 8000",
            "prepared",
            "command Start kcb 8000 image 1",
            "read",
            "clear record",
        ]);
    }
}

#[test]
fn a_core_may_come_late_at_any_moment_of_its_next_start() {
    for power in [Power::Sipi, Power::Psci] {
        for moment in 0..20 {
            let mut c = Core::off(power);
            c.dead = true;
            let late = c.operate(Op::Start, KEPT);
            assert_eq!(late, failed(Reason::PowerTimedOut, After::Down, false));
            c.dead = false;
            let request = Request {
                op: Op::Start,
                kcb: KEPT,
            };
            let mut sequence = Sequence::new(c.target, request, TIMING);
            let mut input = Input::Begin;
            let outcome = (0..).find_map(|action| {
                // INIT undoes an arrival before it; what comes after it is the new one.
                if action == moment && c.place == Place::Off {
                    c.arrive();
                }
                match sequence.next(c.time, input) {
                    Action::Finish(outcome) => Some(outcome),
                    action => {
                        input = c.carry_out(action);
                        None
                    }
                }
            });
            assert_eq!(outcome, Some(running(KCB)), "late by {moment} actions");
            assert_eq!(c.place, Place::Kernel(1));
        }
    }
}

#[test]
fn a_kernel_that_panics_in_its_start_leaves_the_core_in_the_pen() {
    for kernel in [Kernel::Panics, Kernel::PanicsEarly] {
        let mut c = Core::penned(Power::Psci);
        c.file = Some(kernel);
        let outcome = c.operate(Op::Start, KEPT);
        assert_eq!(outcome, failed(Reason::Panicked, After::Down, true));
        c.assert_trace(&[
            "read record",
            "read",
            "load 1 for 8000",
            "record Start Switching area 1 kcb 8000",
            "prepared",
            "command Start kcb 8000 image 1",
            "read",
            "save epitaph",
            "poison 1",
            "clear record",
        ]);
    }
}

const HUNG_START: &[&str] = &[
    "read record",
    "read",
    "load 1 for 8000",
    "record Start Switching area 1 kcb 8000",
    "prepared",
    "command Start kcb 8000 image 1",
    "read",
    "wait 10",
    "read",
    "signal Wake",
    "read",
    "wait 10",
    "read",
    "command None kcb 8000 image 1",
    "read",
];

#[test]
fn a_kernel_that_hangs_in_its_start_is_ended_by_nmi() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::penned(power);
        c.file = Some(Kernel::Hangs);
        let outcome = c.operate(Op::Start, KEPT);
        assert_eq!(outcome, failed(Reason::Hung, After::Down, true));
        let rest = [
            "wait 10",
            "read",
            "signal Nmi",
            "read",
            "save epitaph",
            "poison 1",
            "clear record",
        ];
        c.assert_trace(&[HUNG_START, &rest].concat());
        assert_eq!(c.place, Place::Pen);
    }
}

#[test]
fn a_deaf_kernel_is_ended_by_init_where_there_is_one() {
    let mut c = Core::penned(Power::Sipi);
    c.file = Some(Kernel::HangsDeaf);
    let outcome = c.operate(Op::Start, KEPT);
    assert_eq!(outcome, failed(Reason::Hung, After::Down, false));
    let rest = [
        "wait 10",
        "read",
        "signal Nmi",
        "read",
        "wait 10",
        "read",
        "signal Init",
        "wait 10000",
        "signal PowerOn",
        "wait 200",
        "signal PowerOn",
        "command None kcb 8000 image 1",
        "read",
        "poison 1",
        "clear record",
    ];
    c.assert_trace(&[HUNG_START, &rest].concat());
    assert_eq!(c.place, Place::Pen);
}

#[test]
fn a_deaf_kernel_costs_the_core_where_there_is_no_init() {
    let mut boot = Core::penned(Power::Sipi);
    boot.target.boot_processor = true;
    for mut c in [Core::penned(Power::Psci), boot] {
        c.file = Some(Kernel::HangsDeaf);
        let outcome = c.operate(Op::Start, KEPT);
        assert_eq!(outcome, failed(Reason::Hung, After::Lost, false));
        let rest = [
            "wait 10",
            "read",
            "signal Nmi",
            "read",
            "wait 10",
            "read",
            "clear record",
        ];
        c.assert_trace(&[HUNG_START, &rest].concat());
        assert_eq!(
            c.areas[1],
            Area::Ran(Kernel::HangsDeaf),
            "poisoned while in use"
        );
    }
}

#[test]
fn init_that_does_not_help_costs_the_core() {
    let mut c = Core::penned(Power::Sipi);
    (c.file, c.dead) = (Some(Kernel::HangsDeaf), true);
    let outcome = c.operate(Op::Start, KEPT);
    assert_eq!(outcome, failed(Reason::Hung, After::Lost, false));
    let rest = [
        "wait 10",
        "read",
        "signal Nmi",
        "read",
        "wait 10",
        "read",
        "signal Init",
        "wait 10000",
        "signal PowerOn",
        "wait 200",
        "signal PowerOn",
        "command None kcb 8000 image 1",
        "read",
        "wait 10",
        "read",
        "command None kcb 8000 image 1",
        "read",
        "wait 10",
        "read",
        "clear record",
    ];
    c.assert_trace(&[HUNG_START, &rest].concat());
}

fn refused(c: &mut Core, kcb: KcbSource) -> Refusal {
    let before = (c.lines, c.record, c.areas[0]);
    let Err(Failure::Refused(r)) = c.operate(Op::Start, kcb) else {
        panic!("not refused");
    };
    assert_eq!((c.lines, c.record, c.areas[0]), before);
    r
}

#[test]
fn what_cannot_be_started_is_refused_untouched() {
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    assert_eq!(refused(&mut c, KEPT), Refusal::AlreadyRunning);
    c.assert_trace(&["read record", "read"]);
    c.target.own = true;
    assert_eq!(refused(&mut c, KEPT), Refusal::OwnCore);
    c.target.known = false;
    assert_eq!(refused(&mut c, KEPT), Refusal::UnknownCore);
    c.assert_trace(&[]);
    let mut c = Core::crashed(Power::Psci);
    assert_eq!(refused(&mut c, KEPT), Refusal::Crashed);
    for status in [CoreStatus::Starting, CoreStatus::Detached] {
        c.lines.status = status;
        assert_eq!(refused(&mut c, KEPT), Refusal::Changing);
    }
    let mut c = Core::penned(Power::Psci);
    assert_eq!(refused(&mut c, KcbSource::Kept(0)), Refusal::NoKcb);
    c.file = None;
    c.trace.clear();
    assert_eq!(refused(&mut c, KEPT), Refusal::Kernel);
    c.assert_trace(&["read record", "read", "load 1 for 8000"]);
    c.record.op = 3;
    assert_eq!(refused(&mut c, KEPT), Refusal::Unfinished);
    let mut c = Core::off(Power::Sipi);
    c.target.boot_processor = true;
    assert_eq!(refused(&mut c, KEPT), Refusal::BootProcessorOff);
}

#[test]
fn an_osnode_that_cannot_be_made_is_refused() {
    use bootseq::{Action, Input, Request};
    let c = Core::penned(Power::Psci);
    let request = Request {
        op: Op::Start,
        kcb: KcbSource::Fresh,
    };
    let mut s = Sequence::new(c.target, request, TIMING);
    s.next(0, Input::Begin);
    s.next(0, Input::Record(c.record));
    assert_eq!(s.next(0, Input::Lines(c.lines)), Action::MakeOsnode);
    let refused = Err(Failure::Refused(Refusal::Osnode));
    assert_eq!(s.next(0, Input::Osnode(None)), Action::Finish(refused));
}

/// A system call refused at any point ends the sequence, and it says whether the core was touched.
#[test]
fn lost_control_is_reported() {
    let request = bootseq::Request {
        op: Op::Start,
        kcb: KcbSource::Fresh,
    };
    for n in 1.. {
        let mut c = Core::off(Power::Sipi);
        let mut s = Sequence::new(c.target, request, TIMING);
        if c.run_some(&mut s, n).is_some() {
            assert!(n > 15);
            break;
        }
        let after = if n <= 5 {
            After::Unchanged
        } else {
            After::Unknown
        };
        let reason = Reason::Sys(abi::SysError::NotHolder);
        let finish = bootseq::Action::Finish(failed(reason, after, false));
        assert_eq!(s.next(c.time, DENIED), finish, "after {n} actions");
        assert_eq!(s.next(c.time, DENIED), finish, "it stays over");
    }
}

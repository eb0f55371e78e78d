//! Update: another kernel on the same KCB, and the way back from one that fails.

mod common;

use bootseq::{After, Failure, KcbSource, Op, Outcome, Power, Reason, Refusal, Success};
use common::{Area, Core, KCB, Kernel, Place};

const ANY: KcbSource = KcbSource::Kept(0);
const PREPARE: &[&str] = &[
    "read record",
    "read",
    "load 1 for 8000",
    "record Update Switching area 1 kcb 8000",
    "prepared",
];
const SWITCH: &[&str] = &[
    "command Stop kcb 8000 image 0",
    "read",
    "command Start kcb 8000 image 1",
    "read",
];
const BACK: &[&str] = &[
    "record Update Back area 1 kcb 8000",
    "restore 0",
    "command Start kcb 8000 image 0",
    "read",
    "poison 1",
    "clear record",
];
const START_TIMED_OUT: &[&str] = &[
    "wait 10",
    "read",
    "signal Wake",
    "read",
    "wait 10",
    "read",
    "command None kcb 8000 image 1",
    "read",
    "wait 10",
    "read",
];

fn failed(reason: Reason, after: After, epitaph: bool) -> Outcome {
    Err(Failure::Failed {
        reason,
        after,
        epitaph,
    })
}

#[test]
fn update_prepares_then_switches() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::running(power, Kernel::Good);
        let crashed = false;
        let outcome = c.operate(Op::Update, ANY);
        assert_eq!(outcome, Ok(Success::Running { kcb: KCB, crashed }));
        let release = [
            "record Update Releasing area 1 kcb 8000",
            "poison 0",
            "clear record",
        ];
        c.assert_trace(&[PREPARE, SWITCH, &release].concat());
        assert_eq!(c.place, Place::Kernel(1));
        assert_eq!(c.areas, [Area::Poisoned, Area::Ran(Kernel::Good)]);
        // And again, into the other area.
        c.operate(Op::Update, ANY).expect("a second update");
        assert_eq!(c.place, Place::Kernel(0));
        assert_eq!(c.areas, [Area::Ran(Kernel::Good), Area::Poisoned]);
    }
}

#[test]
fn many_updates_in_a_row() {
    let mut c = Core::running(Power::Psci, Kernel::Good);
    for n in 0..200 {
        c.operate(Op::Update, ANY).expect("an update");
        assert_eq!(c.place, Place::Kernel((n + 1) % 2));
        c.trace.clear();
    }
}

#[test]
fn a_refused_kernel_leaves_the_running_one_alone() {
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    c.file = None;
    let before = (c.lines, c.record, c.home_cmd);
    let outcome = c.operate(Op::Update, ANY);
    assert_eq!(outcome, Err(Failure::Refused(Refusal::Kernel)));
    assert_eq!((c.lines, c.record, c.home_cmd), before);
    c.assert_trace(&PREPARE[..3]);
    let not_running = Err(Failure::Refused(Refusal::NotRunning));
    assert_eq!(Core::off(Power::Psci).operate(Op::Update, ANY), not_running);
    assert_eq!(
        Core::penned(Power::Psci).operate(Op::Update, ANY),
        not_running
    );
    let crashed = Err(Failure::Refused(Refusal::Crashed));
    assert_eq!(Core::crashed(Power::Psci).operate(Op::Update, ANY), crashed);
}

#[test]
fn a_kernel_that_panics_in_its_start_is_taken_back() {
    for kernel in [Kernel::Panics, Kernel::PanicsEarly] {
        let mut c = Core::running(Power::Sipi, Kernel::Good);
        c.file = Some(kernel);
        let outcome = c.operate(Op::Update, ANY);
        assert_eq!(outcome, failed(Reason::Panicked, After::FormerKernel, true));
        c.assert_trace(&[PREPARE, SWITCH, &["save epitaph"], BACK].concat());
        assert_eq!((c.place, c.lines.kcb), (Place::Kernel(0), KCB));
        assert_eq!(c.areas, [Area::Ran(Kernel::Good), Area::Poisoned]);
    }
}

#[test]
fn a_kernel_that_hangs_in_its_start_is_taken_back() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::running(power, Kernel::Good);
        c.file = Some(Kernel::Hangs);
        let outcome = c.operate(Op::Update, ANY);
        assert_eq!(outcome, failed(Reason::Hung, After::FormerKernel, true));
        let force = ["signal Nmi", "read", "save epitaph"];
        c.assert_trace(&[PREPARE, SWITCH, START_TIMED_OUT, &force, BACK].concat());
        assert_eq!(c.place, Place::Kernel(0));
    }
}

#[test]
fn a_deaf_kernel_is_taken_back_by_init_or_costs_the_core() {
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    c.file = Some(Kernel::HangsDeaf);
    let outcome = c.operate(Op::Update, ANY);
    assert_eq!(outcome, failed(Reason::Hung, After::FormerKernel, false));
    let force = [
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
    ];
    c.assert_trace(&[PREPARE, SWITCH, START_TIMED_OUT, &force, BACK].concat());
    assert_eq!(c.place, Place::Kernel(0));

    let mut boot = Core::running(Power::Sipi, Kernel::Good);
    boot.target.boot_processor = true;
    for mut c in [boot, Core::running(Power::Psci, Kernel::Good)] {
        c.file = Some(Kernel::HangsDeaf);
        let outcome = c.operate(Op::Update, ANY);
        assert_eq!(outcome, failed(Reason::Hung, After::Lost, false));
        let lost = ["signal Nmi", "read", "wait 10", "read", "clear record"];
        c.assert_trace(&[PREPARE, SWITCH, START_TIMED_OUT, &lost].concat());
    }
}

#[test]
fn a_kernel_that_does_not_stop_stays() {
    let mut c = Core::running(Power::Psci, Kernel::Stubborn);
    let outcome = c.operate(Op::Update, ANY);
    assert_eq!(
        outcome,
        failed(Reason::StopTimedOut, After::Unchanged, false)
    );
    let stop = [
        "command Stop kcb 8000 image 0",
        "read",
        "wait 10",
        "read",
        "signal Stop",
        "read",
        "wait 10",
        "read",
        "command None kcb 8000 image 0",
        "read",
        "poison 1",
        "clear record",
    ];
    c.assert_trace(&[PREPARE, &stop].concat());
    assert_eq!(c.place, Place::Kernel(0));
}

#[test]
fn a_kernel_that_panics_when_stopped_is_replaced_all_the_same() {
    let mut c = Core::running(Power::Psci, Kernel::PanicsInStop);
    let crashed = true;
    let outcome = c.operate(Op::Update, ANY);
    assert_eq!(outcome, Ok(Success::Running { kcb: KCB, crashed }));
    let rest = [
        "command Stop kcb 8000 image 0",
        "read",
        "save epitaph",
        "command Start kcb 8000 image 1",
        "read",
        "record Update Releasing area 1 kcb 8000",
        "poison 0",
        "clear record",
    ];
    c.assert_trace(&[PREPARE, &rest[..]].concat());
    // Both bad: the one that panicked is not tried again.
    let mut c = Core::running(Power::Psci, Kernel::PanicsInStop);
    c.file = Some(Kernel::Panics);
    let outcome = c.operate(Op::Update, ANY);
    assert_eq!(outcome, failed(Reason::Panicked, After::Down, true));
    assert_eq!(c.place, Place::Pen);
}

#[test]
fn messages_name_cause_and_state() {
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    c.file = Some(Kernel::Panics);
    let e = c.operate(Op::Update, ANY).expect_err("updated");
    let text = "its kernel panicked; the former kernel is back on the same OSnode";
    assert_eq!(e.to_string(), text);
    let e = c.operate(Op::Start, ANY).expect_err("started");
    assert_eq!(e.to_string(), "a kernel runs there already");
}

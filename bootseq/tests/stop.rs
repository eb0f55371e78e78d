//! Stop, and recovering cores whose kernels crashed or hang.

mod common;

use bootseq::{After, Failure, KcbSource, Op, Outcome, Power, Reason, Refusal, Success};
use capfmt::CoreStatus;
use common::{Area, Core, KCB, Kernel, Place};

const ANY: KcbSource = KcbSource::Kept(0);

fn failed(reason: Reason, after: After, epitaph: bool) -> Outcome {
    Err(Failure::Failed {
        reason,
        after,
        epitaph,
    })
}

#[test]
fn stop_waits_for_the_pen_and_poisons() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::running(power, Kernel::Good);
        let outcome = c.operate(Op::Stop, ANY);
        assert_eq!(outcome, Ok(Success::Stopped { kcb: KCB }));
        c.assert_trace(&[
            "read record",
            "read",
            "record Stop Switching area 1 kcb 8000",
            "prepared",
            "command Stop kcb 8000 image 0",
            "read",
            "poison 0",
            "clear record",
        ]);
        assert_eq!((c.place, c.areas[0]), (Place::Pen, Area::Poisoned));
    }
}

const STOP_TIMED_OUT: &[&str] = &[
    "prepared",
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
];

#[test]
fn a_kernel_that_does_not_stop_is_left_running() {
    let mut c = Core::running(Power::Sipi, Kernel::Stubborn);
    let outcome = c.operate(Op::Stop, ANY);
    assert_eq!(
        outcome,
        failed(Reason::StopTimedOut, After::Unchanged, false)
    );
    let begin = [
        "read record",
        "read",
        "record Stop Switching area 1 kcb 8000",
    ];
    c.assert_trace(&[&begin[..], STOP_TIMED_OUT, &["clear record"]].concat());
    assert_eq!(c.place, Place::Kernel(0));
    // The command was taken back: a late look finds nothing to obey.
    assert_eq!(c.home_cmd, capfmt::CoreCommand::None);
}

#[test]
fn a_kernel_that_panics_instead_is_reported() {
    let mut c = Core::running(Power::Psci, Kernel::PanicsInStop);
    let outcome = c.operate(Op::Stop, ANY);
    assert_eq!(outcome, failed(Reason::Panicked, After::Down, true));
    c.assert_trace(&[
        "read record",
        "read",
        "record Stop Switching area 1 kcb 8000",
        "prepared",
        "command Stop kcb 8000 image 0",
        "read",
        "save epitaph",
        "clear record",
    ]);
}

#[test]
fn what_cannot_be_stopped_is_refused_untouched() {
    let mut own = Core::running(Power::Sipi, Kernel::Good);
    own.target.own = true;
    let mut starting = Core::running(Power::Sipi, Kernel::Good);
    starting.lines.status = CoreStatus::Starting;
    let mut no_kcb = Core::running(Power::Sipi, Kernel::Good);
    no_kcb.lines.kcb = 0;
    let cases = [
        (own, Refusal::OwnCore),
        (starting, Refusal::Changing),
        (no_kcb, Refusal::NoKcb),
        (Core::off(Power::Psci), Refusal::AlreadyStopped),
        (Core::penned(Power::Psci), Refusal::AlreadyStopped),
        (Core::crashed(Power::Psci), Refusal::Crashed),
    ];
    for (mut c, refusal) in cases {
        let before = c.clone();
        let outcome = c.operate(Op::Stop, ANY);
        assert_eq!(outcome, Err(Failure::Refused(refusal)));
        assert_eq!((c.lines, c.record), (before.lines, before.record));
        assert!(c.trace.iter().all(|t| t.starts_with("read")));
    }
}

fn recovered(crashed: bool) -> Outcome {
    Ok(Success::Running { kcb: KCB, crashed })
}

#[test]
fn a_crashed_core_gets_a_new_kernel() {
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::crashed(power);
        assert_eq!(c.operate(Op::Recover, ANY), recovered(true));
        c.assert_trace(&[
            "read record",
            "read",
            "load 1 for 8000",
            "record Recover Switching area 1 kcb 8000",
            "prepared",
            "save epitaph",
            "command Start kcb 8000 image 1",
            "read",
            "record Recover Releasing area 1 kcb 8000",
            "poison 0",
            "clear record",
        ]);
        assert_eq!((c.place, c.areas[0]), (Place::Kernel(1), Area::Poisoned));
    }
}

#[test]
fn recover_takes_the_kcb_that_is_known_if_the_core_names_none() {
    let mut c = Core::crashed(Power::Psci);
    c.lines.kcb = 0;
    let outcome = c.operate(Op::Recover, ANY);
    assert_eq!(outcome, Err(Failure::Refused(Refusal::NoKcb)));
    assert_eq!(
        c.operate(Op::Recover, KcbSource::Kept(KCB)),
        recovered(true)
    );
}

#[test]
fn a_hung_core_is_asked_then_forced() {
    // It still stops when asked.
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    assert_eq!(c.operate(Op::Recover, ANY), recovered(false));

    let begin = [
        "read record",
        "read",
        "load 1 for 8000",
        "record Recover Switching area 1 kcb 8000",
    ];
    let ask = ["command None kcb 8000 image 0", "read", "wait 10", "read"];
    let start = [
        "command Start kcb 8000 image 1",
        "read",
        "record Recover Releasing area 1 kcb 8000",
        "poison 0",
        "clear record",
    ];
    for power in [Power::Sipi, Power::Psci] {
        let mut c = Core::running(power, Kernel::Stubborn);
        assert_eq!(c.operate(Op::Recover, ANY), recovered(true));
        let nmi = ["signal Nmi", "read", "save epitaph"];
        c.assert_trace(&[&begin[..], STOP_TIMED_OUT, &ask, &nmi, &start].concat());
    }
    let mut c = Core::running(Power::Sipi, Kernel::StubbornDeaf);
    assert_eq!(c.operate(Op::Recover, ANY), recovered(true));
    let init = [
        "signal Nmi",
        "read",
        "wait 10",
        "read",
        "signal Init",
        "wait 10000",
        "signal PowerOn",
        "wait 200",
        "signal PowerOn",
        "command None kcb 8000 image 0",
        "read",
    ];
    c.assert_trace(&[&begin[..], STOP_TIMED_OUT, &ask, &init, &start].concat());

    let mut c = Core::running(Power::Psci, Kernel::StubbornDeaf);
    let outcome = c.operate(Op::Recover, ANY);
    assert_eq!(outcome, failed(Reason::StopTimedOut, After::Lost, false));
    let lost = ["signal Nmi", "read", "wait 10", "read", "clear record"];
    c.assert_trace(&[&begin[..], STOP_TIMED_OUT, &ask, &lost].concat());
    assert_eq!(c.areas[0], Area::Ran(Kernel::StubbornDeaf));
}

#[test]
fn the_boot_processor_is_never_sent_init() {
    let mut c = Core::running(Power::Sipi, Kernel::StubbornDeaf);
    c.target.boot_processor = true;
    let outcome = c.operate(Op::Recover, ANY);
    assert_eq!(outcome, failed(Reason::StopTimedOut, After::Lost, false));
    assert!(!c.trace.iter().any(|t| t == "signal Init"));
}

#[test]
fn a_kernel_that_does_not_help_leaves_the_osnode_for_another() {
    for (kernel, reason) in [
        (Kernel::Panics, Reason::Panicked),
        (Kernel::PanicsEarly, Reason::Panicked),
        (Kernel::Hangs, Reason::Hung),
    ] {
        let mut c = Core::crashed(Power::Psci);
        c.file = Some(kernel);
        let Err(Failure::Failed { after, .. }) = c.operate(Op::Recover, ANY) else {
            panic!("recovered by {kernel:?}");
        };
        assert_eq!((after, c.place), (After::Down, Place::Pen), "{reason}");
        c.file = Some(Kernel::Good);
        let known = KcbSource::Kept(KCB);
        let outcome = match c.lines.status {
            CoreStatus::Penned => c.operate(Op::Start, known),
            _ => c.operate(Op::Recover, known),
        };
        assert!(
            matches!(outcome, Ok(Success::Running { kcb: KCB, .. })),
            "{outcome:?}"
        );
    }
}

#[test]
fn what_cannot_be_recovered_is_refused_untouched() {
    for mut c in [Core::off(Power::Psci), Core::penned(Power::Psci)] {
        let outcome = c.operate(Op::Recover, KcbSource::Kept(KCB));
        assert_eq!(outcome, Err(Failure::Refused(Refusal::NotRunning)));
        c.assert_trace(&["read record", "read"]);
    }
    let mut c = Core::crashed(Power::Psci);
    c.file = None;
    let before = c.lines;
    let outcome = c.operate(Op::Recover, ANY);
    assert_eq!(outcome, Err(Failure::Refused(Refusal::Kernel)));
    c.assert_trace(&["read record", "read", "load 1 for 8000"]);
    assert_eq!(c.lines, before);
}

#[test]
fn a_kernel_that_has_detached_already_is_waited_for() {
    let mut c = Core::running(Power::Sipi, Kernel::Good);
    c.lines.status = CoreStatus::Detached;
    // It never comes to the pen: no second Stop is commanded, it is forced.
    c.areas[0] = Area::Ran(Kernel::Stubborn);
    assert_eq!(c.operate(Op::Recover, ANY), recovered(true));
    assert!(!c.trace.iter().any(|t| t.starts_with("command Stop")));
    assert!(c.trace.iter().any(|t| t == "signal Nmi"));
}

#[test]
fn a_lost_interrupt_is_sent_again() {
    let mut c = Core::running(Power::Psci, Kernel::Good);
    c.deaf_to_commands = true;
    let outcome = c.operate(Op::Stop, ANY);
    assert_eq!(outcome, Ok(Success::Stopped { kcb: KCB }));
    let tail = ["signal Stop", "read", "poison 0", "clear record"];
    assert_eq!(c.trace[c.trace.len() - 4..], tail);
    let outcome = c.operate(Op::Start, KcbSource::Kept(KCB));
    assert_eq!(outcome, recovered(false));
    let tail = ["signal Wake", "read", "clear record"];
    assert_eq!(c.trace[c.trace.len() - 3..], tail);
}

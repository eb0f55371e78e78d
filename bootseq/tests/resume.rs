//! A driver that ends in the middle of an operation, at every action of it, and its successor.

mod common;

use bootseq::{
    After, Failure, KcbSource, Op, Outcome, Power, Reason, Record, Request, Sequence, Success,
};
use capfmt::CoreStatus;
use common::{Area, Core, KCB, Kernel, Place, TIMING};

/// What must hold after every operation and every resume.
fn check(c: &Core, what: &str) {
    assert_eq!(c.record, Record::NONE, "{what}: the record stands");
    match c.place {
        Place::Kernel(area) => {
            assert_eq!(c.lines.status, CoreStatus::Running, "{what}");
            assert_eq!(c.lines.kcb, KCB, "{what}");
            assert!(matches!(c.areas[area as usize], Area::Ran(_)), "{what}");
            let other = c.areas[1 - area as usize];
            let clean = !matches!(other, Area::Ran(_));
            assert!(clean, "{what}: {other:?} was not released");
        }
        Place::Off => assert_eq!(c.lines.status, CoreStatus::Off, "{what}"),
        Place::AfterInit => assert_eq!(c.lines.status, CoreStatus::Off, "{what}"),
        Place::Pen | Place::Hung(_) => {}
    }
}

fn cores(op: Op, power: Power) -> Vec<Core> {
    let running = |k| Core::running(power, k);
    match op {
        Op::Start => vec![Core::off(power), Core::penned(power)],
        Op::Stop | Op::Move => vec![running(Kernel::Good), running(Kernel::PanicsInStop)],
        Op::Update => vec![running(Kernel::Good), running(Kernel::PanicsInStop)],
        Op::Recover => vec![
            Core::crashed(power),
            running(Kernel::Good),
            running(Kernel::Stubborn),
        ],
    }
}

const FILES: [Kernel; 5] = [
    Kernel::Good,
    Kernel::Panics,
    Kernel::PanicsEarly,
    Kernel::Hangs,
    Kernel::HangsDeaf,
];

#[test]
fn every_interruption_is_finished_or_undone() {
    let mut interruptions = 0;
    for power in [Power::Sipi, Power::Psci] {
        for op in [Op::Start, Op::Stop, Op::Update, Op::Recover] {
            for core in cores(op, power) {
                for file in FILES {
                    interruptions += interrupt_everywhere(&core, op, file);
                }
            }
        }
    }
    assert!(interruptions > 1000, "{interruptions}");
}

fn interrupt_everywhere(core: &Core, op: Op, file: Kernel) -> usize {
    let request = Request {
        op,
        kcb: KcbSource::Kept(KCB),
    };
    for actions in 0.. {
        let mut c = core.clone();
        c.file = Some(file);
        let what = format!(
            "{op:?} of {:?} with {file:?}, {actions} actions",
            core.place
        );
        let mut s = Sequence::new(c.target, request, TIMING);
        if c.run_some(&mut s, actions).is_some() {
            check(&c, &what);
            return actions;
        }
        let began = c.record != Record::NONE;
        let interrupted = c.clone();
        let outcome = c.resume();
        check(&c, &what);
        if !began {
            assert_eq!(outcome, Ok(Success::Nothing), "{what}");
            continue;
        }
        // A core is lost only where nothing else can be done.
        let lost = matches!(
            outcome,
            Err(Failure::Failed {
                after: bootseq::After::Lost,
                ..
            })
        );
        let deaf = file == Kernel::HangsDeaf && core.target.power == Power::Psci;
        assert!(!lost || deaf, "{what}: lost from {interrupted:#?}");
        if !lost {
            assert!(!matches!(c.place, Place::Hung(_)), "{what}: left hanging");
            come_back(c, &what);
        }
    }
    unreachable!()
}

/// Whatever happened, a good kernel runs the same OSnode again.
fn come_back(mut c: Core, what: &str) {
    c.file = Some(Kernel::Good);
    let kcb = KcbSource::Kept(KCB);
    let outcome = match c.lines.status {
        CoreStatus::Running => c.operate(Op::Update, kcb),
        CoreStatus::Off | CoreStatus::Penned => c.operate(Op::Start, kcb),
        _ => c.operate(Op::Recover, kcb),
    };
    assert!(
        matches!(outcome, Ok(Success::Running { kcb: KCB, .. })),
        "{what}, then {outcome:?}"
    );
}

/// The successor can end in the middle as well.
#[test]
fn resuming_can_be_interrupted_too() {
    for file in [Kernel::Good, Kernel::Panics, Kernel::Hangs] {
        for first in 5..40 {
            for second in 0..40 {
                let mut c = Core::running(Power::Psci, Kernel::Good);
                c.file = Some(file);
                let request = Request {
                    op: Op::Update,
                    kcb: KcbSource::Kept(KCB),
                };
                let mut s = Sequence::new(c.target, request, TIMING);
                if c.run_some(&mut s, first).is_some() {
                    break;
                }
                let mut s = Sequence::resume(c.target, TIMING);
                let over = c.run_some(&mut s, second).is_some();
                let what = format!("update to {file:?}, ended after {first}, then {second}");
                if !over {
                    let _ = c.resume();
                }
                check(&c, &what);
                come_back(c, &what);
                if over {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_update_is_finished_where_it_had_come() {
    let start = ["command Start kcb 8000 image 1", "read"];
    let release = [
        "record Update Releasing area 1 kcb 8000",
        "poison 0",
        "clear record",
    ];
    let look = ["read record", "read"];
    let stop = ["command Stop kcb 8000 image 0", "read"];
    // (actions of the first driver, whether its commands' interrupts got lost, the second one's trace)
    let cases: [(usize, bool, Vec<&str>); 5] = [
        (5, false, [look, stop, start].concat()),
        (6, false, [look, start].concat()),
        (8, false, look.to_vec()),
        (9, false, look.to_vec()),
        (12, true, [look, ["signal Wake", "read"]].concat()),
    ];
    for (actions, lost, mut expected) in cases {
        let mut c = Core::running(Power::Sipi, Kernel::Good);
        let request = Request {
            op: Op::Update,
            kcb: KcbSource::Kept(0),
        };
        let mut s = Sequence::new(c.target, request, TIMING);
        c.deaf_to_commands = lost;
        assert_eq!(c.run_some(&mut s, actions), None);
        c.trace.clear();
        expected.extend(release);
        let crashed = false;
        assert_eq!(c.resume(), Ok(Success::Running { kcb: KCB, crashed }));
        c.assert_trace(&expected);
    }
}

#[test]
fn nothing_unfinished_is_nothing_to_do() {
    let mut c = Core::running(Power::Psci, Kernel::Good);
    assert_eq!(c.resume(), Ok(Success::Nothing));
    c.assert_trace(&["read record"]);
    // Words that no driver wrote are cleared away.
    c.record = Record {
        op: 77,
        phase: 1,
        kcb: 0,
    };
    assert_eq!(c.resume(), Ok(Success::Nothing));
    assert_eq!((c.record, c.place), (Record::NONE, Place::Kernel(0)));
}

/// Operation, core, after how many actions of the first driver, and what its successor does and answers.
type Case = (Op, Core, std::ops::Range<usize>, Outcome, Vec<&'static str>);

/// Everything after the record was written. Updates are to a kernel that panics, and on their way back.
fn taken_up() -> Vec<Case> {
    let then = |more: &[&'static str]| [&["read record", "read"], more].concat();
    let down = then(&["poison 1", "clear record"]);
    let stop = ["command Stop kcb 8000 image 0", "read"];
    let start = ["save epitaph", "command Start kcb 8000 image 1", "read"];
    let release = ["record Recover Releasing area 1 kcb 8000"];
    let back = ["restore 0", "command Start kcb 8000 image 0", "read"];
    let retired = ["poison 0", "clear record"];
    let ended = |after| {
        let (reason, epitaph) = (Reason::Interrupted, false);
        Err(Failure::Failed {
            reason,
            after,
            epitaph,
        })
    };
    let runs = |crashed| Ok(Success::Running { kcb: KCB, crashed });
    let stopped = Ok(Success::Stopped { kcb: KCB });
    let undone = ended(After::Down);
    let former = ended(After::FormerKernel);
    let good = || Core::running(Power::Psci, Kernel::Good);
    let (off, penned) = (Core::off(Power::Sipi), Core::penned(Power::Psci));
    let crashed = Core::crashed(Power::Psci);
    let stop = then(&[&stop[..], &retired].concat());
    let start = then(&[&start[..], &release, &retired].concat());
    let release = then(&[&release[..], &retired].concat());
    let back = then(&[&back[..], &down[2..]].concat());
    let running = then(&["clear record"]);
    vec![
        (Op::Start, penned.clone(), 4..6, undone, down.clone()),
        (Op::Start, penned, 6..8, runs(false), running.clone()),
        (Op::Start, off.clone(), 4..12, undone, down.clone()),
        (Op::Start, off, 12..14, runs(false), running),
        (Op::Stop, good(), 3..5, stopped, stop),
        (Op::Stop, good(), 5..8, stopped, then(&retired)),
        (Op::Recover, crashed.clone(), 4..7, runs(true), start),
        (Op::Recover, crashed, 7..11, runs(false), release),
        (Op::Update, good(), 11..13, former, back),
        (Op::Update, good(), 13..16, former, down),
    ]
}

#[test]
fn each_operation_is_taken_up_where_it_stood() {
    for (op, core, actions, outcome, trace) in taken_up() {
        for n in actions {
            let mut c = core.clone();
            let panics = op == Op::Update;
            c.file = Some(if panics { Kernel::Panics } else { Kernel::Good });
            let kcb = KcbSource::Kept(KCB);
            let mut s = Sequence::new(c.target, Request { op, kcb }, TIMING);
            assert_eq!(c.run_some(&mut s, n), None, "{op:?} is over after {n}");
            c.trace.clear();
            assert_eq!(c.resume(), outcome, "{op:?} after {n} actions");
            c.assert_trace(&trace);
            check(&c, &format!("{op:?} after {n} actions"));
        }
    }
}

//! Several cores at once: all are prepared before any is touched, and nothing long delays a switch.

mod common;

use bootseq::{
    Action, After, Bulk, BulkAction, Failure, KcbSource, Op, Power, Refusal, Request, Sequence,
    Success,
};
use common::{Core, KCB, Kernel, Place, TIMING};

fn update(c: &Core) -> Sequence {
    let request = Request {
        op: Op::Update,
        kcb: KcbSource::Kept(0),
    };
    Sequence::new(c.target, request, TIMING)
}

fn cores(n: u32) -> Vec<Core> {
    let core = |i| {
        let mut c = Core::running(Power::Psci, Kernel::Good);
        c.target.core = i;
        c
    };
    (1..=n).map(core).collect()
}

/// Carries everything out; the common trace is "index: action".
fn run<const N: usize>(bulk: &mut Bulk<N>, cores: &mut [Core]) -> Vec<String> {
    let mut now = 1000;
    let mut trace = Vec::new();
    loop {
        assert!(trace.len() < 1000, "it does not end");
        match bulk.next(now) {
            BulkAction::Finished => return trace,
            BulkAction::Wait { until_ns } => {
                trace.push(format!("wait {}", until_ns.saturating_sub(now)));
                now = until_ns.max(now + 1);
            }
            BulkAction::Do(i, action) => {
                assert!(!matches!(action, Action::Prepared | Action::Wait { .. }));
                let c = &mut cores[i];
                c.time = now;
                let input = c.carry_out(action);
                trace.push(format!("{i}: {}", c.trace.last().expect("an action")));
                bulk.answer(i, input);
            }
        }
    }
}

#[test]
fn two_cores_are_updated_side_by_side() {
    let mut cores = cores(2);
    let mut bulk: Bulk<4> = Bulk::new();
    for c in &cores {
        assert!(bulk.add(update(c)).is_some());
    }
    let trace = run(&mut bulk, &mut cores);
    let expected = [
        "0: read record",
        "1: read record",
        "0: read",
        "1: read",
        "0: load 1 for 8000",
        "1: load 1 for 8000",
        "0: record Update Switching area 1 kcb 8000",
        "1: record Update Switching area 1 kcb 8000",
        "0: command Stop kcb 8000 image 0",
        "1: command Stop kcb 8000 image 0",
        "0: read",
        "1: read",
        "0: command Start kcb 8000 image 1",
        "1: command Start kcb 8000 image 1",
        "0: read",
        "1: read",
        "0: record Update Releasing area 1 kcb 8000",
        "1: record Update Releasing area 1 kcb 8000",
        "0: poison 0",
        "1: poison 0",
        "0: clear record",
        "1: clear record",
    ];
    assert_eq!(trace, expected);
    for (i, c) in cores.iter().enumerate() {
        let crashed = false;
        let done = Ok(Success::Running { kcb: KCB, crashed });
        assert_eq!(bulk.outcome(i), Some(done));
        assert_eq!(c.place, Place::Kernel(1));
    }
}

#[test]
fn nothing_long_is_done_while_a_core_switches() {
    let mut cores = cores(3);
    // The second does not stop at once, and hangs in its start; the third is refused.
    cores[1].file = Some(Kernel::Hangs);
    cores[2].file = None;
    let mut bulk: Bulk<3> = Bulk::new();
    for c in &cores {
        bulk.add(update(c));
    }
    let trace = run(&mut bulk, &mut cores);
    let at = |text: &str| trace.iter().position(|t| t == text).expect(text);
    assert!(at("2: load 1 for 8000") < at("0: command Stop kcb 8000 image 0"));
    // Core 0 runs its new kernel long before core 1 is back on its old one, but its former
    // image is poisoned only then.
    assert!(at("0: read") < at("1: signal Nmi"));
    assert!(at("0: poison 0") > at("1: command Start kcb 8000 image 0"));
    let refused = Err(Failure::Refused(Refusal::Kernel));
    assert_eq!(bulk.outcome(2), Some(refused));
    assert!(matches!(bulk.outcome(0), Some(Ok(Success::Running { .. }))));
    let Some(Err(Failure::Failed { after, .. })) = bulk.outcome(1) else {
        panic!("{:?}", bulk.outcome(1));
    };
    assert_eq!(after, After::FormerKernel);
    let places: Vec<_> = cores.iter().map(|c| c.place).collect();
    assert_eq!(
        places,
        [Place::Kernel(1), Place::Kernel(0), Place::Kernel(0)]
    );
}

#[test]
fn one_core_is_in_a_set_once() {
    let cores = cores(3);
    let mut bulk: Bulk<2> = Bulk::new();
    assert_eq!(bulk.add(update(&cores[0])), Some(0));
    assert_eq!(bulk.add(update(&cores[0])), None);
    assert_eq!(bulk.add(update(&cores[1])), Some(1));
    assert_eq!(bulk.add(update(&cores[2])), None, "no room");
    assert_eq!((bulk.outcome(0), bulk.outcome(7)), (None, None));
    assert_eq!(Bulk::<1>::new().next(0), BulkAction::Finished);
}

#[test]
fn different_operations_go_together() {
    let mut cores = cores(3);
    let (first, rest) = cores.split_first_mut().expect("three");
    *first = Core::off(Power::Sipi);
    first.target.core = 0;
    rest[1] = Core::crashed(Power::Psci);
    rest[1].target.core = 3;
    let ops = [Op::Start, Op::Stop, Op::Recover];
    let mut bulk: Bulk<3> = Bulk::new();
    for (c, op) in cores.iter().zip(ops) {
        let kcb = KcbSource::Kept(KCB);
        bulk.add(Sequence::new(c.target, Request { op, kcb }, TIMING));
    }
    run(&mut bulk, &mut cores);
    assert!((0..3).all(|i| bulk.outcome(i).is_some_and(|o| o.is_ok())));
    let places: Vec<_> = cores.iter().map(|c| c.place).collect();
    assert_eq!(places, [Place::Kernel(1), Place::Pen, Place::Kernel(1)]);
}

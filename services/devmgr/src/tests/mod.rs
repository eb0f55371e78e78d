//! Firmware's words translated; operations allowed and refused.

mod knowledge;
mod sound;

use crate::*;
use firmware::acpi::{Acpi, Madt, MadtCore, MemoryRange, Srat};
use proptest::prelude::*;
use proto::iface::cores::{CoreOp, CoreState};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

#[test]
fn acpi_is_translated() {
    let mut acpi = Acpi::default();
    assert_eq!(
        MachineDescription::from_acpi(&acpi),
        Err(Unusable::NoCores),
        "no MADT"
    );
    let core = |hw_id| MadtCore { hw_id, uid: 0 };
    let mut madt = Madt {
        local_apic: 0xfee0_0000,
        ..Madt::default()
    };
    acpi.madt = Some(madt.clone());
    assert_eq!(MachineDescription::from_acpi(&acpi), Err(Unusable::NoCores));
    madt.cores = [0, 1, 3, 0x100].map(core).to_vec();
    acpi.madt = Some(madt);
    acpi.srat = Some(Srat {
        cores: [(0, 0), (1, 0), (3, 1)].into(),
        memory: vec![MemoryRange {
            base: 0x2000_0000,
            bytes: 0x1000_0000,
            domain: 1,
        }],
    });
    let mut d = MachineDescription::from_acpi(&acpi).expect("four cores");
    let cores: Vec<_> = d.cores.iter().map(|c| (c.hw_id, c.node)).collect();
    assert_eq!(cores, [(0, 0), (1, 0), (3, 1), (0x100, 0)]);
    assert_eq!(d.interrupts, Interrupts::Apic { local: 0xfee0_0000 });
    let memory = NodeMemory {
        base: 0x2000_0000,
        bytes: 0x1000_0000,
        node: 1,
    };
    assert_eq!(d.memory, [memory]);
    assert!(d.boot_core_first(3));
    let ids: Vec<_> = d.cores.iter().map(|c| c.hw_id).collect();
    assert_eq!(ids, [3, 0, 1, 0x100]);
    assert!(!d.boot_core_first(77));
}

#[test]
fn a_tree_is_translated() {
    let tree = include_bytes!("../../../../boards/qemu-arm-big-little/tree.dtb");
    let mut machine = firmware::tree::read(tree);
    let d = MachineDescription::from_tree(&machine).expect("eight cores");
    let cores: Vec<_> = d.cores.iter().map(|c| (c.hw_id, c.capacity)).collect();
    assert_eq!((cores[0], cores[7]), ((0, 592), (7, 1024)));
    assert_eq!(d.psci_conduit, 2);
    let gic = Interrupts::Gic {
        version: 3,
        distributor: 0x800_0000,
        redistributors: 0x80a_0000,
        redistributor_bytes: 0xf6_0000,
        cpu_interface: 0,
    };
    assert_eq!(d.interrupts, gic);
    machine.controller = None;
    let refused = MachineDescription::from_tree(&machine);
    assert_eq!(refused, Err(Unusable::NoController));
    machine.cores.clear();
    let refused = MachineDescription::from_tree(&machine);
    assert_eq!(refused, Err(Unusable::NoCores));
}

fn four_cores() -> Registry {
    let d = |i| CoreDescription {
        hw_id: i,
        node: i as u32 / 2,
        capacity: 1024,
    };
    Registry::new(&[d(0), d(1), d(2), d(3)], 1)
}

fn run(r: &mut Registry, op: CoreOp, core: u32, fresh: bool, then: CoreState, osnode: u64) -> Plan {
    let plan = r
        .plan(Operation {
            op,
            core,
            fresh,
            pause_ns: 0,
        })
        .expect("allowed");
    r.finish(plan, then, osnode);
    plan
}

fn refused(r: &mut Registry, op: CoreOp, core: u32) -> Refusal {
    r.plan(Operation {
        op,
        core,
        fresh: false,
        pause_ns: 0,
    })
    .expect_err("refused")
}

#[test]
fn the_life_of_a_core() {
    use CoreState::{Crashed, Penned, Running};
    let mut r = four_cores();
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 2);
    assert_eq!((p.osnode, p.executor), (0, 1));
    assert_eq!(refused(&mut r, CoreOp::Start, 1), Refusal::Running(1, 2));
    let p = run(&mut r, CoreOp::Stop, 1, false, Penned, 0);
    assert_eq!(p.osnode, 2);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false)]);
    assert_eq!(
        refused(&mut r, CoreOp::Update, 1),
        Refusal::NotRunning(1, Penned)
    );
    let p = run(&mut r, CoreOp::Start, 1, true, Running, 3);
    assert_eq!(p.osnode, 0, "fresh");
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false), (3, 1, true)]);
    run(&mut r, CoreOp::Stop, 1, false, Penned, 0);
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 0);
    assert_eq!(p.osnode, 3, "the one stopped last");
    assert_eq!(r.observe(1, Crashed), Some(3));
    assert_eq!(r.observe(1, Crashed), None, "reported once");
    assert_eq!(refused(&mut r, CoreOp::Update, 1), Refusal::Crashed(1));
    let p = run(&mut r, CoreOp::Recover, 1, false, Running, 0);
    assert_eq!(p.osnode, 3);
    let p = run(&mut r, CoreOp::Recover, 1, false, Running, 0);
    assert_eq!(p.osnode, 3, "it may have hung");
    assert_eq!(
        refused(&mut r, CoreOp::Recover, 2),
        Refusal::NotRunning(2, CoreState::Off)
    );
    assert_eq!(refused(&mut r, CoreOp::Stop, 9), Refusal::NoCore(9, 4));
    assert_eq!(refused(&mut r, CoreOp::Stop, 0), Refusal::Console(0));
    let pause = Operation {
        op: CoreOp::Stop,
        core: 0,
        fresh: false,
        pause_ns: 1,
    };
    let p = r.plan(pause).expect("started again by o3");
    assert_eq!((p.osnode, p.executor), (1, 3));
    r.finish(p, CoreState::Running, 0);
}

#[test]
fn an_osnode_whose_first_kernel_failed_is_kept() {
    use CoreState::{Crashed, Off, Penned, Running};
    let mut r = four_cores();
    run(&mut r, CoreOp::Start, 1, false, Crashed, 2);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false)]);
    let p = run(&mut r, CoreOp::Recover, 1, false, Running, 0);
    assert_eq!(p.osnode, 2);
    run(&mut r, CoreOp::Start, 2, false, Penned, 3);
    assert_eq!(r.osnodes().last(), Some(&(3, 2, false)));
    let p = run(&mut r, CoreOp::Start, 2, false, Penned, 3);
    assert_eq!((p.osnode, r.osnodes().len()), (3, 3), "listed once");
    run(&mut r, CoreOp::Start, 3, false, Off, 0);
    assert_eq!(r.osnodes().len(), 3, "refused before one was made");
}

#[test]
fn nobody_drives_the_core_that_it_stands_on() {
    let mut r = four_cores();
    assert_eq!(refused(&mut r, CoreOp::Update, 0), Refusal::NoExecutor(0));
    run(&mut r, CoreOp::Start, 2, false, CoreState::Running, 2);
    let p = run(&mut r, CoreOp::Update, 0, false, CoreState::Running, 0);
    assert_eq!((p.osnode, p.executor), (1, 2));
}

#[test]
fn an_executor_is_not_detached_meanwhile() {
    let mut r = four_cores();
    let op = |core| Operation {
        op: CoreOp::Update,
        core,
        fresh: false,
        pause_ns: 0,
    };
    run(&mut r, CoreOp::Start, 1, false, CoreState::Running, 2);
    run(&mut r, CoreOp::Start, 2, false, CoreState::Running, 3);
    let one = r.plan(op(1)).expect("by o1");
    let two = r.plan(op(2)).expect("at the same time");
    assert_eq!((one.executor, two.executor), (1, 1));
    assert_eq!(
        r.plan(op(0)),
        Err(Refusal::Busy(0)),
        "it executes for others"
    );
    assert_eq!(r.plan(op(1)), Err(Refusal::Busy(1)));
    r.finish(one, CoreState::Running, 0);
    r.finish(two, CoreState::Running, 0);
    let zero = r.plan(op(0)).expect("now free");
    assert_eq!(zero.executor, 2);
    assert_eq!(
        r.plan(op(1)),
        Err(Refusal::Busy(1)),
        "o2 executes for core 0"
    );
    let two = r.plan(op(2));
    assert_eq!(
        two,
        Err(Refusal::Busy(0)),
        "only o1 has the control of core 2"
    );
    r.finish(zero, CoreState::Running, 0);
    r.plan(op(2)).expect("o1 is free again");
    assert!(Refusal::Busy(1).to_string().contains("core 1"));
}

#[test]
fn an_osnode_moves_to_a_free_core() {
    use CoreState::{Crashed, Penned, Running};
    let mut r = four_cores();
    let refused = |r: &mut Registry, from, to| r.plan_move(from, to).expect_err("refused");
    assert_eq!(refused(&mut r, 1, 2), Refusal::NoOsnode(1));
    assert_eq!(refused(&mut r, 0, 2), Refusal::Home(0, 1));
    run(&mut r, CoreOp::Start, 1, false, Running, 2);
    run(&mut r, CoreOp::Start, 3, false, Running, 3);
    assert_eq!(refused(&mut r, 1, 1), Refusal::Same(1));
    assert_eq!(refused(&mut r, 1, 9), Refusal::NoCore(9, 4));
    assert_eq!(refused(&mut r, 9, 9), Refusal::NoCore(9, 4));
    assert_eq!(refused(&mut r, 1, 0), Refusal::Occupied(0, 1));
    assert_eq!(refused(&mut r, 1, 3), Refusal::Occupied(3, 3));
    let plan = r.plan_move(1, 2).expect("allowed");
    assert_eq!((plan.osnode, plan.runs, plan.executor), (2, true, 1));
    assert_eq!(refused(&mut r, 1, 2), Refusal::Busy(1));
    assert_eq!(refused(&mut r, 3, 2), Refusal::Busy(2));
    assert_eq!(r.finish_move(plan, Penned, Running), Some(2));
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 2, true), (3, 3, true)]);
    // A fresh one starts on the core that it left.
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 4);
    assert_eq!(p.osnode, 0);
    // A stopped one moves, too; it is kept where it was if it does not start there.
    run(&mut r, CoreOp::Stop, 3, false, Penned, 0);
    run(&mut r, CoreOp::Stop, 2, false, Penned, 0);
    assert_eq!(refused(&mut r, 1, 3), Refusal::Keeps(3, 3));
    let p = run(&mut r, CoreOp::Start, 3, false, Running, 0);
    assert_eq!(p.osnode, 3);
    run(&mut r, CoreOp::Stop, 1, false, Penned, 0);
    r.detached.retain(|(o, _)| *o != 4);
    let plan = r.plan_move(2, 1).expect("allowed");
    assert_eq!((plan.osnode, plan.runs), (2, false));
    assert_eq!(r.finish_move(plan, Penned, Penned), None);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 2, false), (3, 3, true)]);
    // One whose kernels crashed on both sides can be recovered where it was.
    let plan = r.plan_move(3, 1).expect("allowed");
    assert_eq!(r.finish_move(plan, Crashed, Penned), None);
    assert_eq!(refused(&mut r, 3, 1), Refusal::Crashed(3));
    let p = run(&mut r, CoreOp::Recover, 3, false, Running, 0);
    assert_eq!(p.osnode, 3);
    r.exclude(&[1]);
    assert_eq!(refused(&mut r, 3, 1), Refusal::NotDriven(1));
    let plan = r.plan_move(2, 1);
    assert_eq!(plan, Err(Refusal::NotDriven(1)));
}

#[test]
fn an_osnode_is_destroyed_once_it_is_fenced() {
    use CoreState::{Crashed, Penned, Running, Starting};
    let mut r = four_cores();
    let refused = |r: &mut Registry, core| r.plan_destroy(core).expect_err("refused");
    assert_eq!(refused(&mut r, 9), Refusal::NoCore(9, 4));
    assert_eq!(refused(&mut r, 0), Refusal::Home(0, 1));
    assert_eq!(refused(&mut r, 1), Refusal::NoOsnode(1));
    run(&mut r, CoreOp::Start, 1, false, Running, 2);
    let plan = r.plan_destroy(1).expect("allowed");
    assert_eq!((plan.osnode, plan.runs, plan.executor), (2, true, 1));
    assert_eq!(refused(&mut r, 1), Refusal::Busy(1));
    // Its kernel does not stop: all is as before.
    r.finish_destroy(plan, Running, false);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, true)]);
    // It stopped, but is not gone: it is kept.
    let plan = r.plan_destroy(1).expect("allowed");
    r.finish_destroy(plan, Penned, false);
    assert_eq!(r.osnodes(), [(1, 0, true), (2, 1, false)]);
    let plan = r.plan_destroy(1).expect("allowed");
    assert!(!plan.runs);
    r.finish_destroy(plan, Penned, true);
    assert_eq!(r.osnodes(), [(1, 0, true)]);
    // The next one there is a fresh one; that it crashed is no obstacle.
    let p = run(&mut r, CoreOp::Start, 1, false, Running, 3);
    assert_eq!(p.osnode, 0);
    assert_eq!(r.observe(1, Crashed), Some(3));
    let plan = r.plan_destroy(1).expect("allowed");
    assert_eq!((plan.osnode, plan.runs), (3, false));
    r.finish_destroy(plan, Starting, false);
    assert_eq!(r.osnodes(), [(1, 0, true), (3, 1, false)]);
}

#[test]
fn an_osnode_that_ended_is_found_wherever_it_lies() {
    use CoreState::{Crashed, Penned, Running};
    let mut r = four_cores();
    assert_eq!(r.plan_ended(2), Ok(None));
    run(&mut r, CoreOp::Start, 1, false, Running, 2);
    assert_eq!(r.observe(1, Crashed), Some(2));
    assert!(!r.keeps_any());
    let plan = r.plan_ended(2).expect("allowed").expect("known");
    assert_eq!((plan.osnode, plan.from, plan.runs), (2, 1, false));
    // Whoever wants the core waits for the end of this.
    assert_eq!(r.plan_ended(2), Err(Refusal::Busy(1)));
    assert_eq!(r.plan_destroy(1), Err(Refusal::Busy(1)));
    r.finish_destroy(plan, Penned, true);
    assert_eq!(r.plan_ended(2), Ok(None));
    // One that was stopped, while another one runs on its core: that one stays.
    run(&mut r, CoreOp::Start, 1, false, Running, 3);
    run(&mut r, CoreOp::Stop, 1, false, Penned, 3);
    run(&mut r, CoreOp::Start, 1, true, Running, 4);
    assert!(r.keeps_any() && r.is_kept(3) && !r.is_kept(4));
    let plan = r.plan_ended(3).expect("allowed").expect("known");
    assert_eq!((plan.osnode, plan.from, plan.runs), (3, 1, false));
    r.finish_destroy(plan, Running, true);
    assert_eq!(r.osnodes(), [(1, 0, true), (4, 1, true)]);
}

proptest! {
    /// Whatever the order: no core is detached by an OSnode on it, and no executor is being detached.
    #[test]
    fn random_operations_keep_the_rules(steps in prop::collection::vec((0u32..4, 0u32..5, any::<bool>(), 0u8..4), 1..80)) {
        let mut r = four_cores();
        let mut open: Vec<Plan> = Vec::new();
        let mut next = 2;
        for (op, core, fresh, end) in steps {
            let op = [CoreOp::Start, CoreOp::Stop, CoreOp::Update, CoreOp::Recover][op as usize];
            if let Ok(p) = r.plan(Operation { op, core, fresh, pause_ns: 0 }) {
                let on = r.osnodes().into_iter().find(|(o, ..)| *o == p.executor).expect("known");
                prop_assert!(on.2 && on.1 != core);
                prop_assert!(open.iter().all(|q| q.operation.core != core && q.operation.core != on.1));
                prop_assert!(open.iter().all(|q| q.executor_core != core));
                open.push(p);
            }
            if end < 3 && !open.is_empty() {
                let p = open.remove(usize::from(end) % open.len());
                let state = match p.operation.op {
                    CoreOp::Stop => CoreState::Penned,
                    _ if end == 2 => CoreState::Crashed,
                    _ => CoreState::Running,
                };
                let made = if p.osnode == 0 { next += 1; next } else { 0u64 };
                r.finish(p, state, made);
            }
            let mut ids: Vec<u64> = r.osnodes().iter().map(|o| o.0).collect();
            let n = ids.len();
            ids.dedup();
            prop_assert_eq!(ids.len(), n, "an OSnode is listed once");
        }
    }
}

#[test]
fn what_a_boot_driver_found_is_taken_over() {
    use CoreState::{Crashed, Off, Penned, Running};
    let mut before = four_cores();
    run(&mut before, CoreOp::Start, 1, false, Running, 2);
    run(&mut before, CoreOp::Start, 2, false, Running, 3);
    run(&mut before, CoreOp::Stop, 1, false, Penned, 0);
    assert_eq!(before.observe(2, Crashed), Some(3));
    let mut after = four_cores();
    after.restore(&[
        (1, 0, Running),
        (2, 1, Penned),
        (3, 2, Crashed),
        (0, 1, Penned),
        (0, 3, Off),
        (7, 9, Running),
    ]);
    assert_eq!(after.osnodes(), before.osnodes());
    for core in 0..4 {
        assert_eq!(after.core(core), before.core(core));
    }
    let p = run(&mut after, CoreOp::Start, 1, false, Running, 0);
    assert_eq!(p.osnode, 2);
    assert_eq!(refused(&mut after, CoreOp::Update, 2), Refusal::Crashed(2));
}

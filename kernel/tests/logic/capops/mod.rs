//! Capability operations, as real system calls, against a plain list: the same calls succeed, and afterwards
//! every slot and every table holds the same.
//!
//! What fails is shrunk. A step chooses among what there is (any RAM, a free slot, …), so a shorter list of
//! steps still means something.

mod choose;

use crate::support::machine::TestMachine;
use crate::support::world::{KCB, OSNODE, RAM, ROOT, World};
use abi::{Op, SysError, Syscall, disp};
use capfmt::{Cap, CapType, Cte, PhysAddr, PhysMap, mdb};
use choose::{Step, addresses, step};
use kernel::{Machine, PageRights, RoundRobin};
use model::space::{Call, Entries, Space};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

type W = World<RoundRobin>;

/// How large a world is.
#[derive(Clone, Copy)]
struct Scale {
    bytes: u64,
    /// Slots used of the free CNode.
    slots: u32,
    /// Most objects of one retype.
    most: u64,
    steps: usize,
}

const SMALL: Scale = Scale {
    bytes: 0x18_0000,
    slots: 40,
    most: 3,
    steps: 400,
};

const LARGE: Scale = Scale {
    bytes: 0x80_0000,
    slots: 256,
    most: 64,
    steps: 3000,
};

/// The two worlds side by side.
struct Pair {
    w: W,
    model: Space,
    pool: Vec<u64>,
    scale: Scale,
    calls: u64,
}

impl Pair {
    fn new(scale: Scale, fresh: &TestMachine) -> Pair {
        let w = W::adopt(fresh.clone());
        let root = Cap::cnode(ROOT, 8);
        let memory = (fresh.arena.base().0, fresh.arena.bytes());
        let model = Space::new(&w.caps(), root, memory, OSNODE);
        Pair {
            w,
            model,
            pool: addresses(scale),
            scale,
            calls: 0,
        }
    }
}

/// Registers of a call.
fn registers(call: Call) -> (Op, u64, Vec<u64>) {
    match call {
        Call::Identify { cap } => (Op::Identify, cap, vec![]),
        Call::Copy {
            root,
            from,
            to,
            how,
            badge,
        } => (Op::Copy, root, vec![from, to, how, badge]),
        Call::Move { root, from, to } => (Op::Move, root, vec![from, to]),
        Call::Delete { root, at } => (Op::Delete, root, vec![at]),
        Call::Revoke { root, at } => (Op::Revoke, root, vec![at]),
        Call::Retype {
            from,
            offset,
            what,
            size,
            count,
            root,
            to,
        } => (Op::Retype, from, vec![offset, what, size, count, root, to]),
        Call::Map {
            table,
            what,
            first,
            offset,
            how,
            to,
        } => (Op::Map, table, vec![what, first, offset, how, to]),
        Call::Unmap { mapping } => (Op::Unmap, mapping, vec![]),
        Call::Protect { mapping, rights } => (Op::Protect, mapping, vec![rights]),
        Call::EndpointOpen {
            dispatcher,
            index,
            to,
        } => (
            Op::EndpointOpen,
            dispatcher,
            vec![index, index % disp::RING_SLOTS, 1, to],
        ),
        Call::NotifyMint { page, channel, to } => (Op::NotifyMint, page, vec![channel, to]),
        Call::IrqMint {
            sources,
            source,
            to,
        } => (Op::IrqMint, sources, vec![source, to]),
    }
}

/// How often each operation succeeded and was refused, and how many entries the longest took.
#[derive(Default, Debug)]
struct Tally {
    calls: u64,
    by_op: std::collections::BTreeMap<u8, (u64, u64)>,
    most_caps: usize,
    long: u64,
}

impl Pair {
    /// One step on both sides.
    fn run(&mut self, s: &Step, tally: &mut Tally) {
        let call = self.call(s);
        let (op, cap, args) = registers(call);
        let mut regs = [0; 8];
        regs[0] = Syscall::Invoke as u64 | (op as u64) << 8;
        regs[1] = cap;
        regs[2..2 + args.len()].copy_from_slice(&args);
        let before = KCB.op_steps(&self.w.m);
        let got = self.w.call(regs);
        assert_eq!(KCB.op_kind(&self.w.m), 0, "an operation goes on");
        tally.long += u64::from(KCB.op_steps(&self.w.m) > 1 && KCB.op_steps(&self.w.m) != before);
        let error = SysError::from_code(got[0] as u16);
        self.calls += 1;
        tally.calls += 1;
        let (done, refused) = tally.by_op.entry(op as u8).or_default();
        if got[0] == 0 {
            *done += 1;
        } else {
            *refused += 1;
        }
        // The undo log has an end that the model does not know.
        let too_many = error == Some(SysError::TableFull)
            && matches!(call, Call::Retype { count, .. } if count > 4);
        if !too_many {
            match self.model.call(call) {
                Ok(results) => {
                    assert_eq!(got[0], 0, "{call:x?} was refused: {error:?}");
                    assert_eq!(got[1..=results.len()], results, "{call:x?}");
                }
                Err(_) => assert_ne!(got[0], 0, "{call:x?} should be refused"),
            }
        }
        tally.most_caps = tally.most_caps.max(self.model.caps().len());
        self.compare(call);
    }

    fn compare(&self, call: Call) {
        let (m, expected) = (&self.w.m, self.model.caps());
        let few = expected.len() < 256;
        let mut at = mdb::first(m, KCB);
        for (cte, cap) in expected {
            assert_eq!(at, Some(*cte), "after {call:x?}: {cap:x?} is missing");
            assert_eq!(cte.cap(m), *cap, "after {call:x?}: {cte:x?}");
            at = mdb::next(m, KCB, *cte);
        }
        assert_eq!(at, None, "after {call:x?}: one too many");
        if few || self.calls.is_multiple_of(1000) {
            assert_eq!(self.w.check(), expected.len() as u64);
        }
        if self.calls.is_multiple_of(100) {
            self.compare_memory();
        }
    }

    /// Slots without a capability are empty, and tables hold what was mapped.
    fn compare_memory(&self) {
        let m = &self.w.m;
        let used = |cte: &Cte| self.model.caps().iter().any(|(c, _)| c == cte);
        for (_, cap) in self.model.caps() {
            if cap.kind == CapType::CNode && cap.base.0 >= RAM.0 {
                let slots = (0..cap.size / 64).map(|k| Cte(cap.base.add(64 * k)));
                for cte in slots.filter(|c| !used(c)) {
                    let zero = (0..8).all(|k| m.load(cte.0.add(8 * k)) == 0);
                    assert!(zero, "{cte:x?} is not empty");
                }
            }
            if cap.kind == CapType::VNode && cap.base.0 >= RAM.0 {
                self.compare_table(cap.base, cap.param);
            }
        }
    }

    fn compare_table(&self, base: PhysAddr, level: u32) {
        let m = &self.w.m;
        let here = self.model.entries().filter(|(_, e)| e.vnode == base.0);
        let mut expected = vec![(0, 0); 512];
        for (cte, e) in here {
            for k in 0..e.count {
                expected[(e.first + k) as usize] = (entry(m, level, e, k), cte.0.0);
            }
        }
        let user = if level == 3 { 256 } else { 512 };
        for k in 0..user {
            let at = 8 * k as u64;
            let found = (m.load(base.add(at)), m.load(base.add(4096 + at)));
            assert_eq!(found, expected[k], "entry {k} of the table at {base:x?}");
        }
    }
}

/// The word of entry `k` of a mapping.
fn entry(m: &TestMachine, level: u32, e: &Entries, k: u64) -> u64 {
    if e.step == 0 {
        return m.table_entry(PhysAddr(e.base));
    }
    let rights = PageRights {
        write: e.rights.contains(capfmt::Rights::WRITE),
        execute: e.rights.contains(capfmt::Rights::EXECUTE),
        device: e.device,
    };
    m.leaf_entry(level, PhysAddr(e.base + k * e.step), rights)
}

/// Runs at least `calls` calls in worlds of this scale; `seed` makes them repeatable.
fn run(scale: Scale, calls: u64, seed: u8) -> Tally {
    let cases = (calls / (scale.steps as u64 / 2) + 1) as u32 * 6 / 5;
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let fresh = crate::support::world::fresh_machine(scale.bytes);
    let tally = std::cell::RefCell::new(Tally::default());
    let steps = proptest::collection::vec(step(), 1..=scale.steps);
    runner
        .run(&steps, |steps| {
            let mut pair = Pair::new(scale, &fresh);
            for s in &steps {
                pair.run(s, &mut tally.borrow_mut());
            }
            pair.compare_memory();
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.calls >= calls, "only {} calls", tally.calls);
    tally
}

/// A run in which an operation hardly ever succeeds, or is refused, proves nothing about it.
fn check_tally(tally: &Tally, least: u64) {
    assert_eq!(tally.by_op.len(), 12);
    for (op, (done, refused)) in &tally.by_op {
        let op = Op::from_u8(*op).expect("one that was called");
        assert!(
            *done >= least && *refused >= least,
            "{op:?}: {done} done, {refused} refused"
        );
    }
}

#[test]
fn few_capabilities_agree_with_the_model() {
    let tally = run(SMALL, model::scaled(800_000), 1);
    check_tally(&tally, 1000);
}

#[test]
fn many_capabilities_agree_with_the_model() {
    let tally = run(LARGE, model::scaled(200_000), 2);
    check_tally(&tally, 100);
    assert!(tally.most_caps > 300, "{} capabilities", tally.most_caps);
    assert!(tally.long > 50, "{} long operations", tally.long);
}

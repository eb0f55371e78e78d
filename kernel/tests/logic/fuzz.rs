//! Random system calls and events from random processes: nothing panics, the invariants hold, and no
//! capability comes from nothing.

use std::collections::BTreeSet;

use crate::support::check::{check_all, mappings};
use crate::support::many::{random_step, world};
use crate::support::world::{KCB, World};
use abi::{Op, Syscall};
use capfmt::{CTE_BYTES, Cap, CapType, Cte, PhysAddr, schema};
use kernel::{Event, FairShare, Next, Policy, RoundRobin};
use model::{Rng, scaled};

/// Whether RAM may have been merged of these: each of its bytes was RAM with at least its rights.
fn is_merged(new: &Cap, old: &[(Cte, Cap)]) -> bool {
    let parts = || {
        let ram = old
            .iter()
            .map(|(_, o)| o)
            .filter(|o| o.kind == CapType::Ram);
        ram.filter(|o| o.rights.contains(new.rights))
    };
    let mut at = new.base.0;
    while at <= new.last() {
        let covers = |o: &&Cap| o.base.0 <= at && at <= o.last();
        match parts().find(covers) {
            Some(part) => at = part.last() + 1,
            None => return false,
        }
    }
    new.kind == CapType::Ram
}

/// Whether a capability may have come to be while these existed.
fn has_origin(new: &Cap, old: &[(Cte, Cap)]) -> bool {
    match new.kind {
        // Numbered by the kernel.
        CapType::Id | CapType::Domain => return true,
        _ => {}
    }
    old.iter().any(|(_, o)| {
        let copy = schema::is_copy(new, o)
            && o.rights.contains(new.rights)
            && (new.extra == o.extra || o.extra == 0);
        copy || schema::is_descendant(new, o)
    }) || is_merged(new, old)
}

fn key(c: &Cap) -> [u64; 4] {
    c.emit().0
}

/// A long operation that is under way comes to its end, or stands still for want of places for memory.
fn ends<P: Policy>(w: &mut World<P>) {
    for _ in 0..40_000 {
        let back = PhysAddr(KCB.reclaim_cnode(&w.m));
        let slot = |k| Cte(back.add(CTE_BYTES * k)).cap(&w.m).kind;
        let full = back != PhysAddr::NULL && (0..256).all(|k| slot(k) != CapType::Null);
        if KCB.op_kind(&w.m) == 0 || full || w.last.next == Next::Pen {
            return;
        }
        w.m.advance(1_000_000);
        w.event(Event::Timer);
    }
    panic!("a long operation does not end");
}

fn run<P: Policy>(seed: u64, steps: u64) {
    let mut r = Rng::new(seed);
    let mut done = 0;
    let mut answers = std::collections::BTreeMap::new();
    while done < steps {
        let mut w = world::<P>();
        let mut old = check_all(&w.m);
        let mut known: BTreeSet<[u64; 4]> = old.iter().map(|(_, c)| key(c)).collect();
        let episode = 200 + r.below(3000);
        for k in 0..episode {
            done += 1;
            if !random_step(&mut w, &mut r) {
                break;
            }
            if old.len() > 256 && k % 1000 != 0 {
                continue;
            }
            let new = check_all(&w.m);
            if k % 32 == 0 {
                mappings(&w.m, &new);
            }
            if new == old {
                continue;
            }
            for (cte, c) in new.iter().filter(|(_, c)| !known.contains(&key(c))) {
                let remote = cte.node(&w.m).flags.0 & 7 != 0 || c.kind == CapType::Notify;
                assert!(
                    remote || has_origin(c, &old),
                    "seed {seed}: {c:?} at {cte:?} came from nothing"
                );
            }
            known = new.iter().map(|(_, c)| key(c)).collect();
            old = new;
        }
        ends(&mut w);
        for (code, (yes, no)) in w.answers {
            let sum: &mut (u64, u64) = answers.entry(code).or_default();
            *sum = (sum.0 + yes, sum.1 + no);
        }
    }
    // A run in which an operation never succeeds proves nothing about it.
    for op in OFTEN {
        let (done, refused) = answers
            .get(&((op as u16) << 8))
            .copied()
            .unwrap_or_default();
        assert!(
            done > 20 && refused > 20,
            "{op:?}: {done} done, {refused} refused"
        );
    }
    for op in Op::ALL {
        let (done, refused) = answers
            .get(&((*op as u16) << 8))
            .copied()
            .unwrap_or_default();
        assert!(done + refused > 100, "{op:?} was hardly ever asked for");
    }
    for call in [Syscall::Send, Syscall::Call, Syscall::Wait, Syscall::Poll] {
        let (done, refused) = answers.get(&(call as u16)).copied().unwrap_or_default();
        assert!(
            done > 100 && refused > 100,
            "{call:?}: {done} done, {refused} refused"
        );
    }
}

const OFTEN: [Op; 23] = [
    Op::Identify,
    Op::Copy,
    Op::Move,
    Op::Delete,
    Op::Revoke,
    Op::Retype,
    Op::Map,
    Op::Unmap,
    Op::Protect,
    Op::DispConfigure,
    Op::DispRun,
    Op::DispSchedule,
    Op::EndpointOpen,
    Op::EndpointReceive,
    Op::NotifyBind,
    Op::Signal,
    Op::NotifyMint,
    Op::IrqMint,
    Op::IrqBind,
    Op::CapExport,
    Op::CapImport,
    Op::CoreMint,
    Op::IdCreate,
];

#[test]
fn random_calls_under_round_robin() {
    run::<RoundRobin>(1, scaled(500_000));
}

#[test]
fn random_calls_under_fair_share() {
    run::<FairShare>(2, scaled(500_000));
}

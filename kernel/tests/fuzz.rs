//! Random system calls and events from random processes: nothing panics, the invariants hold, and no
//! capability comes from nothing.

mod support;

use std::collections::BTreeSet;

use capfmt::{Cap, CapType, Cte, schema};
use kernel::{FairShare, Policy, RoundRobin};
use model::{Rng, scaled};
use support::check::check_all;
use support::many::{random_step, world};
use support::world::KCB;

/// Whether a capability may have come to be while these existed.
fn has_origin(new: &Cap, old: &[(Cte, Cap)]) -> bool {
    match new.kind {
        // Numbered by the kernel, or brought in by the holder of every kernel right.
        CapType::Id | CapType::Domain => return true,
        CapType::Kcb | CapType::Core => {}
        _ => {}
    }
    old.iter().any(|(_, o)| {
        let copy = schema::is_copy(new, o)
            && o.rights.contains(new.rights)
            && (new.extra == o.extra || o.extra == 0);
        copy || schema::is_descendant(new, o)
    })
}

fn key(c: &Cap) -> [u64; 4] {
    c.emit().0
}

fn run<P: Policy>(seed: u64, steps: u64) {
    let mut r = Rng::new(seed);
    let mut done = 0;
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
        let _ = KCB;
    }
}

#[test]
fn random_calls_under_round_robin() {
    run::<RoundRobin>(1, scaled(500_000));
}

#[test]
fn random_calls_under_fair_share() {
    run::<FairShare>(2, scaled(500_000));
}

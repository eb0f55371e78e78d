//! Several OSnodes in one process: the shipped kernel logic and the shipped agreement machines, each OSnode with memory
//! of its own for its state, and one pool of "physical" memory that they share out among themselves; against one
//! reference of all capabilities (`reference.rs`, `judge.rs`).
//!
//! Clients retype, copy, move, give, revoke, delete and allocate at random, messages arrive in any order that channels
//! allow, kernels are replaced in between, OSnodes stop and die. The reference says of each call and each answer whether
//! it is right, and what stands in each slot of each OSnode; at rest also who owns what, what each owner knows, and where
//! each page is. An episode ends when everything is given up: what went out is back.
//!
//! `OSNODES_EPISODE=N` runs episode N alone, `OSNODES_TRACE=1` says what happens.

mod act;
mod check;
mod estates;
mod judge;
mod local;
mod node;
mod reference;
#[path = "../support/mod.rs"]
mod support;
mod system;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use local::{AllBut, Wrong};
use model::{Rng, scaled};
use monitor::agree::Rule;
use node::ALL_SLOTS;
use system::System;

const SEED: u64 = 31;

/// Says where a run was when it failed.
struct Place {
    episode: u64,
    step: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Place { episode, step } = self;
            eprintln!("seed {SEED}, episode {episode}, step {step}");
        }
    }
}

/// One episode: fresh OSnodes, some hundred steps, and an end; how often each thing happened.
fn episode(number: u64, rules: AllBut, wrong: Wrong) -> BTreeMap<&'static str, u64> {
    let mut r = Rng::new(SEED + (number << 32));
    let mut place = Place {
        episode: number,
        step: 0,
    };
    let mut s = System::new(2 + r.below(3), rules, wrong);
    let steps = 100 + r.below(400);
    for step in 0..steps {
        place.step = step;
        if r.one_in(2) || !s.deliver(&mut r) {
            s.act(&mut r);
        }
        s.count("steps");
        let ids = s.ids();
        s.compare(*r.pick(&ids));
        if !s.estates.is_empty() && r.one_in(8) {
            s.pass_on();
            s.take_over();
        }
        // In the middle of what is under way.
        if s.nodes.len() > 2 && r.one_in(300) {
            let ids = s.ids();
            s.die(*r.pick(&ids[1..]));
        }
        if step % 100 == 99 {
            s.rest(&mut r);
        }
    }
    s.rest(&mut r);
    for id in s.ids() {
        for k in 0..ALL_SLOTS {
            if s.reference.slots.contains_key(&(id, k)) {
                s.delete(id, k);
                s.look(id);
            }
        }
    }
    s.rest(&mut r);
    s.check_all_back();
    s.tally
}

#[test]
fn osnodes_do_what_the_reference_says() {
    let only = std::env::var("OSNODES_EPISODE").ok();
    if let Some(number) = only.and_then(|n| n.parse().ok()) {
        println!("{:?}", episode(number, AllBut(None), Wrong::Nothing));
        return;
    }
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut number = 0;
    while tally.get("steps").copied().unwrap_or(0) < scaled(1_000_000) {
        for (what, count) in episode(number, AllBut(None), Wrong::Nothing) {
            *tally.entry(what).or_default() += count;
        }
        number += 1;
    }
    println!("{number} episodes, {tally:?}");
    let often = [
        "granted",
        "refused",
        "revoked",
        "retypes",
        "copies",
        "moves",
        "transfers",
        "deletes",
        "updates",
        "deaths",
        "allocations",
        "freed",
        "inherited",
        "passed on",
        "estates",
    ];
    for what in often {
        let count = tally.get(what).copied().unwrap_or_default();
        assert!(count > 200, "{what}: {count}");
    }
}

/// Whether some episode fails.
fn fails(rules: AllBut, wrong: Wrong) -> bool {
    let run = |number| catch_unwind(AssertUnwindSafe(|| episode(number, rules, wrong))).is_err();
    (0..400).any(run)
}

#[test]
fn a_kernel_or_a_protocol_that_is_wrong_is_found() {
    for wrong in [
        Wrong::KeepsMarked(10),
        Wrong::ForgetsDrops(10),
        Wrong::TakesTwice(10),
    ] {
        assert!(fails(AllBut(None), wrong), "{wrong:?} is not noticed");
    }
    for rule in [
        Rule::CopyHeld,
        Rule::CopyWaits,
        Rule::DropSays,
        Rule::FreeOnlyUncovered,
        Rule::RetypeChecksRemote,
        Rule::RetypeGivesBack,
        Rule::RevokeTellsAll,
        Rule::RevokeAwaitsSwept,
        Rule::RevokeSaysSwept,
        Rule::RevokeKeeps,
        Rule::TransferFreezes,
        Rule::TransferHandsOver,
        Rule::GoneHoldsNothing,
        Rule::GoneInherits,
        Rule::GoneRecordsHolders,
    ] {
        assert!(
            fails(AllBut(Some(rule)), Wrong::Nothing),
            "{rule:?} is not missed"
        );
    }
}

//! Measures how long a message takes between each two cores that run, and tells the knowledge
//! base: `latency(A, B, Ns)`.
//!
//! `latency` starts `latency node NAME` on every OSnode that runs; those ask one another. What
//! counts is what services experience: half of a request's round trip over a UMP channel of the
//! runtime, sleeping and waking included, the median of [`ROUNDS`]. It runs on the first OSnode.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod node;
mod pairs;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use rt::skb::Knowledge;
use rt::{env, task};

use pairs::{Measured, Member};

rt::entry!(main);

/// Round trips of a pair that count.
const ROUNDS: usize = 31;

fn main() -> i32 {
    let words: Vec<&str> = env::args().skip(1).collect();
    let done = match words[..] {
        [] => task::block_on(measure()),
        ["node", name] => task::block_on(node::serve(name)).map(|never| match never {}),
        _ => Err(format!("\"{}\" is not understood", words.join(" "))),
    };
    match done {
        Ok(()) => 0,
        Err(e) => {
            rt::println!("latency: {e}");
            1
        }
    }
}

/// What times are counted in: nothing else tells an emulated machine's from hardware's.
fn unit() -> &'static str {
    if env::is_emulated() {
        "emulated ns"
    } else {
        "ns"
    }
}

async fn measure() -> Result<(), String> {
    let knowledge = Knowledge::connect(env::osnode()).await;
    let knowledge = knowledge.map_err(|e| format!("the knowledge base: {e}"))?;
    let running = knowledge.ask("running(Core, Osnode)").await;
    let running = running.map_err(|e| format!("which cores run: {e}"))?;
    let members: Vec<Member> = running.iter().filter_map(|row| Member::read(row)).collect();
    if members.len() < 2 {
        return Err("one core runs: core start N starts another one".to_string());
    }
    let results = pairs::measure(&members).await?;
    let mut told = 0;
    for m in &results {
        match m {
            Ok(m) => {
                tell(&knowledge, m).await?;
                told += 1;
                rt::println!("core {} - core {}: {} {}", m.a, m.b, m.ns, unit());
            }
            Err(e) => rt::println!("latency: {e}"),
        }
    }
    if told < results.len() {
        return Err(format!("{told} of {} pairs were measured", results.len()));
    }
    Ok(())
}

/// A round trip has both directions: each counts for half of it.
async fn tell(knowledge: &Knowledge, m: &Measured) -> Result<(), String> {
    let (mut old, mut new) = (String::new(), String::new());
    for (from, to) in [(m.a, m.b), (m.b, m.a)] {
        // Writing to a String never fails.
        let _ = writeln!(old, "latency({from}, {to}, _)");
        let _ = write!(new, "latency({from}, {to}, {}). ", m.ns);
    }
    let told = knowledge.change(&old, &new).await;
    told.map_err(|e| format!("the knowledge base: {e}"))
}

//! The guest's side of `./nekton bench`: short paths between marker instructions.
//!
//! `bench syscall N`, `bench lmp N`, `bench ump N`, `bench wake N` execute a path N times, its two
//! ends marked (`abi::marker`); `bench thousand N` executes a known number of instructions N times;
//! `bench rest N` sleeps N times for a second; `bench beat` executes the heartbeat marker until it
//! is stopped; `bench share N CORES` has cores update cache lines, directly and by messages; `bench
//! copies N CORES` copies capabilities to other OSnodes and revokes them; `bench unmap N CORES` unmaps
//! pages that other OSnodes use. What the markers mean in
//! instructions is counted outside, by the plugin; the program itself prints no figure. `lmp-peer
//! NAME`, `ump-peer NAME COUNT`, `wake-peer NAME COUNT`, `share-peer NAME` and `hold NAME` are what
//! it starts itself with.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod copies;
mod lmp;
mod peer;
mod share;
mod ump;
mod unmap;

use abi::{marker, slots};
use alloc::format;
use alloc::string::String;
use rt::{control, env, invoke, task, time};

rt::entry!(main);

/// Most repetitions of one call.
const MOST: usize = 100_000;
/// A rest that is measured (ns).
const REST_NS: u64 = 1_000_000_000;

fn main() -> i32 {
    let words: alloc::vec::Vec<&str> = env::args().skip(1).collect();
    let done = match words[..] {
        ["syscall", n] => count(n).and_then(syscalls),
        ["thousand", n] => count(n).map(|n| (0..n).for_each(|_| rt::thousand())),
        ["lmp", n] => count(n).and_then(|n| task::block_on(lmp::measure(n))),
        ["lmp-peer", name] => task::block_on(lmp::serve(name)),
        ["ump", n] => count(n).and_then(|n| task::block_on(ump::measure(n))),
        ["ump-peer", name, n] => count(n).and_then(|n| task::block_on(ump::serve(name, n))),
        ["wake", n] => count(n).and_then(|n| task::block_on(ump::measure_wakeup(n))),
        ["wake-peer", name, n] => count(n).and_then(|n| task::block_on(ump::serve_wakeup(name, n))),
        ["share", rounds, cores] => with_cores(rounds, cores)
            .and_then(|(n, cores)| task::block_on(share::measure(n as u64, cores))),
        ["share-peer", name] => task::block_on(share::serve(name)),
        ["copies", rounds, cores] => with_cores(rounds, cores)
            .and_then(|(n, cores)| task::block_on(copies::measure(n, cores))),
        ["unmap", rounds, cores] => with_cores(rounds, cores)
            .and_then(|(n, cores)| task::block_on(unmap::measure(n, cores))),
        ["hold", name] => task::block_on(copies::hold(name)),
        ["beat"] => beat(),
        ["rest", n] => count(n).map(|n| task::block_on(rest(n))),
        _ => Err(format!("\"{}\" is not understood", words.join(" "))),
    };
    match done {
        Ok(()) => 0,
        Err(e) => {
            rt::println!("bench: {e}");
            1
        }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!(
            "\"{text}\" is not a number of repetitions, 1 to {MOST}"
        )),
    }
}

/// Rounds, and cores that take part.
fn with_cores(rounds: &str, cores: &str) -> Result<(usize, u64), String> {
    let known = cores.parse().ok().filter(|n| (1..=64).contains(n));
    let known = known.ok_or_else(|| format!("\"{cores}\" is not a number of cores, 1 to 64"))?;
    Ok((count(rounds)?, known))
}

/// The shortest invocation: `Identify` through both levels of the CSpace.
fn syscalls(n: usize) -> Result<(), String> {
    for _ in 0..n {
        rt::marker::<{ marker::SYSCALL_BEGIN }>();
        let known = invoke::identify_raw(slots::ROOT_CNODE);
        rt::marker::<{ marker::SYSCALL_END }>();
        known.map_err(|e| format!("Identify failed: {}", e.message()))?;
    }
    Ok(())
}

/// Sleeps for `n` seconds, one after the other: what the machine executes meanwhile keeps it awake. Before them it
/// lets a second pass in which those who started it come to rest.
async fn rest(n: usize) {
    time::sleep(REST_NS).await;
    for _ in 0..n {
        let end = time::now_ns().saturating_add(REST_NS);
        rt::marker::<{ marker::REST_BEGIN }>();
        time::sleep_until(end).await;
        rt::marker::<{ marker::REST_END }>();
    }
}

/// Beats for ever: an interruption shows as a gap between two beats.
fn beat() -> Result<(), String> {
    control::ready();
    loop {
        for _ in 0..500 {
            rt::marker::<{ marker::HEARTBEAT }>();
            // A beat costs the plugin more than an instruction does: not one in three.
            (0..32).for_each(|i| {
                core::hint::black_box(i);
            });
        }
        // The core stays loaded, but services of the same OSnode need not wait for a whole slice.
        rt::lmp::yield_core();
        // Requests of the starter (check, stop) are taken here.
        task::block_on(task::yield_now());
    }
}

//! The guest's side of `./nekton bench`: short paths between marker instructions.
//!
//! `bench syscall N`, `bench lmp N`, `bench ump N` execute a path N times, its two ends marked
//! (`abi::marker`); `bench thousand N` executes a known number of instructions N times; `bench beat` executes the heartbeat marker until it is stopped. What the
//! markers mean in instructions is counted outside, by the plugin; the program itself prints
//! no figure. `lmp-peer NAME` and `ump-peer NAME COUNT` are what it starts itself with.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod lmp;
mod peer;
mod ump;

use abi::{marker, slots};
use alloc::format;
use alloc::string::String;
use rt::{control, env, invoke, task};

rt::entry!(main);

/// Most repetitions of one call.
const MOST: usize = 100_000;

fn main() -> i32 {
    let words: alloc::vec::Vec<&str> = env::args().skip(1).collect();
    let done = match words[..] {
        ["syscall", n] => count(n).and_then(syscalls),
        ["thousand", n] => count(n).map(|n| (0..n).for_each(|_| rt::thousand())),
        ["lmp", n] => count(n).and_then(|n| task::block_on(lmp::measure(n))),
        ["lmp-peer", name] => task::block_on(lmp::serve(name)),
        ["ump", n] => count(n).and_then(|n| task::block_on(ump::measure(n))),
        ["ump-peer", name, n] => count(n).and_then(|n| task::block_on(ump::serve(name, n))),
        ["beat"] => beat(),
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

//! Clocks and time-outs.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use rt::{task, time};
use tests::Suite;

rt::entry!(main);

const MS: u64 = 1_000_000;

fn main() -> i32 {
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("time");
    suite.report("monotonic", monotonic());
    suite.report("sleep", sleeps().await);
    suite.report("order", order().await);
    suite.report("timeout", timeouts().await);
    suite.failed()
}

fn monotonic() -> Result<(), String> {
    let (mut osnode, mut system) = (time::now_ns(), time::system_ns());
    for _ in 0..100_000 {
        let (o, s) = (time::now_ns(), time::system_ns());
        if o < osnode || s < system {
            return Err(format!("from {osnode} and {system} to {o} and {s}"));
        }
        (osnode, system) = (o, s);
    }
    Ok(())
}

async fn sleeps() -> Result<(), String> {
    for ms in [0, 1, 5, 20] {
        let start = time::now_ns();
        time::sleep(ms * MS).await;
        let slept = time::now_ns() - start;
        if slept < ms * MS {
            return Err(format!("slept {slept} ns instead of {ms} ms"));
        }
    }
    Ok(())
}

/// Sleepers wake in the order of their times, whatever the order in which they lay down.
async fn order() -> Result<(), String> {
    let woken: Rc<RefCell<Vec<u64>>> = Rc::default();
    let start = time::now_ns() + 10 * MS;
    let times = [7u64, 1, 5, 3, 2, 6, 4];
    for t in times {
        let woken = woken.clone();
        task::spawn(async move {
            time::sleep_until(start + t * 5 * MS).await;
            woken.borrow_mut().push(t);
        });
    }
    time::sleep_until(start + 60 * MS).await;
    while woken.borrow().len() < times.len() && time::now_ns() < start + 5000 * MS {
        time::sleep(5 * MS).await;
    }
    let woken = woken.borrow();
    if *woken != [1, 2, 3, 4, 5, 6, 7] {
        return Err(format!("woken in the order {woken:?}"));
    }
    Ok(())
}

async fn timeouts() -> Result<(), String> {
    let never = core::future::pending::<()>();
    let start = time::now_ns();
    if time::timeout(start + 10 * MS, never).await.is_some() {
        return Err("what never happens happened".into());
    }
    let waited = time::now_ns() - start;
    if waited < 10 * MS {
        return Err(format!("gave up after {waited} ns instead of 10 ms"));
    }
    let quick = time::timeout(time::now_ns() + 5000 * MS, async { 7 }).await;
    if quick != Some(7) {
        return Err("what happened at once timed out".into());
    }
    Ok(())
}

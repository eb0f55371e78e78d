//! Processes: started with arguments, found, told to end, refused when they cannot be.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "spawn/lives.rs"]
mod lives;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::{CapAddr, slots};
use capfmt::CapType;
use proto::iface::spawn::{Place, ProcessState};
use rt::{env, invoke, task, time};
use tests::{Child, Suite};

rt::entry!(main);

const SELF: &str = "t-spawn";

fn main() -> i32 {
    let args: Vec<&str> = env::args().collect();
    match args.as_slice() {
        [_] => task::block_on(run()),
        [_, "arguments", a, b] => i32::from(*a != "one two" || *b != "ä"),
        [_, "status", n] => n.parse().unwrap_or(99),
        [_, "sleep"] => {
            task::block_on(time::sleep(3_600_000_000_000));
            0
        }
        [_, "capabilities"] => capabilities(),
        [_, "busy", seconds] => task::block_on(busy(seconds.parse().unwrap_or(1))),
        _ => 98,
    }
}

/// The child: what it was not given it does not have.
fn capabilities() -> i32 {
    for l2 in 1..=255 {
        let cap = CapAddr::new(0, l2);
        let Ok(id) = invoke::identify(cap) else {
            continue;
        };
        let forbidden = matches!(
            id.cap.kind,
            CapType::PhysAddr
                | CapType::DevFrame
                | CapType::Core
                | CapType::CoreControl
                | CapType::Kcb
                | CapType::IoPort
                | CapType::IrqSource
        );
        let archive = cap == slots::ARCHIVE;
        if forbidden || archive {
            return 1;
        }
    }
    0
}

async fn run() -> i32 {
    let mut suite = Suite::new("spawn");
    let arguments = Child::run(&[SELF, "arguments", "one two", "ä"]).await;
    suite.report("arguments", arguments.and_then(|e| e.expect_success()));
    suite.report("status", status().await);
    suite.report("kill", kill().await);
    suite.report("missing", missing().await);
    let few = Child::run(&[SELF, "capabilities"]).await;
    suite.report("capabilities", few.and_then(|e| e.expect_success()));
    suite.report("many", many().await);
    suite.failed()
}

async fn busy(seconds: u64) -> i32 {
    let mut suite = Suite::new("spawn");
    suite.report("busy", lives::busy(seconds).await);
    suite.failed()
}

async fn status() -> Result<(), String> {
    for n in [0, 1, 42] {
        let end = Child::run(&[SELF, "status", &format!("{n}")]).await?;
        if end.state != ProcessState::Exited || end.status != n {
            return Err(format!("status {n} became {end:?}"));
        }
    }
    Ok(())
}

async fn kill() -> Result<(), String> {
    let child = Child::start(&[SELF, "sleep"], Place::Here).await?;
    child.kill().await?;
    match child.kill().await {
        Err(e) if e.contains("no process") => Ok(()),
        other => Err(format!("ending it twice: {other:?}")),
    }
}

async fn missing() -> Result<(), String> {
    match Child::start(&["no-such-program"], Place::Here).await {
        Err(e) if e.contains("no-such-program") => Ok(()),
        other => Err(format!("{:?}", other.map(|c| c.pid))),
    }
}

/// Many at a time, all of which end well.
async fn many() -> Result<(), String> {
    let mut children = Vec::new();
    for _ in 0..8 {
        children.push(Child::start(&[SELF, "status", "0"], Place::Here).await?);
    }
    for child in &children {
        child.wait().await?.expect_success()?;
    }
    Ok(())
}

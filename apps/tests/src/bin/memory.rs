//! Memory: exhaustion is an error to the asker, and everything comes back.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::{PeerError, ServiceError};
use rt::{env, mem, task, time};
use tests::{Child, Suite};

rt::entry!(main);

const SELF: &str = "t-memory";

fn main() -> i32 {
    match env::args().nth(1) {
        Some("hoard") => hoard(),
        Some(_) => 1,
        None => task::block_on(run()),
    }
}

/// Takes everything there is, and ends with it.
fn hoard() -> i32 {
    let mut held = Vec::new();
    let mut bytes = 64 << 20;
    while bytes >= 4096 {
        match mem::alloc_ram(bytes) {
            Ok(ram) => held.push(ram.leak()),
            Err(PeerError::Refused(ServiceError::OutOfMemory)) => bytes /= 2,
            Err(_) => return 2,
        }
        if held.len() > 4000 {
            break;
        }
    }
    0
}

async fn run() -> i32 {
    let mut suite = Suite::new("memory");
    suite.report("too-much", too_much());
    suite.report("back", comes_back());
    suite.report("exit", back_at_exit().await);
    suite.report("exhaustion", exhaustion().await);
    suite.failed()
}

fn free_bytes() -> Result<u64, String> {
    mem::stats().map(|s| s.free).map_err(|e| e.to_string())
}

fn too_much() -> Result<(), String> {
    for bytes in [1 << 40, u64::MAX, 1 << 63] {
        match mem::alloc_ram(bytes) {
            Err(PeerError::Refused(ServiceError::OutOfMemory | ServiceError::BadArgument)) => {}
            other => return Err(format!("{bytes} bytes: {other:?}")),
        }
    }
    Ok(())
}

fn comes_back() -> Result<(), String> {
    let before = free_bytes()?;
    for bytes in [4096, 5000, 1 << 20, 3 << 20] {
        let ram = mem::alloc_ram(bytes).map_err(|e| e.to_string())?;
        if free_bytes()? >= before {
            return Err("a grant did not change the free memory".into());
        }
        mem::free_ram(ram).map_err(|e| e.to_string())?;
    }
    let after = free_bytes()?;
    if after != before {
        return Err(format!("{before} bytes were free, now {after}"));
    }
    Ok(())
}

/// Memory after children ended is what it was before, to the byte.
async fn back_at_exit() -> Result<(), String> {
    // The first child may make services grow; the others must not.
    Child::run(&["t-faults", "nothing"]).await?;
    time::sleep(10_000_000).await;
    let before = free_bytes()?;
    for how in ["nothing", "unmapped", "panic", "nothing"] {
        Child::run(&["t-faults", how]).await?;
    }
    time::sleep(10_000_000).await;
    let after = free_bytes()?;
    if after != before {
        return Err(format!(
            "{before} bytes were free, {after} after four children"
        ));
    }
    Ok(())
}

/// A child takes all memory and ends: all of it is free again, and programs start again.
async fn exhaustion() -> Result<(), String> {
    let before = free_bytes()?;
    Child::run(&[SELF, "hoard"]).await?.expect_success()?;
    time::sleep(10_000_000).await;
    let after = free_bytes()?;
    // Slots that the memory service made for its own use stay with it.
    if after + (1 << 20) < before {
        return Err(format!(
            "{before} bytes were free, {after} after all was taken"
        ));
    }
    let end = Child::run(&["t-faults", "nothing"]).await?;
    match end.status {
        1 => Ok(()),
        _ => Err(format!("a later process ended with {end:?}")),
    }
}

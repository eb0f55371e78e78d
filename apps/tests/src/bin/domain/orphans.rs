//! The OSnode of a domain's first dispatcher is destroyed: the others, elsewhere, end with it, before anybody else has
//! the memory that they ran in.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use proto::Pid;
use proto::iface::spawn::{Place, ProcessState, Spawn, SpawnClient};
use rt::chan::{self, Client};
use rt::domain::{self, SharedMemory};
use rt::vspace::{self, Access, Mapped};
use rt::{Capability, env, mem, time};
use tests::{Child, Suite, cores};

/// Bytes that one of them writes to all the time.
const AREA: u64 = 1 << 20;
/// Bytes that are asked for at a time, when all that is free is asked for.
const PIECE: u64 = 2 << 20;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// How long it is watched whether memory changes (ns).
const WATCH_NS: u64 = 100_000_000;
/// How long dispatchers may take to come, and to be ended (ns).
const PATIENCE_NS: u64 = 20_000_000_000;
/// What nobody else writes.
const PATTERN: u64 = 0x7061_7474_6572_6e21;

/// The first dispatcher is on core `dies`, the others are on core `lives`.
pub async fn run(dies: u32, lives: u32) -> i32 {
    let mut suite = Suite::new("domain-orphans");
    let outcome = orphans(dies, lives).await;
    suite.report("ended", outcome);
    suite.failed()
}

async fn orphans(dies: u32, lives: u32) -> Result<(), String> {
    let there = cores::manager().await?.core_at(lives).await;
    let there = there.map_err(|e| e.to_string())?.osnode;
    let words = [env::program(), "child", "orphans", &format!("{there}")];
    let child = Child::start_on(&words, Place::Core, dies.into()).await?;
    let spawn = match there == env::osnode() {
        true => chan::connect::<Spawn>("spawn").await,
        false => chan::connect_on::<Spawn>(there, "spawn").await,
    };
    let spawn = spawn.map_err(|e| e.to_string())?;
    let members = members(&spawn, child.pid).await?;
    time::sleep(WATCH_NS).await;
    let destroyed = cores::manager().await?.destroy(dies).await;
    destroyed.map_err(|e| e.to_string())?;
    unchanged().await?;
    for member in members {
        let end = time::timeout(time::now_ns() + PATIENCE_NS, spawn.wait(member)).await;
        let end = end.ok_or(format!("{member} goes on"))?;
        let end = end.map_err(|e| e.to_string())?;
        let report = String::from_utf8_lossy(&end.report);
        let cause = format!("o{} is gone", child.pid.osnode);
        if end.state != ProcessState::Faulted || !report.contains(&cause) {
            return Err(format!("{member} ended as {:?}, \"{report}\"", end.state));
        }
    }
    match child.wait().await {
        Err(why) if why.contains("gone") => Ok(()),
        other => Err(format!("the starter hears {other:?}")),
    }
}

/// The further dispatchers of a process, once there are two.
async fn members(spawn: &SpawnClient<Client>, of: Pid) -> Result<Vec<Pid>, String> {
    let until = time::now_ns() + PATIENCE_NS;
    let name = format!("/{of}");
    while time::now_ns() < until {
        let (mut found, mut last) = (Vec::new(), 0);
        while let Ok(process) = spawn.next_here(last).await {
            last = process.pid.number;
            let words = String::from_utf8_lossy(&process.words);
            if words.contains(&name) && process.state == ProcessState::Running {
                found.push(process.pid);
            }
        }
        if found.len() == 2 {
            return Ok(found);
        }
        time::sleep(WATCH_NS / 10).await;
    }
    Err(format!("{of} has no two further dispatchers"))
}

/// All that is free now stays as it is written.
async fn unchanged() -> Result<(), String> {
    let mut all: Vec<(Mapped, Capability)> = Vec::new();
    while let Ok(frame) = mem::alloc_frame(PIECE) {
        let Ok(mapped) = vspace::map(frame.addr(), 0, PIECE, Access::ReadWrite) else {
            break;
        };
        (0..PIECE / PAGE).for_each(|page| mapped.fill(page * PAGE, 8, PATTERN));
        all.push((mapped, frame));
    }
    time::sleep(WATCH_NS).await;
    let pages = |m: &Mapped| {
        (0..PIECE / PAGE)
            .filter(|p| m.load(p * PAGE) != PATTERN)
            .count()
    };
    let changed: usize = all.iter().map(|(mapped, _)| pages(mapped)).sum();
    let bytes = all.len() as u64 * PIECE;
    if bytes < AREA {
        return Err(format!("only {bytes} bytes are free"));
    }
    (changed == 0).then_some(()).ok_or(format!(
        "{changed} pages of {bytes} bytes were changed by somebody else"
    ))
}

/// The first dispatcher of the domain: one of the others writes all the time, one only waits.
pub async fn child(osnode: u64) -> i32 {
    let (busy, idle) = (domain::span(osnode).await, domain::span(osnode).await);
    let (Ok(busy), Ok(_)) = (&busy, &idle) else {
        rt::println!("no further dispatchers on o{osnode}: {busy:?}, {idle:?}");
        return 92;
    };
    let Ok(area) = SharedMemory::new(AREA) else {
        return 93;
    };
    drop(busy.start(move || async move {
        for count in 1u64.. {
            for page in 0..AREA / PAGE {
                area.word(page * PAGE).store(count, Ordering::Relaxed);
            }
        }
    }));
    core::future::pending().await
}

//! A dispatcher page full of lies: only who wrote it suffers.
//!
//! The child hands its dispatcher frame to an accomplice, which writes what no kernel
//! may believe into the save areas, the upcall entry and the rings while the child
//! does not have the core: the kernel restores the child from there. In a second round
//! the child itself writes between its own system calls.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::{disp, slots, vaddr};
use proto::iface::spawn::Place;
use proto::{Dispatch, Refusal, ServiceError};
use rt::chan::{Request, Server, connect};
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, env, process, task, time};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-forge";
/// Lies of each kind.
const CASES: [&str; 8] = [
    "pc-kernel",
    "pc-noncanonical",
    "flags",
    "fpu",
    "stack",
    "upcalls",
    "rings",
    "random",
];

/// Writes a word into both save areas that a restore may use.
fn set(page: &Mapped, offset: u64, value: u64) {
    for area in [disp::ENABLED_AREA, disp::DISABLED_AREA, disp::TRAP_AREA] {
        page.store(area + offset, value);
    }
}

fn lie(page: &Mapped, how: &str, random: &mut Random) {
    match how {
        "pc-kernel" => set(page, disp::AREA_PC, vaddr::WINDOW),
        "pc-noncanonical" => set(page, disp::AREA_PC, 0x8000_0000_0000_0000),
        "flags" => set(page, disp::AREA_FLAGS, u64::MAX),
        "fpu" => {
            for at in (0..disp::AREA_FPU_BYTES).step_by(8) {
                set(page, disp::AREA_FPU + at, u64::MAX);
            }
        }
        "stack" => set(page, disp::AREA_SP, vaddr::WINDOW + 8),
        "upcalls" => {
            page.store(disp::DISABLED, random.below(2));
            page.store(disp::UPCALL_ENTRY, vaddr::WINDOW);
            page.store(disp::UPCALL_STACK, u64::MAX);
            page.store(disp::UPCALLS_WANTED, u64::MAX);
        }
        "rings" => {
            for at in (disp::RING_OFFSET..disp::FRAME_BYTES).step_by(8) {
                page.store(at, random.next_u64());
            }
        }
        _ => {
            for at in (0..disp::RING_OFFSET).step_by(8) {
                page.store(at, random.next_u64());
            }
        }
    }
}

proto::interface! {
    /// What the accomplice asks of the victim.
    pub interface Forge = 103, version 1, errors ServiceError;
    messages ForgeRequest, ForgeReply;
    stubs ForgeClient, ForgeServer;
    replies {
        /// The frame comes along.
        Lent = 0x8001 {} copies frame;
    }
    requests {
        /// The dispatcher frame.
        Frame = 1 frame {} -> Lent;
    }
}

struct Victim;

impl ForgeServer<Request> for Victim {
    async fn frame(&self, _: &Request) -> Result<Lent<CapAddr>, Refusal> {
        let frame = slots::DISP_FRAME;
        Ok(Lent { frame })
    }
}

/// Rounds of lies.
const ROUNDS: u32 = 200;
/// Counter ticks that the victim computes between two system calls.
const SPIN: u64 = 50_000;

/// Computes for a moment, so that the process may be preempted in it.
fn spin(random: &mut Random) {
    let until = time::counter().wrapping_add(SPIN);
    while time::counter() < until {
        core::hint::black_box(random.next_u64());
    }
}

/// Lies about itself, between its own system calls.
fn alone(how: &str, seed: u64) -> i32 {
    let mut random = Random::new(seed);
    let bytes = disp::FRAME_BYTES;
    let Ok(page) = vspace::map(slots::DISP_FRAME, 0, bytes, Access::ReadWrite) else {
        return 2;
    };
    for _ in 0..ROUNDS {
        lie(&page, how, &mut random);
        process::yield_core();
        spin(&mut random);
    }
    0
}

/// Hands its dispatcher frame to the accomplice, then computes and gives the core away.
async fn victim(name: &str) -> i32 {
    let Ok(server) = Server::open() else { return 2 };
    if server.register(name).await.is_err() {
        return 3;
    }
    Forge::dispatch(&Victim, server.next().await).await;
    let mut random = Random::new(5);
    for _ in 0..ROUNDS {
        process::yield_core();
        spin(&mut random);
        time::sleep(10_000).await;
    }
    0
}

/// Gets the victim's frame and lies in it whenever it has the core, that is, while the victim has not.
async fn accomplice(name: &str, how: &str, seed: u64) -> i32 {
    let Ok(victim) = connect::<Forge>(name).await else {
        return 2;
    };
    let Ok(Lent { frame }) = victim.frame().await else {
        return 3;
    };
    let bytes = disp::FRAME_BYTES;
    let Ok(page) = vspace::map(frame.addr(), 0, bytes, Access::ReadWrite) else {
        return 4;
    };
    let mut random = Random::new(seed);
    for _ in 0..ROUNDS {
        lie(&page, how, &mut random);
        process::yield_core();
    }
    0
}

fn main() -> i32 {
    let args: Vec<&str> = env::args().collect();
    let seed = |text: &str| text.parse().unwrap_or(1);
    match args.as_slice() {
        [_] => task::block_on(run()),
        [_, "alone", how, text] => alone(how, seed(text)),
        [_, "victim", name] => task::block_on(victim(name)),
        [_, "accomplice", name, how, text] => task::block_on(accomplice(name, how, seed(text))),
        _ => 98,
    }
}

async fn run() -> i32 {
    let mut suite = Suite::new("forge");
    for (n, how) in CASES.iter().enumerate() {
        suite.report(how, by_accomplice(how, n).await);
        suite.report(&format!("{how}-alone"), by_itself(how).await);
    }
    suite.failed()
}

/// Waits for a child's end; one that lost itself (it waits for ever) is ended from outside.
async fn see_end(child: &Child) -> Result<(), String> {
    let until = time::now_ns() + 2_000_000_000;
    if time::timeout(until, child.wait()).await.is_none() {
        child.kill().await?;
    }
    Ok(())
}

/// Another process and the services are as they were.
async fn others_live() -> Result<(), String> {
    let after = Child::run(&["t-faults", "nothing"]).await?;
    match after.status {
        1 => Ok(()),
        _ => Err(format!("a later process ended with {after:?}")),
    }
}

async fn by_itself(how: &str) -> Result<(), String> {
    for seed in ["1", "2"] {
        let child = Child::start(&[SELF, "alone", how, seed], Place::Here).await?;
        see_end(&child).await?;
        others_live().await?;
    }
    Ok(())
}

/// The victim suffers what it suffers; the accomplice, who lied about somebody else, must end well.
async fn by_accomplice(how: &str, number: usize) -> Result<(), String> {
    for seed in ["1", "2"] {
        let name = format!("fg{number}.{seed}");
        let victim = Child::start(&[SELF, "victim", &name], Place::Here).await?;
        let other = Child::start(&[SELF, "accomplice", &name, how, seed], Place::Here).await?;
        let until = time::now_ns() + 5_000_000_000;
        let end = time::timeout(until, other.wait()).await;
        let end = match end {
            Some(end) => end?,
            None => other.kill().await?,
        };
        see_end(&victim).await?;
        // The frame may go with the victim while the accomplice still writes to it.
        let faulted = end.expect_fault("PageFault").is_ok();
        if !faulted {
            end.expect_success()
                .map_err(|e| format!("the accomplice: {e}"))?;
        }
        others_live().await?;
    }
    Ok(())
}

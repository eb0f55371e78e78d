//! A dispatcher page full of lies: only who wrote it suffers.
//!
//! The child maps its own dispatcher frame a second time and writes what no kernel
//! may believe into the save areas, the upcall entry and the rings; then it gives
//! the core away and computes, so that the kernel restores from there.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use abi::{disp, slots, vaddr};
use proto::iface::spawn::Place;
use rt::vspace::{self, Access, Mapped};
use rt::{env, process, task, time};
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

/// The child: lies again and again, while it is preempted, yields and waits.
fn misbehave(how: &str, seed: u64) -> i32 {
    let mut random = Random::new(seed);
    let bytes = disp::FRAME_BYTES;
    let Ok(page) = vspace::map(slots::DISP_FRAME, 0, bytes, Access::ReadWrite) else {
        return 2;
    };
    for _ in 0..200 {
        lie(&page, how, &mut random);
        process::yield_core();
        let until = time::counter().wrapping_add(50_000);
        while time::counter() < until {
            core::hint::black_box(random.next_u64());
        }
    }
    0
}

fn main() -> i32 {
    let mut args = env::args().skip(1);
    if let (Some(how), Some(seed)) = (args.next(), args.next()) {
        return misbehave(how, seed.parse().unwrap_or(1));
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("forge");
    for how in CASES {
        suite.report(how, try_lies(how).await);
    }
    suite.failed()
}

/// Whatever becomes of the child, this process and the services are as they were.
async fn try_lies(how: &str) -> Result<(), String> {
    for seed in 1..=3u64 {
        let seed = format!("{seed}");
        let child = Child::start(&[SELF, how, &seed], Place::Here).await?;
        let until = time::now_ns() + 2_000_000_000;
        if time::timeout(until, child.wait()).await.is_none() {
            // A child that lost itself (it waits for ever) is ended from outside.
            child.kill().await?;
        }
        let after = Child::run(&["t-faults", "nothing"]).await?;
        if after.status != 1 {
            return Err(format!("a later process ended with {after:?}"));
        }
    }
    Ok(())
}

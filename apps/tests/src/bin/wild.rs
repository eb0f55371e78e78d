//! System calls of any words: an error to the caller or its end, nothing else.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use abi::{CapAddr, Op, SysError};
use proto::iface::spawn::Place;
use rt::{env, invoke, provoke, task, time};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-wild";
/// System calls of one child.
const CALLS: u64 = 20_000;
/// Children with random calls.
const SEEDS: u64 = 4;

/// An argument: small, an address, a capability address, or anything.
fn word(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.below(64),
        1 => random.below(0x2000),
        2 => u64::MAX - random.below(64),
        3 => 0xffff_8000_0000_0000 | random.next_u64() >> 20,
        4 => random.below(0x1_0000_0000) & !0xfff,
        5 => 1 << random.below(64),
        _ => random.next_u64(),
    }
}

/// Whether r0 would end or block the child for a reason that is no error.
fn is_harmless(r0: u64) -> bool {
    let call = r0 & 0xff;
    // Call and Wait may sleep for ever, and Resume goes where the page says.
    !matches!(call, 2 | 3 | 5)
}

fn random_calls(seed: u64) -> i32 {
    let mut random = Random::new(seed);
    for _ in 0..CALLS {
        let mut registers = [0; 8];
        for r in &mut registers {
            *r = word(&mut random);
        }
        if random.below(4) > 0 {
            // An invocation of something that may exist.
            registers[0] = random.below(128) << 8;
            registers[1] = random.below(0x300);
        }
        if is_harmless(registers[0]) {
            let _ = provoke::raw_syscall(registers);
        }
    }
    0
}

fn main() -> i32 {
    if let Some(seed) = env::args().nth(1) {
        return random_calls(seed.parse().unwrap_or(1));
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("wild");
    suite.report("numbers", numbers());
    suite.report("addresses", addresses());
    for seed in 1..=SEEDS {
        let result = with_random_calls(seed).await;
        suite.report(&format!("random{seed}"), result);
    }
    suite.failed()
}

/// Unknown system calls and operations are refused.
fn numbers() -> Result<(), String> {
    for call in 7..=255u64 {
        let r = provoke::raw_syscall([call, 1, 2, 3, 4, 5, 6, 7]);
        if r[0] != SysError::BadCall as u64 {
            return Err(format!("system call {call} answered {}", r[0]));
        }
    }
    for op in 0..=255u8 {
        let refused = Op::from_u8(op).is_none();
        let r = provoke::raw_syscall([u64::from(op) << 8, 1, 0, 0, 0, 0, 0, 0]);
        if refused && r[0] != SysError::BadCall as u64 {
            return Err(format!("operation {op} answered {}", r[0]));
        }
    }
    Ok(())
}

/// Capability addresses that lead nowhere are refused, whatever their bits.
fn addresses() -> Result<(), String> {
    let mut random = Random::new(77);
    for _ in 0..10_000 {
        let address = random.next_u64() | 1 << 40;
        let r = provoke::raw_syscall([0, address, 0, 0, 0, 0, 0, 0]);
        if r[0] == 0 {
            return Err(format!("{address:#x} names a capability"));
        }
    }
    for l1 in 3..200 {
        for l2 in [0, 1, 255] {
            let cap = CapAddr::new(l1, l2);
            match invoke::identify(cap) {
                Ok(_) | Err(SysError::NoCapability) => {}
                Err(e) => return Err(format!("{:#x}: {}", cap.0, e.message())),
            }
        }
    }
    Ok(())
}

async fn with_random_calls(seed: u64) -> Result<(), String> {
    let child = Child::start(&[SELF, &format!("{seed}")], Place::Here).await?;
    let until = time::now_ns() + 10_000_000_000;
    if time::timeout(until, child.wait()).await.is_none() {
        child.kill().await?;
    }
    // The services and this process live on.
    let after = Child::run(&["t-faults", "nothing"]).await?;
    match after.status {
        1 => Ok(()),
        _ => Err(format!("a later process ended with {after:?}")),
    }
}

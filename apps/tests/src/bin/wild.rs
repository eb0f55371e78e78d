//! System calls of any words: an error to the caller or its end, nothing else.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::{CapAddr, MessageTag, Op, SysError, Syscall, vaddr};
use capfmt::CapType;
use proto::iface::spawn::Place;
use rt::{env, invoke, provoke, task, time};
use tests::{Child, Random, Suite};

#[path = "wild/arguments.rs"]
mod arguments;

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

/// Words that are neither an address of one's own, nor a capability, nor a sensible number.
const WILD: [u64; 6] = [
    u64::MAX,
    vaddr::WINDOW,
    vaddr::IMAGE_SLOT + 8,
    0x8000_0000_0000_0000,
    0x00ff_ff00,
    0x1234_5678,
];

/// Capabilities that this process holds: address and type.
fn held() -> Vec<(u64, CapType)> {
    let two = (0..4).flat_map(|l1| (0..256).map(move |l2| CapAddr::new(l1, l2)));
    let all = two.chain((0..256).map(CapAddr::root));
    let known = all.filter_map(|a| invoke::identify(a).ok().map(|id| (a.0.into(), id.cap.kind)));
    known.collect()
}

/// What an operation may be invoked on; every operation has its line here, or this does not compile.
fn fits(op: Op) -> &'static [CapType] {
    use CapType as T;
    match op {
        // Any capability can be looked at.
        Op::Identify => &[],
        Op::Copy | Op::Move | Op::Delete | Op::Revoke => &[T::CNode],
        Op::Retype => &[
            T::Ram,
            T::Frame,
            T::DevFrame,
            T::PhysAddr,
            T::IoPort,
            T::IrqSource,
        ],
        Op::Merge => &[T::Ram],
        Op::Map => &[T::VNode],
        Op::Unmap | Op::Protect => &[T::Mapping],
        Op::DispConfigure
        | Op::DispRun
        | Op::DispSchedule
        | Op::DispName
        | Op::DispInfo
        | Op::EndpointOpen
        | Op::EndpointReceive
        | Op::NotifyBind => &[T::Dispatcher],
        Op::Signal => &[T::Notify],
        Op::NotifyMint => &[T::Notification],
        Op::IrqMint => &[T::IrqSource],
        Op::IrqBind | Op::IrqAck => &[T::IrqDest],
        Op::PortIn | Op::PortOut => &[T::IoPort],
        Op::KernelIdentify
        | Op::KernelLog
        | Op::KernelHalt
        | Op::OsnodeInfo
        | Op::ClockInfo
        | Op::Seal
        | Op::CapExport
        | Op::CapImport
        | Op::CapOwner
        | Op::CapNext
        | Op::CapRemove
        | Op::CapSetOwner
        | Op::CapSetRemote
        | Op::CapLock
        | Op::CapMark
        | Op::CapUnmark
        | Op::IdCreate
        | Op::CapSweep
        | Op::CapPending
        | Op::CapAnswer
        | Op::MonitorBind
        | Op::TlbFlush
        | Op::ReclaimBind
        | Op::Flushed => &[T::Kernel],
        Op::CoreMint => &[T::Core],
        Op::CoreHandOver
        | Op::CoreCommand
        | Op::CoreSignal
        | Op::CoreInfo
        | Op::CoreRead
        | Op::CorePhase
        | Op::CoreImage
        | Op::CoreRelease => &[T::CoreControl],
        Op::KcbInfo | Op::KcbCare => &[T::Kcb],
    }
}

fn invocation(op: Op, cap: u64, word: u64) -> u64 {
    provoke::raw_syscall([(op as u64) << 8, cap, word, word, word, word, word, word])[0]
}

/// An error that the ABI knows, and no success.
fn refused(what: &str, status: u64) -> Result<(), String> {
    let known = u16::try_from(status).ok().and_then(SysError::from_code);
    match known {
        Some(_) if status != 0 => Ok(()),
        _ => Err(format!("{what} answered {status}")),
    }
}

/// Every operation on what it is not for, and on nothing.
fn every_operation() -> Result<(), String> {
    let held = held();
    for op in Op::ALL.iter().copied().filter(|op| *op != Op::Identify) {
        for word in WILD {
            for cap in WILD {
                refused(&format!("{op:?} on {cap:#x}"), invocation(op, cap, word))?;
            }
            for (cap, kind) in held.iter().filter(|(_, k)| !fits(op).contains(k)) {
                let what = format!("{op:?} on the {kind:?} {cap:#x}");
                refused(&what, invocation(op, *cap, word))?;
            }
        }
    }
    // What only the monitor may, with a capability that every process holds.
    let monitors = [
        Op::KernelHalt,
        Op::Seal,
        Op::CapExport,
        Op::CapImport,
        Op::CapOwner,
        Op::CapNext,
        Op::CapRemove,
        Op::CapSetOwner,
        Op::CapSetRemote,
        Op::CapLock,
        Op::CapMark,
        Op::CapUnmark,
        Op::CapSweep,
        Op::CapPending,
        Op::CapAnswer,
        Op::MonitorBind,
        Op::TlbFlush,
        Op::ReclaimBind,
        Op::Flushed,
    ];
    for op in monitors {
        for (cap, _) in held.iter().filter(|(_, k)| *k == CapType::Kernel) {
            refused(&format!("{op:?}"), invocation(op, *cap, WILD[5]))?;
        }
    }
    Ok(())
}

/// One kind of system call with words that lead nowhere; every call has its line here.
fn every(call: Syscall) -> Result<(), String> {
    let raw = |r: [u64; 8]| provoke::raw_syscall(r)[0];
    match call {
        Syscall::Invoke => every_operation(),
        Syscall::Send | Syscall::Call => {
            let no_endpoint = held().into_iter().filter(|(_, k)| *k != CapType::Endpoint);
            for to in WILD.into_iter().chain(no_endpoint.map(|(cap, _)| cap)) {
                for cap in [0, 0x3ff_ffff, 0xff_ff00] {
                    let tag = MessageTag {
                        cap: CapAddr(cap),
                        reply: 31,
                        give: true,
                        yield_to: true,
                    };
                    let r0 = tag.r0(call);
                    refused(
                        &format!("{call:?} to {to:#x}"),
                        raw([r0, to, 1, 2, 3, 4, 5, 6]),
                    )?;
                }
            }
            Ok(())
        }
        // At once: the time is over, or nothing is there.
        Syscall::Wait | Syscall::Poll => {
            for endpoint in WILD {
                let what = format!("{call:?} for {endpoint:#x}");
                refused(&what, raw([call as u64, 0, endpoint, 0, 0, 0, 0, 0]))?;
            }
            Ok(())
        }
        Syscall::Yield => match raw([call as u64, u64::MAX, u64::MAX, 0, 0, 0, 0, 0]) {
            0 => Ok(()),
            status => Err(format!("Yield answered {status}")),
        },
        // It does not return: see the child `resume`.
        Syscall::Resume => Ok(()),
    }
}

/// Every operation on what it is for, with words that lead nowhere. This process may not survive it.
fn fitting_calls() -> i32 {
    for (cap, kind) in held() {
        for op in Op::ALL
            .iter()
            .copied()
            .filter(|op| fits(*op).contains(&kind))
        {
            for word in WILD {
                let _ = invocation(op, cap, word);
            }
        }
    }
    0
}

/// Each argument in turn; this process must survive it.
fn one_by_one() -> i32 {
    match arguments::every() {
        Ok(calls) => {
            rt::println!("wild: {calls} calls with one wild argument");
            0
        }
        Err(why) => {
            rt::println!("wild: {why}");
            2
        }
    }
}

/// [`one_by_one`] in a process of its own.
async fn arguments() -> Result<(), String> {
    Child::run(&[SELF, "arguments"]).await?.expect_success()
}

/// Revokes everything that it holds: what others hold as well is not its to take away.
fn revokes() -> i32 {
    use CapType::{CNode, Dispatcher, VNode};
    let root = abi::slots::ROOT_CNODE.0.into();
    // Its own table of capabilities comes last: with that it has nothing more to say.
    let (own, others): (Vec<_>, Vec<_>) =
        (held().into_iter()).partition(|(_, kind)| matches!(kind, CNode | Dispatcher | VNode));
    for (cap, _) in others.into_iter().chain(own) {
        let _ = invocation(Op::Revoke, root, cap);
    }
    0
}

/// Resumes whatever stands in the enabled save area.
fn resume() -> i32 {
    for word in WILD {
        let call = Syscall::Resume as u64;
        let _ = provoke::raw_syscall([call, word, word, word, word, word, word, word]);
    }
    0
}

fn main() -> i32 {
    match env::args().nth(1) {
        Some("fits") => return fitting_calls(),
        Some("arguments") => return one_by_one(),
        Some("resume") => return resume(),
        Some("revokes") => return revokes(),
        Some(seed) => return random_calls(seed.parse().unwrap_or(1)),
        None => {}
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("wild");
    suite.report("numbers", numbers());
    suite.report("addresses", addresses());
    for call in Syscall::ALL {
        suite.report(&format!("{call:?}"), every(call));
    }
    suite.report("arguments", arguments().await);
    for how in ["fits", "resume", "revokes"] {
        suite.report(how, with_child(how).await);
    }
    for seed in 1..=SEEDS {
        let result = with_child(&format!("{seed}")).await;
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

/// A child that does its worst may end as it likes.
async fn with_child(how: &str) -> Result<(), String> {
    let child = Child::start(&[SELF, how], Place::Here).await?;
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

//! Random system calls: half of them near what makes sense, the others anything.

use abi::{CapAddr, MessageTag, Op, Syscall, slots};
use capfmt::CapType;
use model::Rng;

const OPS: [Op; 42] = [
    Op::Identify,
    Op::Copy,
    Op::Move,
    Op::Delete,
    Op::Revoke,
    Op::Retype,
    Op::Map,
    Op::Unmap,
    Op::Protect,
    Op::DispConfigure,
    Op::DispRun,
    Op::DispSchedule,
    Op::DispName,
    Op::DispInfo,
    Op::EndpointOpen,
    Op::EndpointReceive,
    Op::NotifyBind,
    Op::Signal,
    Op::NotifyMint,
    Op::IrqMint,
    Op::IrqBind,
    Op::IrqAck,
    Op::PortIn,
    Op::PortOut,
    Op::KernelIdentify,
    Op::KernelLog,
    Op::KernelHalt,
    Op::OsnodeInfo,
    Op::ClockInfo,
    Op::Seal,
    Op::CapExport,
    Op::CapImport,
    Op::CoreMint,
    Op::CoreHandOver,
    Op::CoreCommand,
    Op::CoreSignal,
    Op::CoreInfo,
    Op::CoreRead,
    Op::CorePhase,
    Op::CoreImage,
    Op::KcbInfo,
    Op::IdCreate,
];

/// An address: mostly one of the first slots of the task CNode, where the worlds keep everything.
pub fn address(r: &mut Rng) -> u64 {
    match r.below(20) {
        0 => r.word(),
        1 => u64::from(CapAddr::root(r.below(4) as u32).0),
        2 => u64::from(CapAddr::new(r.below(4) as u32, r.below(260) as u32).0),
        _ => r.below(64),
    }
}

fn kind(r: &mut Rng) -> u64 {
    let common = [
        CapType::Ram,
        CapType::Frame,
        CapType::CNode,
        CapType::VNode,
        CapType::Dispatcher,
    ];
    match r.below(8) {
        0 => r.below(30),
        1 => CapType::Notification as u64,
        2 => CapType::VNode as u64 | r.below(4) << 8,
        3 => CapType::CNode as u64 | (2 + r.below(4)) << 8,
        _ => *r.pick(&common) as u64,
    }
}

/// Any word: small, an address, a size, or wild.
fn word(r: &mut Rng) -> u64 {
    match r.below(10) {
        0..3 => r.below(8),
        3..6 => address(r),
        6 => 4096 * r.below(20),
        7 => kind(r),
        8 => 1 << r.below(64),
        _ => r.word(),
    }
}

fn root(r: &mut Rng) -> u64 {
    if r.one_in(20) {
        address(r)
    } else {
        u64::from(slots::ROOT_CNODE.0)
    }
}

fn sensible(r: &mut Rng) -> [u64; 8] {
    let op = |op: Op, cap: u64, a: &[u64]| {
        let mut regs = [0; 8];
        regs[0] = (op as u64) << 8;
        regs[1] = cap;
        regs[2..2 + a.len()].copy_from_slice(a);
        regs
    };
    let (cap, to, way) = (address(r), address(r), root(r));
    match r.below(22) {
        0..4 => op(
            Op::Copy,
            way,
            &[cap, to, r.below(16) | r.below(8) / 7 << 8, r.below(9)],
        ),
        4 => op(Op::Move, way, &[cap, to]),
        5 | 6 => op(Op::Delete, way, &[cap]),
        7 => op(Op::Revoke, way, &[cap]),
        8..13 => {
            let size = *r.pick(&[0x1000, 0x1000, 0x2000, 0x4000, 0x1_0000, 0x800]);
            let (offset, what) = (0x1000 * r.below(24), kind(r));
            let count = 1 + r.below(6) / 4 * r.below(4);
            op(Op::Retype, cap, &[offset, what, size, count, way, to])
        }
        13..15 => {
            let how = 1 + r.below(3) | r.below(8) << 32 | r.below(9) / 8 << 40;
            op(
                Op::Map,
                cap,
                &[to, r.below(520), 0x1000 * r.below(3), how, address(r)],
            )
        }
        15 => op(Op::Unmap, cap, &[]),
        16 => op(Op::Protect, cap, &[r.below(8)]),
        17 => op(
            Op::EndpointOpen,
            cap,
            &[r.below(33), r.below(64), 1 << r.below(4), to],
        ),
        18 => op(Op::EndpointReceive, cap, &[r.below(3), to]),
        19 => op(Op::DispConfigure, cap, &[way, to, address(r), address(r)]),
        20 => op(Op::DispRun, cap, &[u64::from(!r.one_in(4))]),
        _ => op(
            Op::DispSchedule,
            cap,
            &[r.below(2), 1_000_000 * r.below(5), 1_000_000 * r.below(20)],
        ),
    }
}

fn message(r: &mut Rng, now_ns: u64) -> [u64; 8] {
    let tag = MessageTag {
        cap: CapAddr(if r.one_in(3) { address(r) as u32 } else { 0 }),
        reply: (r.below(9) / 8) as u8,
        give: r.one_in(3),
        yield_to: r.one_in(3),
    };
    let mut regs = [0; 8].map(|_: u64| r.word());
    regs[1] = address(r);
    match r.below(8) {
        0..3 => regs[0] = tag.r0(Syscall::Send),
        3..5 => regs[0] = tag.r0(Syscall::Call),
        5 => regs[..3].copy_from_slice(&[Syscall::Poll as u64, 0, r.below(4)]),
        6 => {
            let until = if r.one_in(6) {
                u64::MAX
            } else {
                now_ns + r.below(20_000_000)
            };
            regs[..3].copy_from_slice(&[Syscall::Wait as u64, until, r.below(3)]);
        }
        _ => regs[0] = *r.pick(&[Syscall::Yield as u64, Syscall::Resume as u64, 4, 5, 99]),
    }
    regs
}

/// The registers of a random system call.
pub fn syscall(r: &mut Rng, now_ns: u64) -> [u64; 8] {
    match r.below(10) {
        0..5 => sensible(r),
        5..7 => message(r, now_ns),
        7 | 8 => {
            let mut regs = [0; 8].map(|_: u64| word(r));
            regs[0] = (*r.pick(&OPS) as u64) << 8;
            regs[1] = address(r);
            if r.one_in(3) {
                // The Kernel capability, which rarely comes up by chance.
                regs[1] = u64::from(slots::KERNEL.0);
            }
            regs
        }
        _ => [0; 8].map(|_: u64| r.word()),
    }
}

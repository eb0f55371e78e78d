//! Random system calls: half of them near what makes sense, the others anything.

use abi::{CapAddr, MessageTag, Op, Syscall, slots};
use capfmt::CapType;
use model::Rng;

/// The slots of a process's task CNode: those in use, by type, and whether a slot is free.
pub struct Known(pub Vec<(u64, CapType)>);

impl Known {
    /// An address where a capability of one of these types stands, if there is one.
    fn of(&self, r: &mut Rng, kinds: &[CapType]) -> u64 {
        let fit: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, k)| kinds.contains(k))
            .map(|(a, _)| *a)
            .collect();
        if fit.is_empty() || r.one_in(12) {
            return address(r);
        }
        *r.pick(&fit)
    }
    fn any(&self, r: &mut Rng) -> u64 {
        if self.0.is_empty() || r.one_in(12) {
            return address(r);
        }
        r.pick(&self.0).0
    }
    fn free(&self, r: &mut Rng) -> u64 {
        (0..8)
            .map(|_| 1 + r.below(90))
            .find(|a| self.0.iter().all(|(b, _)| a != b))
            .unwrap_or(9)
    }
}

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
    match r.below(10) {
        0 => r.below(30),
        1 => CapType::Notification as u64,
        2 | 3 => CapType::VNode as u64 | (r.below(6) / 2) << 8,
        4 => CapType::CNode as u64 | (2 + r.below(4)) << 8,
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

fn op(op: Op, cap: u64, a: &[u64]) -> [u64; 8] {
    let mut regs = [0; 8];
    regs[0] = (op as u64) << 8;
    regs[1] = cap;
    regs[2..2 + a.len()].copy_from_slice(a);
    regs
}

/// Makes and unmakes capabilities.
fn shuffle(r: &mut Rng, k: &Known) -> [u64; 8] {
    use CapType::*;
    let (cap, to, way) = (k.any(r), k.free(r), root(r));
    match r.below(16) {
        15 => op(Op::Merge, k.of(r, &[Ram]), &[k.of(r, &[Ram])]),
        0..2 => op(
            Op::Copy,
            way,
            &[cap, to, r.below(16) | (r.below(8) / 7) << 8, r.below(9)],
        ),
        2 => op(
            Op::Copy,
            way,
            &[cap, u64::from(CapAddr::root(r.below(6) as u32).0), 15],
        ),
        3 => op(Op::Move, way, &[cap, to]),
        4..7 => op(Op::Delete, way, &[cap]),
        7 => {
            let large = k.of(r, &[Ram, Frame, Dispatcher, CNode, IrqSource]);
            op(Op::Revoke, way, &[large])
        }
        _ => {
            let size = *r.pick(&[0x1000, 0x1000, 0x2000, 0x4000, 0x1_0000, 0x800]);
            let (offset, what) = (0x1000 * r.below(24), kind(r));
            let count = 1 + r.below(6) / 4 * r.below(4);
            let from = k.of(r, &[Ram, Ram, Frame, PhysAddr]);
            op(Op::Retype, from, &[offset, what, size, count, way, to])
        }
    }
}

/// Uses objects.
fn sensible(r: &mut Rng, k: &Known) -> [u64; 8] {
    use CapType::*;
    let to = k.free(r);
    let dispatcher = k.of(r, &[Dispatcher]);
    let mapped = [Frame, DevFrame, UmpEndpoint, VNode];
    match r.below(16) {
        0..4 => {
            let rights = *r.pick(&[1, 1, 3, 3, 5, 7]);
            let how = (1 + r.below(3)) | (rights << 32) | (r.below(9) / 8) << 40;
            // The worlds keep tables of levels 0 and 1, and a Frame, from slot 40 on.
            let table = if r.one_in(2) { 40 } else { k.of(r, &[VNode]) };
            let what = if r.one_in(2) { 42 } else { k.of(r, &mapped) };
            op(
                Op::Map,
                table,
                &[what, r.below(520), 0x1000 * (r.below(9) / 7), how, to],
            )
        }
        4 => op(Op::Unmap, k.of(r, &[Mapping]), &[]),
        5 => op(Op::Protect, k.of(r, &[Mapping]), &[r.below(8)]),
        6 => op(
            Op::EndpointOpen,
            dispatcher,
            &[r.below(33), r.below(64), 1 << r.below(4), to],
        ),
        7 => op(Op::EndpointReceive, dispatcher, &[r.below(3), to]),
        8 => {
            let parts = [
                k.of(r, &[CNode]),
                k.of(r, &[VNode]),
                k.of(r, &[Frame]),
                k.of(r, &[Endpoint]),
            ];
            op(
                Op::DispConfigure,
                dispatcher,
                &parts.map(|p| p * u64::from(!r.one_in(3))),
            )
        }
        9 => op(Op::DispRun, dispatcher, &[u64::from(!r.one_in(4))]),
        10 => op(
            Op::DispSchedule,
            dispatcher,
            &[r.below(2), 1_000_000 * r.below(5), 1_000_000 * r.below(20)],
        ),
        11 => op(Op::NotifyBind, dispatcher, &[]),
        12 => op(
            Op::NotifyMint,
            k.of(r, &[Notification]),
            &[r.below(200), to],
        ),
        13 => op(Op::IrqMint, k.of(r, &[IrqSource]), &[r.below(99), to]),
        14 => {
            let how = *r.pick(&[Op::IrqBind, Op::IrqAck]);
            op(how, k.of(r, &[IrqDest]), &[k.of(r, &[Endpoint])])
        }
        _ => rare(r, k, to),
    }
}

/// What few processes may do.
fn rare(r: &mut Rng, k: &Known, to: u64) -> [u64; 8] {
    use CapType::*;
    match r.below(8) {
        4.. => shared(r, k, to),
        0 => op(Op::Signal, k.of(r, &[Notify]), &[]),
        1 => op(Op::IdCreate, k.of(r, &[Kernel]), &[22 + r.below(2), to]),
        2 => op(
            Op::CapExport,
            k.of(r, &[Kernel]),
            &[k.of(r, &[Frame, UmpEndpoint, Notify])],
        ),
        _ => {
            let words = [
                3 | 15 << 8,
                0x18_0000 + 0x1000 * r.below(4),
                0x1000,
                0,
                r.below(3),
                to,
            ];
            op(Op::CapImport, k.of(r, &[Kernel]), &words)
        }
    }
}

/// What monitors ask, about what processes may have made.
fn shared(r: &mut Rng, k: &Known, to: u64) -> [u64; 8] {
    use CapType::*;
    let kernel = k.of(r, &[Kernel]);
    // Memory that each process has some of, and the Frame and tables that the worlds make.
    let (first, pages) = match r.below(3) {
        0 => (0x25_0000 + 0x1_8000 * r.below(4), 0x18),
        1 => (0x2c_0000 + 0x1_0000 * r.below(4), 4),
        _ => (0x18_0000, 4),
    };
    let what = *r.pick(&[Ram, Frame, Frame, VNode]);
    let size = match what {
        VNode => 0x2000,
        Ram => 0x1_8000,
        _ => 0x1000 * (1 + r.below(pages)),
    };
    let base = first
        + if r.one_in(2) {
            0
        } else {
            0x1000 * r.below(pages)
        };
    let (level, isa) = if what == VNode {
        (r.below(2), 1)
    } else {
        (0, 0)
    };
    let words = [what as u64 | 15 << 8 | level << 32, base, size, isa];
    let with = |more: u64| [words[0], words[1], words[2], words[3], more];
    match r.below(16) {
        0 => op(Op::CapOwner, kernel, &words),
        1 => op(
            Op::CapNext,
            kernel,
            &[base, base + size, words[0] << 8, base, size, isa],
        ),
        2 => op(Op::CapRemove, kernel, &[k.any(r)]),
        3 => op(Op::CapSetOwner, kernel, &with(7 + r.below(3))),
        4 => op(Op::CapSetRemote, kernel, &with(r.below(9))),
        5 => op(Op::CapLock, kernel, &with(r.below(3) / 2)),
        6 => op(Op::CapMark, kernel, &with(r.below(4))),
        7 => op(Op::CapUnmark, kernel, &words),
        8 => op(Op::CapSweep, kernel, &words),
        9 | 10 => op(Op::CapPending, kernel, &[r.below(6), r.below(2)]),
        11..14 => {
            let error = 1 + r.below(29);
            op(Op::CapAnswer, kernel, &[r.below(8), r.below(3), error])
        }
        14 if r.one_in(4) => op(Op::MonitorBind, kernel, &[u64::MAX]),
        14 => op(Op::MonitorBind, kernel, &[r.below(300)]),
        _ if r.one_in(2) => op(Op::Flushed, kernel, &[r.below(4)]),
        _ => op(Op::TlbFlush, kernel, &[to]),
    }
}

fn message(r: &mut Rng, k: &Known, now_ns: u64) -> [u64; 8] {
    let tag = MessageTag {
        cap: CapAddr(if r.one_in(3) { k.any(r) as u32 } else { 0 }),
        reply: (r.below(9) / 8) as u8,
        give: r.one_in(3),
        yield_to: r.one_in(3),
    };
    let mut regs = [0; 8].map(|_: u64| r.word());
    regs[1] = k.of(r, &[CapType::Endpoint]);
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
pub fn syscall(r: &mut Rng, k: &Known, now_ns: u64) -> [u64; 8] {
    match r.below(12) {
        0..4 => shuffle(r, k),
        4..7 => sensible(r, k),
        7..10 => message(r, k, now_ns),
        10 => {
            let mut regs = [0; 8].map(|_: u64| word(r));
            regs[0] = (*r.pick(Op::ALL) as u64) << 8;
            regs[1] = k.any(r);
            regs
        }
        _ => [0; 8].map(|_: u64| r.word()),
    }
}

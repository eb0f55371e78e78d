//! Capability operations through system calls.

use crate::support::world::{RAM, World};
use abi::{CapAddr, Op, SysError, slots};
use capfmt::{CapType, Dcb, PhysAddr, PhysMap, Rights};
use kernel::{Effect, RoundRobin};

type W = World<RoundRobin>;
const MIB: u64 = 1 << 20;

fn world() -> W {
    World::new(8 * MIB)
}

fn free(n: u32) -> CapAddr {
    CapAddr::new(1, n)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

const ROOT: CapAddr = slots::ROOT_CNODE;

#[test]
fn identify_tells_the_words() {
    let mut w = world();
    let regs = w.ok(Op::Identify, slots::RAM, &[]);
    assert_eq!(regs[1] as u8, CapType::Ram as u8);
    assert_eq!(regs[2], RAM.0);
    let bad = w.call([0, n(free(9)), 0, 0, 0, 0, 0, 0]);
    assert_eq!(bad[0], SysError::NoCapability as u64);
    for address in [
        0,
        0xffff_ffff,
        1 << 32,
        n(CapAddr::new(5, 3)),
        n(CapAddr::root(255)),
    ] {
        let bad = w.call([0, address, 0, 0, 0, 0, 0, 0]);
        assert_ne!(bad[0], 0, "address {address:#x}");
    }
}

#[test]
fn copies_lose_rights_and_get_one_badge() {
    let mut w = world();
    w.ok(
        Op::Copy,
        ROOT,
        &[n(slots::SELF_ENDPOINT), n(free(0)), 3 | 1 << 8, 77],
    );
    let cap = w.cap(free(0));
    assert_eq!(
        (cap.kind, cap.extra, cap.rights),
        (CapType::Endpoint, 77, Rights(3))
    );
    w.refused(
        SysError::BadArgument,
        Op::Copy,
        ROOT,
        &[n(free(0)), n(free(1)), 15 | 1 << 8, 5],
    );
    w.ok(Op::Copy, ROOT, &[n(free(0)), n(free(1)), 15]);
    assert_eq!(w.cap(free(1)).rights, Rights(3), "rights do not come back");
    w.refused(
        SysError::SlotInUse,
        Op::Copy,
        ROOT,
        &[n(free(0)), n(free(1)), 15],
    );
    w.refused(
        SysError::WrongType,
        Op::Copy,
        ROOT,
        &[n(slots::RAM), n(free(2)), 15 | 1 << 8, 5],
    );
    w.check();
}

#[test]
fn moves_keep_everything() {
    let mut w = world();
    w.ok(Op::Move, ROOT, &[n(slots::RAM), n(free(0))]);
    assert_eq!(w.cap(slots::RAM).kind, CapType::Null);
    assert_eq!(w.cap(free(0)).base, RAM);
    w.refused(
        SysError::NoCapability,
        Op::Move,
        ROOT,
        &[n(slots::RAM), n(free(1))],
    );
    w.check();
}

#[test]
fn retype_refuses_overlap_and_makes_all_or_none() {
    let mut w = world();
    w.make(CapType::Frame, 0, 0x1000, 0x1000, 4, free(0));
    let args = |offset, to: u32| {
        [
            offset,
            CapType::Frame as u64,
            0x1000,
            1,
            n(ROOT),
            n(free(to)),
        ]
    };
    w.refused(SysError::Overlaps, Op::Retype, slots::RAM, &args(0x4000, 8));
    w.ok(Op::Retype, slots::RAM, &args(0x5000, 8));
    w.refused(
        SysError::BadArgument,
        Op::Retype,
        slots::RAM,
        &args(0x800, 9),
    );
    w.refused(
        SysError::BadArgument,
        Op::Retype,
        slots::RAM,
        &args(1 << 40, 9),
    );
    // The third destination is in use.
    let many = [
        0x10000,
        CapType::Frame as u64,
        0x1000,
        4,
        n(ROOT),
        n(free(6)),
    ];
    let before = w.check();
    w.refused(SysError::SlotInUse, Op::Retype, slots::RAM, &many);
    assert_eq!(w.check(), before);
    w.refused(
        SysError::BadRetype,
        Op::Retype,
        free(0),
        &[0, CapType::Ram as u64, 0x1000, 1, n(ROOT), n(free(20))],
    );
}

#[test]
fn retype_takes_sixty_four_at_once() {
    let mut w = world();
    w.make(CapType::Frame, 0, 0, 0x1000, 64, free(0));
    w.make(CapType::Ram, 0, 0x10_0000, 0x1000, 64, free(64));
    w.make(CapType::Dispatcher, 0, 0x20_0000, 0, 64, free(128));
    let ids: std::collections::BTreeSet<u64> = (128..192)
        .map(|k| Dcb(w.cap(free(k)).base).id(&w.m))
        .collect();
    assert_eq!(ids.len(), 64);
    w.check();
}

#[test]
fn new_frames_are_zero_large_ones_in_steps() {
    let mut w = world();
    for i in 0..0x2_0000 {
        w.m.store(RAM.add(8 * i), !0);
    }
    w.make(CapType::Frame, 0, 0, 0x1000, 1, free(0));
    assert_eq!(w.m.load(RAM), 0);
    w.make(CapType::Frame, 0, 0x1000, 0x8_0000, 1, free(1));
    assert_eq!(w.m.load(RAM.add(0x1000)), 0);
    assert_eq!(w.m.load(RAM.add(0x8_0ff8)), 0);
    assert_eq!(w.m.load(RAM.add(0x8_1000)), !0);
    assert_eq!(w.cap(free(1)).size, 0x8_0000);
    w.check();
}

#[test]
fn only_who_has_every_right_revokes() {
    let mut w = world();
    w.ok(
        Op::Copy,
        ROOT,
        &[n(slots::RAM), n(free(0)), u64::from(Rights::SHARED.0)],
    );
    w.refused(SysError::NoRight, Op::Revoke, ROOT, &[n(free(0))]);
    assert_eq!(
        w.cap(slots::RAM).rights,
        Rights::ALL,
        "nobody lost anything"
    );
    w.ok(Op::Revoke, ROOT, &[n(slots::RAM)]);
    assert_eq!(w.cap(free(0)).kind, CapType::Null);
}

#[test]
fn revoke_takes_copies_and_descendants() {
    let mut w = world();
    w.copy(slots::RAM, ROOT, free(0));
    w.make(CapType::Frame, 0, 0, 0x1000, 40, free(1));
    w.make(CapType::Ram, 0, 0x10_0000, 0x10_0000, 1, free(60));
    let before = w.check();
    w.ok(Op::Revoke, ROOT, &[n(slots::RAM)]);
    assert_eq!(w.check(), before - 42);
    assert_eq!(w.cap(free(0)).kind, CapType::Null);
    assert_eq!(w.cap(slots::RAM).kind, CapType::Ram);
    w.make(CapType::Frame, 0, 0, 0x1000, 1, free(1));
}

#[test]
fn deleting_the_last_cnode_deletes_what_is_in_it() {
    let mut w = world();
    w.make(CapType::CNode, 4, 0, 0, 2, free(0));
    w.make(CapType::Frame, 0, 0x1000, 0x1000, 8, free(10));
    w.copy(free(0), ROOT, CapAddr::root(9));
    for k in 0..8 {
        w.ok(Op::Move, ROOT, &[n(free(10 + k)), n(CapAddr::new(9, k))]);
    }
    // The second CNode stands in the first, and itself in itself.
    w.copy(free(1), ROOT, CapAddr::root(10));
    w.ok(Op::Move, ROOT, &[n(free(1)), n(CapAddr::new(9, 9))]);
    w.ok(
        Op::Move,
        ROOT,
        &[n(CapAddr::root(10)), n(CapAddr::new(9, 10))],
    );
    let before = w.check();
    w.ok(Op::Delete, ROOT, &[n(CapAddr::root(9))]);
    w.ok(Op::Delete, ROOT, &[n(free(0))]);
    assert_eq!(w.check(), before - 12);
    w.make(CapType::Frame, 0, 0, 0x1000, 1, free(0));
}

#[test]
fn cnodes_that_hold_each_other_go_together() {
    let mut w = world();
    w.make(CapType::Ram, 0, 0, 0x1000, 1, free(0));
    let what = CapType::CNode as u64 | 4 << 8;
    w.ok(
        Op::Retype,
        free(0),
        &[0, what, 0, 2, n(ROOT), n(CapAddr::root(8))],
    );
    // Each CNode's last capability goes into the other one.
    w.copy(CapAddr::root(8), ROOT, free(1));
    w.copy(CapAddr::root(9), ROOT, free(2));
    w.copy(free(1), ROOT, CapAddr::new(9, 1));
    w.copy(free(2), ROOT, CapAddr::new(8, 1));
    for c in [free(1), free(2), CapAddr::root(8), CapAddr::root(9)] {
        w.ok(Op::Delete, ROOT, &[n(c)]);
    }
    let before = w.check();
    w.ok(Op::Revoke, ROOT, &[n(free(0))]);
    assert_eq!(w.check(), before - 2);
    w.ok(
        Op::Retype,
        free(0),
        &[0, CapType::Frame as u64, 0x1000, 1, n(ROOT), n(free(1))],
    );
}

fn map_args(
    frame: CapAddr,
    first: u64,
    offset: u64,
    count: u64,
    rights: u64,
    to: CapAddr,
) -> [u64; 5] {
    [n(frame), first, offset, count | rights << 32, n(to)]
}

#[test]
fn mappings_fill_and_leave_page_tables() {
    let mut w = world();
    w.make(CapType::VNode, 0, 0, 0, 1, free(0));
    w.make(CapType::VNode, 1, 0x2000, 0, 1, free(1));
    w.make(CapType::Frame, 0, 0x20_0000, 0x20_0000, 1, free(2));
    let leaf = w.cap(free(0)).base;
    w.ok(Op::Map, free(1), &map_args(free(0), 5, 0, 1, 1, free(3)));
    w.ok(Op::Map, free(0), &map_args(free(2), 0, 0, 512, 3, free(4)));
    assert_eq!(w.m.load(leaf.add(8)), (RAM.0 + 0x20_1000) | 3 | 1 << 63);
    w.refused(
        SysError::AlreadyMapped,
        Op::Map,
        free(0),
        &map_args(free(2), 9, 0, 1, 1, free(5)),
    );
    w.refused(
        SysError::BadArgument,
        Op::Map,
        free(1),
        &map_args(free(2), 6, 0x1000, 1, 1, free(5)),
    );
    w.ok(Op::Map, free(1), &map_args(free(2), 6, 0, 1, 5, free(5)));
    w.refused(
        SysError::BadArgument,
        Op::Map,
        free(1),
        &map_args(free(2), 7, 0, 1, 7, free(6)),
    );
    // Moving a Mapping keeps its entries; protecting changes them; unmapping clears them.
    w.ok(Op::Move, ROOT, &[n(free(4)), n(free(40))]);
    w.ok(Op::Protect, free(40), &[1]);
    assert_eq!(w.m.load(leaf.add(8)), (RAM.0 + 0x20_1000) | 1 | 1 << 63);
    w.effects.clear();
    w.ok(Op::Unmap, free(40), &[]);
    assert_eq!(w.effects, [Effect::TlbAll]);
    assert!((0..1024).all(|i| w.m.load(leaf.add(8 * i)) == 0));
    w.refused(SysError::NotMapped, Op::Unmap, free(40), &[]);
    w.ok(Op::Map, free(0), &map_args(free(2), 0, 0, 512, 3, free(41)));
    w.ok(Op::Delete, ROOT, &[n(free(40))]);
    assert_ne!(w.m.load(leaf), 0, "an empty Mapping owns no entries");
    // The last capability of the table takes the Mappings in it along.
    w.ok(Op::Delete, ROOT, &[n(free(0))]);
    assert_eq!(w.cap(free(41)).kind, CapType::Null);
    w.check();
}

/// An empty Mapping still knows its table's address, where by now a CNode may stand whose slots its holder fills.
#[test]
fn an_empty_mapping_knows_no_table() {
    let mut w = world();
    w.make(CapType::VNode, 0, 0, 0, 1, free(0));
    w.make(CapType::Frame, 0, 0x1_0000, 0x1000, 1, free(1));
    w.make(CapType::CNode, 4, 0x2_0000, 0, 1, free(2));
    w.ok(Op::Copy, ROOT, &[n(free(2)), n(CapAddr::root(3)), 15]);
    let mapping = CapAddr::new(3, 0);
    w.ok(Op::Map, free(0), &map_args(free(1), 1, 0, 1, 3, mapping));
    w.ok(Op::Unmap, mapping, &[]);
    w.ok(Op::Delete, ROOT, &[n(free(0))]);
    w.make(CapType::CNode, 8, 0, 0, 1, free(3));
    w.ok(Op::Copy, ROOT, &[n(free(3)), n(CapAddr::root(4)), 15]);
    // The word behind entry 1 is the base of what stands in slot 64: the address of the Mapping.
    w.ok(Op::Copy, ROOT, &[n(free(2)), n(CapAddr::new(4, 64)), 15]);
    w.ok(Op::Copy, ROOT, &[n(free(1)), n(CapAddr::new(4, 0)), 15]);
    w.refused(SysError::NotMapped, Op::Protect, mapping, &[1]);
    w.refused(SysError::NotMapped, Op::Unmap, mapping, &[]);
    w.ok(Op::Delete, ROOT, &[n(mapping)]);
    w.check();
    let regs = w.ok(Op::Identify, CapAddr::new(4, 0), &[]);
    assert_eq!(regs[2], RAM.0 + 0x1_0000, "the capability is untouched");
}

/// An empty Mapping of the same entry stands before the one that fills it.
#[test]
fn a_table_takes_the_mapping_that_fills_it_along() {
    let mut w = world();
    w.make(CapType::VNode, 0, 0, 0, 1, free(0));
    w.make(CapType::Frame, 0, 0x1_0000, 0x1000, 1, free(1));
    let same = |to| map_args(free(1), 1, 0, 1, 3, free(to));
    w.ok(Op::Map, free(0), &same(2));
    w.ok(Op::Unmap, free(2), &[]);
    w.ok(Op::Map, free(0), &same(3));
    w.ok(Op::Delete, ROOT, &[n(free(0))]);
    assert_eq!(w.cap(free(3)).kind, CapType::Null);
    assert_ne!(w.cap(free(2)).kind, CapType::Null);
    w.check();
}

#[test]
fn revoking_memory_unmaps_it() {
    let mut w = world();
    w.make(CapType::VNode, 0, 0, 0, 1, free(0));
    w.make(CapType::Frame, 0, 0x1_0000, 0x4000, 1, free(1));
    w.ok(Op::Map, free(0), &map_args(free(1), 3, 0, 4, 3, free(2)));
    w.ok(Op::Revoke, ROOT, &[n(free(1))]);
    let leaf = w.cap(free(0)).base;
    assert!((0..1024).all(|i| w.m.load(leaf.add(8 * i)) == 0));
    assert_eq!(w.cap(free(2)).kind, CapType::Null);
}

#[test]
fn device_memory_never_becomes_a_kernel_object() {
    let mut w = world();
    let args = |kind: CapType, to: u32| [0, kind as u64, 0x1000, 1, n(ROOT), n(free(to))];
    w.refused(
        SysError::BadObject,
        Op::Retype,
        slots::DEVICES,
        &args(CapType::Ram, 0),
    );
    w.ok(Op::Retype, slots::DEVICES, &args(CapType::DevFrame, 0));
    w.make(CapType::VNode, 0, 0, 0, 1, free(1));
    w.ok(Op::Map, free(1), &map_args(free(0), 0, 0, 1, 3, free(2)));
    assert_ne!(
        w.m.load(w.cap(free(1)).base) & 1 << 4,
        0,
        "device memory is uncached"
    );
    w.refused(
        SysError::BadArgument,
        Op::Map,
        free(1),
        &map_args(free(0), 1, 0, 1, 5, free(3)),
    );
}

#[test]
fn ports_interrupts_and_identities() {
    let mut w = world();
    w.effects.clear();
    w.ok(Op::PortOut, slots::IO_PORTS, &[0x3f8, 1, 65]);
    assert_eq!(w.effects, [Effect::PortOut(0x3f8, 1, 65)]);
    w.refused(
        SysError::BadArgument,
        Op::PortIn,
        slots::IO_PORTS,
        &[0xffff, 2],
    );
    w.refused(SysError::BadArgument, Op::PortIn, slots::IO_PORTS, &[!0, 1]);
    w.ok(
        Op::IdCreate,
        slots::KERNEL,
        &[CapType::Id as u64, n(free(0))],
    );
    w.ok(
        Op::IdCreate,
        slots::KERNEL,
        &[CapType::Domain as u64, n(free(1))],
    );
    assert_ne!(w.cap(free(0)).extra, w.cap(free(1)).extra);
    let regs = w.ok(Op::KernelIdentify, slots::KERNEL, &[]);
    assert_eq!(&regs[1..4], &[1, 2, 3]);
    w.ok(Op::IrqMint, slots::IRQ_SOURCES, &[40, n(free(2))]);
    w.refused(
        SysError::BadArgument,
        Op::IrqMint,
        slots::IRQ_SOURCES,
        &[96, n(free(3))],
    );
    w.effects.clear();
    w.ok(Op::IrqBind, free(2), &[n(slots::SELF_ENDPOINT)]);
    assert_eq!(w.effects, [Effect::IrqUnmask(40)]);
    w.ok(Op::Delete, ROOT, &[n(free(2))]);
    assert_eq!(w.effects, [Effect::IrqUnmask(40), Effect::IrqMask(40)]);
    assert_eq!(w.m.load(PhysAddr(0x12_0200)), 0);
}

#[test]
fn neighbours_merge_while_nothing_else_covers_them() {
    let mut w = world();
    let ram = CapType::Ram;
    for (k, at) in [0, 0x3000, 0x4000, 0x9000].into_iter().enumerate() {
        let size = [0x3000, 0x1000, 0x5000, 0x1000][k];
        w.make(ram, 0, at, size, 1, free(k as u32));
    }
    let merge = |w: &mut W, a, b| w.op(Op::Merge, free(a), &[n(free(b))])[0];
    let still = SysError::StillInUse as u64;
    // What they were made of covers all of them: it is in nobody's way.
    w.make(ram, 0, 0x10_0000, 0x1000, 2, free(20));
    assert_eq!(merge(&mut w, 20, 21), 0);
    assert_eq!(
        (w.cap(free(20)).size, w.cap(free(21)).kind),
        (0x2000, CapType::Null)
    );
    w.check();
    w.make(ram, 0, 0x20_0000, 0x2000, 1, free(22));
    for to in [23, 24] {
        let half = [
            0x1000 * u64::from(to - 23),
            ram as u64,
            0x1000,
            1,
            n(ROOT),
            n(free(to)),
        ];
        w.ok(Op::Retype, free(22), &half);
    }
    assert_eq!(merge(&mut w, 23, 24), still, "it would be a copy");
    w.ok(Op::Revoke, ROOT, &[n(free(22))]);
    w.ok(Op::Delete, ROOT, &[n(slots::RAM)]);
    let before = w.check();
    for (a, b) in [(0, 2), (1, 0), (0, 0)] {
        assert_eq!(merge(&mut w, a, b), SysError::BadArgument as u64);
    }
    w.copy(free(1), ROOT, free(10));
    assert_eq!(merge(&mut w, 0, 1), still, "a copy");
    w.ok(Op::Delete, ROOT, &[n(free(10))]);
    let frame = [
        0x1000,
        CapType::Frame as u64,
        0x1000,
        1,
        n(ROOT),
        n(free(10)),
    ];
    w.ok(Op::Retype, free(0), &frame);
    assert_eq!(merge(&mut w, 0, 1), still, "a Frame");
    w.refused(SysError::WrongType, Op::Merge, free(0), &[n(free(10))]);
    w.ok(Op::Revoke, ROOT, &[n(free(0))]);
    w.ok(Op::Copy, ROOT, &[n(free(2)), n(free(11)), 1]);
    w.refused(SysError::NoRight, Op::Merge, free(1), &[n(free(11))]);
    w.ok(Op::Delete, ROOT, &[n(free(11))]);
    // In any order, and then it is as if it had never been cut.
    for (a, b) in [(1, 2), (1, 3), (0, 1)] {
        assert_eq!(merge(&mut w, a, b), 0);
        assert_eq!(w.cap(free(b)).kind, CapType::Null);
        w.check();
    }
    let whole = w.cap(free(0));
    assert_eq!((whole.base, whole.size, whole.kind), (RAM, 0xa000, ram));
    assert_eq!(w.check(), before - 3);
    let frame = [
        0x2000,
        CapType::Frame as u64,
        0x4000,
        1,
        n(ROOT),
        n(free(10)),
    ];
    w.ok(Op::Retype, free(0), &frame);
}

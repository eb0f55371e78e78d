//! Random capabilities such as an OSnode holds: made from one another, never out of nothing.

use capfmt::{Cap, CapType, Isa, PhysAddr};

use crate::Rng;
use crate::mdb::children;

/// First byte of the memory that generated capabilities cover.
pub const WORLD: u64 = 0x4000_0000;
/// Bytes of it.
pub const WORLD_BYTES: u64 = 0x1000_0000;

/// One of the capabilities from which all others are made.
#[must_use]
pub fn seed(rng: &mut Rng) -> Cap {
    match rng.below(16) {
        0 => Cap::region(CapType::IrqSource, PhysAddr(0), 256),
        1 => Cap::region(CapType::IoPort, PhysAddr(0), 0x1_0000),
        2 => Cap::number(CapType::Kernel, 0),
        3 => Cap::number(CapType::Id, rng.below(9)),
        4 => Cap::number(CapType::Domain, rng.below(9)),
        5 => Cap::number(CapType::PerfMon, 0),
        _ => Cap::region(CapType::PhysAddr, PhysAddr(WORLD), WORLD_BYTES),
    }
}

/// A capability that can be made from `from`, or a copy of it where nothing can.
#[must_use]
pub fn derive(rng: &mut Rng, from: &Cap) -> Cap {
    let kinds = children(from.kind);
    if kinds.is_empty() || rng.one_in(4) {
        return *from;
    }
    let mut kind = *rng.pick(kinds);
    if kinds.contains(&CapType::Ram) && rng.below(4) > 0 {
        kind = CapType::Ram;
    }
    let part = |rng: &mut Rng, grain: u64| {
        let units = from.size / grain;
        if units == 0 {
            return (from.base, from.size);
        }
        let want = match rng.below(3) {
            0 => 1,
            1 => (1 << rng.below(12)).min(units),
            _ => 1 + rng.below(1 + units / 4).min(units - 1),
        };
        let off = rng.below(units - want + 1);
        (from.base.add(off * grain), want * grain)
    };
    match kind {
        CapType::Endpoint => Cap::endpoint(from.base, rng.below(32) as u32, rng.below(3) as u32),
        CapType::Notify => Cap::notify(from.base, rng.below(64) as u32, 1 + rng.below(2)),
        CapType::CoreControl => Cap::region(kind, from.base, from.size),
        CapType::IrqDest => Cap::region(kind, from.base.add(rng.below(from.size)), 1),
        CapType::IrqSource | CapType::IoPort => {
            let (base, size) = part(rng, 1);
            Cap::region(kind, base, size)
        }
        CapType::Mapping => {
            let (base, size) = part(rng, 4096);
            let (vnode, index) = (PhysAddr(0x2000 * (1 + rng.below(50))), rng.below(512));
            Cap::mapping(base, size, vnode, index, (size / 4096) as u32)
        }
        CapType::Kcb => Cap::kcb(from.base, from.size, from.base),
        _ => fixed_or_pages(rng, kind, from, part),
    }
}

fn fixed_or_pages(
    rng: &mut Rng,
    kind: CapType,
    from: &Cap,
    part: impl Fn(&mut Rng, u64) -> (PhysAddr, u64),
) -> Cap {
    let log2 = 2 + rng.below(7) as u32;
    let grain = match kind {
        CapType::CNode => 64 << log2,
        CapType::Dispatcher => capfmt::DCB_BYTES,
        CapType::VNode => capfmt::VNODE_BYTES,
        CapType::Notification => capfmt::NOTIFICATION_BYTES,
        CapType::Core => capfmt::CORE_OBJECT_BYTES,
        _ => {
            let (base, size) = part(rng, 4096);
            return Cap::region(kind, base, size);
        }
    };
    let first = from.base.0.next_multiple_of(grain);
    let units = (from.base.0 + from.size).saturating_sub(first) / grain;
    if units == 0 {
        return *from;
    }
    let base = PhysAddr(first + grain * rng.below(units));
    match kind {
        CapType::CNode => Cap::cnode(base, log2),
        CapType::VNode => Cap::vnode(base, rng.below(4) as u32, Isa::X86),
        _ => Cap::region(kind, base, grain),
    }
}

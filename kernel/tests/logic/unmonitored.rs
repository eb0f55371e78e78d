//! Without a monitor: what other OSnodes know of is not dropped, and nothing waits for ever because of that.

use crate::support::check::{check_all, mappings};
use crate::support::world::{KCB, RAM, World, slot_at};
use abi::{CapAddr, Op, SysError, slots};
use capfmt::CapType;
use kernel::RoundRobin;

const MIB: u64 = 1 << 20;
const ROOT: CapAddr = slots::ROOT_CNODE;

fn world() -> World<RoundRobin> {
    World::new(8 * MIB)
}

fn free(n: u32) -> CapAddr {
    CapAddr::new(1, n)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

#[test]
fn remote_capabilities_are_not_dropped_silently() {
    let mut w = world();
    w.make(CapType::Frame, 0, 0, 0x1000, 1, free(0));
    w.copy(free(0), ROOT, free(1));
    let regs = w.ok(Op::CapExport, slots::KERNEL, &[n(free(0))]);
    assert_eq!(regs[2], RAM.0);
    w.refused(SysError::SharedRemote, Op::Revoke, ROOT, &[n(free(1))]);
    w.refused(
        SysError::SharedRemote,
        Op::Retype,
        free(0),
        &[0, CapType::Frame as u64, 0x1000, 1, n(ROOT), n(free(2))],
    );
    w.ok(Op::Delete, ROOT, &[n(free(0))]);
    w.refused(SysError::SharedRemote, Op::Delete, ROOT, &[n(free(1))]);
    w.refused(SysError::SharedRemote, Op::Revoke, ROOT, &[n(slots::RAM)]);
    assert_eq!(w.cap(free(1)).kind, CapType::Frame);
    // A copy of a remote capability is one too, here from another OSnode.
    let words = [
        CapType::Frame as u64 | 15 << 8,
        RAM.0 + 0x4000,
        0x1000,
        0,
        9,
    ];
    let mut args = words.to_vec();
    args.push(n(free(5)));
    w.ok(Op::CapImport, slots::KERNEL, &args);
    w.copy(free(5), ROOT, free(6));
    w.ok(Op::Delete, ROOT, &[n(free(5))]);
    w.refused(SysError::SharedRemote, Op::Delete, ROOT, &[n(free(6))]);
    assert_eq!(slot_at(free(6)).node(&w.m).owner, 1);
    w.check();
}

#[test]
fn a_table_whose_mapping_stays_is_refused_and_stays() {
    let mut w = world();
    w.make(CapType::VNode, 0, 0x10_0000, 0, 1, free(0));
    w.make(CapType::Frame, 0, 0, 0x1000, 1, free(1));
    let map = |what, entry, to| [n(what), entry, 0, 1 | 3 << 32, n(to)];
    w.ok(Op::Map, free(0), &map(free(1), 5, free(2)));
    // Another OSnode's.
    let kind = CapType::Frame as u64 | 15 << 8;
    let import = [kind, RAM.0 + 0x4000, 0x1000, 0, 9, n(free(5))];
    w.ok(Op::CapImport, slots::KERNEL, &import);
    w.ok(Op::Map, free(0), &map(free(5), 16, free(6)));
    w.refused(SysError::SharedRemote, Op::Delete, ROOT, &[n(free(0))]);
    assert_eq!(KCB.op_kind(&w.m), 0, "the operation is over");
    assert_eq!(w.cap(free(0)).kind, CapType::VNode);
    assert_eq!(w.cap(free(6)).kind, CapType::Mapping);
    let all = check_all(&w.m);
    mappings(&w.m, &all);
    w.check();
}

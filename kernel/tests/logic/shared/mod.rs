//! Objects that other OSnodes know: what monitors ask of a kernel, and calls that wait for a monitor.

mod objects;
mod removals;
mod tables;
mod waits;

use crate::support::check::{check_all, mappings};
use abi::{CapAddr, Op, SysError, Syscall, slots};
use capfmt::schema::Class;
use capfmt::{Cap, CapType, Cte, DcbState, Isa, MdbFlags, PhysAddr, PhysMap, RawCap, mdb};
use kernel::{Effect, Event, RoundRobin};

use crate::support::process::Process;
use crate::support::world::{DCB, KCB, OSNODE, RAM, World, live_area, slot_at};

type W = World<RoundRobin>;

const ROOT: CapAddr = slots::ROOT_CNODE;
/// Offset in the RAM capability of what no process takes.
const FREE_RAM: u64 = 0x2_0000;
/// The monitor's channel.
const CHANNEL: u64 = 5;
const OTHER: u64 = 99;

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, 100 + k)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// A world whose first process is the monitor.
fn world() -> W {
    let mut w = World::new(0x40_0000);
    w.ok(Op::NotifyBind, slots::DISPATCHER, &[]);
    w.ok(Op::MonitorBind, slots::KERNEL, &[CHANNEL]);
    told(&mut w);
    w
}

fn words(cap: &Cap) -> [u64; 4] {
    cap.emit().0
}

/// Asks something about an object.
#[track_caller]
fn ask(w: &mut W, op: Op, object: &Cap, more: u64) -> [u64; 8] {
    let [a, b, c, d] = words(object);
    w.ok(op, slots::KERNEL, &[a, b, c, d, more])
}

/// Who owns the object, and its flags, if it is held.
fn holding(w: &mut W, object: &Cap) -> Option<(u64, MdbFlags)> {
    let r = ask(w, Op::CapOwner, object, 0);
    (r[1] != 0).then_some((r[2], MdbFlags(r[3] as u16)))
}

/// A Frame of `pages` in slot `to`.
fn frame(w: &mut W, offset: u64, pages: u64, to: CapAddr) -> Cap {
    w.make(CapType::Frame, 0, FREE_RAM + offset, 0x1000 * pages, 1, to);
    w.cap(to)
}

fn retype(from: CapAddr, kind: CapType, size: u64, to: CapAddr) -> [u64; 8] {
    let op = (Op::Retype as u64) << 8;
    [op, n(from), 0, kind as u64, size, 1, n(ROOT), n(to)]
}

/// A client's revoke of what it was given as number `k`.
fn revoke(k: u32) -> [u64; 8] {
    let op = (Op::Revoke as u64) << 8;
    [op, n(ROOT), n(client_slot(k)), 0, 0, 0, 0, 0]
}

fn drops(w: &mut W) -> u64 {
    w.ok(Op::CapPending, slots::KERNEL, &[0, 0])[7]
}

/// Whether the monitor was told since the last look.
fn told(w: &mut W) -> bool {
    let pending = DCB.notify_pending(&w.m);
    DCB.set_notify_pending(&mut w.m, 0);
    pending & 1 << (CHANNEL % 64) != 0
}

/// What `CapNext` lists of a range.
fn list(w: &mut W, class: Class, base: u64, end: u64) -> Vec<(Cap, u64)> {
    let mut all = Vec::new();
    let mut cursor = Cap::NULL;
    loop {
        let how = class as u64 | (cursor.kind as u64) << 8 | u64::from(cursor.param) << 32;
        let args = [base, end, how, cursor.base.0, cursor.size, cursor.extra];
        let r = w.op(Op::CapNext, slots::KERNEL, &args);
        if r[0] == SysError::NoCapability as u64 {
            return all;
        }
        assert_eq!(r[0], 0);
        cursor = RawCap([r[1], r[2], r[3], r[4]]).parse().expect("words");
        if r[7] != 0 {
            all.push((cursor.mapped(Isa::X86).unwrap_or(cursor), r[5]));
        }
    }
}

/// A client, with copies of `given` from slot 60 on. Its root CNode is `ROOT` to itself.
fn client(w: &mut W, given: &[CapAddr]) -> Process {
    let p = w.spawn(0);
    for (k, from) in (60..).zip(given) {
        w.copy(*from, p.root, CapAddr::new(0, k));
    }
    w.start(&p);
    p
}

/// Lets the client make a call; the monitor waits meanwhile and runs again afterwards. r0 and r1 of the client, if
/// it did not have to wait.
fn client_calls(w: &mut W, p: &Process, regs: [u64; 8]) -> Option<(u64, u64)> {
    let until = w.m.counter.get() + 3_000_000;
    w.enter([Syscall::Wait as u64, until, 1, 0, 0, 0, 0, 0]);
    while w.running() != Some(p.dcb) {
        w.tick();
    }
    w.enter(regs);
    let mut answer = None;
    while w.running() != Some(DCB) {
        if w.running() == Some(p.dcb) {
            answer = answer.or(Some(result(w, p)));
            let until = w.m.counter.get() + 1000;
            w.enter([Syscall::Wait as u64, until, 32, 0, 0, 0, 0, 0]);
        } else {
            w.tick();
        }
    }
    answer
}

fn client_slot(k: u32) -> CapAddr {
    CapAddr::new(0, 60 + k)
}

/// r0 and r1 of the client.
fn result(w: &W, p: &Process) -> (u64, u64) {
    let regs = w.regs(live_area(&w.m, p.page));
    (regs[0], regs[1])
}

//! Every system call and operation there is, once each so that it succeeds, with a death at *every* store.

use abi::{CapAddr, MessageTag, Op, Syscall, disp, slots};
use capfmt::{
    Attachment, Cap, CapType, Core, CoreCommand, ImageRecord, Kcb, LongOpKind, PhysAddr, PhysMap,
};
use kernel::{Event, FairShare, Policy, RoundRobin, attach};
use model::Crash;

use super::death::{Before, adopted, check_death, dies, fingerprint, tell_only_surprises};
use crate::support::machine::TestMachine;
use crate::support::process::{Process, write_osnode};
use crate::support::world::{DCB, FRAME, IDENTITY, KCB, OTHER_CORE, RAM, World};

/// Bytes of the world: a process at most, then a little of everything.
const BYTES: u64 = 0x18_0000;
/// Offset in the RAM capability of what no process takes.
const FREE_RAM: u64 = 0x2_0000;
/// A Frame of this size that becomes a Kcb.
const REGION: u64 = 0x1_0000;

const ROOT: CapAddr = slots::ROOT_CNODE;

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, 100 + k)
}

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// An invocation: operation, capability, arguments.
type Invocation = (Op, CapAddr, Vec<u64>);

fn retype(kind: CapType, param: u64, size: u64, count: u64, to: CapAddr) -> Vec<u64> {
    vec![
        FREE_RAM,
        kind as u64 | param << 8,
        size,
        count,
        n(ROOT),
        n(to),
    ]
}

/// Prepares what `op` needs in `w`; then it can succeed. No operation may be forgotten: the match is complete.
fn invocation<P: Policy>(w: &mut World<P>, op: Op) -> Invocation {
    let (cap, args) = match op {
        Op::Identify => (slots::RAM, vec![]),
        Op::Copy | Op::Move | Op::Delete | Op::Revoke | Op::Retype => cnode(w, op),
        Op::Merge => {
            for k in 0..2 {
                let mut args = retype(CapType::Ram, 0, 0x4000, 1, at(k));
                args[0] += 0x4000 * u64::from(k);
                w.ok(Op::Retype, slots::RAM, &args);
            }
            w.ok(Op::Delete, ROOT, &[n(slots::RAM)]);
            (at(0), vec![n(at(1))])
        }
        Op::Map | Op::Unmap | Op::Protect => mapping(w, op),
        Op::DispConfigure
        | Op::DispRun
        | Op::DispSchedule
        | Op::DispName
        | Op::DispInfo
        | Op::EndpointOpen
        | Op::EndpointReceive
        | Op::NotifyBind => dispatcher(w, op),
        Op::Signal => {
            let args = [5, n(at(0))];
            w.ok(Op::NotifyMint, slots::NOTIFICATION, &args);
            (at(0), vec![])
        }
        Op::NotifyMint => (slots::NOTIFICATION, vec![70, n(at(0))]),
        Op::IrqMint => (slots::IRQ_SOURCES, vec![40, n(at(0))]),
        Op::IrqBind | Op::IrqAck => {
            w.ok(Op::IrqMint, slots::IRQ_SOURCES, &[40, n(at(0))]);
            let to = vec![n(slots::SELF_ENDPOINT)];
            if op == Op::IrqAck {
                w.ok(Op::IrqBind, at(0), &to);
            }
            (at(0), to)
        }
        Op::PortIn => (slots::IO_PORTS, vec![0x60, 1]),
        Op::PortOut => (slots::IO_PORTS, vec![0x3f8, 1, 65]),
        Op::KernelIdentify | Op::OsnodeInfo | Op::ClockInfo => (slots::KERNEL, vec![]),
        Op::KernelLog => (slots::KERNEL, vec![9, 0x6f_6c6c_6568, 0, 0, 0, 0]),
        Op::KernelHalt => (slots::KERNEL, vec![3]),
        Op::IdCreate => (slots::KERNEL, vec![CapType::Id as u64, n(at(0))]),
        Op::Seal | Op::KcbInfo | Op::KcbCare => kcb(w, op),
        Op::CapExport => {
            w.ok(
                Op::Retype,
                slots::RAM,
                &retype(CapType::Frame, 0, 4096, 1, at(0)),
            );
            w.copy(at(0), ROOT, at(1));
            (slots::KERNEL, vec![n(at(0))])
        }
        Op::CapImport => {
            let [a, b, c, d] = Cap::region(CapType::Frame, RAM.add(FREE_RAM), 4096)
                .emit()
                .0;
            (slots::KERNEL, vec![a, b, c, d, 99, n(at(0))])
        }
        Op::CapOwner
        | Op::CapNext
        | Op::CapRemove
        | Op::CapSetOwner
        | Op::CapSetRemote
        | Op::CapLock
        | Op::CapMark
        | Op::CapUnmark
        | Op::CapSweep
        | Op::CapPending
        | Op::CapAnswer
        | Op::MonitorBind
        | Op::TlbFlush
        | Op::ReclaimBind
        | Op::Flushed => (slots::KERNEL, shared(w, op)),
        Op::CoreMint => (slots::CORE, vec![n(at(0))]),
        Op::CoreHandOver
        | Op::CoreCommand
        | Op::CoreSignal
        | Op::CoreInfo
        | Op::CoreRead
        | Op::CorePhase
        | Op::CoreImage
        | Op::CoreRelease => core(w, op),
    };
    (op, cap, args)
}

/// Arguments of what monitors ask, after what it needs: a Frame with a copy and a part, shared with OSnode 99.
fn shared<P: Policy>(w: &mut World<P>, op: Op) -> Vec<u64> {
    let frame = Cap::region(CapType::Frame, RAM.add(FREE_RAM), 0x2000);
    let words = frame.emit().0;
    let args = retype(CapType::Frame, 0, 0x2000, 1, at(0));
    w.ok(Op::Retype, slots::RAM, &args);
    w.copy(at(0), ROOT, at(1));
    w.ok(Op::Retype, at(0), &[0, 3, 4096, 1, n(ROOT), n(at(2))]);
    w.ok(Op::MonitorBind, slots::KERNEL, &[200]);
    let with = |more: &[u64]| [&words[..], more].concat();
    let ask = |w: &mut World<P>, op, more: &[u64]| {
        w.ok(op, slots::KERNEL, &with(more));
    };
    match op {
        Op::CapNext => vec![0, 1 << 40, 0, 0, 0, 0],
        Op::CapRemove => vec![n(at(0))],
        Op::CapSetOwner => with(&[99]),
        Op::CapSetRemote => with(&[5]),
        Op::CapLock | Op::CapMark => with(&[1]),
        Op::CapUnmark | Op::CapSweep => {
            ask(w, Op::CapMark, &[1]);
            with(&[])
        }
        Op::CapPending | Op::CapAnswer => {
            ask(w, Op::CapSetOwner, &[99]);
            let waits = waiting_revoke(w);
            if op == Op::CapPending {
                return vec![0, 0];
            }
            vec![waits, 1]
        }
        Op::MonitorBind => vec![201],
        Op::ReclaimBind => {
            let to = CapAddr::root(9);
            let cnode = [FREE_RAM + 0x4000, CapType::CNode as u64 | 8 << 8, 0, 1];
            let args = [&cnode[..], &[n(ROOT), n(to)]].concat();
            w.ok(Op::Retype, slots::RAM, &args);
            vec![n(to), 202]
        }
        Op::TlbFlush => vec![],
        Op::Flushed => vec![waiting_delete(w)],
        _ => with(&[]),
    }
}

/// Has a second process ask for a revoke of the first Frame, which must wait for the monitor; its number.
fn waiting_revoke<P: Policy>(w: &mut World<P>) -> u64 {
    let p = w.spawn(0);
    let slot = CapAddr::new(0, 60);
    w.copy(at(0), p.root, slot);
    asks(w, &p, Op::Revoke, slot);
    p.dcb.id(&w.m)
}

/// Has a second process delete a Mapping in a table that OSnode 99 uses, too; the removal that it waits for.
fn waiting_delete<P: Policy>(w: &mut World<P>) -> u64 {
    share_table(w);
    let p = w.spawn(0);
    let slot = CapAddr::new(0, 60);
    w.ok(Op::Move, p.root, &[n(at(5)), n(slot)]);
    asks(w, &p, Op::Delete, slot);
    KCB.flush_owed(&w.m)
}

/// A table that OSnode 99 uses, too, with a Mapping of the first Frame.
fn share_table<P: Policy>(w: &mut World<P>) {
    w.make(CapType::VNode, 0, FREE_RAM + 0x8000, 0, 1, at(4));
    let table = w.cap(at(4)).emit().0;
    w.ok(
        Op::CapSetRemote,
        slots::KERNEL,
        &[&table[..], &[1]].concat(),
    );
    w.ok(Op::Map, at(4), &[n(at(0)), 5, 0, 1 | 3 << 32, n(at(5))]);
}

/// Lets a process ask something about its slot, for which it must wait.
fn asks<P: Policy>(w: &mut World<P>, p: &Process, op: Op, slot: CapAddr) {
    w.start(p);
    w.enter([Syscall::Wait as u64, 3_000_000, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    let mut regs = [(op as u64) << 8, n(ROOT), n(slot), 0, 0, 0, 0, 0];
    regs[7] = 77;
    w.enter(regs);
    assert_eq!(p.dcb.state(&w.m), capfmt::DcbState::WaitingMonitor as u64);
    w.tick();
    assert_eq!(w.running(), Some(DCB));
}

fn cnode<P: Policy>(w: &mut World<P>, op: Op) -> (CapAddr, Vec<u64>) {
    w.ok(
        Op::Retype,
        slots::RAM,
        &retype(CapType::CNode, 4, 0, 1, at(0)),
    );
    w.copy(at(0), ROOT, at(1));
    match op {
        Op::Copy => (ROOT, vec![n(at(0)), n(at(2)), 3]),
        Op::Move => (ROOT, vec![n(at(0)), n(at(2))]),
        Op::Delete => (ROOT, vec![n(at(1))]),
        Op::Revoke => (ROOT, vec![n(slots::RAM)]),
        _ => {
            w.ok(Op::Revoke, ROOT, &[n(slots::RAM)]);
            (slots::RAM, retype(CapType::Frame, 0, 4096, 3, at(2)))
        }
    }
}

fn mapping<P: Policy>(w: &mut World<P>, op: Op) -> (CapAddr, Vec<u64>) {
    w.ok(
        Op::Retype,
        slots::RAM,
        &retype(CapType::VNode, 0, 0, 1, at(0)),
    );
    let frame = [FREE_RAM + 0x4000, 3, 0x4000, 1, n(ROOT), n(at(1))];
    w.ok(Op::Retype, slots::RAM, &frame);
    let map = vec![n(at(1)), 7, 0, 4 | 3 << 32, n(at(2))];
    if op == Op::Map {
        return (at(0), map);
    }
    w.ok(Op::Map, at(0), &map);
    (at(2), vec![1])
}

fn dispatcher<P: Policy>(w: &mut World<P>, op: Op) -> (CapAddr, Vec<u64>) {
    let p = w.spawn(0);
    let args = match op {
        Op::DispConfigure => [p.root, p.vnode, p.frame, slots::SELF_ENDPOINT]
            .map(n)
            .to_vec(),
        Op::DispRun => vec![1],
        Op::DispSchedule => vec![1, 1_000_000, 10_000_000],
        Op::DispName => vec![0x6b_6e61, 0],
        Op::EndpointOpen => vec![1, 8, 4, n(at(0))],
        Op::EndpointReceive => vec![0, n(at(0))],
        _ => vec![],
    };
    (p.dispatcher, args)
}

fn kcb<P: Policy>(w: &mut World<P>, op: Op) -> (CapAddr, Vec<u64>) {
    let args = retype(CapType::Frame, 0, REGION, 1, at(0));
    w.ok(Op::Retype, slots::RAM, &args);
    write_osnode(&mut w.m, RAM.add(FREE_RAM), REGION);
    let seal = vec![n(at(0)), CapType::Kcb as u64, 0];
    if op == Op::Seal {
        return (slots::KERNEL, seal);
    }
    w.ok(Op::Seal, slots::KERNEL, &seal);
    // Only who ran is cared for.
    let ran = Attachment::Detached { epoch: 1 };
    Kcb(RAM.add(FREE_RAM)).set_state(&mut w.m, ran.pack());
    (at(0), vec![1])
}

fn core<P: Policy>(w: &mut World<P>, op: Op) -> (CapAddr, Vec<u64>) {
    kcb(w, Op::KcbInfo);
    w.ok(Op::CoreMint, slots::CORE, &[n(at(1))]);
    let record = ImageRecord {
        phys: PhysAddr(0x50_0000),
        entry_va: 1,
        root_table: PhysAddr(0x51_0000),
        ..ImageRecord::default()
    };
    Core(OTHER_CORE).set_image(&mut w.m, 1, &record);
    let args = match op {
        Op::CoreHandOver => vec![9],
        Op::CoreCommand => vec![CoreCommand::Start as u64, n(at(0)), 1],
        Op::CoreRead => vec![8],
        Op::CorePhase => vec![1, 2, 3],
        Op::CoreImage => vec![0, 3, 0x1234],
        Op::CoreRelease => vec![n(at(0))],
        _ => vec![],
    };
    (at(1), args)
}

/// Registers of a system call of each kind, after what it needs; whether it answers at once, with r0 = 0.
fn system_call<P: Policy>(w: &mut World<P>, call: Syscall) -> ([u64; 8], bool) {
    let with = |r0: u64, a: u64, b: u64| [r0, a, b, 3, 4, 5, 6, 7];
    let plain = MessageTag::default();
    match call {
        Syscall::Invoke => (with(0, n(slots::RAM), 0), true),
        Syscall::Send => {
            let p = waiting(w);
            w.ok(
                Op::Retype,
                slots::RAM,
                &retype(CapType::Frame, 0, 4096, 1, at(0)),
            );
            let tag = MessageTag {
                cap: at(0),
                give: true,
                ..plain
            };
            (with(tag.r0(call), n(p.endpoint), 2), true)
        }
        Syscall::Call => {
            let p = waiting(w);
            (with(plain.r0(call), n(p.endpoint), 2), false)
        }
        Syscall::Wait => (with(call as u64, u64::MAX, 0), false),
        Syscall::Yield => {
            let p = w.spawn(0);
            w.start(&p);
            (with(call as u64, 0, 0), true)
        }
        Syscall::Resume => {
            w.m.store(FRAME.add(disp::ENABLED_AREA), 5);
            (with(call as u64, 0, 0), false)
        }
        Syscall::Poll => {
            w.enter(with(plain.r0(Syscall::Send), n(slots::SELF_ENDPOINT), 2));
            (with(call as u64, 0, 0), true)
        }
    }
}

/// A process that waits for ever, with a slot for a capability that comes; the first one runs.
fn waiting<P: Policy>(w: &mut World<P>) -> Process {
    let p = w.spawn(0);
    let slot = n(CapAddr::new(0, 50));
    w.ok(Op::EndpointReceive, p.dispatcher, &[0, slot]);
    w.start(&p);
    w.enter([Syscall::Wait as u64, 3_000_000, 0, 0, 0, 0, 0, 0]);
    assert_eq!(w.running(), Some(p.dcb));
    w.enter([Syscall::Wait as u64, u64::MAX, 0, 0, 0, 0, 0, 0]);
    w.tick();
    assert_eq!(w.running(), Some(DCB));
    p
}

/// All system calls, then all operations.
fn all<P: Policy>() -> impl Iterator<Item = (String, World<P>, [u64; 8], bool)> {
    let calls = (0..=255).filter_map(Syscall::from_u8).map(|call| {
        let mut w = World::<P>::new(BYTES);
        let (regs, answers) = system_call(&mut w, call);
        (format!("{call:?}"), w, regs, answers)
    });
    let ops = Op::ALL.iter().map(|op| {
        let mut w = World::<P>::new(BYTES);
        let (op, cap, args) = invocation(&mut w, *op);
        let mut regs = [(op as u64) << 8, n(cap), 0, 0, 0, 0, 0, 0];
        regs[2..2 + args.len()].copy_from_slice(&args);
        (format!("{op:?}"), w, regs, true)
    });
    calls.chain(ops).chain([delete_that_waits()])
}

/// The deletion of a Mapping in a table that OSnode 99 uses, too.
fn delete_that_waits<P: Policy>() -> (String, World<P>, [u64; 8], bool) {
    let mut w = World::<P>::new(BYTES);
    shared(&mut w, Op::Delete);
    share_table(&mut w);
    let regs = [(Op::Delete as u64) << 8, n(ROOT), n(at(5)), 0, 0, 0, 0, 0];
    ("Delete in a shared table".to_string(), w, regs, true)
}

fn every_store<P: Policy>() {
    tell_only_surprises();
    for (name, w, regs, answers) in all::<P>() {
        // Adopted twice: so it stands before each death.
        let mut w = World::<P>::adopt(adopted::<P>(&w.m));
        assert!(w.running() == Some(DCB) || name == "Yield", "{name}");
        let area = w.area();
        w.set_regs(area, regs);
        let b = Before::of(&mut w, Event::Syscall);
        // What takes longer answers later.
        if answers && KCB.op_kind(&w.m) == LongOpKind::None as u64 {
            assert_eq!(w.m.load(area), 0, "{name} was refused");
        }
        let mut deaths = 0;
        while check_death::<P>(&b, deaths, None) {
            deaths += 1;
        }
        assert!(deaths >= 2, "{name}: a call that hardly writes: {deaths}");
    }
}

#[test]
fn every_store_of_every_call_of_std() {
    every_store::<RoundRobin>();
}

#[test]
fn every_store_of_every_call_of_trace() {
    every_store::<FairShare>();
}

/// What is the end of the operation that stands in `m`, or was lost in it.
fn driven_to_its_end(m: &TestMachine) -> Vec<u64> {
    let mut w = World::<RoundRobin>::adopt(m.clone());
    for _ in 0..1000 {
        if KCB.op_kind(&w.m) == LongOpKind::None as u64 {
            return fingerprint(&adopted::<RoundRobin>(&w.m));
        }
        w.tick();
    }
    panic!("a long operation without end");
}

/// Every store of the event; of thousands, which are zeros in nobody's memory, not all in the middle.
fn deaths_of_interest(before: &TestMachine, event: Event) -> Vec<u64> {
    let mut m = before.clone();
    let mut os = attach::<_, RoundRobin>(&mut m, KCB.0, IDENTITY).expect("adopted before");
    kernel::step(&mut os, &mut m, Event::Idle);
    let from = m.arena.stores();
    kernel::step(&mut os, &mut m, event);
    let all = m.arena.stores() - from;
    let interesting = |n: &u64| *n < 1000 || *n + 1000 > all || n.is_multiple_of(997);
    (0..all).filter(interesting).collect()
}

/// A death at every store of every entry of a long operation: it comes to the same end, or never began.
fn every_store_of_long(mut w: World<RoundRobin>, regs: [u64; 8]) {
    tell_only_surprises();
    w = World::adopt(w.m);
    assert_eq!(w.running(), Some(DCB));
    let area = w.area();
    w.set_regs(area, regs);
    let never_began = fingerprint(&adopted::<RoundRobin>(&w.m));
    let mut event = Event::Syscall;
    let (mut entries, mut deaths) = (0, 0);
    let mut end = None;
    loop {
        let before = w.m.clone();
        w.event(event);
        if entries == 0 {
            assert_ne!(KCB.op_kind(&w.m), 0, "one entry is enough for it");
        }
        let end = end.get_or_insert_with(|| driven_to_its_end(&w.m));
        assert_ne!(*end, never_began);
        for n in deaths_of_interest(&before, event) {
            let mut m = before.clone();
            assert!(dies::<RoundRobin>(&mut m, event, n));
            let found = driven_to_its_end(&m);
            let lost = event == Event::Syscall && found == never_began;
            assert!(
                lost || found == *end,
                "entry {entries}, store {n}: another end"
            );
            deaths += 1;
        }
        entries += 1;
        if KCB.op_kind(&w.m) == 0 {
            break;
        }
        w.pass_time();
        event = Event::Timer;
        w = World::adopt(w.m);
    }
    println!("{entries} entries, {deaths} deaths");
    assert!(entries > 1 && deaths > 50);
}

fn long_registers(op: Op, cap: CapAddr, args: &[u64]) -> [u64; 8] {
    let mut regs = [(op as u64) << 8, n(cap), 0, 0, 0, 0, 0, 0];
    regs[2..2 + args.len()].copy_from_slice(args);
    regs
}

/// CNodes that hold each other's capabilities and some Frames.
fn full_cnodes() -> World<RoundRobin> {
    let mut w = World::<RoundRobin>::new(BYTES);
    w.ok(
        Op::Retype,
        slots::RAM,
        &retype(CapType::CNode, 5, 0, 2, at(0)),
    );
    for k in 0..2 {
        w.copy(at(k), ROOT, CapAddr::root(5 + k));
        let base = FREE_RAM + 0x4000 + 0x2_0000 * u64::from(k);
        let to = n(CapAddr::new(5 + k, 4));
        w.ok(Op::Retype, slots::RAM, &[base, 3, 4096, 27, n(ROOT), to]);
    }
    w.copy(at(1), ROOT, CapAddr::new(5, 31));
    w.copy(at(0), ROOT, CapAddr::new(6, 31));
    w
}

#[test]
fn every_store_of_a_revoke() {
    let w = full_cnodes();
    let regs = long_registers(Op::Revoke, ROOT, &[n(slots::RAM)]);
    every_store_of_long(w, regs);
}

#[test]
fn every_store_of_a_deletion() {
    let mut w = full_cnodes();
    for doomed in [CapAddr::new(6, 31), at(1), CapAddr::root(6), at(0)] {
        w.ok(Op::Delete, ROOT, &[n(doomed)]);
    }
    let regs = long_registers(Op::Delete, ROOT, &[n(CapAddr::root(5))]);
    every_store_of_long(w, regs);
}

#[test]
fn every_store_of_a_large_retype() {
    let w = World::<RoundRobin>::new(0x28_0000);
    let args = retype(CapType::Frame, 0, 0x10_0000, 1, at(0));
    every_store_of_long(w, long_registers(Op::Retype, slots::RAM, &args));
}

/// A death at every store of the attach after a death.
#[test]
fn every_store_of_an_attach() {
    tell_only_surprises();
    let mut w = full_cnodes();
    let area = w.area();
    w.set_regs(area, long_registers(Op::Revoke, ROOT, &[n(slots::RAM)]));
    let mut attaches = Vec::new();
    // In the system call, and in a later entry with its log open.
    for (event, stores) in [(Event::Syscall, 30), (Event::Timer, 20)] {
        let mut dead = w.m.clone();
        assert!(dies::<RoundRobin>(&mut dead, event, stores));
        let expected = driven_to_its_end(&dead);
        for n in 0.. {
            let mut m = dead.clone();
            if !attach_dies_at(&mut m, n) {
                break;
            }
            assert_eq!(driven_to_its_end(&m), expected, "store {n} of attach");
            attaches.push(n);
        }
        w.event(Event::Syscall);
        w.pass_time();
    }
    println!("{} deaths", attaches.len());
    assert!(attaches.len() > 40);
}

/// Lets attach die after `n` stores; whether it did.
fn attach_dies_at(m: &mut TestMachine, n: u64) -> bool {
    m.arena.crash_after(Some(n));
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        attach::<_, RoundRobin>(m, KCB.0, IDENTITY).is_ok()
    }));
    m.arena.crash_after(None);
    match end {
        Ok(adopted) => {
            assert!(adopted);
            false
        }
        Err(p) if p.is::<Crash>() => true,
        Err(p) => std::panic::resume_unwind(p),
    }
}

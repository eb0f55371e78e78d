//! Objects made elsewhere, cores to command, and OSnodes in the older format.

use crate::support::process::write_osnode;
use crate::support::world::{KCB, OTHER_CORE, RAM, World, fresh_machine};
use abi::{CapAddr, Op, SysError, slots};
use capfmt::{
    Attachment, CapType, Core, CoreCommand, CoreStatus, FORMAT_VERSION, ImageRecord, Kcb,
    OLDEST_FORMAT, PhysAddr, convert,
};
use kernel::{Effect, RoundRobin, Signal};

const MIB: u64 = 1 << 20;
const REGION: u64 = 0x10_0000;

fn n(a: CapAddr) -> u64 {
    u64::from(a.0)
}

fn at(k: u32) -> CapAddr {
    CapAddr::new(1, k)
}

/// A world with a sealed Kcb in slot 0 and a CoreControl of the other core in slot 1.
fn with_kcb() -> (World<RoundRobin>, Kcb) {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    w.make(CapType::Frame, 0, 0x20_0000, REGION, 1, at(0));
    let kcb = write_osnode(&mut w.m, RAM.add(0x20_0000), REGION);
    w.ok(Op::Seal, slots::KERNEL, &[n(at(0)), CapType::Kcb as u64, 0]);
    w.ok(Op::CoreMint, slots::CORE, &[n(at(1))]);
    (w, kcb)
}

#[test]
fn only_what_is_sound_is_sealed() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    w.make(CapType::Frame, 0, 0x20_0000, REGION, 1, at(0));
    let kcb_type = CapType::Kcb as u64;
    let seal = |w: &mut World<RoundRobin>, e: SysError, offset: u64| {
        w.refused(e, Op::Seal, slots::KERNEL, &[n(at(0)), kcb_type, offset]);
    };
    seal(&mut w, SysError::BadObject, 0);
    seal(&mut w, SysError::BadArgument, REGION - 0x1000);
    seal(&mut w, SysError::BadArgument, !0xfff);
    let kcb = write_osnode(&mut w.m, RAM.add(0x20_0000), REGION);
    kcb.set_notification(&mut w.m, RAM.0);
    let sum = kcb.compute_checksum(&w.m);
    kcb.set_checksum(&mut w.m, sum);
    seal(&mut w, SysError::BadObject, 0);
    write_osnode(&mut w.m, RAM.add(0x20_0000), REGION);
    w.copy(at(0), slots::ROOT_CNODE, at(2));
    seal(&mut w, SysError::StillInUse, 0);
    w.ok(Op::Delete, slots::ROOT_CNODE, &[n(at(2))]);
    w.ok(Op::Seal, slots::KERNEL, &[n(at(0)), kcb_type, 0]);
    assert_eq!(w.cap(at(0)).kind, CapType::Kcb);
    let facts = w.ok(Op::KcbInfo, at(0), &[]);
    assert_eq!((facts[1], facts[6]), (77, kcb.0.0));
    // A kernel capability without every right seals nothing.
    w.ok(
        Op::Copy,
        slots::ROOT_CNODE,
        &[n(slots::KERNEL), n(at(3)), 7],
    );
    w.refused(SysError::NoRight, Op::Seal, at(3), &[n(at(0)), kcb_type, 0]);
    w.refused(SysError::NoRight, Op::KernelHalt, at(3), &[0]);
    w.check();
}

#[test]
fn a_start_needs_an_image_and_a_free_kcb() {
    let (mut w, kcb) = with_kcb();
    let start = [CoreCommand::Start as u64, n(at(0)), 1];
    w.refused(SysError::BadObject, Op::CoreCommand, at(1), &start);
    let core = Core(OTHER_CORE);
    let record = ImageRecord {
        phys: PhysAddr(0x50_0000),
        entry_va: 1,
        root_table: PhysAddr(0x51_0000),
        ..ImageRecord::default()
    };
    core.set_image(&mut w.m, 1, &record);
    w.effects.clear();
    let regs = w.ok(Op::CoreCommand, at(1), &start);
    let effects = [
        Effect::PublishHome(core.0, regs[1]),
        Effect::Signal(101, Signal::Wake, None),
    ];
    assert_eq!(w.effects, effects);
    assert_eq!((core.home_kcb(&w.m), core.home_image(&w.m)), (kcb.0.0, 1));
    assert_ne!(
        core.home_seq(&w.m),
        regs[1],
        "published by the effect, after the commit"
    );
    // Attached elsewhere: refused. Left behind on that very core: its kernel is gone.
    let attached = |core: u32| Attachment::Attached {
        core: capfmt::CoreId(core),
        epoch: 4,
    };
    kcb.set_state(&mut w.m, attached(2).pack());
    w.refused(SysError::Attached, Op::CoreCommand, at(1), &start);
    w.refused(
        SysError::StillInUse,
        Op::Delete,
        slots::ROOT_CNODE,
        &[n(at(0))],
    );
    w.refused(
        SysError::StillInUse,
        Op::Revoke,
        slots::ROOT_CNODE,
        &[n(slots::RAM)],
    );
    assert_eq!(
        w.cap(at(0)).kind,
        CapType::Kcb,
        "a running OSnode keeps its memory"
    );
    kcb.set_state(&mut w.m, attached(1).pack());
    core.set_target_status(&mut w.m, CoreStatus::Crashed as u64);
    w.ok(Op::CoreCommand, at(1), &start);
    // Another core runs it once the dead kernel's core has let go; one that runs does not.
    w.ok(Op::CoreRelease, at(1), &[n(at(0))]);
    assert_eq!(
        kcb.attachment(&w.m),
        Some(Attachment::Detached { epoch: 4 })
    );
    assert_eq!(core.target_status(&w.m), CoreStatus::Penned as u64);
    kcb.set_state(&mut w.m, attached(2).pack());
    w.refused(SysError::Attached, Op::CoreRelease, at(1), &[n(at(0))]);
    kcb.set_state(&mut w.m, attached(1).pack());
    core.set_target_status(&mut w.m, CoreStatus::Running as u64);
    w.refused(SysError::BadCoreState, Op::CoreRelease, at(1), &[n(at(0))]);
    // A record that a kernel runs from is not written.
    core.set_target_status(&mut w.m, CoreStatus::Running as u64);
    core.set_target_image(&mut w.m, 1);
    w.refused(SysError::BadCoreState, Op::CoreImage, at(1), &[1, 0, 5]);
    w.ok(Op::CoreImage, at(1), &[0, 3, 0x1234]);
    assert_eq!(core.image(&w.m, 0).entry_va, 0x1234);
    let info = w.ok(Op::CoreInfo, at(1), &[]);
    assert_eq!(info[1], CoreStatus::Running as u64);
}

#[test]
fn a_cnode_that_holds_a_running_kcb_outlives_its_deletion() {
    let (mut w, kcb) = with_kcb();
    w.make(CapType::CNode, 4, 0, 0, 1, at(10));
    w.make(CapType::Frame, 0, 0x1000, 0x1000, 1, at(11));
    w.copy(at(10), slots::ROOT_CNODE, CapAddr::root(9));
    w.ok(
        Op::Move,
        slots::ROOT_CNODE,
        &[n(at(0)), n(CapAddr::new(9, 3))],
    );
    w.ok(
        Op::Move,
        slots::ROOT_CNODE,
        &[n(at(11)), n(CapAddr::new(9, 4))],
    );
    w.ok(Op::Delete, slots::ROOT_CNODE, &[n(at(10))]);
    let running = Attachment::Attached {
        core: capfmt::CoreId(1),
        epoch: 1,
    };
    kcb.set_state(&mut w.m, running.pack());
    w.refused(
        SysError::StillInUse,
        Op::Delete,
        slots::ROOT_CNODE,
        &[n(CapAddr::root(9))],
    );
    assert_eq!(
        w.ok(Op::Identify, CapAddr::new(9, 3), &[])[5],
        0,
        "nothing is marked"
    );
    kcb.set_state(&mut w.m, Attachment::Detached { epoch: 1 }.pack());
    w.ok(Op::Delete, slots::ROOT_CNODE, &[n(CapAddr::root(9))]);
    w.check();
}

#[test]
fn an_older_format_is_converted_at_attach() {
    let mut m = fresh_machine(8 * MIB);
    convert::convert(&mut m, KCB, OLDEST_FORMAT).expect("a fresh OSnode fits the older format");
    assert_eq!(KCB.format(&m), OLDEST_FORMAT);
    let mut w = World::<RoundRobin>::adopt(m);
    assert_eq!(KCB.format(&w.m), FORMAT_VERSION);
    w.ok(Op::Identify, slots::RAM, &[]);
    w.check();
}

#[test]
fn effects_that_never_left_are_a_lost_call() {
    let mut w = World::<RoundRobin>::new(8 * MIB);
    let area = w.area();
    let regs = w.ok(Op::PortIn, slots::IO_PORTS, &[0x60, 1]);
    assert_eq!(regs[0], 0);
    // The kernel dies before it carries the effect out.
    let w = World::<RoundRobin>::adopt(w.m);
    assert_eq!(w.regs(area)[0], SysError::KernelRestarted as u64);
}

//! Capability operations: what must be refused is refused, with the right error.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::{CapAddr, SysError, slots};
use capfmt::{CapType, Rights};
use rt::vspace::{self, Access};
use rt::{Capability, cap, invoke, mem};
use tests::Suite;

rt::entry!(main);

const ROOT: CapAddr = slots::ROOT_CNODE;

fn named(what: &'static str) -> impl Fn(SysError) -> String {
    move |e| format!("{what}: {}", e.message())
}

/// The result must be this error.
fn refused<T>(result: Result<T, SysError>, want: SysError, what: &str) -> Result<(), String> {
    match result {
        Err(e) if e == want => Ok(()),
        Err(e) => Err(format!(
            "{what}: \"{}\", not \"{}\"",
            e.message(),
            want.message()
        )),
        Ok(_) => Err(format!("{what} was allowed")),
    }
}

fn retype(kind: CapType, param: u32, offset: u64, bytes: u64, count: u64) -> invoke::Retype {
    invoke::Retype {
        offset,
        kind,
        param,
        bytes,
        count,
    }
}

fn main() -> i32 {
    let mut suite = Suite::new("caps");
    suite.report("retype", retypes());
    suite.report("rights", rights());
    suite.report("slots", slots_are_kept());
    suite.report("revoke", revokes());
    suite.report("map", maps());
    suite.report("wx", write_xor_execute());
    suite.report("zeroed", zeroed());
    suite.report("kernel", kernel_rights());
    suite.failed()
}

fn ram(bytes: u64) -> Result<Capability, String> {
    mem::alloc_ram(bytes).map_err(|e| e.to_string())
}

fn give_back(ram: Capability) -> Result<(), String> {
    mem::free_ram(ram).map_err(|e| e.to_string())
}

fn retypes() -> Result<(), String> {
    let ram = ram(0x10_000)?;
    let slot = cap::alloc_slot().map_err(named("slot"))?;
    let make = |what| invoke::retype(ram.addr(), what, ROOT, slot);
    refused(
        make(retype(CapType::Frame, 0, 0, 0x11_000, 1)),
        SysError::BadArgument,
        "past the end",
    )?;
    refused(
        make(retype(CapType::Frame, 0, 1, 4096, 1)),
        SysError::BadArgument,
        "misaligned",
    )?;
    refused(
        make(retype(CapType::Frame, 0, 0, 4096, 0)),
        SysError::BadArgument,
        "none",
    )?;
    refused(
        make(retype(CapType::Frame, 0, u64::MAX, 4096, 2)),
        SysError::BadArgument,
        "wrapping",
    )?;
    refused(
        make(retype(CapType::Kernel, 0, 0, 0, 1)),
        SysError::BadRetype,
        "a Kernel from RAM",
    )?;
    refused(
        make(retype(CapType::CoreControl, 0, 0, 4096, 1)),
        SysError::BadRetype,
        "a core from RAM",
    )?;
    refused(
        make(retype(CapType::VNode, 9, 0, 0, 1)),
        SysError::BadArgument,
        "a table of level 9",
    )?;
    make(retype(CapType::Frame, 0, 0x1000, 0x2000, 1)).map_err(named("a frame"))?;
    let other = cap::alloc_slot().map_err(named("slot"))?;
    let again = invoke::retype(
        ram.addr(),
        retype(CapType::Frame, 0, 0x2000, 0x1000, 1),
        ROOT,
        other,
    );
    refused(again, SysError::Overlaps, "the same memory twice")?;
    let from_frame = invoke::retype(slot, retype(CapType::Ram, 0, 0, 0x1000, 1), ROOT, other);
    refused(from_frame, SysError::BadRetype, "RAM from a frame")?;
    invoke::delete(slot).map_err(named("delete"))?;
    make(retype(CapType::CNode, 4, 0x1000, 0, 1)).map_err(named("a CNode after it"))?;
    cap::free_slot(other);
    give_back(ram)
}

fn rights() -> Result<(), String> {
    let frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let read = cap::mint(frame.addr(), Rights::READ, None).map_err(named("mint"))?;
    refused(
        vspace::map(read.addr(), 0, 4096, Access::ReadWrite),
        SysError::NoRight,
        "mapping writable without the right",
    )?;
    let more = cap::mint(read.addr(), Rights::ALL, None).map_err(named("mint"))?;
    let id = invoke::identify(more.addr()).map_err(named("identify"))?;
    if id.cap.rights != Rights::READ {
        return Err(format!(
            "a copy has more rights than its source: {:?}",
            id.cap.rights
        ));
    }
    give_back(frame)
}

fn slots_are_kept() -> Result<(), String> {
    let a = ram(4096)?;
    let b = ram(4096)?;
    let over = invoke::cnode_copy(ROOT, a.addr(), b.addr(), Rights::ALL, None);
    refused(over, SysError::SlotInUse, "copying over a capability")?;
    let moved = invoke::cnode_move(ROOT, a.addr(), b.addr());
    refused(moved, SysError::SlotInUse, "moving over a capability")?;
    let empty = cap::alloc_slot().map_err(named("slot"))?;
    let from = invoke::cnode_copy(ROOT, empty, empty, Rights::ALL, None);
    refused(from, SysError::NoCapability, "copying an empty slot")?;
    refused(
        invoke::delete(empty),
        SysError::NoCapability,
        "deleting an empty slot",
    )?;
    refused(
        invoke::signal(a.addr()),
        SysError::WrongType,
        "signalling with RAM",
    )?;
    cap::free_slot(empty);
    give_back(a)?;
    give_back(b)
}

/// A tree of 200 capabilities goes at once; its root stays.
fn revokes() -> Result<(), String> {
    let ram = ram(0x10_000)?;
    let frame =
        cap::retype(ram.addr(), retype(CapType::Frame, 0, 0, 4096, 1)).map_err(named("frame"))?;
    let copies: Result<Vec<_>, _> = (0..200).map(|_| cap::copy(frame.addr())).collect();
    let copies = copies.map_err(named("copies"))?;
    invoke::revoke(ram.addr()).map_err(named("revoke"))?;
    for c in copies.iter().chain([&frame]) {
        refused(
            invoke::identify(c.addr()),
            SysError::NoCapability,
            "using a revoked copy",
        )?;
    }
    invoke::identify(ram.addr()).map_err(named("the revoked capability"))?;
    drop(copies);
    give_back(ram)
}

fn maps() -> Result<(), String> {
    let ram = ram(0x4000)?;
    let frame =
        cap::retype(ram.addr(), retype(CapType::Frame, 0, 0, 0x4000, 1)).map_err(named("frame"))?;
    let first = vspace::map(frame.addr(), 0, 0x4000, Access::ReadWrite).map_err(named("map"))?;
    let second =
        vspace::map(frame.addr(), 0x1000, 0x1000, Access::Read).map_err(named("map again"))?;
    first.store(0x1008, 0x1234_5678);
    if second.load(8) != 0x1234_5678 {
        return Err("two mappings of a page show different words".into());
    }
    refused(
        vspace::map(frame.addr(), 0x1000, 0x4000, Access::Read),
        SysError::BadArgument,
        "mapping past the end",
    )?;
    drop((first, second));
    give_back(ram)
}

fn write_xor_execute() -> Result<(), String> {
    let frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let slot = cap::alloc_slot().map_err(named("slot"))?;
    let both = Rights(Rights::WRITE.0 | Rights::EXECUTE.0 | Rights::READ.0);
    let what = invoke::Map {
        index: 500,
        offset: 0,
        count: 1,
        rights: both,
        uncached: false,
    };
    let mapped = invoke::vnode_map(slots::VNODE_LEVEL0, frame.addr(), what, slot);
    if mapped.is_ok() {
        return Err("a page was mapped writable and executable".into());
    }
    cap::free_slot(slot);
    give_back(frame)
}

/// Memory that another process used shows nothing of it.
fn zeroed() -> Result<(), String> {
    for _ in 0..4 {
        let frame = mem::alloc_frame(0x4000).map_err(|e| e.to_string())?;
        let mapped =
            vspace::map(frame.addr(), 0, 0x4000, Access::ReadWrite).map_err(named("map"))?;
        for at in (0..0x4000).step_by(8) {
            if mapped.load(at) != 0 {
                return Err(format!("a new frame has {:#x} at {at:#x}", mapped.load(at)));
            }
            mapped.store(at, u64::MAX);
        }
        drop(mapped);
        give_back(frame)?;
    }
    Ok(())
}

/// A program's Kernel capability logs and identifies, and can neither halt nor seal nor import.
fn kernel_rights() -> Result<(), String> {
    let kernel = slots::KERNEL;
    invoke::kernel_identify(kernel).map_err(named("identify"))?;
    refused(invoke::kernel_halt(kernel, 1), SysError::NoRight, "halting")?;
    let frame = mem::alloc_frame(0x1_0000).map_err(|e| e.to_string())?;
    let sealed = invoke::seal(kernel, frame.addr(), CapType::Core, 0);
    refused(sealed, SysError::NoRight, "sealing")?;
    let words = invoke::identify(frame.addr())
        .map_err(named("identify"))?
        .cap
        .emit();
    let slot = cap::alloc_slot().map_err(named("slot"))?;
    refused(
        invoke::cap_import(kernel, words, 9, slot),
        SysError::NoRight,
        "importing",
    )?;
    cap::free_slot(slot);
    give_back(frame)
}

//! Memory: exhaustion is an error to the asker, and everything comes back.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::iface::memory::MemoryPlace;
use proto::iface::spawn::Place;
use proto::{Dispatch, Later, PeerError, ServiceError};
use rt::chan::{Request, Server, connect};
use rt::control::Verdict;
use rt::vspace::{self, Access};
use rt::{Capability, env, invoke, mem, task, time};
use tests::{Child, Suite};

rt::entry!(main);

const SELF: &str = "t-memory";

fn main() -> i32 {
    match env::args().nth(1) {
        Some("hoard") => match hoard() {
            Ok(_) => 0,
            Err(status) => status,
        },
        Some("hold") => hold(),
        Some("ask") => ask(),
        Some("limited") => limited(),
        Some("take") => take(),
        Some("testator") => task::block_on(testator()),
        Some("at") => at(MemoryPlace::OnNode),
        Some("near") => at(MemoryPlace::NearNode),
        Some(_) => 1,
        None => task::block_on(run()),
    }
}

proto::interface! {
    /// Who inherits.
    pub interface Heir = 105, version 1, errors ServiceError;
    messages HeirRequest, HeirReply;
    stubs HeirClient, HeirServer;
    replies {
        /// It is taken.
        Taken = 0x8001 {};
    }
    requests {
        /// Here is a Frame.
        Take = 1 take {} copies frame => Taken;
    }
}

/// The Frame that came.
#[derive(Default)]
struct Inherited(RefCell<Option<Capability>>);

impl HeirServer<Request> for Inherited {
    fn take(&self, testator: Later<Taken, Request>, frame: Capability) {
        self.0.replace(Some(frame));
        testator.answer(Ok(Taken {}));
    }
}

/// Most memory of the child with a limit.
const LIMIT: u64 = 8 << 20;
/// What that child takes at a time.
const PART: u64 = 64 << 10;
/// Pause between two questions of [`ask`] (ns of OSnode time).
const ASK_NS: u64 = 20_000_000;
/// What is promised is counted in blocks of this size.
const BLOCK: u64 = 256 << 10;

/// Asks for a page and gives it back, for ever: who looks after memory always has something to do.
fn ask() -> i32 {
    loop {
        match mem::alloc_ram(4096) {
            Ok(ram) => drop(ram),
            Err(e) => rt::println!("t-memory: no memory: {e}"),
        }
        let until = time::now_ns().saturating_add(ASK_NS);
        task::block_on(time::sleep_until(until));
    }
}

/// Takes memory on or near a NUMA node, and says where it is.
fn at(place: MemoryPlace) -> i32 {
    let Some(node) = env::args().nth(2).and_then(|n| n.parse().ok()) else {
        return 1;
    };
    let words = match place {
        MemoryPlace::NearNode => "near node",
        _ => "node",
    };
    let ram = mem::alloc_ram_at(1 << 20, 4096, place, node);
    let base = ram.and_then(|ram| Ok(invoke::identify(ram.addr())?.cap.base.0));
    match base {
        Ok(base) => {
            rt::println!("{words} {node}: {base:#x}");
            0
        }
        Err(e) => {
            rt::println!("{words} {node}: {e}");
            1
        }
    }
}

/// Takes everything there is, and keeps it until it is ended.
fn hold() -> i32 {
    let taken = hoard();
    let ok = taken.is_ok();
    rt::control::on_check(Box::new(move || Verdict {
        ok,
        text: format!("{taken:?} blocks"),
        inside: 0,
    }));
    task::block_on(async {
        loop {
            time::sleep(u64::MAX / 4).await;
        }
    })
}

/// Takes so many MiB, says so, and keeps them.
fn take() -> i32 {
    let Some(count) = env::args().nth(2).and_then(|n| n.parse::<u64>().ok()) else {
        return 1;
    };
    let taken: Result<Vec<_>, _> = (0..count).map(|_| mem::alloc_ram(1 << 20)).collect();
    match &taken {
        Ok(blocks) => rt::println!("took {} MiB", blocks.len()),
        Err(e) => rt::println!("took less than {count} MiB: {e}"),
    }
    task::block_on(async {
        loop {
            time::sleep(u64::MAX / 4).await;
        }
    })
}

/// Takes more than it may have: that is an error, and giving something back helps.
fn limited() -> i32 {
    let mut held = Vec::new();
    loop {
        match mem::alloc_ram(PART) {
            Ok(ram) => held.push(ram),
            Err(PeerError::Refused(ServiceError::OverLimit)) => break,
            Err(_) => return 2,
        }
        if held.len() as u64 * PART > LIMIT {
            return 3;
        }
    }
    let Some(last) = held.pop() else { return 4 };
    match mem::free_ram(last).and_then(|()| mem::alloc_ram(PART)) {
        Ok(_) => 0,
        Err(_) => 5,
    }
}

/// Takes everything there is; the number of blocks.
fn hoard() -> Result<usize, i32> {
    let mut held = Vec::new();
    let mut bytes = 64 << 20;
    while bytes >= 4096 {
        match mem::alloc_ram(bytes) {
            Ok(ram) => held.push(ram.leak()),
            Err(PeerError::Refused(ServiceError::OutOfMemory)) => bytes /= 2,
            Err(_) => return Err(2),
        }
        if held.len() > 4000 {
            break;
        }
    }
    Ok(held.len())
}

async fn run() -> i32 {
    let mut suite = Suite::new("memory");
    suite.report("too-much", too_much());
    suite.report("back", comes_back());
    suite.report("last", last_one_counts());
    suite.report("passed_on", passed_on().await);
    suite.report("exit", back_at_exit().await);
    suite.report("exhaustion", exhaustion().await);
    suite.report("limit", limit().await);
    suite.report("share", share().await);
    suite.failed()
}

fn free_bytes() -> Result<u64, String> {
    mem::stats().map(|s| s.free).map_err(|e| e.to_string())
}

/// What is not free; other nodes' memory comes and goes meanwhile, and counts only while it is used.
fn used_bytes() -> Result<u64, String> {
    let now = mem::stats().map_err(|e| e.to_string())?;
    Ok(now.total - now.free)
}

fn too_much() -> Result<(), String> {
    for bytes in [1 << 40, u64::MAX, 1 << 63] {
        match mem::alloc_ram(bytes) {
            Err(PeerError::Refused(ServiceError::OutOfMemory | ServiceError::BadArgument)) => {}
            other => return Err(format!("{bytes} bytes: {other:?}")),
        }
    }
    Ok(())
}

fn comes_back() -> Result<(), String> {
    let before = free_bytes()?;
    for bytes in [4096, 5000, 1 << 20, 3 << 20] {
        let ram = mem::alloc_ram(bytes).map_err(|e| e.to_string())?;
        if free_bytes()? >= before {
            return Err("a grant did not change the free memory".into());
        }
        mem::free_ram(ram).map_err(|e| e.to_string())?;
    }
    let after = free_bytes()?;
    if after != before {
        return Err(format!("{before} bytes were free, now {after}"));
    }
    Ok(())
}

/// Memory is free when its last capability goes, page by page, while its owner lives.
fn last_one_counts() -> Result<(), String> {
    // The first mapping may make this process grow.
    let first = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    drop(vspace::map(first.addr(), 0, 4096, Access::ReadWrite).map_err(text)?);
    drop(first);
    let before = free_bytes()?;
    let used = |what: &str, bytes: u64| match before - free_bytes()? {
        now if now == bytes => Ok(()),
        now => Err(format!("{what}: {now} bytes are in use, not {bytes}")),
    };
    let ram = mem::alloc_ram(LENT).map_err(|e| e.to_string())?;
    let copy = ram.duplicate().map_err(text)?;
    let frame = frame_of(&ram, LENT / 4)?;
    ram.delete().map_err(text)?;
    used("a copy is left", LENT)?;
    copy.delete().map_err(text)?;
    used("a part is left", LENT / 4)?;
    let mapped = vspace::map(frame.addr(), 0, 4096, Access::ReadWrite).map_err(text)?;
    frame.delete().map_err(text)?;
    used("a mapping is left", 4096)?;
    drop(mapped);
    used("nothing is left", 0)
}

/// Bytes that one process leaves to another.
const LENT: u64 = 1 << 20;
/// What it writes there.
const WORD: u64 = 0x6b6e_6f74_656e;

fn text(e: rt::SysError) -> String {
    e.message().to_string()
}

fn frame_of(ram: &Capability, bytes: u64) -> Result<Capability, String> {
    let made = mem::retype_one(ram.addr(), capfmt::CapType::Frame, 0, 0, bytes);
    made.map_err(text)
}

/// Gives memory of its own to another process, and ends.
async fn testator() -> i32 {
    let Some(name) = env::args().nth(2) else {
        return 1;
    };
    let Ok(heir) = connect::<Heir>(name).await else {
        return 2;
    };
    let frame = match mem::alloc_frame(LENT) {
        Ok(frame) => frame,
        Err(_) => return 3,
    };
    match vspace::map(frame.addr(), 0, LENT, Access::ReadWrite) {
        Ok(mapped) => mapped.store(LENT - 8, WORD),
        Err(_) => return 4,
    }
    i32::from(heir.take(frame.addr()).await.is_err())
}

/// What a process gave away is the other's when it has ended: nobody kept anything by which it could be
/// taken away. It is free when that one gives it up.
async fn passed_on() -> Result<(), String> {
    let server = Server::open().map_err(text)?;
    let name = format!("heir{}", env::pid());
    let registered = server.register(&name).await;
    registered.map_err(|e| e.to_string())?;
    // The first one may make services grow.
    inherit(&server, &name).await?;
    time::sleep(10_000_000).await;
    let before = free_bytes()?;
    let (frame, held) = inherit(&server, &name).await?;
    drop(frame);
    let after = free_bytes()?;
    match (held + LENT <= before, after == before) {
        (true, true) => Ok(()),
        _ => Err(format!("{before} bytes were free, {held}, {after}")),
    }
}

/// The Frame that a child left, once the child has ended, and what was free while it was there.
async fn inherit(server: &Server, name: &str) -> Result<(Capability, u64), String> {
    let child = Child::start(&[SELF, "testator", name], Place::Here).await?;
    let inherited = Inherited::default();
    Heir::dispatch(&inherited, server.next().await).await;
    let frame = inherited.0.take().ok_or("no Frame came")?;
    child.wait().await?.expect_success()?;
    time::sleep(10_000_000).await;
    let mapped = vspace::map(frame.addr(), 0, LENT, Access::ReadWrite).map_err(text)?;
    match mapped.load(LENT - 8) {
        WORD => Ok((frame, free_bytes()?)),
        other => Err(format!("{other:#x} is in it")),
    }
}

/// Memory after children ended is what it was before, to the byte.
async fn back_at_exit() -> Result<(), String> {
    // The first child may make services grow; the others must not.
    Child::run(&["t-faults", "nothing"]).await?;
    time::sleep(10_000_000).await;
    let before = free_bytes()?;
    for how in ["nothing", "unmapped", "panic", "nothing"] {
        Child::run(&["t-faults", how]).await?;
    }
    time::sleep(10_000_000).await;
    let after = free_bytes()?;
    if after != before {
        return Err(format!(
            "{before} bytes were free, {after} after four children"
        ));
    }
    Ok(())
}

/// A child takes all memory and ends: all of it is free again, and programs start again.
async fn exhaustion() -> Result<(), String> {
    let before = used_bytes()?;
    Child::run(&[SELF, "hoard"]).await?.expect_success()?;
    time::sleep(10_000_000).await;
    let after = used_bytes()?;
    // Slots that the memory service made for its own use stay with it.
    if after > before + (1 << 20) {
        return Err(format!(
            "{before} bytes were in use, {after} after all was taken and came back"
        ));
    }
    let end = Child::run(&["t-faults", "nothing"]).await?;
    match end.status {
        1 => Ok(()),
        _ => Err(format!("a later process ended with {end:?}")),
    }
}

/// A process gets no more than its limit, and one that cannot even begin with it is not started.
async fn limit() -> Result<(), String> {
    let child = Child::start_limited(&[SELF, "limited"], Place::Here, LIMIT).await?;
    child.wait().await?.expect_success()?;
    match Child::start_limited(&[SELF, "limited"], Place::Here, 4096).await {
        Ok(_) => Err("a process begins with less than it needs".into()),
        Err(text) if text.contains("is too little") => Ok(()),
        Err(text) => Err(format!("another reason: {text}")),
    }
}

/// While a child holds all memory, this process gets what it can always have, and nobody else is harmed.
async fn share() -> Result<(), String> {
    let hog = Child::start(&[SELF, "hold"], Place::Here).await?;
    let held = while_all_is_held(&hog).await;
    hog.kill().await?;
    held?;
    let end = Child::run(&["t-faults", "nothing"]).await?;
    match end.status {
        1 => Ok(()),
        _ => Err(format!("a later process ended with {end:?}")),
    }
}

async fn while_all_is_held(hog: &Child) -> Result<(), String> {
    hog.check().await?;
    let own = mem::alloc_ram(BLOCK).map_err(|e| format!("its own share: {e}"))?;
    match mem::alloc_ram(64 << 20) {
        Err(PeerError::Refused(ServiceError::OutOfMemory)) => {}
        other => return Err(format!("64 MiB of no memory: {other:?}")),
    }
    match Child::start(&["t-faults", "nothing"], Place::Here).await {
        Err(text) if text.contains("no memory") => {}
        other => return Err(format!("a process was to be refused: {other:?}")),
    }
    mem::free_ram(own).map_err(|e| e.to_string())?;
    // It did not notice any of this.
    hog.check().await
}

//! Setting an OSnode up: memory service, spawn service, and what the first OSnode has besides.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::{CapAddr, bootinfo, slots};
use archive::Archive;
use capfmt::{CapType, Rights};
use monitor::{Piece, around, fit};
use proto::iface::memory::MemoryClient;
use proto::iface::process::ProcessNotice;
use proto::iface::spawn::OSNODE_ENDS;
use proto::start::FLAG_AGAIN;
use proto::{Name, Pid};
use rt::chan::{Client, Request};
use rt::spawn::{Process, Program, SpawnError, memory_needed};
use rt::{Capability, SysError, cap, env, invoke, mem, time};

use crate::world::{World, introducer};
use crate::{memory, next_life, services};

/// Bytes that the memory service gets for itself, at least.
const MEMORY_SERVICE_BYTES: u64 = 4 << 20;

/// A range of RAM that the monitor holds.
struct Range {
    cap: CapAddr,
    piece: Piece,
    node: u8,
}

/// Sets the OSnode up.
///
/// # Errors
/// What failed, as a sentence.
pub async fn found(world: &World) -> Result<(), String> {
    let bytes = env::archive().ok_or("the boot archive was not given")?;
    let archive = Archive::open(bytes).map_err(|e| format!("the boot archive is damaged: {e}"))?;
    let memory = make_memory_service(world, archive)?;
    // From here on the monitor itself is a client of the memory service.
    let endpoint = world.named(Name::truncated(".memory")).await;
    let endpoint = endpoint.map_err(|e| sentence("the memory service's endpoint", e))?;
    let root = slots::ROOT_CNODE;
    invoke::cnode_copy(root, endpoint.addr(), slots::MEMORY, Rights::ALL, None)
        .map_err(|e| sentence("the memory service's endpoint", e))?;
    donate(world, &memory).await?;
    make_spawn_service(world, archive)?;
    let service = Client::bind(slots::MEMORY).await;
    memory::open(world, service.map_err(|e| e.to_string())?);
    if world.home == 0 {
        services::start_first(world).await
    } else {
        services::start_further(world).await
    }
}

fn sentence(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

/// RAM that the monitor was given.
fn ranges(world: &World) -> Vec<Range> {
    let count = world.boot.word(bootinfo::word::RAM_COUNT).min(64);
    let mut found = Vec::new();
    for i in 0..count {
        let at = bootinfo::word::RAM_RECORDS + 16 * i;
        let record = world.boot.word(at + 8);
        let slot = CapAddr(slots::RAM.0 + i as u32);
        let Ok(id) = invoke::identify(slot) else {
            continue;
        };
        found.push(Range {
            cap: slot,
            piece: Piece {
                base: id.cap.base.0,
                bytes: id.cap.size,
            },
            node: (record >> 56) as u8,
        });
    }
    found
}

/// What is left to donate.
struct Leftover {
    ranges: Vec<Range>,
    /// Which range the memory service's own block was cut from, and the block.
    cut: (usize, Piece),
}

fn program_file(archive: Archive<'static>, name: &str) -> Result<&'static [u8], String> {
    let path = format!("bin/{name}");
    let entries = archive.entries().flatten();
    let entry = entries.into_iter().find(|e| e.name == path);
    let entry = entry.ok_or_else(|| format!("the boot archive has no file {path}"))?;
    archive.verified(entry.name).map_err(|e| e.to_string())
}

fn spawn_error(name: &str, e: &SpawnError) -> String {
    format!("{name} cannot be started: {e}")
}

fn make_memory_service(world: &World, archive: Archive<'static>) -> Result<Leftover, String> {
    let image = program_file(archive, "mem")?;
    let bytes = memory_needed(image, MEMORY_SERVICE_BYTES);
    let bytes = bytes.map_err(|e| spawn_error("mem", &e))?;
    let bytes = bytes.next_power_of_two();
    let ranges = ranges(world);
    let places = ranges.iter().enumerate();
    let mut places = places.filter_map(|(i, r)| Some((i, fit(r.piece, bytes)?)));
    let cut = places
        .next()
        .ok_or("there is not enough RAM for the memory service")?;
    let (i, block) = cut;
    let ram = mem::retype_one(
        ranges[i].cap,
        CapType::Ram,
        0,
        block.base - ranges[i].piece.base,
        bytes,
    );
    let ram = ram.map_err(|e| sentence("the memory service's RAM", e))?;
    start_memory_service(world, archive, ram, false)?;
    Ok(Leftover { ranges, cut })
}

/// Starts the memory service, or its next life, in a block of RAM.
///
/// # Errors
/// What failed, as a sentence.
pub fn start_memory_service(
    world: &World,
    archive: Archive<'static>,
    ram: Capability,
    again: bool,
) -> Result<(), String> {
    let image = program_file(archive, "mem")?;
    let names = introduction(world, introducer::SYSTEM)?;
    let mut given = Vec::from([
        (Name::truncated("names"), names.addr()),
        // What nobody has any more comes back to it.
        (Name::truncated("kernel"), slots::KERNEL),
    ]);
    given.extend(next_life::kept(world, introducer::MEMORY));
    let home = format!("{}", world.home);
    let args: &[&str] = match world.home {
        0 => &["mem"],
        _ => &["mem", "home", &home],
    };
    let what = Starting {
        args,
        badge: introducer::MEMORY,
        memory_service: CapAddr::NULL,
        again,
    };
    start(world, &what, image, &given, ram)
}

fn introduction(world: &World, badge: u32) -> Result<Capability, String> {
    let made = world.server.introduction(badge);
    made.map_err(|e| sentence("an endpoint of the monitor", e))
}

/// A service that the monitor starts itself.
struct Starting<'a> {
    /// Its name and arguments.
    args: &'a [&'a str],
    /// By which the monitor knows it.
    badge: u32,
    memory_service: CapAddr,
    /// It ended before.
    again: bool,
}

fn start(
    world: &World,
    what: &Starting<'_>,
    image: &[u8],
    given: &[(Name, CapAddr)],
    ram: Capability,
) -> Result<(), String> {
    let process = build(world, what, image, given, ram)?;
    process.start().map_err(|e| sentence(what.args[0], e))?;
    world.state.borrow_mut().own.insert(what.badge, process);
    Ok(())
}

fn build(
    world: &World,
    what: &Starting<'_>,
    image: &[u8],
    given: &[(Name, CapAddr)],
    ram: Capability,
) -> Result<Process, String> {
    let Starting {
        args,
        badge,
        memory_service,
        again,
    } = *what;
    let name = args[0];
    let parent = introduction(world, badge)?;
    let fault = world.server.fault_introduction(badge);
    let fault = fault.map_err(|e| sentence("an endpoint of the monitor", e))?;
    let program = Program {
        image,
        args,
        given,
        pid: Pid {
            osnode: world.osnode,
            number: 0,
        },
        parent: parent.addr(),
        fault: fault.addr(),
        memory_service,
        kernel: slots::KERNEL,
        archive: if name == "spawn" {
            slots::ARCHIVE
        } else {
            CapAddr::NULL
        },
        notification: CapAddr::NULL,
        flags: match again {
            true => env::flags() | FLAG_AGAIN,
            false => env::flags(),
        },
    };
    Process::build(&program, ram).map_err(|e| spawn_error(name, &e.error))
}

/// Gives the memory service everything that is left, and keeps no ancestor of it.
async fn donate(world: &World, left: &Leftover) -> Result<(), String> {
    let bound = Client::bind(slots::MEMORY).await;
    let memory = MemoryClient(bound.map_err(|e| e.to_string())?);
    for (i, range) in left.ranges.iter().enumerate() {
        let pieces = if i == left.cut.0 {
            around(range.piece, left.cut.1)
        } else {
            [Some(range.piece), None]
        };
        let whole = i != left.cut.0;
        for piece in pieces.into_iter().flatten() {
            let offset = piece.base - range.piece.base;
            let made = match whole {
                true => cap::copy(range.cap),
                false => mem::retype_one(range.cap, CapType::Ram, 0, offset, piece.bytes),
            };
            let ram = made.map_err(|e| sentence("RAM to donate", e))?;
            let taken = memory.donate(range.node, world.home != 0, ram).await;
            taken.map_err(|e| format!("the memory service takes no RAM: {e}"))?;
        }
        invoke::delete(range.cap).map_err(|e| sentence("RAM given away", e))?;
    }
    rt::io::log(format_args!("o{}: memory service is up\n", world.osnode));
    Ok(())
}

fn make_spawn_service(world: &World, archive: Archive<'static>) -> Result<(), String> {
    let image = program_file(archive, "spawn")?;
    let bytes = memory_needed(image, 0).map_err(|e| spawn_error("spawn", &e))?;
    let ram = mem::alloc_ram(bytes).map_err(|e| format!("no memory for spawn: {e}"))?;
    start_spawn_service(world, archive, ram, false)
}

/// Starts the spawn service, or its next life, in a block of RAM.
///
/// # Errors
/// What failed, as a sentence.
pub fn start_spawn_service(
    world: &World,
    archive: Archive<'static>,
    ram: Capability,
    again: bool,
) -> Result<(), String> {
    let image = program_file(archive, "spawn")?;
    let names = introduction(world, introducer::SYSTEM)?;
    let programs = introduction(world, introducer::PROGRAMS)?;
    let mut given = Vec::from([
        (Name::truncated("names"), names.addr()),
        (Name::truncated("names-apps"), programs.addr()),
    ]);
    given.extend(next_life::kept(world, introducer::SPAWN));
    let what = Starting {
        args: &["spawn"],
        badge: introducer::SPAWN,
        memory_service: slots::MEMORY,
        again,
    };
    start(world, &what, image, &given, ram)
}

/// A service that the monitor started says something of itself. It is started again when it ends, unless it does so all
/// the time, or says that the OSnode is to end with it.
pub fn noticed(world: &World, mut request: Request) {
    let who = request.introducer();
    if !matches!(who, introducer::MEMORY | introducer::SPAWN) {
        return;
    }
    let (how, fatal) = match request.decode::<ProcessNotice>() {
        Ok(ProcessNotice::Exited { status }) => {
            let fatal = who == introducer::SPAWN && status == OSNODE_ENDS;
            (format!("with status {status}"), fatal)
        }
        Ok(ProcessNotice::Faulted { kind, detail, pc }) => {
            let text = request.text();
            let text = format!("by {kind:?} {detail:#x} at {pc:#x} {text}");
            (text.trim_end().into(), false)
        }
        Ok(ProcessNotice::Keep { name }) => {
            if let Some(cap) = request.cap.take() {
                next_life::keep(world, who, name, cap);
            }
            return;
        }
        _ => return,
    };
    let now = time::system_ns();
    let again = !fatal && {
        let mut s = world.state.borrow_mut();
        s.lives.entry(who).or_default().again(now)
    };
    if again {
        return next_life::begin(world, who, &how);
    }
    let (osnode, name) = (env::osnode(), introducer::name(who));
    // Past the console: its last line would not get there.
    rt::io::log(format_args!(
        "monitor: the {name} service of o{osnode} ended {how}, and o{osnode} ends with it\n"
    ));
    rt::process::exit(1)
}

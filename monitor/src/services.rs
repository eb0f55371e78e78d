//! The services that the spawn service starts at the monitor's word.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::{CapAddr, bootinfo, slots};
use archive::Archive;
use proto::iface::spawn::{Place, Restart, Spawn, SpawnClient, USUAL_LIMIT, join_words};
use proto::{Interface, Name};
use rt::chan::Client;
use rt::{env, invoke};

use crate::world::{World, introducer};
use crate::{peers, system};

/// Capabilities to give, by name. Those whose slot is empty are left out.
type Given<'a> = &'a [(&'a str, CapAddr)];

/// Starts a program with capabilities, and again when it ends so.
async fn start(
    spawn: &SpawnClient<Client>,
    restart: Restart,
    words: &[&str],
    given: Given<'_>,
) -> Result<(), String> {
    for (name, slot) in given {
        if invoke::identify(*slot).is_err() {
            continue;
        }
        let kept = spawn.give(Name::truncated(name), *slot).await;
        kept.map_err(|e| format!("{name} cannot be given to {}: {e}", words[0]))?;
    }
    let words = join_words(words);
    let started = spawn.spawn_supervised(Place::Here, 0, 0, restart, USUAL_LIMIT, &words);
    started.await.map(drop).map_err(|e| e.to_string())
}

async fn spawn_client(world: &World) -> Result<SpawnClient<Client>, String> {
    let endpoint = world.named(Name::truncated("spawn")).await;
    let endpoint = endpoint.map_err(|e| format!("no spawn service: {}", e.message()))?;
    let bound = Client::bind_for(endpoint.addr(), Some(Spawn::ID)).await;
    let client = bound.map_err(|e| format!("no spawn service: {e}"))?;
    Ok(SpawnClient(client))
}

fn system_names(world: &World) -> Result<rt::Capability, String> {
    let made = world.server.introduction(introducer::SYSTEM);
    made.map_err(|e| format!("an endpoint of the monitor: {}", e.message()))
}

/// The services of the first OSnode.
pub async fn start_first(world: &World) -> Result<(), String> {
    let spawn = spawn_client(world).await?;
    let names = system_names(world)?;
    let word = |w: u64| format!("{}", world.boot.word(w));
    start(
        &spawn,
        Restart::Always,
        &["ramfs"],
        &[("archive", slots::ARCHIVE)],
    )
    .await?;
    // One of its names is for the system.
    let named = [("names", names.addr())];
    start(&spawn, Restart::Always, &["registry"], &named).await?;
    let image = |i: u32| CapAddr(slots::CORE_IMAGES.0 + i);
    let rsdp = word(bootinfo::word::RSDP);
    let fdt = word(bootinfo::word::FDT);
    let given = [
        ("names", names.addr()),
        ("devices", slots::DEVICES),
        ("irqs", slots::IRQ_SOURCES),
        ("ports", slots::IO_PORTS),
        ("kernel", slots::KERNEL),
        ("archive", slots::ARCHIVE),
        ("core0", slots::CORE),
        ("image0.0", image(0)),
        ("image1.0", image(1)),
        ("kcb.0", slots::OWN_KCB),
        ("trampoline", slots::TRAMPOLINE),
        ("boot-info", slots::BOOT_INFO),
    ];
    // The device manager does without it, and tells one that is restarted everything.
    if let Err(e) = start(&spawn, Restart::Always, &["skb"], &[]).await {
        rt::println!("monitor: no knowledge base: {e}");
    }
    start(&spawn, Restart::Always, &["devmgr", &rsdp, &fdt], &given).await?;
    // A script must not be begun anew in its middle, and nobody else ends the machine after it; the session of
    // somebody at the console may.
    let shell = match has_script() {
        true => Restart::Vital,
        false => Restart::Always,
    };
    // By the second it knows that it was not started by somebody else.
    let given = [("names", names.addr()), ("console-shell", names.addr())];
    start(&spawn, shell, &["shell"], &given).await?;
    if let Ok(console) = world.named(Name::truncated("console")).await
        && let Ok(client) = Client::bind(console.addr()).await
    {
        rt::io::set_console(client);
    }
    Ok(())
}

/// The services of any other OSnode: the boot driver for cores whose control it was given.
pub async fn start_further(world: &World) -> Result<(), String> {
    let bells = system::join_home(world).map_err(|e| format!("no channel home: {e}"))?;
    let spawn = spawn_client(world).await?;
    let count = world.boot.word(bootinfo::word::CORES).min(7) as u32;
    if count > 0 {
        start_driver(world, &spawn, count).await?;
    }
    let said = peers::say_hello(world, bells).await;
    said.map_err(|e| format!("the home monitor does not answer: {e}"))?;
    let words = ["console-relay", &format!("{}", world.home)];
    start(&spawn, Restart::Always, &words, &[]).await
}

async fn start_driver(
    world: &World,
    spawn: &SpawnClient<Client>,
    count: u32,
) -> Result<(), String> {
    let names = system_names(world)?;
    let mut texts = Vec::new();
    for i in 0..count {
        let id = world
            .boot
            .word(bootinfo::word::CORES + 8 + 8 * u64::from(i));
        for (k, what) in ["control", "image0", "image1", "kcb"].iter().enumerate() {
            let at = slots::CORE_RECORD_SLOTS * i + k as u32;
            let slot = CapAddr(slots::CORE_RECORDS.0 + at);
            texts.push((format!("{what}.{id}"), slot));
        }
    }
    let mut given: Vec<(&str, CapAddr)> = Vec::from([
        ("names", names.addr()),
        ("kernel", slots::KERNEL),
        ("archive", slots::ARCHIVE),
        ("boot-info", slots::BOOT_INFO),
    ]);
    given.extend(texts.iter().map(|(n, s)| (n.as_str(), *s)));
    // Who made this OSnode says what drives cores here.
    let driver = env::args().nth(1).ok_or("no boot driver was named")?;
    start(spawn, Restart::Always, &[driver], &given).await
}

/// Whether the shell has commands in the archive.
fn has_script() -> bool {
    let archive = env::archive().and_then(|bytes| Archive::open(bytes).ok());
    archive.is_some_and(|a| a.entries().flatten().any(|e| e.name == "exec"))
}

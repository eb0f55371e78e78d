//! Starting drivers with exactly what they need.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::slots;
use capfmt::CapType;
use devmgr::Interrupts;
use proto::Name;
use proto::iface::spawn::{Place, Restart, USUAL_LIMIT, join_words};
use rt::{CapAddr, Capability, SysError, cap, env, invoke, mem};

use crate::discovery::{CONSOLE, Console, Machine};
use crate::{Manager, knowledge, operations};

/// Ports of a 16550.
const UART_PORTS: u64 = 8;
/// Bytes of a PL011's registers.
const UART_BYTES: u64 = 4096;

fn sentence(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

/// A core as the boot driver is told of it.
#[derive(Clone, Copy)]
pub struct Described {
    pub core: u32,
    pub hw_id: u64,
    pub node: u32,
    /// Address and bytes of all redistributors; else 0.
    pub redistributors: (u64, u64),
}

/// Starts a program with capabilities by name, and again when it ends so.
pub async fn start(
    manager: &Manager,
    words: &[&str],
    given: &[(&str, CapAddr)],
) -> Result<(), String> {
    let client = manager.spawn.client().await;
    let spawn = client.map_err(|e| format!("spawn: {e}"))?;
    for (name, slot) in given {
        let kept = spawn.give(Name::truncated(name), *slot).await;
        kept.map_err(|e| format!("{name} cannot be given to {}: {e}", words[0]))?;
    }
    let words = join_words(words);
    let started = spawn.spawn_supervised(Place::Here, 0, 0, Restart::Always, USUAL_LIMIT, &words);
    started.await.map(drop).map_err(|e| e.to_string())
}

fn interrupt(source: u64) -> Result<Capability, String> {
    let sources = env::given("irqs").ok_or("interrupt sources were not given")?;
    let minted = cap::in_slot(|slot| invoke::irq_mint(sources, source, slot));
    minted.map_err(|e| sentence("the console's interrupt", e))
}

/// Starts the console driver.
///
/// # Errors
/// A sentence.
pub async fn console(manager: &Manager, machine: &Machine) -> Result<(), String> {
    let (program, core) = knowledge::console_driver(manager).await;
    if core != env::core() {
        // Its registers cannot be given to another OSnode.
        rt::println!("devmgr: rules want {program} on core {core}: it is started here");
    }
    match machine.console {
        Console::Ports(first, source) => {
            let ports = env::given("ports").ok_or("I/O ports were not given")?;
            let own = mem::retype_one(ports, CapType::IoPort, 0, first.into(), UART_PORTS);
            let own = own.map_err(|e| sentence("the console's ports", e))?;
            let irq = interrupt(source)?;
            let given = [("ports", own.addr()), ("irq", irq.addr())];
            let words = [program.as_str(), &first.to_string()];
            start(manager, &words, &given).await?;
        }
        Console::Pl011(base, source) => {
            let registers = device_frame(base, UART_BYTES)?;
            let irq = interrupt(source)?;
            let given = [("registers", registers.addr()), ("irq", irq.addr())];
            start(manager, &[&program], &given).await?;
        }
    }
    knowledge::tell_placed(manager, CONSOLE, env::core()).await;
    Ok(())
}

fn device_frame(base: u64, bytes: u64) -> Result<Capability, String> {
    let devices = env::given("devices").ok_or("device memory was not given")?;
    let id = invoke::identify(devices).map_err(|e| sentence("device memory", e))?;
    let offset = base.wrapping_sub(id.cap.base.0);
    let frame = mem::retype_one(devices, CapType::DevFrame, 0, offset, bytes);
    frame.map_err(|e| sentence("a device's registers", e))
}

/// Starts the boot driver of this OSnode; every core is described to it.
///
/// # Errors
/// A sentence.
pub async fn driver(manager: &Manager, machine: &Machine) -> Result<(), String> {
    let core = env::given("core0").ok_or("the boot core was not given")?;
    let control = cap::in_slot(|slot| invoke::core_mint(core, slot));
    let control = control.map_err(|e| sentence("the boot core's control", e))?;
    let mut given = Vec::from([("control.0", control.addr()), ("archive", slots::ARCHIVE)]);
    let passed_on = [
        "names",
        "kernel",
        "boot-info",
        "image0.0",
        "image1.0",
        "kcb.0",
        "trampoline",
    ];
    for name in passed_on {
        given.extend(env::given(name).map(|c| (name, c)));
    }
    let frame = match redistributors(machine) {
        (0, _) => None,
        (base, bytes) => Some(device_frame(base, bytes)?),
    };
    given.extend(frame.as_ref().map(|f| ("redistributors", f.addr())));
    let program = knowledge::boot_driver(manager).await;
    start(manager, &[&program], &given).await?;
    operations::driver(manager, env::osnode()).await?;
    Ok(())
}

/// Notes how each core is described to boot drivers.
pub fn describe(manager: &Manager, machine: &Machine) {
    let cores = (0..).zip(&machine.description.cores);
    let described = cores.map(|(core, d)| Described {
        core,
        hw_id: d.hw_id,
        node: d.node,
        redistributors: redistributors(machine),
    });
    manager.state.borrow_mut().described = described.collect();
}

/// Address and bytes of all redistributors, or 0.
fn redistributors(machine: &Machine) -> (u64, u64) {
    match machine.description.interrupts {
        Interrupts::Gic {
            redistributors,
            redistributor_bytes,
            ..
        } => (redistributors, redistributor_bytes),
        _ => (0, 0),
    }
}

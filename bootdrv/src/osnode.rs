//! Making a fresh OSnode, and giving it up again.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::{CapAddr, slots};
use capfmt::{Cap, CapType, MdbFlags, NOTIFICATION_BYTES, PhysAddr, Rights};
use genesis::{Given, OsnodeSpec, RamRange};
use proto::CallError;
use proto::iface::system::Prepared;
use proto::start::StartInfo;
use rt::{Capability, SysError, env, invoke, println};

use crate::Platform;
use crate::cores::{KcbHandle, frame_of, ram_on, sentence};
use crate::driver::Driver;

/// Memory of an OSnode.
const OSNODE_BYTES: u64 = 32 << 20;
/// How much of it is mapped while the objects are made: they stand at its beginning.
const MAPPED_BYTES: u64 = 8 << 20;
/// Alignment of the region.
const REGION_ALIGN: u64 = 2 << 20;

/// One of the channels to the home monitor, as the new OSnode gets it.
struct HomeChannel {
    frame: Cap,
    notify: Cap,
}

fn home_channel(made: Result<Prepared<Capability>, CallError>) -> Result<HomeChannel, String> {
    let made = made.map_err(|e| format!("no channel for the OSnode: {e}"))?;
    Ok(HomeChannel {
        frame: Cap::region(CapType::Frame, PhysAddr(made.base), made.bytes),
        notify: Cap {
            kind: CapType::Notify,
            rights: Rights::ALL,
            param: made.channel as u32,
            base: PhysAddr(made.notification),
            size: NOTIFICATION_BYTES,
            extra: env::osnode(),
        },
    })
}

/// What the name of a kept KCB begins with; the OSnode's id follows.
pub const KEPT_KCB: &str = "kcb.o";

/// Has this OSnode's kernel answer for the one of this KCB, if no kernel runs it.
pub fn care<P: Platform>(driver: &Driver<P>, kcb: Option<u64>) {
    let held = {
        let h = driver.holdings.borrow();
        let mut kcbs = h.kcbs.values();
        kcbs.find(|k| Some(k.kcb) == kcb).map(|k| (k.cap, k.osnode))
    };
    let Some((cap, osnode)) = held else { return };
    match invoke::kcb_care(cap, true) {
        // A kernel runs it, or what is left of one that crashed, or none ever did.
        Ok(()) | Err(SysError::Attached) => {}
        Err(e) => println!("boot driver: nobody answers for o{osnode}: {}", e.message()),
    }
}

/// Capabilities from this OSnode for the new one.
fn given_list<P: Platform>(
    driver: &Driver<P>,
    asks: &HomeChannel,
    asked: &HomeChannel,
) -> Result<Vec<Given>, String> {
    let owner = env::osnode();
    let shared = |slot: CapAddr, cap: Cap| Given {
        slot,
        cap,
        owner,
        flags: MdbFlags::REMOTE_COPIES,
    };
    let right = |slot: CapAddr, cap: Cap| Given {
        slot,
        cap,
        owner,
        flags: MdbFlags::default(),
    };
    let mut list = Vec::from([
        shared(slots::HOME_CHANNEL, asks.frame),
        shared(slots::HOME_REQUESTS, asked.frame),
        right(slots::HOME_NOTIFY, asks.notify),
        right(slots::HOME_REQUESTS_NOTIFY, asked.notify),
    ]);
    // The new OSnode can drive the core that this one runs on.
    let h = driver.holdings.borrow();
    let boot = h.cores.get(&0).ok_or("the boot core is not known")?;
    let own = h.kcbs.get(&owner).ok_or("the own KCB is not known")?;
    let region = |kind, base, bytes| Cap::region(kind, PhysAddr(base), bytes);
    let [first, second] = boot.areas;
    let area = genesis::IMAGE_AREA_BYTES;
    let of_core = [
        region(CapType::CoreControl, boot.object, capfmt::CORE_OBJECT_BYTES),
        region(CapType::Frame, first, area),
        region(CapType::Frame, second, area),
        identified(own.cap)?,
    ];
    for (i, cap) in (0..).zip(of_core) {
        list.push(shared(CapAddr(slots::CORE_RECORDS.0 + i), cap));
    }
    Ok(list)
}

fn identified(cap: CapAddr) -> Result<Cap, String> {
    let id = invoke::identify(cap).map_err(|e| sentence("a capability to give", e))?;
    Ok(id.cap)
}

/// Makes OSnode `osnode` for `core`, on its node; the address of its KCB.
///
/// # Errors
/// A sentence; nothing is left then.
pub async fn make<P: Platform>(driver: &Driver<P>, core: u32, osnode: u64) -> Result<u64, String> {
    let asks = home_channel(driver.system.prepare(osnode, core).await)?;
    let made = make_with_channel(driver, core, osnode, &asks).await;
    if made.is_err() {
        abandon(driver, osnode).await;
    }
    made
}

async fn make_with_channel<P: Platform>(
    driver: &Driver<P>,
    core: u32,
    osnode: u64,
    asks: &HomeChannel,
) -> Result<u64, String> {
    let asked = home_channel(driver.system.second(osnode).await)?;
    let given = given_list(driver, asks, &asked)?;
    let node = driver.node_of(core);
    let ram = ram_on(OSNODE_BYTES, REGION_ALIGN, node).await?;
    let frame = frame_of(&ram, OSNODE_BYTES, 0)?;
    drop(ram);
    let base = identified(frame.addr())?.base;
    let built = build(driver, core, osnode, frame.addr(), base, &given);
    let kcb = match built {
        Ok(kcb) => kcb,
        Err(e) => {
            free(frame);
            return Err(e);
        }
    };
    let sealed = invoke::seal(driver.kernel, frame.addr(), CapType::Kcb, kcb - base.0);
    if let Err(e) = sealed {
        free(frame);
        return Err(sentence("sealing the OSnode", e));
    }
    let handle = KcbHandle {
        cap: frame.leak(),
        kcb,
        osnode,
    };
    driver.holdings.borrow_mut().kcbs.insert(osnode, handle);
    crate::cores::keep(&format!("{KEPT_KCB}{osnode}"), handle.cap);
    Ok(kcb)
}

fn free(frame: rt::Capability) {
    if let Err(e) = rt::mem::free_ram(frame) {
        rt::println!("boot driver: memory is lost: {e}");
    }
}

fn build<P: Platform>(
    driver: &Driver<P>,
    core: u32,
    osnode: u64,
    frame: CapAddr,
    base: PhysAddr,
    given: &[Given],
) -> Result<u64, String> {
    let monitor = driver.file("bin/monitor")?;
    let boot = driver.boot;
    // The same program drives cores from there: the device manager chose it for this machine.
    let start = StartInfo {
        flags: env::flags(),
        args: &["monitor", env::program()],
        ..StartInfo::default()
    };
    let start_block = start
        .emit()
        .map_err(|e| format!("the monitor's start block: {e:?}"))?;
    let ram = [RamRange {
        base,
        bytes: OSNODE_BYTES,
        node: driver.node_of(core) as u8,
    }];
    let spec = OsnodeSpec {
        osnode,
        features: driver.features_of(core),
        core: core.into(),
        node: driver.node_of(core) as u8,
        is_boot: false,
        home: env::osnode(),
        ram: &ram,
        monitor,
        name: b"monitor",
        start_block: &start_block,
        archive: (PhysAddr(boot.archive), boot.archive_bytes),
        rsdp: boot.rsdp,
        fdt: boot.fdt,
        trampoline: 0,
        entry_counter: boot.entry_counter,
        ram_end: boot.ram_end,
        window_table: PhysAddr(driver.window_table),
        cmdline: driver.cmdline.as_bytes(),
        cores: &[0],
        system_offset_ns: 0,
        irq_sources: 0,
        io_ports: false,
        kernel_rights: Rights::ALL,
        given,
    };
    let mut h = driver.holdings.borrow_mut();
    let window = &mut h.window;
    window
        .add(frame, base.0, MAPPED_BYTES, OSNODE_BYTES)
        .map_err(|e| sentence("mapping the OSnode's memory", e))?;
    let built = genesis::build_osnode::<P::Tables>(window, &spec);
    window.publish(base, MAPPED_BYTES);
    // A sealed object is mapped nowhere.
    window.remove(base.0);
    built
        .map(|kcb| kcb.0)
        .map_err(|e| format!("the OSnode cannot be made: {e}"))
}

/// Gives up an OSnode that never ran.
pub async fn discard<P: Platform>(driver: &Driver<P>, osnode: u64) {
    let handle = driver.holdings.borrow_mut().kcbs.remove(&osnode);
    if let Some(handle) = handle {
        free(rt::Capability::from_slot(handle.cap));
    }
    abandon(driver, osnode).await;
}

async fn abandon<P: Platform>(driver: &Driver<P>, osnode: u64) {
    if let Err(e) = driver.system.abandon(osnode).await {
        rt::println!("boot driver: the monitor does not answer: {e}");
    }
}

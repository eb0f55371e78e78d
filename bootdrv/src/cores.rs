//! Cores and OSnodes as the driver holds them, and making a core's objects.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use capfmt::{CORE_OBJECT_BYTES, CapType, Core, ImageRecord, PhysAddr};
use genesis::{CoreParams, IMAGE_AREA_BYTES};
use proto::Name;
use proto::iface::memory::MemoryPlace;
use rt::{CapAddr, Capability, SysError, cap, env, invoke};

use crate::driver::Driver;
use crate::{Platform, Window};

/// A core as the device manager describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Number.
    pub core: u32,
    /// APIC id or MPIDR.
    pub hw_id: u64,
    /// NUMA node.
    pub node: u32,
    /// Arm, GICv3: address and bytes of all redistributors; else 0.
    pub redistributors: (u64, u64),
}

/// A core that the driver can command.
#[derive(Clone, Copy, Debug)]
pub struct CoreHandle {
    /// Its `CoreControl`.
    pub control: CapAddr,
    /// Address of its Core object.
    pub object: u64,
    /// Addresses of its image areas.
    pub areas: [u64; 2],
    /// Whether it is the boot processor.
    pub is_boot: bool,
}

/// A KCB that the driver can have run.
#[derive(Clone, Copy, Debug)]
pub struct KcbHandle {
    /// Its capability.
    pub cap: CapAddr,
    /// Address of the KCB.
    pub kcb: u64,
    /// Whose it is.
    pub osnode: u64,
}

/// Everything that the driver holds.
pub struct Holdings {
    /// Cores as described.
    pub described: BTreeMap<u32, Description>,
    /// Cores with their objects.
    pub cores: BTreeMap<u32, CoreHandle>,
    /// KCBs, by OSnode.
    pub kcbs: BTreeMap<u64, KcbHandle>,
    /// Memory that is mapped here: image areas, trampoline, what is being made.
    pub window: Window,
}

/// A failed system call as a sentence.
pub fn sentence(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

/// Takes over what the process was given for core `core`: `control.N`, `image0.N`, `image1.N`, `kcb.N`.
///
/// # Errors
/// A sentence, when something is missing or cannot be mapped.
pub fn take_given(holdings: &mut Holdings, core: u32) -> Result<bool, String> {
    let given = |what: &str| env::given(&format!("{what}.{core}"));
    let Some(control) = given("control") else {
        return Ok(false);
    };
    let missing = || format!("core {core} was given without its image areas or KCB");
    let frames = [given("image0"), given("image1")];
    let [Some(first), Some(second)] = frames else {
        return Err(missing());
    };
    adopt(holdings, core, control, [first, second])?;
    match given("kcb") {
        Some(kcb) => take_kcb(holdings, kcb)?,
        // A core that an earlier driver made: its OSnodes have names of their own.
        None if env::is_again() => {}
        None => return Err(missing()),
    }
    Ok(true)
}

/// Takes over a KCB.
///
/// # Errors
/// A sentence.
pub fn take_kcb(holdings: &mut Holdings, kcb: CapAddr) -> Result<(), String> {
    let info = invoke::kcb_info(kcb).map_err(|e| sentence("a given KCB", e))?;
    let handle = KcbHandle {
        cap: kcb,
        kcb: info.kcb,
        osnode: info.osnode,
    };
    holdings.kcbs.insert(info.osnode, handle);
    Ok(())
}

/// Has a capability kept for the driver that comes after this one, should it die.
pub fn keep(name: &str, cap: CapAddr) {
    if let Err(e) = rt::process::keep(Name::truncated(name), cap) {
        rt::println!("boot driver: {name} is not kept: {e}");
    }
}

/// Enters a core with its control and the Frames of its image areas.
fn adopt(
    holdings: &mut Holdings,
    core: u32,
    control: CapAddr,
    frames: [CapAddr; 2],
) -> Result<(), String> {
    let object = invoke::identify(control).map_err(|e| sentence("a core's control", e))?;
    let mut areas = [0; 2];
    for (area, frame) in areas.iter_mut().zip(frames) {
        let id = invoke::identify(frame).map_err(|e| sentence("an image area", e))?;
        *area = id.cap.base.0;
        let mapped = holdings
            .window
            .add(frame, *area, IMAGE_AREA_BYTES, IMAGE_AREA_BYTES);
        mapped.map_err(|e| sentence("mapping an image area", e))?;
    }
    let flags = word(control, FLAGS).map_err(|e| sentence("a core's flags", e))?;
    let handle = CoreHandle {
        control,
        object: object.cap.base.0,
        areas,
        is_boot: flags & Core::FLAG_BOOT != 0,
    };
    holdings.cores.insert(core, handle);
    Ok(())
}

/// Offset of a field of the Core object.
const fn offset(name: &str) -> u64 {
    let mut i = 0;
    while i < Core::FIELDS.len() {
        if equal(Core::FIELDS[i].name, name) {
            return Core::FIELDS[i].offset;
        }
        i += 1;
    }
    panic!("the Core object has no such field")
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Offsets in a Core object.
pub const FLAGS: u64 = offset("flags");
/// Words about the processor.
pub const PROCESSOR: u64 = offset("processor_word");
/// See [`FLAGS`].
pub const ISA_PARAM: u64 = offset("isa_param");
/// See [`FLAGS`].
pub const FEATURES: u64 = offset("features");
/// See [`FLAGS`].
pub const OP: u64 = offset("op");
/// See [`FLAGS`].
pub const FIRMWARE_ENTRY: u64 = offset("pen_firmware_entry");
/// See [`FLAGS`].
pub const EPITAPH_LEN: u64 = offset("epitaph_len");
/// See [`FLAGS`].
pub const EPITAPH_TEXT: u64 = offset("epitaph_text");
/// See [`FLAGS`].
pub const LOG_WRITTEN: u64 = offset("log_written");
/// See [`FLAGS`].
pub const LOG_TEXT: u64 = offset("log_text");
const COUNTER_HZ: u64 = offset("counter_hz");
const TIMER_HZ: u64 = offset("timer_hz");
const MULT: u64 = offset("mult");
const SHIFT: u64 = offset("shift");

/// Reads a word of a Core object.
///
/// # Errors
/// Any of `Op::CoreRead`.
pub fn word(control: CapAddr, at: u64) -> Result<u64, SysError> {
    invoke::core_read(control, at).map(|words| words[0])
}

/// RAM of a NUMA node, or as near to it as there is, from the memory service.
///
/// # Errors
/// A sentence.
pub async fn ram_on(bytes: u64, align: u64, node: u32) -> Result<Capability, String> {
    let place = MemoryPlace::NearNode;
    let allocated =
        rt::mem::ask(async |memory| memory.allocate_at(bytes, align, place, node).await).await;
    let allocated =
        allocated.map_err(|e| format!("{bytes} bytes near node {node} cannot be had: {e}"))?;
    Ok(allocated.ram)
}

/// The whole of a RAM capability as a Frame.
///
/// # Errors
/// A sentence.
pub fn frame_of(ram: &Capability, bytes: u64, offset: u64) -> Result<Capability, String> {
    let made = rt::mem::retype_one(ram.addr(), CapType::Frame, 0, offset, bytes);
    made.map_err(|e| sentence("a frame", e))
}

/// Makes Core object and image areas for a core that has none yet, from what the boot core's
/// object says of the machine.
///
/// # Errors
/// A sentence; nothing is left then but memory that the memory service takes back with the process.
pub async fn make_core<P: Platform>(driver: &Driver<P>, core: u32) -> Result<(), String> {
    let described = driver.holdings.borrow().described.get(&core).copied();
    let d = described.ok_or_else(|| format!("there is no core {core}"))?;
    let node = d.node;
    let ram = ram_on(CORE_OBJECT_BYTES, CORE_OBJECT_BYTES, node).await?;
    let areas = ram_on(2 * IMAGE_AREA_BYTES, 2 * IMAGE_AREA_BYTES, node).await?;
    let frame = frame_of(&ram, CORE_OBJECT_BYTES, 0)?;
    let first = frame_of(&areas, IMAGE_AREA_BYTES, 0)?;
    let second = frame_of(&areas, IMAGE_AREA_BYTES, IMAGE_AREA_BYTES)?;
    let object = invoke::identify(frame.addr()).map_err(|e| sentence("a core's object", e))?;
    let object = object.cap.base;
    write_object::<P>(driver, &d, frame.addr(), object)?;
    invoke::seal(driver.kernel, frame.addr(), CapType::Core, 0)
        .map_err(|e| sentence("sealing a core's object", e))?;
    let control = cap::in_slot(|slot| invoke::core_mint(frame.addr(), slot));
    let control = control.map_err(|e| sentence("a core's control", e))?;
    let frames = [first.leak(), second.leak()];
    adopt(
        &mut driver.holdings.borrow_mut(),
        core,
        control.leak(),
        frames,
    )?;
    // The object stays as long as the machine runs.
    let object = frame.leak();
    let handle = driver.holdings.borrow().cores.get(&core).copied();
    let control = handle.map_or(CapAddr::NULL, |h| h.control);
    let kept = [object, control, frames[0], frames[1]];
    for (what, cap) in ["object", "control", "image0", "image1"].iter().zip(kept) {
        keep(&format!("{what}.{core}"), cap);
    }
    write_areas(driver, core)
}

fn write_object<P: Platform>(
    driver: &Driver<P>,
    d: &Description,
    frame: CapAddr,
    object: PhysAddr,
) -> Result<(), String> {
    let mut h = driver.holdings.borrow_mut();
    let boot = h.cores.get(&0).ok_or("the boot core is not known")?.control;
    let read = |at| word(boot, at).map_err(|e| sentence("the boot core's object", e));
    let mut isa_param = [0; 8];
    for (i, w) in isa_param.iter_mut().enumerate() {
        *w = read(ISA_PARAM + 8 * i as u64)?;
    }
    let isa_param = P::isa_param(isa_param, d)?;
    let pen = P::pen();
    let params = CoreParams {
        hw_id: d.hw_id,
        core_id: d.core.into(),
        node: d.node.into(),
        flags: read(FLAGS)? & !Core::FLAG_BOOT,
        holder: env::osnode(),
        counter_hz: read(COUNTER_HZ)?,
        timer_hz: read(TIMER_HZ)?,
        mult: read(MULT)?,
        shift: read(SHIFT)?,
        isa_param,
        pen_code: pen.code,
        pen_kernel_entry: pen.kernel_entry,
        firmware: P::firmware(driver.low_page),
        window_table: PhysAddr(driver.window_table),
        devices: &P::devices(&isa_param),
    };
    let bytes = CORE_OBJECT_BYTES;
    let window = &mut h.window;
    window
        .add(frame, object.0, bytes, bytes)
        .map_err(|e| sentence("mapping a core's object", e))?;
    genesis::build_core::<P::Tables>(window, object, &params);
    P::finish_core(window, object);
    window.publish(object, bytes);
    // A sealed object is mapped nowhere.
    window.remove(object.0);
    Ok(())
}

/// Writes where the image areas are into the (empty) image records.
fn write_areas<P: Platform>(driver: &Driver<P>, core: u32) -> Result<(), String> {
    let h = driver.holdings.borrow();
    let handle = h.cores.get(&core).ok_or("the core is not known")?;
    for (i, area) in (0..).zip(handle.areas) {
        let record = ImageRecord {
            phys: PhysAddr(area),
            size: IMAGE_AREA_BYTES,
            ..ImageRecord::default()
        };
        crate::image::write_record(handle.control, i, &record)
            .map_err(|e| sentence("a core's image record", e))?;
    }
    Ok(())
}

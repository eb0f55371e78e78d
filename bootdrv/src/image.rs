//! Loading a kernel file into an image area.

use alloc::format;
use alloc::string::{String, ToString};

use capfmt::{ImageRecord, PhysAddr};
use genesis::{IsaTables, KernelParams, Requirements};
use rt::{CapAddr, SysError, invoke};

use crate::Platform;
use crate::cores::sentence;
use crate::driver::Driver;

/// Writes an image record, word by word.
///
/// # Errors
/// Any of `Op::CoreImage`.
pub fn write_record(control: CapAddr, image: u64, r: &ImageRecord) -> Result<(), SysError> {
    let words = [
        r.phys.0,
        r.size,
        r.base_va,
        r.entry_va,
        r.root_table.0,
        r.slot_entry,
        r.stack_top,
        r.device_va,
        r.scratch,
        r.build_id[0],
        r.build_id[1],
        r.build_id[2],
        r.name[0],
        r.name[1],
    ];
    for (i, w) in (0..).zip(words) {
        invoke::core_image(control, image, i, w)?;
    }
    Ok(())
}

/// Verifies kernel `name` against the KCB at `kcb` and loads it into area `area` of a core.
///
/// # Errors
/// A sentence that names the file and what is wrong with it; nothing was touched then.
pub fn load<P: Platform>(
    driver: &Driver<P>,
    core: u32,
    area: u64,
    kcb: u64,
    name: &str,
) -> Result<(), String> {
    let path = format!("kernel/{name}");
    let file = driver.file(&path)?;
    let h = driver.holdings.borrow();
    let of = h.kcbs.values().find(|k| k.kcb == kcb);
    let of = of.ok_or_else(|| format!("the KCB at {kcb:#x} is not known here"))?;
    let info = invoke::kcb_info(of.cap).map_err(|e| sentence("the KCB", e))?;
    if info.ended {
        let o = of.osnode;
        return Err(format!(
            "the monitor of o{o} has ended, and no kernel can run o{o} without it: core destroy {core} frees its memory"
        ));
    }
    let core_features = driver.features_of(core);
    let lacking = info.features & !core_features;
    if lacking != 0 {
        let osnode = of.osnode;
        return Err(format!(
            "core {core} lacks features {lacking:#x} that o{osnode} uses: run it on another core"
        ));
    }
    let needs = Requirements {
        isa: <P::Tables as IsaTables>::ISA,
        core_features,
        kcb_format: info.format,
        kcb_features: info.features,
    };
    let refused = |e: genesis::ImageError| e.in_file(&path).to_string();
    let image = genesis::verify_kernel(file, &needs).map_err(refused)?;
    drop(h);
    let mut h = driver.holdings.borrow_mut();
    let handle = *h.cores.get(&core).ok_or("the core is not known")?;
    let at = PhysAddr(handle.areas[area as usize & 1]);
    let params = KernelParams {
        core: PhysAddr(handle.object),
        window_table: PhysAddr(driver.window_table),
        devices: &[],
    };
    let window = &mut h.window;
    let record = genesis::load_kernel::<P::Tables>(window, at, &image, &params).map_err(refused)?;
    window.publish(at, genesis::loaded_bytes(&record));
    write_record(handle.control, area, &record).map_err(|e| sentence("the image record", e))
}

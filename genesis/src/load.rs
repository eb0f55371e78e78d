//! A verified kernel into an image area, with the tables it is entered with.
//!
//! Area: four table pages (root, slot, level 1, level 0), the image's pages, the
//! stack. The level-0 table covers the 2 MiB from the image's base on: image,
//! unmapped page, stack, unmapped page; in the second MiB the device registers.
//! Nothing else is mapped in the image slot but the Core object.

use capfmt::{ImageRecord, PhysAddr, PhysMap};

use crate::core::core_slot_table;
use crate::error::ImageError;
use crate::image::KernelImage;
use crate::isa::{EntryRights, IsaTables};
use crate::tables::{index, set_entry};
use crate::{CORE_INDEX, PAGE, SLOT_INDEX, WINDOW_INDEX};

/// Bytes of an image area: tables, image, stack.
pub const IMAGE_AREA_BYTES: u64 = 0x10_0000;
/// Bytes of the kernel stack; the pages below and above are never mapped.
pub const KERNEL_STACK_BYTES: u64 = 0x1_0000;
/// What a released image area is overwritten with, byte by byte.
pub const POISON: u8 = 0x6b;

const TABLE_PAGES: u64 = 4;
/// Where the device registers are mapped, from the image's base on.
const DEVICE_OFFSET: u64 = 0x10_0000;
/// Room for device registers: what is left of the level-0 table.
const DEVICE_BYTES: u64 = 0x20_0000 - DEVICE_OFFSET;

/// Device registers that the kernel maps: whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceRange {
    /// First byte (page aligned).
    pub base: PhysAddr,
    /// Bytes (a multiple of a page).
    pub bytes: u64,
}

/// Where and with what a kernel will run.
#[derive(Clone, Copy, Debug)]
pub struct KernelParams<'a> {
    /// The core's control object.
    pub core: PhysAddr,
    /// The window's shared level-2 table.
    pub window_table: PhysAddr,
    /// Registers mapped uncached one after the other from `ImageRecord::device_va` on.
    pub devices: &'a [DeviceRange],
}

/// Copies, relocates and maps `image` in the [`IMAGE_AREA_BYTES`] at `area` (page aligned).
/// The core can be entered with the record's root, stack and entry point; the
/// caller cleans caches over the area first.
///
/// # Errors
/// [`ImageError::TooLarge`]: the image does not fit the area, or the devices their MiB.
/// Nothing was written then.
pub fn load_kernel<T: IsaTables>(
    mem: &mut impl PhysMap,
    area: PhysAddr,
    image: &KernelImage<'_>,
    p: &KernelParams<'_>,
) -> Result<ImageRecord, ImageError> {
    let span = image.elf().span();
    check_sizes(span, p.devices)?;
    let note = image.note();
    let base = note.base_va;
    let image_at = area.add(TABLE_PAGES * PAGE);
    copy_image(mem, image_at, image);
    let stack_at = image_at.add(span);
    mem.zero(stack_at, KERNEL_STACK_BYTES);
    let stack_va = base + span + PAGE;

    let table = |n: u64| area.add(n * PAGE);
    mem.zero(area, TABLE_PAGES * PAGE);
    let slot_entry = T::table(table(1), false);
    set_entry(mem, table(0), WINDOW_INDEX, T::table(p.window_table, false));
    set_entry(mem, table(0), SLOT_INDEX, slot_entry);
    let core_table = T::table(core_slot_table(p.core), false);
    set_entry(mem, table(1), CORE_INDEX, core_table);
    set_entry(mem, table(1), index(2, base), T::table(table(2), false));
    set_entry(mem, table(2), index(1, base), T::table(table(3), false));
    let mut map = |va: u64, at: PhysAddr, bytes: u64, rights: EntryRights| {
        for off in (0..bytes).step_by(PAGE as usize) {
            let entry = T::leaf(0, at.add(off), rights);
            set_entry(mem, table(3), index(0, va + off), entry);
        }
    };
    for s in image.elf().segments() {
        let (first, end) = (s.first_page(), s.end_page());
        let rights = match (s.write, s.execute) {
            (true, _) => EntryRights::KERNEL_DATA,
            (_, true) => EntryRights::KERNEL_CODE,
            _ => EntryRights::KERNEL_CONST,
        };
        map(base + first, image_at.add(first), end - first, rights);
    }
    let data = EntryRights::KERNEL_DATA;
    map(stack_va, stack_at, KERNEL_STACK_BYTES, data);
    let device_va = base + DEVICE_OFFSET;
    let mut va = device_va;
    for d in p.devices {
        map(va, d.base, d.bytes, EntryRights::KERNEL_DEVICE);
        va += d.bytes;
    }
    Ok(ImageRecord {
        phys: area,
        size: IMAGE_AREA_BYTES,
        base_va: base,
        entry_va: image.elf().entry(base),
        root_table: table(0),
        slot_entry,
        stack_top: stack_va + KERNEL_STACK_BYTES,
        device_va,
        scratch: 0,
        build_id: note.build_id,
        name: note.name,
    })
}

fn check_sizes(span: u64, devices: &[DeviceRange]) -> Result<(), ImageError> {
    let bytes = TABLE_PAGES * PAGE + span + KERNEL_STACK_BYTES;
    let too_large = |bytes, limit| Err(ImageError::TooLarge { bytes, limit });
    if bytes > IMAGE_AREA_BYTES {
        return too_large(bytes, IMAGE_AREA_BYTES);
    }
    // The image has less than 1 MiB of the level-0 table; with two unmapped pages it ends below the devices.
    const { assert!(IMAGE_AREA_BYTES - TABLE_PAGES * PAGE + 2 * PAGE <= DEVICE_OFFSET) };
    let registers = devices
        .iter()
        .fold(0u64, |sum, d| sum.saturating_add(d.bytes));
    if registers > DEVICE_BYTES {
        return too_large(registers, DEVICE_BYTES);
    }
    Ok(())
}

fn copy_image(mem: &mut impl PhysMap, at: PhysAddr, image: &KernelImage<'_>) {
    for (from, end) in image.elf().gaps() {
        mem.zero(at.add(from), end - from);
    }
    let mut put = |off: u64, bytes: &[u8]| mem.write_bytes(at.add(off), bytes);
    image.elf().write(image.note().base_va, &mut put);
}

/// Overwrites an image area that no core uses any more.
pub fn poison(mem: &mut impl PhysMap, area: PhysAddr) {
    mem.fill(area, IMAGE_AREA_BYTES, u64::from_ne_bytes([POISON; 8]));
}

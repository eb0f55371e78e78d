//! A verified kernel into an image area, with the tables it is entered with.
//!
//! Area: four table pages (root, slot, level 1, level 0), the image's pages, the
//! stack; at the end the initial contents of the image's writable segments and a
//! page that says where they belong ([`restore_kernel`]). The level-0 table covers the 2 MiB from the image's base on: image,
//! unmapped page, stack, unmapped page; in the second MiB the device registers.
//! Nothing else is mapped in the image slot but the Core object.

use capfmt::{ImageRecord, PhysAddr, PhysMap};

use crate::core::core_slot_table;
use crate::elf_image::{MAX_SEGMENTS, Segment};
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
    let saved = image.elf().segments().iter().map(saved_bytes).sum();
    check_sizes(span, saved, p.devices)?;
    let note = image.note();
    let base = note.base_va;
    let image_at = area.add(TABLE_PAGES * PAGE);
    copy_image(mem, image_at, image);
    save_data(mem, area, image, saved);
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

/// Bytes from the area's beginning that a core fetches from or walks: tables, image, stack.
#[must_use]
pub const fn loaded_bytes(record: &ImageRecord) -> u64 {
    // The stack stands behind the image, in virtual memory one page further.
    record.stack_top - PAGE - record.base_va + TABLE_PAGES * PAGE
}

fn check_sizes(span: u64, saved: u64, devices: &[DeviceRange]) -> Result<(), ImageError> {
    let bytes = TABLE_PAGES * PAGE + span + KERNEL_STACK_BYTES + saved + PAGE;
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

/// First word of the page that says what [`restore_kernel`] restores.
const SAVED_MAGIC: u64 = 0x0144_5653_4b4e;
/// Words of one segment's record on that page: offset in the area, bytes with contents,
/// bytes of zeros after them, offset of the contents; all multiples of 8.
const SAVED_WORDS: u64 = 4;

/// The words of a segment from its first page to the end of its file contents: (first byte in
/// the image, end).
const fn content_words(s: &Segment) -> (u64, u64) {
    (s.first_page(), (s.start + s.file_bytes + 7) & !7)
}

fn saved_bytes(s: &Segment) -> u64 {
    let (from, end) = content_words(s);
    if s.write { end - from } else { 0 }
}

/// Keeps the relocated initial contents of all writable segments at the area's end.
fn save_data(mem: &mut impl PhysMap, area: PhysAddr, image: &KernelImage<'_>, saved: u64) {
    let page = area.add(IMAGE_AREA_BYTES - PAGE);
    let mut to = IMAGE_AREA_BYTES - PAGE - saved;
    let mut count = 0;
    for s in image.elf().segments().iter().filter(|s| s.write) {
        let (from, end) = content_words(s);
        let zeros = s.end_page() - end;
        let at = TABLE_PAGES * PAGE + from;
        let record = page.add(16 + 8 * SAVED_WORDS * count);
        for (i, w) in [at, end - from, zeros, to].into_iter().enumerate() {
            mem.store(record.add(8 * i as u64), w);
        }
        copy_words(mem, area.add(at), area.add(to), end - from);
        to += end - from;
        count += 1;
    }
    mem.store(page, SAVED_MAGIC);
    mem.store(page.add(8), count);
}

fn copy_words(mem: &mut impl PhysMap, from: PhysAddr, to: PhysAddr, bytes: u64) {
    for off in (0..bytes).step_by(8) {
        let word = mem.load(from.add(off));
        mem.store(to.add(off), word);
    }
}

/// Gives a loaded kernel that ran its initial data back, so that it can be started
/// again as if it were fresh; code, tables and the image record are as they were.
/// `false`: no kernel is loaded in this area. The core must be in the pen.
#[must_use]
pub fn restore_kernel(mem: &mut impl PhysMap, area: PhysAddr) -> bool {
    let page = area.add(IMAGE_AREA_BYTES - PAGE);
    let count = mem.load(page.add(8));
    if mem.load(page) != SAVED_MAGIC || count > MAX_SEGMENTS as u64 {
        return false;
    }
    for n in 0..count {
        let record = page.add(16 + 8 * SAVED_WORDS * n);
        let [at, bytes, zeros, from] = [0, 8, 16, 24].map(|i| mem.load(record.add(i)));
        copy_words(mem, area.add(from), area.add(at), bytes);
        mem.zero(area.add(at + bytes), zeros);
    }
    true
}

/// Overwrites an image area that no core uses any more.
pub fn poison(mem: &mut impl PhysMap, area: PhysAddr) {
    mem.fill(area, IMAGE_AREA_BYTES, u64::from_ne_bytes([POISON; 8]));
}

//! A verified kernel into an image area, with the tables it is entered with.

use capfmt::{ImageRecord, PhysAddr, PhysMap};

use crate::{ImageError, IsaTables, KernelImage};

/// Bytes of an image area: tables, image, stack.
pub const IMAGE_AREA_BYTES: u64 = 0x10_0000;
/// Bytes of the kernel stack; the pages below and above are never mapped.
pub const KERNEL_STACK_BYTES: u64 = 0x8000;
/// What a released image area is overwritten with, byte by byte.
pub const POISON: u8 = 0x6b;

/// Device registers that the kernel maps: whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
/// The image does not fit the area, or its devices do not fit the image's 2 MiB.
pub fn load_kernel<T: IsaTables>(
    mem: &mut impl PhysMap,
    area: PhysAddr,
    image: &KernelImage<'_>,
    p: &KernelParams<'_>,
) -> Result<ImageRecord, ImageError> {
    let _ = (mem, area, image, p);
    todo!()
}

/// Overwrites an image area that no core uses any more.
pub fn poison(mem: &mut impl PhysMap, area: PhysAddr) {
    let _ = (mem, area);
    todo!()
}

//! Makes kernel images and OSnodes ready to run: what the loader and boot drivers share.
//!
//! From bytes of an ELF file to a kernel that a core can enter ([`load_kernel`]),
//! from a piece of memory to a core's control object with its pen
//! ([`build_core`]), from a donated region to an OSnode that any kernel can adopt
//! ([`build_osnode`]), and the plan by which a user program is laid out
//! ([`UserImage`], which the spawner uses as well). Nothing here touches
//! hardware: memory is a [`capfmt::PhysMap`], page-table entries come from
//! [`IsaTables`]. Whoever calls cleans caches to where the core will fetch from.
//!
//! Not here: when to do any of it (`bootseq`), how a core is signalled (`arch`).

#![no_std]
#![forbid(unsafe_code)]

mod core;
mod elf_image;
mod error;
mod image;
mod isa;
mod load;
mod osnode;
mod tables;
mod user_image;
mod window;

pub use crate::core::{
    CORE_DEVICES_OFFSET, CoreParams, FirmwareEntry, build_core, core_slot_table, pen_code_page,
};
pub use elf_image::MAX_SEGMENTS;
pub use error::{FilePart, ImageError, InFile, RelocationFault};
pub use image::{
    KernelImage, KernelNote, NOTE_BUILD_ID, NOTE_KERNEL, NOTE_KERNEL_NAME, NOTE_NAME, Requirements,
    VARIANT_AT, kernel_name, variant_digest, verify_kernel,
};
pub use isa::{EntryRights, IsaTables, elf_machine, relative_relocation};
pub use load::{
    DeviceRange, IMAGE_AREA_BYTES, KERNEL_STACK_BYTES, KernelParams, POISON, load_kernel,
    loaded_bytes, poison, restore_kernel,
};
pub use osnode::{Given, OsnodeError, OsnodeSpec, RamRange, build_osnode};
pub use user_image::{UserImage, UserMapping};
pub use window::{WindowError, build_window};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Index of the RAM window in a root table of either ISA.
pub const WINDOW_INDEX: u64 = 256;
/// Index of the image slot in a root table of either ISA.
pub const SLOT_INDEX: u64 = 511;
/// Index in a slot table of the Core object's level-1 table.
pub const CORE_INDEX: u64 = 511;

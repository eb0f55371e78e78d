//! A kernel file: what its notes say, and whether it fits the core and the KCB.
//!
//! Notes stand in one PT_NOTE segment: 32-bit little-endian namesz, descsz, type,
//! then name and desc, each padded to 4 bytes (System V ABI, "Note Section").
//! Type 1: five 64-bit words (see [`KernelNote`]); type 2: build id; type 3: name.

use capfmt::Isa;

use crate::elf_image::ElfImage;
use crate::error::ImageError;

/// Name of the notes in a kernel file, with its NUL (namesz 7).
pub const NOTE_NAME: &[u8] = b"Nekton\0";
/// Type of the note with the five words.
pub const NOTE_KERNEL: u32 = 1;
/// Type of the note with the build id, 1 to 24 bytes.
pub const NOTE_BUILD_ID: u32 = 2;
/// Type of the note with the kernel's name, 1 to 16 bytes.
pub const NOTE_KERNEL_NAME: u32 = 3;

/// Where in a build id the bytes stand that tell the variants of one kernel apart ([`variant_digest`]).
pub const VARIANT_AT: usize = 20;

/// What tells a kernel called `name` from others of the same source (32-bit FNV-1a, little endian).
#[must_use]
pub const fn variant_digest(name: &[u8]) -> [u8; 4] {
    let mut digest = 0x811c_9dc5u32;
    let mut at = 0;
    while at < name.len() {
        digest = (digest ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    digest.to_le_bytes()
}

/// A kernel's name, zero padded, as text.
#[must_use]
pub fn kernel_name(padded: &[u8; 16]) -> &str {
    let end = padded.iter().position(|byte| *byte == 0);
    core::str::from_utf8(&padded[..end.unwrap_or(16)]).unwrap_or("(no text)")
}

const NOTE_HEAD: usize = 12;
const SLOT_BASE: u64 = abi::vaddr::IMAGE_SLOT;
const GIB: u64 = 1 << 30;
const BASE_ALIGN: u64 = 2 << 20;

/// What a kernel says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KernelNote {
    /// Instruction set, as the format numbers it.
    pub isa: u64,
    /// Newest KCB format that it reads.
    pub newest_format: u32,
    /// Oldest KCB format that it reads.
    pub oldest_format: u32,
    /// Features that it needs of the core.
    pub needs: u64,
    /// Features that it offers to OSnodes.
    pub offers: u64,
    /// Virtual address to load it at, 2-MiB aligned, in the image slot.
    pub base_va: u64,
    /// Build id, zero padded.
    pub build_id: [u64; 3],
    /// Name, zero padded.
    pub name: [u64; 2],
}

/// What a kernel must fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requirements {
    /// Instruction set of the core.
    pub isa: Isa,
    /// Features of the core.
    pub core_features: u64,
    /// Format of the KCB to be run.
    pub kcb_format: u64,
    /// Features that the KCB needs.
    pub kcb_features: u64,
}

/// A kernel file that passed every check.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage<'a> {
    note: KernelNote,
    elf: ElfImage<'a>,
}

impl<'a> KernelImage<'a> {
    /// Reads a kernel file for `isa`, whatever core and KCB it is for. Total on any bytes.
    ///
    /// # Errors
    /// The first reason why no core of `isa` could run it.
    pub fn parse(file: &'a [u8], isa: Isa) -> Result<KernelImage<'a>, ImageError> {
        let elf = ElfImage::parse(file, isa)?;
        let note = parse_note(elf.note())?;
        if note.isa != isa as u64 {
            return Err(ImageError::NoteIsa { isa: note.isa });
        }
        // Index 511 of the slot table is the Core object's.
        let index = note.base_va.wrapping_sub(SLOT_BASE) / GIB;
        if index >= crate::CORE_INDEX || note.base_va & (BASE_ALIGN - 1) != 0 {
            return Err(ImageError::BadBase { base: note.base_va });
        }
        Ok(KernelImage { note, elf })
    }

    /// What the kernel says of itself.
    #[must_use]
    pub const fn note(&self) -> &KernelNote {
        &self.note
    }

    pub(crate) const fn elf(&self) -> &ElfImage<'a> {
        &self.elf
    }

    /// Checks the kernel against a core and a KCB.
    ///
    /// # Errors
    /// [`ImageError::Format`], [`ImageError::CoreFeatures`], [`ImageError::KcbFeatures`].
    pub fn check(&self, needs: &Requirements) -> Result<(), ImageError> {
        let n = &self.note;
        let formats = u64::from(n.oldest_format)..=u64::from(n.newest_format);
        if !formats.contains(&needs.kcb_format) {
            return Err(ImageError::Format {
                kcb: needs.kcb_format,
                oldest: n.oldest_format,
                newest: n.newest_format,
            });
        }
        let missing = n.needs & !needs.core_features;
        if missing != 0 {
            return Err(ImageError::CoreFeatures { missing });
        }
        let missing = needs.kcb_features & !n.offers;
        if missing != 0 {
            return Err(ImageError::KcbFeatures { missing });
        }
        Ok(())
    }
}

/// Checks a kernel file whole: nothing of it is used before. Total on any bytes.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify_kernel<'a>(
    file: &'a [u8],
    needs: &Requirements,
) -> Result<KernelImage<'a>, ImageError> {
    let image = KernelImage::parse(file, needs.isa)?;
    image.check(needs)?;
    Ok(image)
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Up to `N` words from at most `8 * N` bytes, zero padded.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    if bytes.is_empty() || bytes.len() > 8 * N {
        return None;
    }
    let mut w = [0; N];
    for (i, b) in bytes.iter().enumerate() {
        w[i / 8] |= u64::from(*b) << (8 * (i % 8));
    }
    Some(w)
}

/// One note.
struct Note<'a> {
    kind: u32,
    owner: &'a [u8],
    desc: &'a [u8],
}

/// The next note, and what follows it.
fn next_note(rest: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let name_bytes = word32(rest, 0)? as usize;
    let desc_bytes = word32(rest, 4)? as usize;
    let kind = word32(rest, 8)?;
    let owner = rest.get(NOTE_HEAD..NOTE_HEAD.checked_add(name_bytes)?)?;
    let from = (NOTE_HEAD + name_bytes).checked_add(3)? & !3;
    let end = from.checked_add(desc_bytes)?;
    let desc = rest.get(from..end)?;
    let after = rest.get(end.checked_add(3)? & !3..).unwrap_or(&[]);
    Some((Note { kind, owner, desc }, after))
}

fn parse_note(mut rest: &[u8]) -> Result<KernelNote, ImageError> {
    let mut note = KernelNote::default();
    let (mut kernel, mut build_id, mut name) = (false, false, false);
    while let Some((Note { kind, owner, desc }, after)) = next_note(rest) {
        rest = after;
        if owner != NOTE_NAME {
            continue;
        }
        match kind {
            NOTE_KERNEL => {
                if let (40, Some([isa, formats, needs, offers, base_va])) =
                    (desc.len(), words::<5>(desc))
                {
                    note.isa = isa;
                    note.newest_format = formats as u32;
                    note.oldest_format = (formats >> 32) as u32;
                    note.needs = needs;
                    note.offers = offers;
                    note.base_va = base_va;
                    kernel = true;
                }
            }
            NOTE_BUILD_ID => {
                if let Some(w) = words(desc) {
                    note.build_id = w;
                    build_id = true;
                }
            }
            NOTE_KERNEL_NAME => {
                if let Some(w) = words(desc) {
                    note.name = w;
                    name = true;
                }
            }
            _ => {}
        }
    }
    match (kernel, build_id, name) {
        (false, ..) => Err(ImageError::NoNote("kernel")),
        (_, false, _) => Err(ImageError::NoNote("build id")),
        (.., false) => Err(ImageError::NoNote("name")),
        _ => Ok(note),
    }
}

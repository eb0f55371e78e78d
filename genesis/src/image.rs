//! A kernel file: what its note says, and whether it fits.

use capfmt::Isa;

use crate::ImageError;

/// Name of the notes in a kernel file (namesz 7: with its NUL). Padding is to 4 bytes.
pub const NOTE_NAME: &str = "Nekton";

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
    /// What it says of itself.
    pub note: KernelNote,
    /// Its bytes.
    pub file: &'a [u8],
}

/// Checks a kernel file whole: nothing of it is used before. Total on any bytes.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify_kernel<'a>(file: &'a [u8], needs: &Requirements) -> Result<KernelImage<'a>, ImageError> {
    let _ = (file, needs);
    todo!()
}

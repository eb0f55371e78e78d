//! A static position-independent ELF64 file, checked whole before a byte of it is used.

/// Most loadable segments of an image.
pub const MAX_SEGMENTS: usize = 8;

/// One loadable segment, page-granular, relative to the image's first page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// First byte, relative to the image's first page.
    pub start: u64,
    /// Bytes in memory.
    pub mem_bytes: u64,
    /// First byte in the file.
    pub file_offset: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Writable (false for a segment that is read only after relocation).
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

/// Why an image is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// Not an ELF64 little-endian file.
    NotElf,
}

//! How a user program is laid out: the plan that [`crate::build_osnode`] and spawners follow.

use capfmt::Isa;

use crate::elf_image::{ElfImage, Segment};
use crate::error::ImageError;

/// A run of whole pages with one kind of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UserMapping {
    /// First page, in bytes from the start of the image (of its frame, and of `vaddr::IMAGE`).
    pub offset: u64,
    /// Bytes (a multiple of a page).
    pub bytes: u64,
    /// Writable.
    pub write: bool,
    /// Executable (never with `write`).
    pub execute: bool,
}

/// A checked user program: a static PIE.
///
/// It is put into one zeroed frame of [`UserImage::bytes`] bytes by
/// [`UserImage::write`], relocated for its load address; the frame is then mapped
/// run by run ([`UserImage::mappings`]). The thread-local template is left to the
/// program, whose start-up finds it through its own program headers.
#[derive(Clone, Copy, Debug)]
pub struct UserImage<'a>(ElfImage<'a>);

impl<'a> UserImage<'a> {
    /// Checks the file. Total on any bytes.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn parse(file: &'a [u8], isa: Isa) -> Result<UserImage<'a>, ImageError> {
        ElfImage::parse(file, isa).map(UserImage)
    }
    /// Bytes of the frame that it needs (a multiple of a page).
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.span()
    }
    /// Entry point if the frame's first byte is mapped at `base`.
    #[must_use]
    pub fn entry(&self, base: u64) -> u64 {
        self.0.entry(base)
    }
    /// The runs of pages to map, ascending, not overlapping; pages between them stay unmapped.
    pub fn mappings(&self) -> impl Iterator<Item = UserMapping> + '_ {
        let run = |s: &Segment| UserMapping {
            offset: s.first_page(),
            bytes: s.end_page() - s.first_page(),
            write: s.write,
            execute: s.execute,
        };
        self.0.segments().iter().map(run)
    }
    /// Puts contents and relocated words out as (offset in the frame, bytes), for load address
    /// `base`. The frame holds zeros before.
    pub fn write(&self, base: u64, put: &mut impl FnMut(u64, &[u8])) {
        self.0.write(base, put);
    }
}

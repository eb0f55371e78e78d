//! Why an image is refused, in words.

use core::fmt;

use capfmt::Isa;

/// A part of an ELF file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilePart {
    /// The ELF header.
    Header,
    /// The table of program headers.
    ProgramHeaders,
    /// The table of section headers.
    Sections,
    /// The contents of the segment with this index in the program headers.
    Segment(u32),
    /// The relocation table.
    Relocations,
}

impl fmt::Display for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilePart::Header => f.write_str("the ELF header"),
            FilePart::ProgramHeaders => f.write_str("the program header table"),
            FilePart::Sections => f.write_str("the section table"),
            FilePart::Segment(n) => write!(f, "segment {n}"),
            FilePart::Relocations => f.write_str("the relocation table"),
        }
    }
}

/// What is wrong with a relocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelocationFault {
    /// Not RELATIVE, but of this type.
    Kind(u32),
    /// Its target (link-time address) is not in a writable segment.
    Target(u64),
}

/// Why an image is refused. [`ImageError::in_file`] adds the file's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// Not an ELF file.
    NotElf,
    /// An ELF file, but not 64-bit little-endian of version 1.
    NotElf64,
    /// For another instruction set than `isa`.
    OtherIsa {
        /// ELF machine number of the file.
        machine: u16,
        /// What the core is.
        isa: Isa,
    },
    /// Not position independent.
    NotPie,
    /// A part ends after the end of the file.
    Truncated {
        /// Which part.
        part: FilePart,
        /// Where it ends.
        end: u64,
        /// Bytes of the file.
        len: u64,
    },
    /// Nothing to load.
    NoSegments,
    /// More than [`crate::MAX_SEGMENTS`] to load.
    TooManySegments,
    /// A segment whose sizes or addresses make no sense.
    BadSegment {
        /// Index of its program header.
        index: u32,
    },
    /// A segment both writable and executable.
    WriteExecute {
        /// Index of its program header.
        index: u32,
    },
    /// A segment that shares a page with the one before it, or stands below it.
    Overlap {
        /// Index of its program header.
        index: u32,
    },
    /// The entry point is not in an executable segment.
    BadEntry {
        /// Link-time address.
        entry: u64,
    },
    /// The file needs a dynamic linker for this.
    Dynamic(&'static str),
    /// A relocation that cannot be applied.
    BadRelocation {
        /// Index in the table.
        index: u32,
        /// Why not.
        why: RelocationFault,
    },
    /// The image needs more memory than there is for it.
    TooLarge {
        /// Bytes that it needs.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// A kernel file without this note.
    NoNote(&'static str),
    /// A kernel whose note names another instruction set than its ELF header.
    NoteIsa {
        /// Instruction set in the note.
        isa: u64,
    },
    /// A kernel that cannot be loaded where its note asks.
    BadBase {
        /// The address asked for.
        base: u64,
    },
    /// A kernel that does not read the KCB's format.
    Format {
        /// Format of the KCB.
        kcb: u64,
        /// Oldest format that the kernel reads.
        oldest: u32,
        /// Newest format that the kernel reads.
        newest: u32,
    },
    /// A kernel that needs features that the core lacks.
    CoreFeatures {
        /// The features that are missing.
        missing: u64,
    },
    /// A kernel that lacks features that the KCB needs.
    KcbFeatures {
        /// The features that are missing.
        missing: u64,
    },
}

const fn isa_name(isa: Isa) -> &'static str {
    match isa {
        Isa::X86 => "x86_64",
        Isa::Arm => "AArch64",
    }
}

fn machine_name(machine: u16) -> &'static str {
    match machine {
        62 => "x86_64",
        183 => "AArch64",
        _ => "another machine",
    }
}

impl RelocationFault {
    fn describe(self, index: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelocationFault::Kind(k) => {
                write!(f, "relocation {index} is of type {k}, not RELATIVE")
            }
            RelocationFault::Target(at) => write!(
                f,
                "relocation {index} hits {at:#x}, which is not writable data"
            ),
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ImageError as E;
        match *self {
            E::NotElf => f.write_str("not an ELF file"),
            E::NotElf64 => f.write_str("not a 64-bit little-endian ELF file"),
            E::OtherIsa { machine, isa } => write!(
                f,
                "other ISA: the file is for {} (ELF machine {machine}), the core is {}",
                machine_name(machine),
                isa_name(isa)
            ),
            E::NotPie => f.write_str("not position independent: link it as a static PIE"),
            E::Truncated { part, end, len } => {
                write!(f, "truncated: {part} ends at byte {end} of {len}")
            }
            E::NoSegments => f.write_str("nothing to load in it"),
            E::TooManySegments => {
                write!(f, "more than {} segments to load", crate::MAX_SEGMENTS)
            }
            E::BadSegment { index } => write!(f, "segment {index} has impossible sizes"),
            E::WriteExecute { index } => {
                write!(f, "segment {index} is both writable and executable")
            }
            E::Overlap { index } => {
                write!(f, "segment {index} shares a page with the one before it")
            }
            E::BadEntry { entry } => {
                write!(
                    f,
                    "the entry point {entry:#x} is not in an executable segment"
                )
            }
            E::Dynamic(what) => write!(f, "needs a dynamic linker: it has {what}"),
            E::BadRelocation { index, why } => why.describe(index, f),
            E::TooLarge { bytes, limit } => {
                write!(f, "too large: it needs {bytes} bytes, {limit} are allowed")
            }
            E::NoNote(what) => write!(f, "not a kernel: it has no {what} note of Nekton"),
            E::NoteIsa { isa } => {
                write!(f, "its note names ISA {isa}, its ELF header another one")
            }
            E::BadBase { base } => write!(
                f,
                "its note asks for load address {base:#x}, which is not 2-MiB aligned in the image slot"
            ),
            E::Format {
                kcb,
                oldest,
                newest,
            } => write!(
                f,
                "unknown format: it reads KCB formats {oldest} to {newest}, the KCB has format {kcb}"
            ),
            E::CoreFeatures { missing } => write!(
                f,
                "missing feature: it needs core features {missing:#x} that the core lacks"
            ),
            E::KcbFeatures { missing } => write!(
                f,
                "missing feature: the OSnode needs features {missing:#x} that it does not offer"
            ),
        }
    }
}

impl ImageError {
    /// The error with the file's name before it.
    #[must_use]
    pub const fn in_file<'a>(&self, file: &'a str) -> InFile<'a> {
        InFile { file, error: *self }
    }
}

/// An error and the file that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFile<'a> {
    /// The file.
    pub file: &'a str,
    /// What is wrong with it.
    pub error: ImageError,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.error)
    }
}

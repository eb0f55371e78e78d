//! A static position-independent ELF64 file, checked whole before a byte of it is used.
//!
//! [`ElfImage::parse`] is total on any bytes; what it returns needs no further
//! checks: every segment lies in the file, in ascending pages of its own, never
//! writable and executable; every relocation is RELATIVE and hits initialised
//! data of a writable segment. Sources: ELF-64 Object File Format 1.5; System V ABI, dynamic linking.

use capfmt::Isa;
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader};
use elf::parse::{ParseAt, ParsingTable};
use elf::relocation::Rela;
use elf::segment::ProgramHeader;

use crate::PAGE;
use crate::error::{FilePart, ImageError, RelocationFault};
use crate::isa::{elf_machine, relative_relocation};

/// Most loadable segments of an image.
pub const MAX_SEGMENTS: usize = 8;
/// Most bytes that an image may span in memory: what lies between `vaddr::IMAGE` and the heap.
const MAX_SPAN: u64 = abi::vaddr::HEAP - abi::vaddr::IMAGE;
const EHDR_BYTES: usize = 64;
const PHDR_BYTES: u64 = 56;
const RELA_BYTES: u64 = 24;
const ET_DYN: u16 = 3;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

/// One loadable segment, relative to the image's first page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Segment {
    /// First byte, relative to the image's first page.
    pub start: u64,
    /// Bytes in memory.
    pub mem_bytes: u64,
    /// First byte in the file.
    pub file_offset: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Writable once the image runs.
    pub write: bool,
    /// Executable.
    pub execute: bool,
    /// May be written while the image is loaded (relocations; RELRO segments lose it then).
    pub relocatable: bool,
}

impl Segment {
    /// First page, in bytes from the image's start.
    #[must_use]
    pub const fn first_page(&self) -> u64 {
        self.start & !(PAGE - 1)
    }
    /// End of the last page, in bytes from the image's start.
    #[must_use]
    pub const fn end_page(&self) -> u64 {
        (self.start + self.mem_bytes + PAGE - 1) & !(PAGE - 1)
    }
}

/// A checked file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ElfImage<'a> {
    file: &'a [u8],
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    /// Link-time address of the image's first page.
    link_base: u64,
    /// Link-time entry point.
    entry: u64,
    /// Relocation table: a part of `file`.
    rela: &'a [u8],
    relative: u32,
    /// Contents of the PT_NOTE segment, empty if there is none.
    note: &'a [u8],
}

/// The part of `file` at `offset`, `bytes` long, or where it would have ended.
fn slice(file: &[u8], offset: u64, bytes: u64, part: FilePart) -> Result<&[u8], ImageError> {
    let len = file.len() as u64;
    let end = offset.saturating_add(bytes);
    if end > len {
        return Err(ImageError::Truncated { part, end, len });
    }
    Ok(&file[offset as usize..end as usize])
}

fn header(file: &[u8], isa: Isa) -> Result<FileHeader<LittleEndian>, ImageError> {
    if file.len() < 4 || file[..4] != *b"\x7fELF" {
        return Err(ImageError::NotElf);
    }
    let head = slice(file, 0, EHDR_BYTES as u64, FilePart::Header)?;
    let ident = elf::file::parse_ident::<LittleEndian>(&head[..16]);
    let ident = ident.map_err(|_| ImageError::NotElf64)?;
    if ident.1 != Class::ELF64 {
        return Err(ImageError::NotElf64);
    }
    let h = FileHeader::parse_tail(ident, &head[16..]).map_err(|_| ImageError::NotElf64)?;
    if h.e_machine != elf_machine(isa) {
        return Err(ImageError::OtherIsa {
            machine: h.e_machine,
            isa,
        });
    }
    if h.e_type != ET_DYN {
        return Err(ImageError::NotPie);
    }
    Ok(h)
}

fn program_headers<'a>(
    file: &'a [u8],
    h: &FileHeader<LittleEndian>,
) -> Result<ParsingTable<'a, LittleEndian, ProgramHeader>, ImageError> {
    if h.e_phnum == 0 || u64::from(h.e_phentsize) != PHDR_BYTES {
        return Err(ImageError::NoSegments);
    }
    let bytes = u64::from(h.e_phnum) * PHDR_BYTES;
    let table = slice(file, h.e_phoff, bytes, FilePart::ProgramHeaders)?;
    Ok(ParsingTable::new(LittleEndian, Class::ELF64, table))
}

impl<'a> ElfImage<'a> {
    /// Checks `file` for `isa`.
    pub(crate) fn parse(file: &'a [u8], isa: Isa) -> Result<ElfImage<'a>, ImageError> {
        let h = header(file, isa)?;
        let headers = program_headers(file, &h)?;
        let mut image = ElfImage {
            file,
            segments: [Segment::default(); MAX_SEGMENTS],
            count: 0,
            link_base: 0,
            entry: h.e_entry,
            rela: &[],
            relative: relative_relocation(isa),
            note: &[],
        };
        let (mut dynamic, mut relro) = (None, None);
        for (index, p) in headers.iter().enumerate() {
            match p.p_type {
                elf::abi::PT_LOAD if p.p_memsz != 0 => image.add_segment(index as u32, &p)?,
                elf::abi::PT_DYNAMIC => dynamic = Some((index as u32, p)),
                elf::abi::PT_INTERP => return Err(ImageError::Dynamic("an interpreter")),
                elf::abi::PT_GNU_RELRO => relro = Some(p),
                elf::abi::PT_NOTE if image.note.is_empty() => {
                    let part = FilePart::Segment(index as u32);
                    image.note = slice(file, p.p_offset, p.p_filesz, part)?;
                }
                _ => {}
            }
        }
        // Nothing is taken from the sections, but a file without its end is not the file that was meant.
        let sections = u64::from(h.e_shnum) * u64::from(h.e_shentsize);
        slice(file, h.e_shoff, sections, FilePart::Sections)?;
        image.check_entry()?;
        if let Some((index, d)) = dynamic {
            image.read_dynamic(index, &d)?;
        }
        image.check_relocations()?;
        if let Some(r) = relro {
            image.protect(&r);
        }
        Ok(image)
    }

    /// Checks and adds one PT_LOAD header.
    fn add_segment(&mut self, index: u32, p: &ProgramHeader) -> Result<(), ImageError> {
        let bad = ImageError::BadSegment { index };
        slice(self.file, p.p_offset, p.p_filesz, FilePart::Segment(index))?;
        if self.count == MAX_SEGMENTS {
            return Err(ImageError::TooManySegments);
        }
        let end = p.p_vaddr.checked_add(p.p_memsz).ok_or(bad)?;
        if p.p_filesz > p.p_memsz || end > u64::MAX - PAGE {
            return Err(bad);
        }
        if p.p_flags & (PF_W | PF_X) == PF_W | PF_X {
            return Err(ImageError::WriteExecute { index });
        }
        if self.count == 0 {
            self.link_base = p.p_vaddr & !(PAGE - 1);
        }
        let span = end.checked_sub(self.link_base).ok_or(bad)?;
        if span > MAX_SPAN {
            return Err(ImageError::TooLarge {
                bytes: span,
                limit: MAX_SPAN,
            });
        }
        let segment = Segment {
            start: p.p_vaddr.checked_sub(self.link_base).ok_or(bad)?,
            mem_bytes: p.p_memsz,
            file_offset: p.p_offset,
            file_bytes: p.p_filesz,
            write: p.p_flags & PF_W != 0,
            execute: p.p_flags & PF_X != 0,
            relocatable: p.p_flags & PF_W != 0,
        };
        if self.count > 0 && segment.first_page() < self.segments[self.count - 1].end_page() {
            return Err(ImageError::Overlap { index });
        }
        self.segments[self.count] = segment;
        self.count += 1;
        Ok(())
    }

    fn check_entry(&self) -> Result<(), ImageError> {
        if self.count == 0 {
            return Err(ImageError::NoSegments);
        }
        let at = self.entry.wrapping_sub(self.link_base);
        let inside = |s: &Segment| s.execute && at >= s.start && at - s.start < s.file_bytes;
        if self.segments().iter().any(inside) {
            Ok(())
        } else {
            Err(ImageError::BadEntry { entry: self.entry })
        }
    }

    /// Takes the relocation table from the dynamic segment.
    fn read_dynamic(&mut self, index: u32, p: &ProgramHeader) -> Result<(), ImageError> {
        let bytes = slice(self.file, p.p_offset, p.p_filesz, FilePart::Segment(index))?;
        let table = ParsingTable::<_, elf::dynamic::Dyn>::new(LittleEndian, Class::ELF64, bytes);
        let (mut at, mut size, mut entry) = (0, 0, RELA_BYTES);
        for d in table.iter() {
            match d.d_tag {
                elf::abi::DT_NULL => break,
                elf::abi::DT_RELA => at = d.d_val(),
                elf::abi::DT_RELASZ => size = d.d_val(),
                elf::abi::DT_RELAENT => entry = d.d_val(),
                elf::abi::DT_NEEDED => return Err(ImageError::Dynamic("a shared library")),
                elf::abi::DT_TEXTREL => return Err(ImageError::Dynamic("text relocations")),
                // 35 is DT_RELRSZ, the packed form that some linkers can make.
                elf::abi::DT_PLTRELSZ | elf::abi::DT_RELSZ | 35 if d.d_val() != 0 => {
                    return Err(ImageError::Dynamic("relocations other than RELA"));
                }
                _ => {}
            }
        }
        if size == 0 {
            return Ok(());
        }
        let bad = ImageError::Dynamic("a relocation table outside its segments");
        if entry != RELA_BYTES || size % RELA_BYTES != 0 {
            return Err(bad);
        }
        let at = at.checked_sub(self.link_base).ok_or(bad)?;
        let holds = |s: &&Segment| {
            at >= s.start && at - s.start <= s.file_bytes && size <= s.file_bytes - (at - s.start)
        };
        let s = *self.segments().iter().find(holds).ok_or(bad)?;
        let from = s.file_offset + (at - s.start);
        self.rela = slice(self.file, from, size, FilePart::Relocations)?;
        Ok(())
    }

    fn check_relocations(&self) -> Result<(), ImageError> {
        for (index, r) in self.rela().enumerate() {
            let fault = |why| ImageError::BadRelocation {
                index: index as u32,
                why,
            };
            if r.r_type != self.relative || r.r_sym != 0 {
                return Err(fault(RelocationFault::Kind(r.r_type)));
            }
            let at = r.r_offset.wrapping_sub(self.link_base);
            let holds = |s: &Segment| {
                let off = at.wrapping_sub(s.start);
                s.relocatable && off < s.file_bytes && s.file_bytes - off >= 8
            };
            if !self.segments().iter().any(holds) {
                return Err(fault(RelocationFault::Target(r.r_offset)));
            }
        }
        Ok(())
    }

    /// Makes read-only the segments that lie whole in the RELRO range: they are relocated before they run.
    fn protect(&mut self, relro: &ProgramHeader) {
        let from = relro.p_vaddr.wrapping_sub(self.link_base);
        let end = from.saturating_add(relro.p_memsz);
        let end = end.saturating_add(PAGE - 1) & !(PAGE - 1);
        for s in &mut self.segments[..self.count] {
            if s.write && s.start >= from && s.start + s.mem_bytes <= end {
                s.write = false;
            }
        }
    }

    fn rela(&self) -> impl Iterator<Item = Rela> + 'a {
        let file = self.rela;
        let bytes = Rela::size_for(Class::ELF64);
        let table = ParsingTable::<_, Rela>::new(LittleEndian, Class::ELF64, file);
        (0..file.len() / bytes).filter_map(move |i| table.get(i).ok())
    }

    /// The segments, ascending.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }
    /// Bytes that the image spans in memory, whole pages.
    pub(crate) fn span(&self) -> u64 {
        self.segments[self.count - 1].end_page()
    }
    /// Entry point for load address `base`.
    pub(crate) fn entry(&self, base: u64) -> u64 {
        base.wrapping_add(self.entry.wrapping_sub(self.link_base))
    }
    /// Contents of the PT_NOTE segment.
    pub(crate) fn note(&self) -> &'a [u8] {
        self.note
    }

    /// Bytes of memory that no file byte fills: (first, end), rounded outwards to words.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let starts = self.segments().iter().map(|s| s.start);
        let starts = starts.chain(core::iter::once(self.span()));
        let ends = self.segments().iter().map(|s| s.start + s.file_bytes);
        let ends = core::iter::once(0).chain(ends);
        ends.zip(starts)
            .map(|(from, to)| (from & !7, (to + 7) & !7))
            .filter(|(from, to)| from < to)
    }

    /// Puts contents, then relocated words, out as (offset in the image, bytes), for load address `base`.
    pub(crate) fn write(&self, base: u64, put: &mut impl FnMut(u64, &[u8])) {
        for s in self.segments() {
            let (from, len) = (s.file_offset as usize, s.file_bytes as usize);
            put(s.start, &self.file[from..from + len]);
        }
        let bias = base.wrapping_sub(self.link_base);
        for r in self.rela() {
            let value = bias.wrapping_add_signed(r.r_addend);
            put(
                r.r_offset.wrapping_sub(self.link_base),
                &value.to_le_bytes(),
            );
        }
    }
}

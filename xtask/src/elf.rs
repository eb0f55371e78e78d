//! What xtask does to ELF files itself: the flat image that the arm64 boot protocol wants, a
//! copy without symbols for the boot archive, and sizes. Only 64-bit little-endian files.

use anyhow::{Context, Result, bail, ensure};
use object::Endianness;
use object::elf::{
    FileHeader64, PF_W, PF_X, PT_LOAD, ProgramHeader64, SHF_ALLOC, SHT_STRTAB, SectionHeader64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

type Header = FileHeader64<Endianness>;
type Segment = ProgramHeader64<Endianness>;

const END: Endianness = Endianness::Little;
/// A flat image larger than this comes from segments that lie far apart, not from our loader.
const LARGEST_FLAT: u64 = 64 << 20;

fn parse(file: &[u8]) -> Result<(&Header, &[Segment])> {
    let header = Header::parse(file).context("not a 64-bit ELF file")?;
    ensure!(header.is_little_endian(), "not a little-endian ELF file");
    let segments = header
        .program_headers(END, file)
        .context("bad program headers")?;
    Ok((header, segments))
}

fn loads(segments: &[Segment]) -> impl Iterator<Item = &Segment> {
    segments
        .iter()
        .filter(|segment| segment.p_type(END) == PT_LOAD && segment.p_memsz(END) > 0)
}

/// The bytes of all loadable segments at their physical addresses, from the lowest on; gaps
/// are zero. Memory that has no bytes in the file behind the last one (`.bss`) is left out:
/// the arm64 Image header says how much memory the loader needs.
pub fn flatten(file: &[u8]) -> Result<Vec<u8>> {
    let (_, segments) = parse(file)?;
    let Some(base) = loads(segments).map(|segment| segment.p_paddr(END)).min() else {
        bail!("the file has nothing to load");
    };
    let mut flat = Vec::new();
    for segment in loads(segments) {
        let data = segment
            .data(END, file)
            .map_err(|()| anyhow::anyhow!("a segment lies outside of the file"))?;
        let start = segment.p_paddr(END) - base;
        let end = start.saturating_add(data.len() as u64);
        ensure!(
            end <= LARGEST_FLAT,
            "segments are {} MiB apart",
            start >> 20
        );
        let (start, end) = (start as usize, end as usize);
        if flat.len() < end {
            flat.resize(end, 0);
        }
        flat[start..end].copy_from_slice(data);
    }
    Ok(flat)
}

/// One section that stays in a stripped file.
struct Kept<'a> {
    old: usize,
    name: &'a [u8],
    header: &'a SectionHeader64<Endianness>,
}

/// A copy of `file` that has all loadable bytes and the headers of the sections in them, and
/// nothing else: no symbols, no debug information.
pub fn strip(file: &[u8]) -> Result<Vec<u8>> {
    let (header, segments) = parse(file)?;
    let sections = header.sections(END, file).context("bad section headers")?;
    let mut end = header.e_phoff(END) + u64::from(header.e_phentsize(END)) * segments.len() as u64;
    for segment in segments {
        end = end.max(segment.p_offset(END) + segment.p_filesz(END));
    }
    let loaded = file
        .get(..end as usize)
        .context("a segment lies outside of the file")?;
    let mut kept = Vec::new();
    for (index, section) in sections.enumerate() {
        if section.sh_flags(END).0 & SHF_ALLOC.0 != 0 {
            let name = sections
                .section_name(END, section)
                .context("bad section name")?;
            kept.push(Kept {
                old: index.0,
                name,
                header: section,
            });
        }
    }
    let mut out = loaded.to_vec();
    append_sections(&mut out, &kept);
    Ok(out)
}

/// Appends the names and headers of `kept` and points the file header at them.
fn append_sections(out: &mut Vec<u8>, kept: &[Kept<'_>]) {
    let mut names = vec![0];
    let mut table = vec![[0u8; 64]];
    for section in kept {
        let name = names.len() as u32;
        names.extend_from_slice(section.name);
        names.push(0);
        table.push(section_bytes(section, name, kept));
    }
    let own_name = names.len() as u32;
    names.extend_from_slice(b".shstrtab\0");
    let names_at = out.len() as u64;
    out.extend_from_slice(&names);
    let mut own = [0u8; 64];
    own[0..4].copy_from_slice(&own_name.to_le_bytes());
    own[4..8].copy_from_slice(&SHT_STRTAB.0.to_le_bytes());
    own[24..32].copy_from_slice(&names_at.to_le_bytes());
    own[32..40].copy_from_slice(&(names.len() as u64).to_le_bytes());
    own[48..56].copy_from_slice(&1u64.to_le_bytes());
    table.push(own);
    out.resize(out.len().next_multiple_of(8), 0);
    let table_at = out.len() as u64;
    let count = table.len() as u16;
    table.iter().for_each(|entry| out.extend_from_slice(entry));
    // e_shoff, e_shnum, e_shstrndx of the ELF64 file header.
    out[40..48].copy_from_slice(&table_at.to_le_bytes());
    out[60..62].copy_from_slice(&count.to_le_bytes());
    out[62..64].copy_from_slice(&(count - 1).to_le_bytes());
}

/// The section header of `section` with its new name offset and with its link (always a
/// section index) renumbered; a link to a section that is gone becomes 0.
fn section_bytes(section: &Kept<'_>, name: u32, kept: &[Kept<'_>]) -> [u8; 64] {
    let old_link = section.header.sh_link(END) as usize;
    let link = kept.iter().position(|other| other.old == old_link);
    let link = link.map_or(0, |position| position as u32 + 1);
    let mut bytes = [0u8; 64];
    bytes.copy_from_slice(object::pod::bytes_of(section.header));
    // sh_name and sh_link of an ELF64 section header.
    bytes[0..4].copy_from_slice(&name.to_le_bytes());
    bytes[40..44].copy_from_slice(&link.to_le_bytes());
    bytes
}

/// Bytes of an image by what they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub code: u64,
    pub read_only: u64,
    /// Written at run time and stored in the file.
    pub data: u64,
    /// Zero at the start, not stored.
    pub zero: u64,
}

/// Sizes of the loadable parts of `file`.
pub fn sizes(file: &[u8]) -> Result<Sizes> {
    let (_, segments) = parse(file)?;
    let mut sizes = Sizes::default();
    for segment in loads(segments) {
        let stored = segment.p_filesz(END);
        let flags = segment.p_flags(END).0;
        sizes.zero += segment.p_memsz(END).saturating_sub(stored);
        if flags & PF_X.0 != 0 {
            sizes.code += stored;
        } else if flags & PF_W.0 != 0 {
            sizes.data += stored;
        } else {
            sizes.read_only += stored;
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the given segments (flags, physical address, data, memory size) and no
    /// sections, by hand: the layouts are those of the ELF-64 object file format.
    fn sample(segments: &[(u32, u64, &[u8], u64)]) -> Vec<u8> {
        let mut file = vec![0u8; 64 + 56 * segments.len()];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        file[16..18].copy_from_slice(&3u16.to_le_bytes());
        file[18..20].copy_from_slice(&62u16.to_le_bytes());
        file[20..24].copy_from_slice(&1u32.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[52..54].copy_from_slice(&64u16.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        file[58..60].copy_from_slice(&64u16.to_le_bytes());
        for (index, (flags, address, data, memory)) in segments.iter().enumerate() {
            let at = 64 + 56 * index;
            let offset = file.len() as u64;
            let size = data.len() as u64;
            file[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
            file[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
            let words = [offset, *address, *address, size, *memory, 1];
            for (word, value) in words.iter().enumerate() {
                let place = at + 8 + 8 * word;
                file[place..place + 8].copy_from_slice(&value.to_le_bytes());
            }
            file.extend_from_slice(data);
        }
        file
    }

    #[test]
    fn flat_images_keep_distances_and_leave_out_bss() {
        let file = sample(&[(6, 0x1010, b"data", 0x100), (5, 0x1000, b"code", 4)]);
        let flat = flatten(&file).unwrap();
        assert_eq!(flat, b"code\0\0\0\0\0\0\0\0\0\0\0\0data");
    }

    #[test]
    fn scattered_or_empty_files_are_refused() {
        assert!(flatten(&sample(&[(5, 0, b"a", 1), (5, 1 << 40, b"b", 1)])).is_err());
        assert!(flatten(&sample(&[])).is_err());
        assert!(flatten(b"#!/bin/sh").is_err());
    }

    #[test]
    fn sizes_are_told_apart_by_permission() {
        let file = sample(&[(5, 0, b"code", 4), (4, 16, b"ro", 2), (6, 32, b"d", 9)]);
        let expected = Sizes {
            code: 4,
            read_only: 2,
            data: 1,
            zero: 8,
        };
        assert_eq!(sizes(&file).unwrap(), expected);
    }

    #[test]
    fn a_stripped_program_keeps_what_is_loaded() {
        use object::{Object, ObjectSection, ObjectSegment};
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let bare = strip(&own).unwrap();
        assert!(bare.len() < own.len());
        let (before, after) = (
            object::File::parse(&*own).unwrap(),
            object::File::parse(&*bare).unwrap(),
        );
        for (a, b) in before.segments().zip(after.segments()) {
            // The first segment may cover the file header, whose section fields changed.
            let skip = if a.file_range().0 == 0 { 64 } else { 0 };
            assert_eq!(a.data().unwrap()[skip..], b.data().unwrap()[skip..]);
        }
        assert_eq!(before.segments().count(), after.segments().count());
        let text = after.section_by_name(".text").unwrap();
        assert_eq!(
            text.data().unwrap(),
            before.section_by_name(".text").unwrap().data().unwrap()
        );
        assert!(after.section_by_name(".debug_info").is_none());
        assert!(
            after.dynamic_symbols().next().is_some(),
            "links to .dynsym and .dynstr hold"
        );
    }
}

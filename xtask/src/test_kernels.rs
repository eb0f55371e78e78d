//! Kernel files that only tests need, made of built ones: those that must be refused, and those with a fault,
//! which differ in their names alone (`t_faulty.rs` of either kernel says what each name means).

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use std::collections::BTreeMap;
use std::ops::Range;

/// The built kernel that has the fault that its name says.
const FAULTY: &str = "kernel/t-faulty";
/// The names that it knows.
const FAULTS: [&str; 11] = [
    "t-hang",
    "t-late",
    "t-memories",
    "t-memory",
    "t-monitor",
    "t-notification",
    "t-panic",
    "t-spawn",
    "t-spawns",
    "t-stuck",
    "t-tick",
];
/// A KCB format that nothing is written in.
const NO_FORMAT: u32 = 9000;
/// A feature that no core has.
const NO_FEATURE: u64 = 1 << 63;
/// Bytes of a kernel's name in its notes.
const NAME_BYTES: usize = 16;
const END: Endianness = Endianness::Little;

/// Adds the test kernels to `files` (by name in the archive), among which `kernel/std` and `kernel/t-faulty` are;
/// `foreign` is the other ISA's `kernel/std`. `kernel/t-faulty` is no file of its own afterwards.
pub fn make(files: &mut BTreeMap<String, Vec<u8>>, foreign: Vec<u8>) -> Result<()> {
    let standard = files.get("kernel/std").context("no kernel/std was built")?;
    let short = standard[..standard.len() / 2].to_vec();
    let format = named(standard, "t-format", |words| {
        // Newest and oldest.
        words[8..12].copy_from_slice(&NO_FORMAT.to_le_bytes());
        words[12..16].copy_from_slice(&NO_FORMAT.to_le_bytes());
    })?;
    let feature = named(standard, "t-feature", |words| {
        words[16..24].copy_from_slice(&NO_FEATURE.to_le_bytes());
    })?;
    let faulty = files.remove(FAULTY);
    let faulty = faulty.with_context(|| format!("no {FAULTY} was built"))?;
    for fault in FAULTS {
        files.insert(format!("kernel/{fault}"), named(&faulty, fault, |_| {})?);
    }
    files.extend([
        ("kernel/t-short".to_owned(), short),
        ("kernel/t-isa".to_owned(), foreign),
        ("kernel/t-format".to_owned(), format),
        ("kernel/t-feature".to_owned(), feature),
    ]);
    Ok(())
}

/// A copy of the kernel `file` that is called `name`, with another build id; `change` is shown its five words
/// ([`genesis::KernelNote`]).
fn named(file: &[u8], name: &str, change: impl FnOnce(&mut [u8])) -> Result<Vec<u8>> {
    let mut copy = file.to_vec();
    let mut padded = [0; NAME_BYTES];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    copy[note(file, genesis::NOTE_KERNEL_NAME, NAME_BYTES)?].copy_from_slice(&padded);
    let id = note(file, genesis::NOTE_BUILD_ID, genesis::VARIANT_AT + 4)?;
    let digest = genesis::variant_digest(name.as_bytes());
    copy[id][genesis::VARIANT_AT..].copy_from_slice(&digest);
    change(&mut copy[note(file, genesis::NOTE_KERNEL, 40)?]);
    Ok(copy)
}

/// Where in `file` what the note of `kind` says stands: `bytes` of it.
fn note(file: &[u8], kind: u32, bytes: usize) -> Result<Range<usize>> {
    let header = FileHeader64::<Endianness>::parse(file).context("not a 64-bit ELF file")?;
    let segments = header
        .program_headers(END, file)
        .context("bad program headers")?;
    for segment in segments.iter().filter(|s| s.p_type(END) == PT_NOTE) {
        let mut notes = segment.notes(END, file).context("bad notes")?;
        while let Some(note) = notes.as_mut().map_or(Ok(None), |n| n.next())? {
            if note.n_type(END).0 == kind && note.name_bytes() == genesis::NOTE_NAME {
                let desc = note.desc();
                ensure!(desc.len() == bytes, "note {kind} has {} bytes", desc.len());
                let from = desc.as_ptr() as usize - file.as_ptr() as usize;
                return Ok(from..from + bytes);
            }
        }
    }
    anyhow::bail!("the kernel file has no note {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_note(notes: &mut Vec<u8>, kind: u32, desc: &[u8]) {
        let name = genesis::NOTE_NAME;
        for word in [name.len() as u32, desc.len() as u32, kind] {
            notes.extend(word.to_le_bytes());
        }
        for part in [name, desc] {
            notes.extend(part);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
    }

    /// A kernel of notes alone, called `std`.
    fn kernel() -> Vec<u8> {
        let mut notes = Vec::new();
        add_note(&mut notes, genesis::NOTE_KERNEL, &[1; 40]);
        add_note(
            &mut notes,
            genesis::NOTE_BUILD_ID,
            &[2; genesis::VARIANT_AT + 4],
        );
        add_note(
            &mut notes,
            genesis::NOTE_KERNEL_NAME,
            b"std\0\0\0\0\0\0\0\0\0\0\0\0\0",
        );
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        for half in [3u16, 62] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes());
        for word in [0u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 1, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let length = notes.len() as u64;
        for word in [PT_NOTE.0, 4] {
            file.extend(word.to_le_bytes());
        }
        for word in [120, 0, 0, length, length, 4] {
            file.extend(word.to_le_bytes());
        }
        file.extend(notes);
        file
    }

    fn part(file: &[u8], kind: u32, bytes: usize) -> &[u8] {
        &file[note(file, kind, bytes).unwrap()]
    }

    fn made() -> BTreeMap<String, Vec<u8>> {
        let built = ["kernel/std", FAULTY, "kernel/trace"];
        let mut files = built.map(|name| (name.to_owned(), kernel())).into();
        make(&mut files, b"foreign".to_vec()).unwrap();
        files
    }

    #[test]
    fn each_has_its_name_and_a_build_id_of_its_own() {
        let files = made();
        assert!(!files.contains_key(FAULTY));
        let mut ids = Vec::new();
        for name in FAULTS.iter().chain(&["t-format", "t-feature"]) {
            let file = &files[&format!("kernel/{name}")];
            let padded = part(file, genesis::NOTE_KERNEL_NAME, NAME_BYTES);
            assert_eq!(genesis::kernel_name(padded.try_into().unwrap()), *name);
            ids.push(part(file, genesis::NOTE_BUILD_ID, genesis::VARIANT_AT + 4).to_vec());
            assert_eq!(
                ids.last().unwrap()[..genesis::VARIANT_AT],
                [2; genesis::VARIANT_AT]
            );
        }
        let number = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), number);
        assert_eq!(files["kernel/std"], kernel(), "what it is made of stays");
    }

    #[test]
    fn those_to_be_refused_are_wrong_in_one_thing() {
        let files = made();
        let words = |name: &str| part(&files[name], genesis::NOTE_KERNEL, 40).to_vec();
        let mut format = [1; 40];
        format[8..12].copy_from_slice(&NO_FORMAT.to_le_bytes());
        format[12..16].copy_from_slice(&NO_FORMAT.to_le_bytes());
        assert_eq!(words("kernel/t-format"), format);
        let mut feature = [1; 40];
        feature[16..24].copy_from_slice(&NO_FEATURE.to_le_bytes());
        assert_eq!(words("kernel/t-feature"), feature);
        assert_eq!(words("kernel/t-panic"), [1; 40]);
        let short = &files["kernel/t-short"];
        assert!(short.len() < kernel().len() && kernel().starts_with(short));
        assert_eq!(files["kernel/t-isa"], b"foreign");
    }

    #[test]
    fn files_that_are_no_kernels_are_refused() {
        assert!(named(b"text", "t-x", |_| {}).is_err());
        let short = &kernel()[..100];
        assert!(named(short, "t-x", |_| {}).is_err());
        assert!(make(&mut BTreeMap::new(), Vec::new()).is_err());
    }
}

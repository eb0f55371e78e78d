//! ACPI tables instead of QEMU's own, with a damaged MADT: what a loader and a device manager must cope with.
//!
//! QEMU adds tables (`-acpitable`) but replaces none. A PC without ACPI (`acpi=off`) has none, and its firmware then takes
//! what files of the fw_cfg device say, as it takes QEMU's own from there: one with the root pointer, one with the other
//! tables, and one that says how to place and connect them. The latter is QEMU's `hw/acpi/bios-linker-loader.c`
//! format: commands of 128 bytes.

use crate::workspace::Scratch;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Bytes of a table's header (ACPI 6.5, 5.2.6).
const HEADER: usize = 36;
/// Files of the fw_cfg device.
const ROOT: &str = "etc/acpi/rsdp";
const TABLES: &str = "etc/acpi/tables";
const SCRIPT: &str = "etc/table-loader";

/// QEMU's words for a PC with `cores` cores whose MADT is damaged: `checksum` is wrong, `cut` ends in the middle of the
/// last core's entry, `length` is longer than memory, `entry` has a core's id twice and then an entry without a length,
/// `none` has no enabled core, `sound` has no damage.
pub fn words(what: &str, cores: u32, scratch: &Scratch) -> Result<Vec<String>> {
    let (tables, pointers) = tables(&damaged_madt(what, cores)?);
    let mut words: Vec<String> = ["-M", "acpi=off"].map(str::to_owned).into();
    for (name, bytes) in [
        (ROOT, root()),
        (TABLES, tables),
        (SCRIPT, script(&pointers)),
    ] {
        let path = scratch.file(&name.replace('/', "-"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        words.push("-fw_cfg".to_owned());
        words.push(option(name, &path));
    }
    Ok(words)
}

fn option(name: &str, path: &Path) -> String {
    format!("name={name},file={}", path.display())
}

fn header(signature: &[u8; 4], length: usize) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(
        u32::try_from(length)
            .expect("tables are small")
            .to_le_bytes(),
    );
    bytes.extend([1, 0]);
    bytes.extend(b"NEKTONTESTBED ");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"NKTN");
    bytes.extend(1u32.to_le_bytes());
    bytes
}

/// Sets the checksum.
fn seal(table: &mut [u8]) {
    table[9] = 0;
    table[9] = table.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
}

fn resize(table: &mut [u8], length: u32) {
    table[4..8].copy_from_slice(&length.to_le_bytes());
}

/// The entry of a core (type 0), whose last word is whether it is enabled.
fn core(id: u8) -> [u8; 8] {
    [0, 8, id, id, 1, 0, 0, 0]
}

/// A PC's: I/O APIC, where its interrupts go, then the cores.
fn madt(cores: &[[u8; 8]]) -> Vec<u8> {
    let mut table = header(b"APIC", 0);
    table.extend(0xfee0_0000u32.to_le_bytes());
    table.extend(1u32.to_le_bytes());
    table.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    // The timer's interrupt is the I/O APIC's second; those of PCI are level-triggered.
    for (source, global, flags) in [
        (0, 2, 0),
        (5, 5, 13),
        (9, 9, 13),
        (10, 10, 13),
        (11, 11, 13),
    ] {
        table.extend([2, 10, 0, source, global, 0, 0, 0, flags, 0]);
    }
    cores.iter().for_each(|entry| table.extend(entry));
    let length = u32::try_from(table.len()).expect("tables are small");
    resize(&mut table, length);
    seal(&mut table);
    table
}

fn damaged_madt(what: &str, cores: u32) -> Result<Vec<u8>> {
    let ids = u8::try_from(cores).context("that many cores need other entries")?;
    let mut entries: Vec<[u8; 8]> = (0..ids).map(core).collect();
    match what {
        "sound" => return Ok(madt(&entries)),
        "checksum" => {
            let mut table = madt(&entries);
            table[9] ^= 0x55;
            return Ok(table);
        }
        "cut" => {
            let mut table = madt(&entries);
            table.truncate(table.len() - 3);
            let length = u32::try_from(table.len()).expect("tables are small");
            resize(&mut table, length);
            seal(&mut table);
            return Ok(table);
        }
        "length" => {
            let mut table = madt(&entries);
            resize(&mut table, 0x7fff_fff0);
            seal(&mut table);
            return Ok(table);
        }
        "entry" if cores > 2 => {
            let last = entries.len() - 1;
            entries[last][1] = 0;
            entries.insert(1, core(0));
        }
        "none" => entries.iter_mut().for_each(|entry| entry[4] = 0),
        _ => bail!(
            "unknown damage {what:?} of a MADT: one of sound, checksum, cut, length, entry, none"
        ),
    }
    Ok(madt(&entries))
}

/// RSDT and MADT, and where in them the RSDT's pointer stands.
fn tables(madt: &[u8]) -> (Vec<u8>, [usize; 1]) {
    let mut bytes = header(b"RSDT", HEADER + 4);
    let at = bytes.len() + 4;
    bytes.extend(u32::try_from(at).expect("tables are small").to_le_bytes());
    bytes.extend(madt);
    (bytes, [HEADER])
}

/// A root pointer of ACPI 1.0, whose checksum and pointer firmware fills in.
fn root() -> Vec<u8> {
    let mut bytes = b"RSD PTR \0NEKTON\0".to_vec();
    bytes.extend(0u32.to_le_bytes());
    bytes
}

fn name(text: &str) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn command(number: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    parts.iter().for_each(|part| bytes.extend(*part));
    bytes.resize(128, 0);
    bytes
}

/// Places both files, adds their addresses to the pointers, and makes the sums right.
fn script(pointers: &[usize]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).expect("tables are small").to_le_bytes();
    // Alignment; 1 = anywhere high, 2 = where root pointers are looked for.
    let allocate = |file, align: usize, zone: u8| command(1, &[&name(file), &word(align), &[zone]]);
    let point = |file, at: usize| command(2, &[&name(file), &name(TABLES), &word(at), &[4]]);
    let sum = |file, at: usize, bytes: usize| {
        command(3, &[&name(file), &word(at), &word(0), &word(bytes)])
    };
    let mut script = allocate(TABLES, 64, 1);
    script.extend(allocate(ROOT, 16, 2));
    for at in pointers {
        script.extend(point(TABLES, *at));
    }
    script.extend(sum(TABLES, 9, HEADER + 4));
    script.extend(point(ROOT, 16));
    script.extend(sum(ROOT, 8, 20));
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, b| sum.wrapping_add(*b))
    }

    fn length(table: &[u8]) -> usize {
        u32::from_le_bytes(table[4..8].try_into().unwrap()) as usize
    }

    #[test]
    fn the_sound_table_is_sound_and_the_others_are_not() {
        let sound = damaged_madt("sound", 4).unwrap();
        assert_eq!((sum(&sound), length(&sound)), (0, sound.len()));
        assert_eq!(sound.len(), HEADER + 8 + 12 + 5 * 10 + 4 * 8);
        assert_ne!(sum(&damaged_madt("checksum", 4).unwrap()), 0);
        let cut = damaged_madt("cut", 4).unwrap();
        assert_eq!((sum(&cut), cut.len()), (0, sound.len() - 3));
        assert!(length(&damaged_madt("length", 4).unwrap()) > 1 << 30);
        let entry = damaged_madt("entry", 4).unwrap();
        assert_eq!((sum(&entry), entry[entry.len() - 7]), (0, 0));
        let none = damaged_madt("none", 4).unwrap();
        assert_eq!(sum(&none), 0);
        assert!(damaged_madt("nonsense", 4).is_err());
    }

    #[test]
    fn files_are_placed_by_commands_of_128_bytes() {
        let (tables, pointers) = tables(&madt(&[core(0)]));
        assert_eq!(&tables[40..44], b"APIC");
        assert_eq!(tables[pointers[0]], 40);
        let script = script(&pointers);
        assert_eq!(script.len(), 6 * 128);
        assert_eq!((script[0], script[128], script[256]), (1, 1, 2));
        assert_eq!(root().len(), 20);
    }
}

//! From the root pointer to the tables.

use super::Reader;
use super::bytes::{HEADER, sum, word};
use crate::problem::Problems;
use alloc::format;
use alloc::vec::Vec;

/// Largest table that is read.
const MAX_TABLE: u64 = 1 << 20;
/// Most tables that are looked at.
const MAX_TABLES: usize = 256;

/// The tables that we read, whole and with the right checksum.
#[derive(Default)]
pub struct Tables {
    pub madt: Option<Vec<u8>>,
    pub srat: Option<Vec<u8>>,
    pub slit: Option<Vec<u8>>,
    pub mcfg: Option<Vec<u8>>,
}

impl Tables {
    /// Follows the pointers from the RSDP at `rsdp`.
    pub fn read(rsdp: u64, read: Reader<'_>, problems: &mut Problems) -> Self {
        let mut tables = Self::default();
        let Some((name, list, size)) = root_table(rsdp, read, problems) else {
            return tables;
        };
        let mut seen: Vec<u64> = Vec::new();
        let pointers = list[HEADER..].chunks_exact(size);
        if !pointers.remainder().is_empty() {
            let why = format!("{} is no whole number of entries", list.len());
            problems.note(name, "length", why);
        }
        if pointers.len() > MAX_TABLES {
            let why = format!("{} entries: only {MAX_TABLES} are read", pointers.len());
            problems.note(name, "length", why);
        }
        for (number, pointer) in pointers.take(MAX_TABLES).enumerate() {
            let at = word(pointer, 0, size);
            let field = format!("entry {number}");
            if at == 0 {
                problems.note(name, field, "it is zero");
            } else if seen.contains(&at) {
                let why = format!("it points to {at:#x}, as an entry before does");
                problems.note(name, field, why);
            } else {
                seen.push(at);
                tables.take(at, name, &field, read, problems);
            }
        }
        if tables.madt.is_none() {
            problems.note(name, "entries", "none leads to a usable MADT");
        }
        tables
    }

    /// Reads the table at `at` if it is one of ours.
    fn take(
        &mut self,
        at: u64,
        root: &'static str,
        field: &str,
        read: Reader<'_>,
        problems: &mut Problems,
    ) {
        let Some(head) = get(read, at, HEADER as u64) else {
            let why = format!("the table at {at:#x} cannot be read");
            problems.note(root, field, why);
            return;
        };
        let (name, place) = match &head[..4] {
            b"APIC" => ("MADT", &mut self.madt),
            b"SRAT" => ("SRAT", &mut self.srat),
            b"SLIT" => ("SLIT", &mut self.slit),
            b"MCFG" => ("MCFG", &mut self.mcfg),
            b"RSDT" | b"XSDT" => {
                let why = format!("it points back to a root table at {at:#x}");
                problems.note(root, field, why);
                return;
            }
            _ => return,
        };
        if place.is_some() {
            let why = format!("there is a second one at {at:#x}: the first is used");
            problems.note(name, "signature", why);
            return;
        }
        *place = whole(name, at, &head, read, problems);
    }
}

fn get(read: Reader<'_>, at: u64, bytes: u64) -> Option<Vec<u8>> {
    read(at, bytes).filter(|b| b.len() as u64 == bytes)
}

/// All of the table at `at`, whose header is `head`.
fn whole(
    name: &'static str,
    at: u64,
    head: &[u8],
    read: Reader<'_>,
    problems: &mut Problems,
) -> Option<Vec<u8>> {
    let len = word(head, 4, 4);
    if len < HEADER as u64 || len > MAX_TABLE {
        problems.note(name, "length", format!("{len} (table at {at:#x})"));
        return None;
    }
    let Some(table) = get(read, at, len) else {
        let why = format!("{len}, but not all of it can be read (table at {at:#x})");
        problems.note(name, "length", why);
        return None;
    };
    if sum(&table) != 0 {
        let why = format!("the sum is {:#x}, not 0 (table at {at:#x})", sum(&table));
        problems.note(name, "checksum", why);
        return None;
    }
    Some(table)
}

/// Name, contents and bytes per entry of XSDT or RSDT.
fn root_table(
    rsdp: u64,
    read: Reader<'_>,
    problems: &mut Problems,
) -> Option<(&'static str, Vec<u8>, usize)> {
    let Some(root) = get(read, rsdp, 20) else {
        let why = format!("memory at {rsdp:#x} cannot be read");
        problems.note("RSDP", "address", why);
        return None;
    };
    if &root[..8] != b"RSD PTR " {
        let why = format!("no root pointer is at {rsdp:#x}");
        problems.note("RSDP", "signature", why);
        return None;
    }
    if sum(&root) != 0 {
        let why = format!("the sum is {:#x}, not 0", sum(&root));
        problems.note("RSDP", "checksum", why);
        return None;
    }
    let xsdt = (root[15] >= 2)
        .then(|| extended(rsdp, read, problems))
        .flatten();
    if let Some(at) = xsdt
        && let Some(list) = list("XSDT", at, read, problems)
    {
        return Some(("XSDT", list, 8));
    }
    let at = word(&root, 16, 4);
    let list = list("RSDT", at, read, problems)?;
    Some(("RSDT", list, 4))
}

/// The XSDT that a root pointer of revision 2 names.
fn extended(rsdp: u64, read: Reader<'_>, problems: &mut Problems) -> Option<u64> {
    let whole = get(read, rsdp, 36);
    let Some(root) = whole.filter(|r| sum(r) == 0) else {
        problems.note("RSDP", "extended checksum", "wrong: the RSDT is used");
        return None;
    };
    let xsdt = word(&root, 24, 8);
    if xsdt == 0 {
        problems.note("RSDP", "XSDT address", "zero: the RSDT is used");
        return None;
    }
    Some(xsdt)
}

fn list(name: &'static str, at: u64, read: Reader<'_>, problems: &mut Problems) -> Option<Vec<u8>> {
    let Some(head) = get(read, at, HEADER as u64) else {
        let why = format!("memory at {at:#x} cannot be read");
        problems.note(name, "address", why);
        return None;
    };
    if &head[..4] != name.as_bytes() {
        let why = format!("there is another table at {at:#x}");
        problems.note(name, "signature", why);
        return None;
    }
    whole(name, at, &head, read, problems)
}

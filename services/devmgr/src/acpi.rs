//! Cores from ACPI: RSDP, RSDT or XSDT, MADT (cores), SRAT (their nodes).
//!
//! Source: ACPI Specification 6.5, 5.2.5 (RSDP), 5.2.7–5.2.8 (RSDT, XSDT), 5.2.12
//! (MADT), 5.2.16 (SRAT). Own few lines: the crate that reads MADT needs AML to
//! compile, and its SRAT reader is broken.

use alloc::vec::Vec;
use core::fmt;

use crate::{CoreDescription, Interrupts, MachineDescription, NodeMemory};

/// Largest table that is read.
const MAX_TABLE: u64 = 1 << 20;
const HEADER: usize = 36;

/// Why the tables cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcpiError {
    /// Memory at this address cannot be read.
    Unreadable(u64),
    /// No RSDP with the right signature and checksum is at this address.
    NoRsdp(u64),
    /// The table at this address is malformed (length or checksum).
    BadTable(u64),
    /// There is no table with this signature.
    Missing(&'static str),
    /// The MADT lists no usable core.
    NoCores,
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(at) => write!(f, "the firmware table at {at:#x} cannot be read"),
            Self::NoRsdp(at) => write!(f, "no ACPI root pointer is at {at:#x}"),
            Self::BadTable(at) => write!(f, "the ACPI table at {at:#x} is malformed"),
            Self::Missing(name) => write!(f, "the firmware has no ACPI table {name}"),
            Self::NoCores => f.write_str("the ACPI table APIC lists no usable core"),
        }
    }
}

/// Reads physical memory: (address, bytes) to contents.
pub type Reader<'a> = &'a mut dyn FnMut(u64, u64) -> Option<Vec<u8>>;

fn word(b: &[u8], at: usize, bytes: usize) -> u64 {
    let field = b.get(at..at + bytes).unwrap_or(&[]);
    field.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b))
}

fn sum(b: &[u8]) -> u8 {
    b.iter().fold(0, |s, b| s.wrapping_add(*b))
}

fn get(read: Reader<'_>, at: u64, bytes: u64) -> Result<Vec<u8>, AcpiError> {
    match read(at, bytes) {
        Some(b) if b.len() as u64 == bytes => Ok(b),
        _ => Err(AcpiError::Unreadable(at)),
    }
}

/// A whole table, its length and checksum verified.
fn table(read: Reader<'_>, at: u64) -> Result<Vec<u8>, AcpiError> {
    let head = get(read, at, HEADER as u64)?;
    let len = word(&head, 4, 4);
    if len < HEADER as u64 || len > MAX_TABLE {
        return Err(AcpiError::BadTable(at));
    }
    let whole = get(read, at, len)?;
    if sum(&whole) != 0 {
        return Err(AcpiError::BadTable(at));
    }
    Ok(whole)
}

/// Addresses of all tables.
fn tables(read: Reader<'_>, rsdp: u64) -> Result<Vec<u64>, AcpiError> {
    let root = get(read, rsdp, 20)?;
    if &root[..8] != b"RSD PTR " || sum(&root) != 0 {
        return Err(AcpiError::NoRsdp(rsdp));
    }
    let mut pointer = (word(&root, 16, 4), 4);
    if root[15] >= 2 {
        let root = get(read, rsdp, 36)?;
        let xsdt = word(&root, 24, 8);
        if sum(&root) == 0 && xsdt != 0 {
            pointer = (xsdt, 8);
        }
    }
    let (at, size) = pointer;
    let list = table(read, at)?;
    let entries = list[HEADER..].chunks_exact(size);
    Ok(entries.map(|e| word(e, 0, size)).collect())
}

/// The sub-structures of MADT and SRAT: (type, bytes), as long as they are whole.
fn entries(table: &[u8], first: usize) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = table.get(first..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let len = usize::from(*rest.get(1)?);
        if len < 2 || len > rest.len() {
            return None;
        }
        let (entry, after) = rest.split_at(len);
        rest = after;
        Some((entry[0], entry))
    })
}

/// Reads the cores of the machine whose RSDP stands at `rsdp`.
///
/// # Errors
/// See [`AcpiError`]. A missing SRAT is none: every core is on node 0 then.
pub fn describe(rsdp: u64, read: Reader<'_>) -> Result<MachineDescription, AcpiError> {
    let (mut madt, mut srat) = (None, None);
    for at in tables(read, rsdp)? {
        let head = get(read, at, HEADER as u64)?;
        match &head[..4] {
            b"APIC" => madt = Some(table(read, at)?),
            b"SRAT" => srat = Some(table(read, at)?),
            _ => {}
        }
    }
    let madt = madt.ok_or(AcpiError::Missing("APIC"))?;
    let mut local = word(&madt, HEADER, 4);
    let mut cores = Vec::new();
    for (kind, e) in entries(&madt, HEADER + 8) {
        // 0: local APIC (id at 3, flags at 4); 9: local x2APIC (id at 4, flags at 8);
        // 5: address override (at 4). Flag bit 0: enabled.
        let found = match kind {
            0 if e.len() >= 8 => Some((word(e, 3, 1), word(e, 4, 4))),
            9 if e.len() >= 16 => Some((word(e, 4, 4), word(e, 8, 4))),
            5 if e.len() >= 12 => {
                local = word(e, 4, 8);
                None
            }
            _ => None,
        };
        if let Some((hw_id, flags)) = found {
            let known = cores.iter().any(|c: &CoreDescription| c.hw_id == hw_id);
            if flags & 1 != 0 && !known {
                cores.push(CoreDescription {
                    hw_id,
                    node: node_of(srat.as_deref(), hw_id),
                    capacity: 1024,
                });
            }
        }
    }
    if cores.is_empty() {
        return Err(AcpiError::NoCores);
    }
    Ok(MachineDescription {
        cores,
        interrupts: Interrupts::Apic { local },
        memory: memory_of(srat.as_deref()),
        psci_conduit: 0,
    })
}

/// Memory by proximity domain. Type 1: domain at 2, base at 8, length at 16, flags at 28.
fn memory_of(srat: Option<&[u8]>) -> Vec<NodeMemory> {
    let all = entries(srat.unwrap_or(&[]), HEADER + 12);
    let memory = all.filter(|(kind, e)| *kind == 1 && e.len() >= 40 && word(e, 28, 4) & 1 != 0);
    let described = memory.map(|(_, e)| NodeMemory {
        base: word(e, 8, 8),
        bytes: word(e, 16, 8),
        node: word(e, 2, 4) as u32,
    });
    described.collect()
}

/// The proximity domain of a core.
fn node_of(srat: Option<&[u8]>, hw_id: u64) -> u32 {
    for (kind, e) in entries(srat.unwrap_or(&[]), HEADER + 12) {
        // 0: local APIC affinity (domain low at 2, id at 3, flags at 4, domain high at 9);
        // 2: local x2APIC affinity (domain at 4, id at 8, flags at 12).
        let (id, domain, flags) = match kind {
            0 if e.len() >= 16 => (
                word(e, 3, 1),
                word(e, 2, 1) | word(e, 9, 3) << 8,
                word(e, 4, 4),
            ),
            2 if e.len() >= 24 => (word(e, 8, 4), word(e, 4, 4), word(e, 12, 4)),
            _ => continue,
        };
        if id == hw_id && flags & 1 != 0 {
            return domain as u32;
        }
    }
    0
}

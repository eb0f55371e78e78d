//! Physical memory, and what firmware left in it on two boards.

use std::vec::Vec;

/// What QEMU's firmware left on `qemu-x86-numa8`: per table its address and length (8 bytes each,
/// little-endian) and its bytes; the first is the RSDP.
pub const NUMA8: &[u8] = include_bytes!("../../../boards/qemu-x86-numa8/tables.acpi");
/// The device tree of `qemu-arm-big-little`, as QEMU hands it over.
pub const BIG_LITTLE: &[u8] = include_bytes!("../../../boards/qemu-arm-big-little/tree.dtb");

/// Pieces of physical memory.
#[derive(Clone)]
pub struct Memory(pub Vec<(u64, Vec<u8>)>);

impl Memory {
    /// The pieces of a file like [`NUMA8`].
    pub fn of(mut file: &[u8]) -> Self {
        let mut pieces = Vec::new();
        while let Some((head, rest)) = file.split_at_checked(16) {
            let word = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("8 bytes"));
            let (bytes, rest) = rest.split_at(word(8) as usize);
            pieces.push((word(0), bytes.to_vec()));
            file = rest;
        }
        Self(pieces)
    }

    /// Address of the first piece.
    pub fn first(&self) -> u64 {
        self.0[0].0
    }

    /// Bytes in one of the pieces.
    pub fn read(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        self.0.iter().find_map(|(base, bytes)| {
            let from = usize::try_from(at.checked_sub(*base)?).ok()?;
            let to = from.checked_add(usize::try_from(len).ok()?)?;
            Some(bytes.get(from..to)?.to_vec())
        })
    }

    /// The table with this signature.
    pub fn table(&mut self, name: &[u8; 4]) -> &mut Vec<u8> {
        let mut tables = self.0.iter_mut().map(|(_, bytes)| bytes);
        tables.find(|t| t.starts_with(name)).expect("has it")
    }

    /// Makes length and checksum of a table right.
    pub fn repair(&mut self, name: &[u8; 4]) {
        let table = self.table(name);
        let len = table.len() as u32;
        table[4..8].copy_from_slice(&len.to_le_bytes());
        table[9] = 0;
        table[9] = table.iter().fold(0u8, |s, b| s.wrapping_sub(*b));
    }

    /// What the tables say.
    pub fn acpi(&self) -> crate::acpi::Acpi {
        crate::acpi::read(self.first(), &mut |at, len| self.read(at, len))
    }
}

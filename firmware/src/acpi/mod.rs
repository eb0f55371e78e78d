//! ACPI tables.
//!
//! Source: ACPI Specification 6.5, 5.2.5 (RSDP), 5.2.7 and 5.2.8 (RSDT, XSDT), 5.2.12 (MADT),
//! 5.2.16 (SRAT), 5.2.17 (SLIT); PCI Firmware Specification 3.3, 4.1.2 (MCFG). Own few lines: the
//! `acpi` crate needs AML to compile and `unsafe` to be used, and its SRAT and SLIT readers do not
//! end on sound tables.

mod bytes;
mod madt;
mod mcfg;
mod root;
mod slit;
mod srat;

pub use madt::{IoApic, Madt, MadtCore, Override};
pub use mcfg::Segment;
pub use slit::{Slit, UNREACHABLE};
pub use srat::{MemoryRange, Srat};

use crate::problem::Problems;
use crate::{Problem, acpi::root::Tables};
use alloc::vec::Vec;

/// Reads physical memory: (address, bytes) to contents.
pub type Reader<'a> = &'a mut dyn FnMut(u64, u64) -> Option<Vec<u8>>;

/// What the tables say.
#[derive(Clone, Default, Debug)]
pub struct Acpi {
    /// Cores and interrupt controllers.
    pub madt: Option<Madt>,
    /// Which cores and which memory belong together.
    pub srat: Option<Srat>,
    /// How far apart such groups are.
    pub slit: Option<Slit>,
    /// Where PCI configuration space is; empty without the table.
    pub mcfg: Vec<Segment>,
    /// What was malformed.
    pub problems: Vec<Problem>,
}

/// Reads the tables of the machine whose RSDP stands at `rsdp`.
#[must_use]
pub fn read(rsdp: u64, read: Reader<'_>) -> Acpi {
    let mut problems = Problems::default();
    let tables = Tables::read(rsdp, read, &mut problems);
    let mut acpi = Acpi {
        madt: tables.madt.map(|t| madt::read(&t, &mut problems)),
        srat: tables.srat.map(|t| srat::read(&t, &mut problems)),
        slit: tables.slit.and_then(|t| slit::read(&t, &mut problems)),
        mcfg: tables
            .mcfg
            .map_or(Vec::new(), |t| mcfg::read(&t, &mut problems)),
        problems: Vec::new(),
    };
    acpi.problems = problems.list;
    acpi
}

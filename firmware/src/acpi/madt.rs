//! MADT: cores and interrupt controllers.

use super::bytes::{HEADER, entries, word};
use crate::problem::Problems;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// A core that firmware lists and has enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MadtCore {
    /// APIC id.
    pub hw_id: u32,
    /// Number of its object in AML.
    pub uid: u32,
}

/// An I/O APIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// First global interrupt that it has.
    pub first: u32,
}

/// Where an ISA interrupt really goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Override {
    /// ISA interrupt.
    pub source: u8,
    /// Global interrupt.
    pub global: u32,
    /// Polarity (bits 1:0) and trigger mode (bits 3:2).
    pub flags: u16,
}

/// What the table says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Madt {
    /// Physical address of every core's own APIC.
    pub local_apic: u64,
    /// Enabled cores, in firmware's order, each once.
    pub cores: Vec<MadtCore>,
    /// I/O APICs, no two with the same id, address or first interrupt.
    pub io_apics: Vec<IoApic>,
    /// Overrides.
    pub overrides: Vec<Override>,
}

const NAME: &str = "MADT";

pub fn read(table: &[u8], problems: &mut Problems) -> Madt {
    if table.len() < HEADER + 8 {
        let why = format!("{} is less than {}", table.len(), HEADER + 8);
        problems.note(NAME, "length", why);
    }
    let mut madt = Madt {
        local_apic: word(table, HEADER, 4),
        ..Madt::default()
    };
    let mut seen = BTreeSet::new();
    for entry in entries(table, HEADER + 8, NAME, problems) {
        let e = entry.bytes;
        // 0: local APIC; 1: I/O APIC; 2: interrupt source override; 5: local APIC address
        // override; 9: local x2APIC.
        let core = match entry.kind {
            0 if entry.has(8, NAME, problems) => (word(e, 3, 1), word(e, 2, 1), word(e, 4, 4)),
            9 if entry.has(16, NAME, problems) => (word(e, 4, 4), word(e, 12, 4), word(e, 8, 4)),
            1 if entry.has(12, NAME, problems) => {
                let io_apic = IoApic {
                    id: e[2],
                    address: word(e, 4, 4),
                    first: word(e, 8, 4) as u32,
                };
                madt.take_io_apic(io_apic, entry.number, problems);
                continue;
            }
            2 if entry.has(10, NAME, problems) => {
                madt.overrides.push(Override {
                    source: e[3],
                    global: word(e, 4, 4) as u32,
                    flags: word(e, 8, 2) as u16,
                });
                continue;
            }
            5 if entry.has(12, NAME, problems) => {
                madt.local_apic = word(e, 4, 8);
                continue;
            }
            _ => continue,
        };
        let (hw_id, uid, flags) = core;
        if flags & 1 == 0 {
            continue;
        }
        if !seen.insert(hw_id) {
            let field = format!("APIC id of entry {}", entry.number);
            let why = format!("{hw_id:#x} is listed before: left out");
            problems.note(NAME, field, why);
            continue;
        }
        madt.cores.push(MadtCore {
            hw_id: hw_id as u32,
            uid: uid as u32,
        });
    }
    if madt.cores.is_empty() {
        problems.note(NAME, "local APIC entries", "none is enabled");
    }
    madt
}

impl Madt {
    fn take_io_apic(&mut self, new: IoApic, number: usize, problems: &mut Problems) {
        let mut note = |what: &str, value: u64| {
            let why = format!("{value:#x} is another I/O APIC's, too: left out");
            problems.note(NAME, format!("I/O APIC {what} of entry {number}"), why);
        };
        if self.io_apics.iter().any(|a| a.id == new.id) {
            note("id", new.id.into());
        } else if self.io_apics.iter().any(|a| a.address == new.address) {
            note("address", new.address);
        } else if self.io_apics.iter().any(|a| a.first == new.first) {
            note("first interrupt", new.first.into());
        } else {
            self.io_apics.push(new);
        }
    }
}

//! SRAT: which cores and which memory belong to which proximity domain.

use super::bytes::{HEADER, entries, word};
use crate::problem::Problems;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// Memory of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRange {
    /// First byte.
    pub base: u64,
    /// Bytes, more than 0; the range does not wrap around.
    pub bytes: u64,
    /// Proximity domain.
    pub domain: u32,
}

/// What the table says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Srat {
    /// APIC id to proximity domain.
    pub cores: BTreeMap<u32, u32>,
    /// Ranges, none of which overlaps another.
    pub memory: Vec<MemoryRange>,
}

const NAME: &str = "SRAT";

pub fn read(table: &[u8], problems: &mut Problems) -> Srat {
    let mut srat = Srat::default();
    if table.len() < HEADER + 12 {
        let why = format!("{} is less than {}", table.len(), HEADER + 12);
        problems.note(NAME, "length", why);
    }
    for entry in entries(table, HEADER + 12, NAME, problems) {
        let e = entry.bytes;
        // 0: local APIC affinity; 1: memory affinity; 2: local x2APIC affinity.
        match entry.kind {
            0 if entry.has(16, NAME, problems) && word(e, 4, 4) & 1 != 0 => {
                let domain = word(e, 2, 1) | word(e, 9, 3) << 8;
                srat.take_core(word(e, 3, 1), domain, entry.number, problems);
            }
            2 if entry.has(24, NAME, problems) && word(e, 12, 4) & 1 != 0 => {
                srat.take_core(word(e, 8, 4), word(e, 4, 4), entry.number, problems);
            }
            1 if entry.has(40, NAME, problems) && word(e, 28, 4) & 1 != 0 => {
                let range = MemoryRange {
                    base: word(e, 8, 8),
                    bytes: word(e, 16, 8),
                    domain: word(e, 2, 4) as u32,
                };
                srat.take_memory(range, entry.number, problems);
            }
            _ => {}
        }
    }
    srat
}

impl Srat {
    fn take_core(&mut self, hw_id: u64, domain: u64, number: usize, problems: &mut Problems) {
        let (hw_id, domain) = (hw_id as u32, domain as u32);
        let before = *self.cores.entry(hw_id).or_insert(domain);
        if before != domain {
            let why = format!("{domain} for APIC id {hw_id:#x}, which is on {before}: left out");
            problems.note(NAME, format!("proximity domain of entry {number}"), why);
        }
    }

    fn take_memory(&mut self, range: MemoryRange, number: usize, problems: &mut Problems) {
        let MemoryRange {
            base,
            bytes,
            domain,
        } = range;
        let Some(end) = base.checked_add(bytes).filter(|end| *end > base) else {
            let why = format!("{bytes:#x} bytes from {base:#x} on are no range: left out");
            problems.note(NAME, format!("length of memory in entry {number}"), why);
            return;
        };
        let overlaps =
            |r: &&MemoryRange| r.domain != domain && base < r.base + r.bytes && r.base < end;
        if let Some(other) = self.memory.iter().find(overlaps) {
            let why = format!(
                "{base:#x}..{end:#x} overlaps memory of domain {}: left out",
                other.domain
            );
            problems.note(NAME, format!("base address of entry {number}"), why);
            return;
        }
        // What is left overlaps no memory but of the same domain.
        let mut before: Vec<MemoryRange> = self.memory.clone();
        before.retain(|r| base < r.base + r.bytes && r.base < end);
        before.sort_unstable_by_key(|r| r.base);
        if let Some(first) = before.first() {
            let why = format!(
                "{base:#x}..{end:#x} overlaps {:#x}..{:#x} of the same domain: counted once",
                first.base,
                first.base + first.bytes
            );
            problems.note(NAME, format!("base address of entry {number}"), why);
        }
        let mut from = base;
        for r in before {
            self.push(from, r.base, domain);
            from = from.max(r.base + r.bytes);
        }
        self.push(from, end, domain);
    }

    /// Memory from `from` to `to`, if there is any between them.
    fn push(&mut self, from: u64, to: u64, domain: u32) {
        if from < to {
            self.memory.push(MemoryRange {
                base: from,
                bytes: to - from,
                domain,
            });
        }
    }
}

//! MCFG: where the configuration space of PCI segments is mapped.

use super::bytes::{HEADER, word};
use crate::problem::Problems;
use alloc::format;
use alloc::vec::Vec;

/// A range of buses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Physical address of what bus 0 has or would have.
    pub base: u64,
    /// Segment group.
    pub group: u16,
    /// First bus.
    pub first: u8,
    /// Last bus.
    pub last: u8,
}

impl Segment {
    fn shares_buses(&self, other: &Self) -> bool {
        self.group == other.group && self.first <= other.last && other.first <= self.last
    }
}

pub fn read(table: &[u8], problems: &mut Problems) -> Vec<Segment> {
    const NAME: &str = "MCFG";
    let mut segments: Vec<Segment> = Vec::new();
    let entries = table.get(HEADER + 8..).unwrap_or(&[]).chunks_exact(16);
    if !entries.remainder().is_empty() || table.len() < HEADER + 8 {
        let why = format!("{} is no whole number of entries", table.len());
        problems.note(NAME, "length", why);
    }
    for (number, e) in entries.enumerate() {
        let segment = Segment {
            base: word(e, 0, 8),
            group: word(e, 8, 2) as u16,
            first: e[10],
            last: e[11],
        };
        // A bus takes 1 MiB.
        if segment.base == 0 || !segment.base.is_multiple_of(1 << 20) {
            let why = format!("{:#x} is no address of buses: left out", segment.base);
            problems.note(NAME, format!("base address of entry {number}"), why);
        } else if segment.first > segment.last {
            let why = format!("{} to {}: left out", segment.first, segment.last);
            problems.note(NAME, format!("bus numbers of entry {number}"), why);
        } else if let Some(other) = segments.iter().find(|s| s.shares_buses(&segment)) {
            let why = format!(
                "{} to {} of group {} overlap {} to {} of an entry before: left out",
                segment.first, segment.last, segment.group, other.first, other.last
            );
            problems.note(NAME, format!("bus numbers of entry {number}"), why);
        } else {
            segments.push(segment);
        }
    }
    segments
}

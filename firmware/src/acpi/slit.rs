//! SLIT: relative distances between proximity domains.

use super::bytes::{HEADER, word};
use crate::problem::Problems;
use alloc::format;
use alloc::vec::Vec;

/// Distance of a domain to itself.
const LOCAL: u8 = 10;
/// One cannot be reached from the other.
pub const UNREACHABLE: u8 = 255;

/// What the table says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slit {
    /// Number of domains.
    pub domains: usize,
    /// Row by row; `None` where the table is wrong.
    distances: Vec<Option<u8>>,
}

impl Slit {
    /// From one domain to another: 10 is local, [`UNREACHABLE`] never; `None` if the table does
    /// not say.
    #[must_use]
    pub fn distance(&self, from: u32, to: u32) -> Option<u8> {
        let (from, to) = (from as usize, to as usize);
        if from >= self.domains || to >= self.domains {
            return None;
        }
        self.distances[from * self.domains + to]
    }
}

pub fn read(table: &[u8], problems: &mut Problems) -> Option<Slit> {
    const NAME: &str = "SLIT";
    let domains = word(table, HEADER, 8);
    let matrix = table.get(HEADER + 8..).unwrap_or(&[]);
    let entries = domains.checked_mul(domains).filter(|n| *n > 0);
    let Some(matrix) = entries.and_then(|n| matrix.get(..usize::try_from(n).ok()?)) else {
        let why = format!("{domains} do not fit a table of {} bytes", table.len());
        problems.note(NAME, "number of localities", why);
        return None;
    };
    let domains = domains as usize;
    let mut distances = Vec::new();
    for (i, distance) in matrix.iter().enumerate() {
        let (from, to) = (i / domains, i % domains);
        let sound = if from == to {
            *distance == LOCAL
        } else {
            *distance >= LOCAL
        };
        if !sound {
            let field = format!("distance from {from} to {to}");
            let why = match from == to {
                true => format!("{distance}, but {LOCAL} is local: left out"),
                false => format!("{distance}, less than {LOCAL}: left out"),
            };
            problems.note(NAME, field, why);
        }
        distances.push(sound.then_some(*distance));
    }
    Some(Slit { domains, distances })
}

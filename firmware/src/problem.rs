//! What is wrong with a table.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Something malformed: it was left out, and the rest was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The table (`SRAT`, `device tree`).
    pub table: &'static str,
    /// The field: its name, and of which entry or node.
    pub field: String,
    /// What is wrong with it, and what was done.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.table, self.field, self.why)
    }
}

/// More than these are not kept: a table of rubbish has thousands.
const MOST: usize = 64;

/// The problems of one reading.
#[derive(Default, Debug)]
pub(crate) struct Problems {
    pub list: Vec<Problem>,
}

impl Problems {
    /// Notes one.
    pub fn note(&mut self, table: &'static str, field: impl Into<String>, why: impl Into<String>) {
        if self.list.len() < MOST {
            self.list.push(Problem {
                table,
                field: field.into(),
                why: why.into(),
            });
        }
    }
}

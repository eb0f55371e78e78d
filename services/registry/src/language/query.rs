//! Questions: a pattern for names, and tests that every record found passes.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Pattern, Record, Value};

/// Most tests of a query.
pub const MAX_TESTS: usize = 16;
/// Most tests of a query by pattern: they cost most.
pub const MAX_PATTERN_TESTS: usize = 4;

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// The same kind and value.
    Equal,
    /// Another value or kind; the attribute is there.
    Unequal,
    /// Less, of the same kind.
    Less,
    /// Less or equal.
    AtMost,
    /// Greater, of the same kind.
    Greater,
    /// Greater or equal.
    AtLeast,
}

impl Compare {
    fn holds(self, found: &Value, wanted: &Value) -> bool {
        let order = match (found, wanted) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) | (Value::Symbol(a), Value::Symbol(b)) => a.cmp(b),
            _ => return self == Compare::Unequal,
        };
        match self {
            Compare::Equal => order == Ordering::Equal,
            Compare::Unequal => order != Ordering::Equal,
            Compare::Less => order == Ordering::Less,
            Compare::AtMost => order != Ordering::Greater,
            Compare::Greater => order == Ordering::Greater,
            Compare::AtLeast => order != Ordering::Less,
        }
    }
}

/// What an attribute must be. A record without the attribute passes no test of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Test {
    /// It is there.
    There(String),
    /// It compares so with this value.
    Is(String, Compare, Value),
    /// It is a text or symbol of this form.
    Fits(String, Pattern),
}

impl Test {
    /// Whether a record passes.
    #[must_use]
    pub fn passes(&self, record: &Record) -> bool {
        match self {
            Test::There(name) => record.attributes.contains_key(name),
            Test::Is(name, compare, wanted) => record
                .attributes
                .get(name)
                .is_some_and(|found| compare.holds(found, wanted)),
            Test::Fits(name, pattern) => match record.attributes.get(name) {
                Some(Value::Text(t) | Value::Symbol(t)) => pattern.is_match(t),
                Some(Value::Integer(_)) | None => false,
            },
        }
    }
}

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// What the name is like.
    pub names: Pattern,
    /// Tests, all of which a record must pass.
    pub tests: Vec<Test>,
}

impl Query {
    /// Whether a record is meant.
    #[must_use]
    pub fn is_match(&self, record: &Record) -> bool {
        self.names.is_match(&record.name) && self.tests.iter().all(|t| t.passes(record))
    }
}

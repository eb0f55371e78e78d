//! Values and records.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

/// Most bytes of a name: of a record, an attribute, a symbol, a lock.
pub const MAX_NAME: usize = 64;
/// Most bytes of a text.
pub const MAX_TEXT: usize = 256;
/// Most attributes of a record.
pub const MAX_ATTRIBUTES: usize = 32;
/// Most bytes of a record as text. A record, its attributes and what goes with it fit a message.
pub const MAX_RECORD: usize = 2048;

/// What an attribute says. Values of different kinds are never equal, less or greater.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// Any text: `"a b"`.
    Text(String),
    /// A word: `running`.
    Symbol(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(i) => write!(f, "{i}"),
            Value::Symbol(s) => f.write_str(s),
            Value::Text(t) => {
                f.write_str("\"")?;
                for c in t.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        '\n' => f.write_str("\\n")?,
                        '\t' => f.write_str("\\t")?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
        }
    }
}

/// A name and what is said of it, in the order of the attributes' names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Values by attribute.
    pub attributes: BTreeMap<String, Value>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (i, (name, value)) in self.attributes.iter().enumerate() {
            let before = if i == 0 { " { " } else { ", " };
            write!(f, "{before}{name}: {value}")?;
        }
        if !self.attributes.is_empty() {
            f.write_str(" }")?;
        }
        Ok(())
    }
}

/// Whether a character may stand in a name.
#[must_use]
pub fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')
}

/// Whether a character may begin a name.
#[must_use]
pub fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

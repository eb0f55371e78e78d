//! What can be wrong, and where.

use alloc::string::String;
use core::fmt;

/// A place in a text; both counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Text that is no program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// Where it stops to be one.
    pub at: Place,
    /// What could have stood there.
    pub expected: &'static str,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            expected,
            found,
        } = self;
        write!(f, "{at}: expected {expected}, found {found}")
    }
}

/// Why a text, a change or a question is refused. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// It is no program.
    Syntax(SyntaxError),
    /// It is one that has no meaning; the sentence names what and why.
    Meaning(Place, String),
    /// A fact does not fit; the sentence names it.
    Fact(String),
    /// Deriving what follows takes more steps than [`super::Limits`] allow; the rule that
    /// took the last one.
    Steps(u64, String),
    /// What follows takes more memory than [`super::Limits`] allow; the rule that took the last
    /// bytes.
    Bytes(usize, String),
}

impl From<SyntaxError> for Error {
    fn from(e: SyntaxError) -> Self {
        Self::Syntax(e)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(e) => e.fmt(f),
            Self::Meaning(at, what) => write!(f, "{at}: {what}"),
            Self::Fact(what) => f.write_str(what),
            Self::Steps(limit, rule) => {
                write!(
                    f,
                    "{rule} takes more than the {limit} steps that are allowed"
                )
            }
            Self::Bytes(limit, rule) => {
                write!(
                    f,
                    "{rule} needs more than the {limit} bytes that are allowed"
                )
            }
        }
    }
}

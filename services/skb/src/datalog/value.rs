//! Values: integers, symbols, texts.

use alloc::rc::Rc;
use core::fmt;

/// An integer between −2⁶³ and 2⁶⁴−1: whatever fits in an `i64` or in a `u64`.
///
/// Negative ones first, so that the derived order is the numeric one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Repr {
    Negative(i64),
    Natural(u64),
}

/// An integer between −2⁶³ and 2⁶⁴−1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Int(Repr);

impl Int {
    /// The integer, if it is in range.
    #[must_use]
    pub fn new(n: i128) -> Option<Self> {
        if n < 0 {
            let n = i64::try_from(n).ok()?;
            return Some(Self(Repr::Negative(n)));
        }
        u64::try_from(n).ok().map(|n| Self(Repr::Natural(n)))
    }

    /// Its value.
    #[must_use]
    pub fn get(self) -> i128 {
        match self.0 {
            Repr::Negative(n) => i128::from(n),
            Repr::Natural(n) => i128::from(n),
        }
    }
}

/// One element of a fact. Ordered: integers, then symbols, then texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Value {
    /// A number.
    Int(Int),
    /// A name from a small set, written bare: `psci`.
    Symbol(Rc<str>),
    /// Any text, written in quotes: `"bootdrv-arm-psci"`.
    Text(Rc<str>),
}

impl Value {
    /// A symbol; `None` if it could not be written bare (a lower-case letter, then letters,
    /// digits and `_`; not `not` or `input`).
    #[must_use]
    pub fn symbol(name: &str) -> Option<Self> {
        is_symbol(name).then(|| Self::Symbol(name.into()))
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(n) => Some(n.get()),
            Self::Symbol(_) | Self::Text(_) => None,
        }
    }

    /// The number, if it is one between 0 and 2⁶⁴−1.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|n| u64::try_from(n).ok())
    }

    /// The characters of a symbol or text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Int(_) => None,
            Self::Symbol(s) | Self::Text(s) => Some(s),
        }
    }

    /// Bytes that it occupies beside its own place.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Symbol(s) | Self::Text(s) => s.len(),
        }
    }
}

/// Words that are no symbols.
pub(super) const KEYWORDS: &[&str] = &["not", "input"];

fn is_symbol(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !KEYWORDS.contains(&name)
}

macro_rules! from_integer {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(n: $t) -> Self {
                let n = i128::from(n);
                Self::Int(Int(if n < 0 { Repr::Negative(n as i64) } else { Repr::Natural(n as u64) }))
            }
        }
    )*};
}
from_integer!(u8, u16, u32, u64, i8, i16, i32, i64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{}", n.get()),
            Self::Symbol(s) => f.write_str(s),
            Self::Text(s) => {
                f.write_str("\"")?;
                for c in s.chars() {
                    match c {
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
        }
    }
}

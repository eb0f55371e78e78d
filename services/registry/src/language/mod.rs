//! Records and queries as text.
//!
//! ```text
//! record    = name [ "{" [ attribute ":" value { "," attribute ":" value } ] "}" ]
//! query     = pattern [ "{" [ test { "," test } ] "}" ]
//! test      = attribute [ (":" | "==" | "!=" | "<" | "<=" | ">" | ">=") value | "~" text ]
//! value     = integer | text | symbol
//! ```
//!
//! Reading is total: any text is a record, a query, or an error with a place in it.

mod parse;
mod pattern;
mod query;
mod value;

pub use parse::{ParseError, name, query, record};
pub use pattern::Pattern;
pub use query::{Compare, MAX_PATTERN_TESTS, MAX_TESTS, Query, Test};
pub use value::{MAX_ATTRIBUTES, MAX_NAME, MAX_RECORD, MAX_TEXT, Record, Value};

//! The shell's language.
//!
//! Pure parts: the command language ([`parse`], [`Script`], [`Runner`]),
//! machine-readable records ([`Record`]), and reading a command's arguments
//! ([`Args`]). Not here: what the commands do (`main.rs` and its rooms), and the
//! editing of a line (the console).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod args;
mod language;
mod record;

pub use args::{ArgError, Args, parse_bytes, parse_core_list, parse_ms};
pub use language::{Item, ParseError, Runner, Script, parse};
pub use record::Record;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

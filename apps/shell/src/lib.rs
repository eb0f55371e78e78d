//! The shell's language and line editor.
//!
//! Pure parts: the command language ([`parse`], [`Script`], [`Runner`]), the
//! editor of one input line ([`Editor`]), machine-readable records ([`Record`]),
//! and reading a command's arguments ([`Args`]). Not here: what the commands do
//! (`main.rs` and its rooms).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod args;
mod editor;
mod language;
mod record;

pub use args::{ArgError, Args, parse_core_list};
pub use editor::{Editor, Feedback};
pub use language::{Item, ParseError, Runner, Script, parse};
pub use record::Record;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

//! Words in thread-local storage, reached through the TLS base at each access.

/// Words that a program may use.
pub const WORDS: usize = 16;
/// Reads word `index` (< [`WORDS`]).
#[must_use]
pub fn get(_index: usize) -> u64 {
    todo!()
}
/// Writes word `index` (< [`WORDS`]).
pub fn set(_index: usize, _value: u64) {
    todo!()
}

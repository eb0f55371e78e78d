//! Program name and arguments as bytes: each word ended by a zero byte.

use alloc::string::String;
use alloc::vec::Vec;

/// Reads the words; `None` unless there is at least one, each is UTF-8, and the last is ended.
#[must_use]
pub fn split_words(bytes: &[u8]) -> Option<Vec<String>> {
    let bytes = bytes.strip_suffix(b"\0")?;
    let words = bytes.split(|b| *b == 0);
    let words: Option<Vec<String>> = words.map(|w| String::from_utf8(w.to_vec()).ok()).collect();
    words.filter(|w| !w[0].is_empty())
}

/// Writes the words (zero bytes in them are left out).
#[must_use]
pub fn join_words<S: AsRef<str>>(words: &[S]) -> Vec<u8> {
    let mut out = Vec::new();
    for w in words {
        out.extend(w.as_ref().bytes().filter(|b| *b != 0));
        out.push(0);
    }
    out
}

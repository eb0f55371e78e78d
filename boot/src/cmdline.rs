//! The command line: words separated by blanks.

/// Longest command line that is handed on, in bytes.
pub const MAX_BYTES: usize = 1024;

/// A copy of the firmware's command line (firmware memory is reused later).
#[derive(Clone)]
pub struct CommandLine {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl CommandLine {
    /// Copies `text`; what does not fit, and what is not ASCII, is dropped.
    #[must_use]
    pub fn copy(text: &[u8]) -> CommandLine {
        let mut line = CommandLine {
            bytes: [0; MAX_BYTES],
            len: 0,
        };
        for &b in text.iter().take(MAX_BYTES) {
            if b == 0 {
                break;
            }
            if b.is_ascii() {
                line.bytes[line.len] = b;
                line.len += 1;
            }
        }
        line
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Whether `word` stands in it on its own.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.text().split_ascii_whitespace().any(|w| w == word)
    }

    /// The value of the last `key=value` word.
    #[must_use]
    pub fn value<'a>(&'a self, key: &str) -> Option<&'a str> {
        self.text()
            .split_ascii_whitespace()
            .filter_map(|w| w.strip_prefix(key)?.strip_prefix('='))
            .next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values() {
        let c = CommandLine::copy(b"icount kernel=trace xicount kernel=std\0junk");
        assert!(c.has("icount") && !c.has("junk") && !c.has("xicoun"));
        assert_eq!(c.value("kernel"), Some("std"));
        assert_eq!(c.value("kerne"), None);
    }

    #[test]
    fn too_long_and_foreign_bytes() {
        let c = CommandLine::copy(&[b'a'; 5000]);
        assert_eq!(c.text().len(), MAX_BYTES);
        assert_eq!(CommandLine::copy(b"a\xffb").text(), "ab");
    }
}

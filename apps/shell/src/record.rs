//! Machine-readable lines for the host: `##nk {"k":"cmd",…}`.

use alloc::string::String;
use core::fmt::Write;

/// A JSON object on one line, built field by field.
#[derive(Clone, Debug)]
pub struct Record {
    text: String,
}

impl Record {
    /// What every line begins with.
    pub const PREFIX: &'static str = "##nk ";

    /// A record of this kind.
    #[must_use]
    pub fn new(kind: &str) -> Record {
        let mut r = Record {
            text: String::from("{"),
        };
        r.string("k", kind);
        r
    }
    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.quoted(key);
        self.text.push(':');
    }
    fn quoted(&mut self, s: &str) {
        self.text.push('"');
        for c in s.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                c if (c as u32) < 0x20 || c == '\u{7f}' => {
                    // Writing to a String cannot fail.
                    let _ = write!(self.text, "\\u{:04x}", c as u32);
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
    /// Adds a string.
    pub fn string(&mut self, key: &str, value: &str) -> &mut Record {
        self.key(key);
        self.quoted(value);
        self
    }
    /// Adds a number.
    pub fn number(&mut self, key: &str, value: u64) -> &mut Record {
        self.key(key);
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self
    }
    /// Adds a truth value.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Record {
        self.key(key);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }
    /// The line, without its line end.
    #[must_use]
    pub fn line(&self) -> String {
        let mut s = String::from(Record::PREFIX);
        s.push_str(&self.text);
        s.push('}');
        s
    }
}

//! Reading a command's arguments: flags by name, the rest by position.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Why arguments cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArgError {
    /// This is missing.
    Missing(&'static str),
    /// (what, text): the text is not that.
    Bad(&'static str, String),
    /// (text, what, most): it is a number, but too large a one.
    TooMany(String, &'static str, u64),
    /// Nobody asked for this.
    Extra(String),
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Bad(what, text) => write!(f, "\"{text}\" is not {what}"),
            Self::TooMany(text, what, most) => {
                write!(f, "{text} {what} are too many: {most} at most")
            }
            Self::Extra(text) => write!(f, "\"{text}\" is not understood here"),
        }
    }
}

/// The words after a command's name; taken away one by one.
#[derive(Clone, Debug)]
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// Starts with these words.
    #[must_use]
    pub fn new(words: &[String]) -> Args {
        Args {
            words: words.to_vec(),
        }
    }
    /// Takes `--name` away; whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|w| w == name);
        at.map(|i| self.words.remove(i)).is_some()
    }
    /// Takes `--name VALUE` (or `--name=VALUE`) away.
    ///
    /// # Errors
    /// [`ArgError::Missing`] when the name has no value.
    pub fn option(&mut self, name: &str, what: &'static str) -> Result<Option<String>, ArgError> {
        for i in 0..self.words.len() {
            if self.words[i] == name {
                if i + 1 >= self.words.len() {
                    return Err(ArgError::Missing(what));
                }
                self.words.remove(i);
                return Ok(Some(self.words.remove(i)));
            }
            let value = self.words[i].strip_prefix(name);
            if let Some(value) = value.and_then(|v| v.strip_prefix('=')) {
                let value = value.to_string();
                self.words.remove(i);
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
    /// Takes the first word.
    ///
    /// # Errors
    /// [`ArgError::Missing`] when there is none.
    pub fn next(&mut self, what: &'static str) -> Result<String, ArgError> {
        if self.words.is_empty() {
            return Err(ArgError::Missing(what));
        }
        Ok(self.words.remove(0))
    }
    /// Takes everything that is left.
    pub fn rest(&mut self) -> Vec<String> {
        core::mem::take(&mut self.words)
    }
    /// Whether nothing is left.
    ///
    /// # Errors
    /// [`ArgError::Extra`] with the first word left.
    pub fn finish(self) -> Result<(), ArgError> {
        match self.words.into_iter().next() {
            None => Ok(()),
            Some(w) => Err(ArgError::Extra(w)),
        }
    }
}

/// Reads a number of bytes: `4096`, `512K`, `4M`, `1G`.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        b'G' | b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Reads a number of milliseconds, with or without its unit: `500`, `500ms`.
///
/// # Errors
/// [`ArgError::Bad`] for what is no number, [`ArgError::TooMany`] above `most`.
pub fn parse_ms(text: &str, most: u64) -> Result<u64, ArgError> {
    let digits = text.strip_suffix("ms").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ArgError::Bad("a number of milliseconds", text.to_string()));
    }
    let ms = digits.parse().ok().filter(|ms| *ms <= most);
    ms.ok_or_else(|| ArgError::TooMany(digits.to_string(), "milliseconds", most))
}

/// Reads a list of cores: `3`, `1,2`, `1-3`; at most 256, each once.
///
/// # Errors
/// [`ArgError::Bad`] with the text.
pub fn parse_core_list(text: &str) -> Result<Vec<u32>, ArgError> {
    let bad = || {
        ArgError::Bad(
            "a core or a list of cores like 1,2 or 1-3",
            text.to_string(),
        )
    };
    let number = |s: &str| s.parse::<u32>().map_err(|_| bad());
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((a, b)) => (number(a)?, number(b)?),
            None => (number(part)?, number(part)?),
        };
        if first > last || last - first >= 256 {
            return Err(bad());
        }
        for core in first..=last {
            if cores.contains(&core) || cores.len() == 256 {
                return Err(bad());
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

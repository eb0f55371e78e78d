//! Patterns: `*` is any run of characters, `?` one, `\c` the character c itself.

use alloc::string::String;
use alloc::vec::Vec;

/// One place of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    One(char),
    AnyOne,
    AnyRun,
}

/// A pattern; matching takes time in proportion to pattern × text, whatever they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads a pattern; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Pattern {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Part::AnyRun,
                '?' => Part::AnyOne,
                '\\' => Part::One(chars.next().unwrap_or('\\')),
                c => Part::One(c),
            };
            // Two runs in a row are one.
            if part != Part::AnyRun || parts.last() != Some(&Part::AnyRun) {
                parts.push(part);
            }
        }
        Pattern { parts }
    }

    /// What every text that fits begins with.
    #[must_use]
    pub fn prefix(&self) -> String {
        let fixed = self.parts.iter().map_while(|p| match p {
            Part::One(c) => Some(*c),
            Part::AnyOne | Part::AnyRun => None,
        });
        fixed.collect()
    }

    /// Whether a text fits.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut p, mut t) = (0, 0);
        // Where the last run stood, and the text up to which it reaches: on a mismatch only that
        // run grows by one character, the ones before it never need to.
        let mut run: Option<(usize, usize)> = None;
        while t < text.len() {
            match self.parts.get(p) {
                Some(Part::AnyRun) => {
                    run = Some((p, t));
                    p += 1;
                }
                Some(Part::AnyOne) => (p, t) = (p + 1, t + 1),
                Some(Part::One(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
                _ => {
                    let Some((at, reached)) = run else {
                        return false;
                    };
                    run = Some((at, reached + 1));
                    (p, t) = (at + 1, reached + 1);
                }
            }
        }
        self.parts[p..].iter().all(|p| *p == Part::AnyRun)
    }
}

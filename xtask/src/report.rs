//! One run's output on its way to the person, the log, and whoever judges it.

use crate::build::Images;
use crate::guest_output::{Piece, Reader, Record};
use crate::{progress, symbols};
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Collects what a guest says.
pub struct Report<'a> {
    images: &'a Images,
    reader: Reader,
    /// Text goes to standard output too, as it comes.
    echo: bool,
    log: File,
    log_path: PathBuf,
    records: Vec<Record>,
    text: String,
}

/// What a guest said.
pub struct Said {
    pub records: Vec<Record>,
    /// All text, without carriage returns, with panics and backtraces in words.
    pub text: String,
    /// The raw console with QEMU's complaints.
    pub log: PathBuf,
}

impl<'a> Report<'a> {
    /// Begins, with the raw log in file `log`.
    pub fn new(images: &'a Images, echo: bool, log: &Path) -> Result<Self> {
        Ok(Self {
            images,
            reader: Reader::default(),
            echo,
            log: File::create(log).with_context(|| format!("cannot create {}", log.display()))?,
            log_path: log.to_path_buf(),
            records: Vec::new(),
            text: String::new(),
        })
    }

    /// Takes bytes of the console.
    pub fn console(&mut self, bytes: &[u8]) -> Result<()> {
        self.log.write_all(bytes).context("cannot write the log")?;
        for piece in self.reader.feed(bytes) {
            self.take(piece)?;
        }
        Ok(())
    }

    /// Takes what QEMU itself said.
    pub fn complaint(&mut self, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line = format!("qemu: {line}");
            writeln!(self.log, "{line}").context("cannot write the log")?;
            self.text.push_str(&line);
            self.text.push('\n');
            if self.echo {
                progress::say(&line);
            }
        }
        Ok(())
    }

    /// The guest has said that it is at its prompt.
    pub fn has_prompted(&self) -> bool {
        let prompt = |record: &Record| matches!(record, Record::Boot { what } if what == "prompt");
        self.records.iter().any(prompt)
    }

    /// Adds a line of our own to the log.
    pub fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.log, "[{line}]").context("cannot write the log")
    }

    /// Ends.
    pub fn finish(mut self) -> Result<Said> {
        let rest = std::mem::take(&mut self.reader).finish();
        if let Some(piece) = rest {
            self.take(piece)?;
        }
        Ok(Said {
            records: self.records,
            text: self.text,
            log: self.log_path,
        })
    }

    fn take(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::Text(bytes) => self.show(&String::from_utf8_lossy(&bytes)),
            Piece::Garbled(line) => self.show(&format!("[garbled structured line: {line}]\n")),
            Piece::Record(record) => {
                match &record {
                    Record::Panic(fields) => self.show(&format!("{}\n", panic_line(fields)))?,
                    Record::Bt(trace) => self.show(&symbols::describe(self.images, trace))?,
                    Record::Test { name, ok, msg } => {
                        let verdict = if *ok { "ok" } else { "FAILED" };
                        self.show(&format!("test {name} ... {verdict} {msg}\n"))?;
                    }
                    Record::Cmd(_)
                    | Record::Boot { .. }
                    | Record::Mark(_)
                    | Record::Memory { .. }
                    | Record::Done { .. } => {}
                }
                self.records.push(record);
                Ok(())
            }
        }
    }

    fn show(&mut self, text: &str) -> Result<()> {
        let text = text.replace('\r', "");
        if self.echo {
            let mut out = stdout().lock();
            out.write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .context("cannot write to standard output")?;
        }
        self.text.push_str(&text);
        Ok(())
    }
}

/// `panic in kernel/std on core 1: message (at file:line)`, with whatever else was told.
fn panic_line(fields: &Map<String, Value>) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line = "panic".to_owned();
    for (name, before) in [("bin", " in "), ("core", " on core "), ("msg", ": ")] {
        if let Some(value) = fields.get(name) {
            line.push_str(before);
            line.push_str(&plain(value));
        }
    }
    let known = ["bin", "core", "msg", "k"];
    let rest: Vec<String> = fields
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, value)| format!("{name} {}", plain(value)))
        .collect();
    if !rest.is_empty() {
        line.push_str(&format!(" ({})", rest.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_words() {
        let text = r#"{"bin":"kernel/std","core":1,"msg":"MDB-ORDER broken","at":"mdb.rs:7"}"#;
        let fields = serde_json::from_str(text).unwrap();
        assert_eq!(
            panic_line(&fields),
            "panic in kernel/std on core 1: MDB-ORDER broken (at mdb.rs:7)"
        );
    }
}

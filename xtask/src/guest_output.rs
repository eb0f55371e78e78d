//! What a guest writes to its console: text for a person, and structured lines for this tool.
//!
//! A structured line is `##nk ` and one JSON object up to the end of the line; its member `k`
//! says what it is (`Record`). It is taken out of the text. It may begin in the middle of a
//! line, because programs share the console.

use serde::Deserialize;
use serde_json::{Map, Value};

const MARKER: &[u8] = b"##nk ";
/// A longer structured line is noise.
const LONGEST: usize = 1 << 20;

/// One structured line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Record {
    /// A command of `--exec` has ended.
    Cmd(Cmd),
    /// A step of the way up was reached (`prompt`).
    Boot { what: String },
    /// A kernel or a program panicked.
    Panic(Map<String, Value>),
    /// Return addresses, innermost first, in file `bin` loaded at `base`.
    Bt(Backtrace),
    /// A point that measurements refer to.
    Mark(Map<String, Value>),
    /// A test inside the guest has ended.
    Test {
        name: String,
        ok: bool,
        #[serde(default)]
        msg: String,
    },
    /// Whether all memory is accounted for at the end, and what was found.
    Memory { ok: bool, text: String },
    /// All commands of `--exec` are through, or the first failure ended them.
    Done { failed: u64 },
}

/// The result of one command.
#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize)]
pub struct Cmd {
    pub cmd: String,
    pub ok: bool,
    /// Milliseconds by the clock of the machine.
    #[serde(default)]
    pub ms: Value,
    /// Whether `ms` was counted on an emulated machine.
    #[serde(default)]
    pub emulated: bool,
    /// What it printed.
    #[serde(default)]
    pub out: String,
}

/// See `Record::Bt`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Backtrace {
    pub bin: String,
    #[serde(default)]
    pub base: u64,
    pub pcs: Vec<u64>,
}

/// One piece of output.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Text(Vec<u8>),
    Record(Record),
    /// A structured line that cannot be understood, with the reason.
    Garbled(String),
}

/// Splits a stream of bytes into pieces, as early as it can.
#[derive(Default)]
pub struct Reader {
    /// The start of a marker, or the structured line so far.
    held: Vec<u8>,
    in_record: bool,
}

impl Reader {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        for byte in bytes {
            if self.in_record {
                if *byte != b'\n' && self.held.len() < LONGEST {
                    self.held.push(*byte);
                    continue;
                }
                self.in_record = false;
                flush(&mut text, &mut pieces);
                pieces.push(parse(&std::mem::take(&mut self.held)));
                continue;
            }
            self.held.push(*byte);
            while !MARKER.starts_with(&self.held) {
                text.push(self.held.remove(0));
            }
            if self.held == MARKER {
                self.held.clear();
                self.in_record = true;
            }
        }
        flush(&mut text, &mut pieces);
        pieces
    }

    /// What is left when the stream ends.
    pub fn finish(mut self) -> Option<Piece> {
        let held = std::mem::take(&mut self.held);
        match (self.in_record, held.is_empty()) {
            (true, _) => Some(parse(&held)),
            (false, true) => None,
            (false, false) => Some(Piece::Text(held)),
        }
    }
}

fn flush(text: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text)));
    }
}

fn parse(line: &[u8]) -> Piece {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    match serde_json::from_str(line) {
        Ok(record) => Piece::Record(record),
        Err(error) => Piece::Garbled(format!("{line} ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "hello #\r\n##nk {\"k\":\"cmd\",\"cmd\":\"cores\",\"ok\":true,\"ms\":12,\"out\":\"a\\nb\"}\r\n#### x##nk {\"k\":\"done\",\"failed\":0}\n$ ";

    fn all(chunks: &[&[u8]]) -> (String, Vec<Record>) {
        let mut reader = Reader::default();
        let (mut text, mut records) = (Vec::new(), Vec::new());
        let mut take = |piece| match piece {
            Piece::Text(bytes) => text.extend(bytes),
            Piece::Record(record) => records.push(record),
            Piece::Garbled(line) => panic!("{line}"),
        };
        for chunk in chunks {
            reader.feed(chunk).into_iter().for_each(&mut take);
        }
        reader.finish().into_iter().for_each(&mut take);
        (String::from_utf8(text).unwrap(), records)
    }

    #[test]
    fn records_leave_the_text_however_the_stream_is_cut() {
        let bytes = STREAM.as_bytes();
        for cut in 0..=bytes.len() {
            let (text, records) = all(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(text, "hello #\r\n#### x$ ");
            assert_eq!(records.len(), 2);
            let Record::Cmd(cmd) = &records[0] else {
                panic!("{records:?}");
            };
            assert_eq!(
                (cmd.cmd.as_str(), cmd.ok, cmd.out.as_str()),
                ("cores", true, "a\nb")
            );
            assert_eq!(records[1], Record::Done { failed: 0 });
        }
    }

    #[test]
    fn text_is_shown_as_early_as_possible() {
        let mut reader = Reader::default();
        assert_eq!(reader.feed(b"$ ##"), [Piece::Text(b"$ ".to_vec())]);
        assert_eq!(reader.feed(b"x"), [Piece::Text(b"##x".to_vec())]);
        assert_eq!(reader.feed(b"###nk"), [Piece::Text(b"#".to_vec())]);
        assert_eq!(reader.finish(), Some(Piece::Text(b"##nk".to_vec())));
    }

    #[test]
    fn a_backtrace_and_unknown_members_are_read() {
        let line = "##nk {\"k\":\"bt\",\"bin\":\"bin/churn\",\"base\":18446744073709551615,\"pcs\":[1,2],\"more\":[]}\n";
        let (_, records) = all(&[line.as_bytes()]);
        let expected = Backtrace {
            bin: "bin/churn".into(),
            base: u64::MAX,
            pcs: vec![1, 2],
        };
        assert_eq!(records, [Record::Bt(expected)]);
    }

    #[test]
    fn noise_is_garbled_and_bounded() {
        let mut reader = Reader::default();
        let pieces = reader.feed(b"##nk {\"k\":\"cmd\"\nok\n##nk {\"k\":\"nothing\"}\n");
        assert!(
            matches!(&pieces[..], [Piece::Garbled(_), Piece::Text(t), Piece::Garbled(_)] if t == b"ok\n")
        );
        reader.feed(b"##nk ");
        let pieces = reader.feed(&vec![b'x'; LONGEST + 9]);
        assert!(matches!(&pieces[..], [Piece::Garbled(_), Piece::Text(_)]));
    }
}

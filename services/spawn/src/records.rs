//! What is written down of a process and of a service, for the spawn service's next life.
//!
//! Fields in order, little-endian, without padding; a list or text begins with how many it has (32 bits).

use alloc::string::String;
use alloc::vec::Vec;

use journal::Note;
use proto::iface::spawn::{ProcessState, Restart, ServiceState};
use proto::{Name, Pid};

use crate::{Entry, Rules};

/// Most bytes of a last report that are written down.
const MOST_REPORT: usize = 2048;

/// Slots in the ledger that hold what a process is taken apart and watched by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slots {
    /// Its block of RAM: a block's slot ([`crate::is_block`]).
    pub block: u32,
    /// Its first CNode, dispatcher, and endpoint 0.
    pub parts: [u32; 3],
}

impl Slots {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        [self.block].into_iter().chain(self.parts)
    }
}

/// A process that runs, is being taken apart, or has ended and is remembered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessRecord {
    /// What it is or was.
    pub entry: Entry,
    /// Its memory account; 0 once it has ended.
    pub account: u32,
    /// Where its capabilities are; `None` once its end has begun.
    pub slots: Option<Slots>,
    /// The process that it is a further dispatcher of.
    pub of: Option<Pid>,
    /// Its further dispatchers.
    pub members: Vec<Pid>,
}

/// Something kept for a service's next process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptRecord {
    /// Under this name.
    pub name: Name,
    /// In this slot of the ledger.
    pub slot: u32,
}

/// A supervised process through all its lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceRecord {
    /// When it is started again.
    pub rules: Rules,
    /// What it does.
    pub state: ServiceState,
    /// How often it was started again, and when the last times (ns of system time).
    pub restarts: u64,
    /// See `restarts`.
    pub recent: Vec<u64>,
    /// The process that it is, or was last.
    pub number: u64,
    /// Program name and arguments.
    pub words: Vec<String>,
    /// Bytes of memory (0 = the usual).
    pub memory: u64,
    /// It was given a console.
    pub has_console: bool,
    /// What is kept outlives each process, so its account does.
    pub keeps: bool,
    /// An account that its last process left; 0: none.
    pub left: u32,
    /// What the registry calls it.
    pub title: String,
    /// What its next process is given.
    pub kept: Vec<KeptRecord>,
}

/// What a record is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// A process, by its number.
    Process(u64),
    /// A service.
    Service(u64),
}

impl Key {
    /// As a note's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Key::Process(n) => n << 1,
            Key::Service(n) => n << 1 | 1,
        }
    }

    /// What a note's number is of.
    #[must_use]
    pub const fn of(number: u64) -> Key {
        match number & 1 {
            0 => Key::Process(number >> 1),
            _ => Key::Service(number >> 1),
        }
    }
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Of a process.
    Process(ProcessRecord),
    /// Of a service.
    Service(ServiceRecord),
}

impl Record {
    /// As a note.
    #[must_use]
    pub fn note(&self, key: Key) -> Note {
        let mut out = Out(Vec::new());
        match self {
            Record::Process(p) => p.put(&mut out),
            Record::Service(s) => s.put(&mut out),
        }
        Note::set(key.number(), out.0)
    }

    /// What a note that is set says; `None` if this program did not write it.
    #[must_use]
    pub fn read(number: u64, bytes: &[u8]) -> Option<(Key, Record)> {
        let key = Key::of(number);
        let mut from = From(bytes);
        let record = match key {
            Key::Process(_) => Record::Process(ProcessRecord::get(&mut from)?),
            Key::Service(_) => Record::Service(ServiceRecord::get(&mut from)?),
        };
        from.0.is_empty().then_some((key, record))
    }
}

impl ProcessRecord {
    fn put(&self, out: &mut Out) {
        let e = &self.entry;
        out.list(&e.words, |out, w| out.bytes(w.as_bytes()));
        out.word(e.state as u64);
        out.word(e.status as u32 as u64);
        out.bytes(cut(&e.report, MOST_REPORT).as_bytes());
        out.word(e.used_ns);
        out.word(e.memory);
        out.number(self.account);
        out.number(self.slots.is_some().into());
        self.slots
            .iter()
            .flat_map(Slots::all)
            .for_each(|slot| out.number(slot));
        out.list(self.of.as_slice(), Out::pid);
        out.list(&self.members, Out::pid);
    }

    fn get(from: &mut From<'_>) -> Option<ProcessRecord> {
        let entry = Entry {
            words: from.list(From::text)?,
            state: ProcessState::from_code(from.word()?)?,
            status: from.word()? as u32 as i32,
            report: from.text()?,
            used_ns: from.word()?,
            memory: from.word()?,
        };
        if entry.words.is_empty() {
            return None;
        }
        let account = from.number()?;
        let slots = match from.number()? {
            0 => None,
            _ => Some(Slots {
                block: from.number()?,
                parts: [from.number()?, from.number()?, from.number()?],
            }),
        };
        Some(ProcessRecord {
            entry,
            account,
            slots,
            of: from.list(From::pid)?.pop(),
            members: from.list(From::pid)?,
        })
    }
}

impl ServiceRecord {
    fn put(&self, out: &mut Out) {
        out.word(self.rules.restart as u64);
        out.number(self.rules.most);
        out.word(self.rules.within_ns);
        out.word(self.state as u64);
        out.word(self.restarts);
        out.list(&self.recent, |out, at| out.word(*at));
        out.word(self.number);
        out.list(&self.words, |out, w| out.bytes(w.as_bytes()));
        out.word(self.memory);
        out.number(self.has_console.into());
        out.number(self.keeps.into());
        out.number(self.left);
        out.bytes(self.title.as_bytes());
        out.list(&self.kept, |out, kept| {
            kept.name.words().into_iter().for_each(|w| out.word(w));
            out.number(kept.slot);
        });
    }

    fn get(from: &mut From<'_>) -> Option<ServiceRecord> {
        Some(ServiceRecord {
            rules: Rules {
                restart: Restart::from_code(from.word()?)?,
                most: from.number()?,
                within_ns: from.word()?,
            },
            state: ServiceState::from_code(from.word()?)?,
            restarts: from.word()?,
            recent: from.list(From::word)?,
            number: from.word()?,
            words: from.list(From::text)?,
            memory: from.word()?,
            has_console: from.number()? != 0,
            keeps: from.number()? != 0,
            left: from.number()?,
            title: from.text()?,
            kept: from.list(|from| {
                Some(KeptRecord {
                    name: Name::from_words([from.word()?, from.word()?])?,
                    slot: from.number()?,
                })
            })?,
        })
    }
}

/// The first bytes of a text, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

struct Out(Vec<u8>);

impl Out {
    fn word(&mut self, word: u64) {
        self.0.extend(word.to_le_bytes());
    }
    fn number(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        self.0.extend(bytes);
    }
    fn pid(&mut self, pid: &Pid) {
        self.word(pid.osnode);
        self.word(pid.number);
    }
    fn list<T>(&mut self, list: &[T], put: impl Fn(&mut Out, &T)) {
        self.number(list.len() as u32);
        list.iter().for_each(|item| put(self, item));
    }
}

struct From<'a>(&'a [u8]);

impl From<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
    fn word(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn text(&mut self) -> Option<String> {
        let bytes = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        String::from_utf8(text.into()).ok()
    }
    fn pid(&mut self) -> Option<Pid> {
        Some(Pid {
            osnode: self.word()?,
            number: self.word()?,
        })
    }
    fn list<T>(&mut self, get: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Each takes some bytes: a wrong count ends with them.
        (0..count).map(|_| get(self)).collect()
    }
}

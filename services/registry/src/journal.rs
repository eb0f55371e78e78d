//! What outlives the registry's process: a journal of its records in memory that somebody else keeps.
//!
//! ```text
//! 0    magic | generation (its lowest bit: which half) | bytes of a half | 0
//! 64   half 0: bytes used | version | sequence | entries
//!      half 1: the same
//! ```
//!
//! An entry is `length | set or deleted | version | text`, the text of a record or its name, filled up to whole
//! words. It counts once the half's bytes used say so, which is the last word written: a process that dies in
//! the middle of an entry leaves the journal as before. When a half is full, the records as they stand are
//! written to the other one, and one store of the generation makes that the valid one.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Memory that holds a journal. Offsets of words are multiples of 8.
pub trait Memory {
    /// Its bytes.
    fn bytes(&self) -> u64;
    /// A word.
    fn load(&self, at: u64) -> u64;
    /// Sets a word.
    fn store(&mut self, at: u64, word: u64);
    /// Copies bytes from it.
    fn read(&self, at: u64, to: &mut [u8]);
    /// Copies bytes to it.
    fn write(&mut self, at: u64, from: &[u8]);
}

const MAGIC: u64 = 0x4c4e_4a47_4552_4b4e;
const GENERATION: u64 = 8;
const HALF_BYTES: u64 = 16;
const HALVES: u64 = 64;
/// Offsets in a half.
const USED: u64 = 0;
const VERSION: u64 = 8;
const SEQUENCE: u64 = 16;
const ENTRIES: u64 = 24;
/// Bytes before an entry's text.
const HEAD: u64 = 16;
const SET: u64 = 1 << 32;
/// No entry is longer: a name and what a record may have as text, with room to spare.
const LONGEST: u64 = 8192;

/// What became of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its name.
    pub name: String,
    /// Its text; `None` = it is gone, or does not outlive this process.
    pub text: Option<String>,
    /// Version of the change.
    pub version: u64,
}

/// How far the numbers that are never given twice have come.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Versions.
    pub version: u64,
    /// Sequential names.
    pub sequence: u64,
}

/// A journal has no room for all records: it needs more memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A journal in `M`.
#[derive(Debug)]
pub struct Journal<M> {
    memory: M,
}

impl<M: Memory> Journal<M> {
    /// A new one with these records.
    ///
    /// # Errors
    /// [`Full`]; the memory is no journal then.
    pub fn create(memory: M, records: &[Note], counters: Counters) -> Result<Journal<M>, Full> {
        let half = memory.bytes().saturating_sub(HALVES) / 16 * 8;
        let mut journal = Journal { memory };
        journal.memory.store(0, 0);
        journal.memory.store(HALF_BYTES, half);
        journal.memory.store(GENERATION, 0);
        journal.fill(0, records, counters)?;
        journal.memory.store(0, MAGIC);
        Ok(journal)
    }

    /// The one that stands in this memory, with what it says; `None` if there is none.
    pub fn open(memory: M) -> Option<(Journal<M>, Vec<Note>, Counters)> {
        let journal = Journal { memory };
        let m = &journal.memory;
        let half = m.load(HALF_BYTES);
        let fits = half.checked_mul(2)?.checked_add(HALVES)? <= m.bytes();
        if m.load(0) != MAGIC || !fits {
            return None;
        }
        let base = journal.base();
        let (mut at, end) = (ENTRIES, m.load(base + USED).min(half));
        let mut notes = Vec::new();
        while at < end {
            let (note, next) = journal.entry(base + at)?;
            notes.push(note);
            at += next;
        }
        let counters = Counters {
            version: m.load(base + VERSION),
            sequence: m.load(base + SEQUENCE),
        };
        Some((journal, notes, counters))
    }

    /// Adds what happened. When there is no room, everything is written anew from `records`, which are as they
    /// stand after it.
    ///
    /// # Errors
    /// [`Full`]: the journal is as before.
    pub fn add(
        &mut self,
        notes: &[Note],
        counters: Counters,
        records: impl FnOnce() -> Vec<Note>,
    ) -> Result<(), Full> {
        let base = self.base();
        let used = self.memory.load(base + USED);
        let more: u64 = notes.iter().map(length).sum();
        if used + more > self.memory.load(HALF_BYTES) {
            return self.renew(&records(), counters);
        }
        let mut at = base + used;
        for note in notes {
            at += self.put(at, note);
        }
        self.count(base, counters);
        // From here on it has happened.
        self.memory.store(base + USED, used + more);
        Ok(())
    }

    /// Says that this journal counts no longer.
    pub fn forget(mut self) {
        self.memory.store(0, 0);
    }

    /// The memory.
    #[cfg(test)]
    pub(crate) fn into_memory(self) -> M {
        self.memory
    }

    /// Bytes of the memory.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    fn renew(&mut self, records: &[Note], counters: Counters) -> Result<(), Full> {
        let next = self.memory.load(GENERATION) + 1;
        self.fill(next & 1, records, counters)?;
        self.memory.store(GENERATION, next);
        Ok(())
    }

    fn fill(&mut self, half: u64, records: &[Note], counters: Counters) -> Result<(), Full> {
        let bytes = self.memory.load(HALF_BYTES);
        let needed: u64 = records.iter().map(length).sum();
        // Half of a half stays free: else the next changes would begin all over again.
        if ENTRIES + 2 * needed + LONGEST > bytes {
            return Err(Full);
        }
        let base = HALVES + half * bytes;
        let mut at = base + ENTRIES;
        for note in records {
            at += self.put(at, note);
        }
        self.count(base, counters);
        self.memory.store(base + USED, at - base);
        Ok(())
    }

    fn base(&self) -> u64 {
        HALVES + (self.memory.load(GENERATION) & 1) * self.memory.load(HALF_BYTES)
    }

    fn count(&mut self, base: u64, counters: Counters) {
        self.memory.store(base + VERSION, counters.version);
        self.memory.store(base + SEQUENCE, counters.sequence);
    }

    /// Writes an entry; its bytes.
    fn put(&mut self, at: u64, note: &Note) -> u64 {
        let (kind, text) = match &note.text {
            Some(text) => (SET, text),
            None => (0, &note.name),
        };
        self.memory.store(at, text.len() as u64 | kind);
        self.memory.store(at + 8, note.version);
        self.memory.write(at + HEAD, text.as_bytes());
        length(note)
    }

    /// The entry at an offset, and its bytes.
    fn entry(&self, at: u64) -> Option<(Note, u64)> {
        let head = self.memory.load(at);
        let bytes = head & 0xffff_ffff;
        if bytes > LONGEST {
            return None;
        }
        let mut text = vec![0; bytes as usize];
        self.memory.read(at + HEAD, &mut text);
        let text = String::from_utf8(text).ok()?;
        let note = match head & SET {
            0 => Note {
                name: text,
                text: None,
                version: self.memory.load(at + 8),
            },
            _ => Note {
                name: String::new(),
                text: Some(text),
                version: self.memory.load(at + 8),
            },
        };
        Some((note, HEAD + bytes.next_multiple_of(8)))
    }
}

fn length(note: &Note) -> u64 {
    let text = note.text.as_ref().unwrap_or(&note.name);
    HEAD + (text.len() as u64).next_multiple_of(8)
}

//! What outlives a process: a journal of what it is to know again, in memory that somebody else keeps.
//!
//! ```text
//! 0    magic | generation (its lowest bit: which half) | bytes of a half | 0
//! 64   half 0: bytes used | counter 0 | counter 1 | entries
//!      half 1: the same
//! ```
//!
//! An entry is a word of length (bits 0 to 30), set or gone (bit 31), and hash of the rest (bits 32 to 63), then its number,
//! then its bytes, filled up to whole words. Entries count once the half's bytes used say so, which is the last
//! word written: a process that dies in the middle of a change leaves the journal as before. When a half is full, everything
//! as it stands is written to the other one, and one store of the generation makes that the valid one. An entry that
//! something else wrote over is left out.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use twox_hash::XxHash3_128;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

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

const MAGIC: u64 = 0x324c_4e4a_5f4b_454e;
const GENERATION: u64 = 8;
const HALF_BYTES: u64 = 16;
const HALVES: u64 = 64;
/// Offsets in a half.
const USED: u64 = 0;
const COUNTERS: u64 = 8;
const ENTRIES: u64 = 24;
/// Bytes before an entry's own.
const HEAD: u64 = 16;
const SET: u64 = 1 << 31;
/// Most bytes of an entry.
pub const LONGEST: usize = 8192;

/// Two numbers that only grow: what they count is its owner's business.
pub type Counters = [u64; 2];

/// What became of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// A number of the owner's.
    pub number: u64,
    /// It is there and is as `bytes` says; else it is gone, and `bytes` says of what that is true.
    pub set: bool,
    /// At most [`LONGEST`].
    pub bytes: Vec<u8>,
}

impl Note {
    /// A thing is so from now on.
    #[must_use]
    pub fn set(number: u64, bytes: impl Into<Vec<u8>>) -> Note {
        Note {
            number,
            set: true,
            bytes: bytes.into(),
        }
    }

    /// A thing is gone.
    #[must_use]
    pub fn gone(number: u64, bytes: impl Into<Vec<u8>>) -> Note {
        Note {
            number,
            set: false,
            bytes: bytes.into(),
        }
    }

    /// Bytes that it takes.
    fn length(&self) -> u64 {
        HEAD + (self.bytes.len() as u64).next_multiple_of(8)
    }

    /// First word of its entry.
    fn head(&self) -> u64 {
        let kind = if self.set { SET } else { 0 };
        let what = self.bytes.len() as u64 | kind;
        let mut all = Vec::with_capacity(16 + self.bytes.len());
        all.extend(what.to_le_bytes());
        all.extend(self.number.to_le_bytes());
        all.extend(&self.bytes);
        what | (XxHash3_128::oneshot(&all) as u64) << 32
    }
}

/// The journal has no room for everything: it needs more memory. (Or a note is longer than [`LONGEST`].)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A journal in `M`.
#[derive(Debug)]
pub struct Journal<M> {
    memory: M,
}

impl<M: Memory> Journal<M> {
    /// A new one that says this.
    ///
    /// # Errors
    /// [`Full`]; the memory is no journal then.
    pub fn create(memory: M, all: &[Note], counters: Counters) -> Result<Journal<M>, Full> {
        let half = memory.bytes().saturating_sub(HALVES) / 16 * 8;
        let mut journal = Journal { memory };
        journal.memory.store(0, 0);
        journal.memory.store(HALF_BYTES, half);
        journal.memory.store(GENERATION, 0);
        journal.fill(0, all, counters)?;
        journal.memory.store(0, MAGIC);
        Ok(journal)
    }

    /// The one that stands in this memory, with what it says, in order; `None` if there is none.
    pub fn open(memory: M) -> Option<(Journal<M>, Vec<Note>, Counters)> {
        let journal = Journal { memory };
        let m = &journal.memory;
        let half = m.load(HALF_BYTES);
        let fits = half.checked_mul(2)?.checked_add(HALVES)? <= m.bytes();
        if m.load(0) != MAGIC || !fits || half < ENTRIES || !half.is_multiple_of(8) {
            return None;
        }
        let (notes, counters) = journal.read();
        Some((journal, notes, counters))
    }

    /// What it says, in order.
    pub fn read(&self) -> (Vec<Note>, Counters) {
        let (base, m) = (self.base(), &self.memory);
        let (mut at, end) = (ENTRIES, m.load(base + USED).min(m.load(HALF_BYTES)));
        let mut notes = Vec::new();
        // Behind one whose length is wrong nothing can be found.
        while let Some((note, next)) = self.entry(base, at, end) {
            notes.extend(note);
            at += next;
        }
        let counters = [0, 8].map(|i| m.load(base + COUNTERS + i));
        (notes, counters)
    }

    /// Adds what happened, all of it or nothing. When there is no room, everything is written anew from `all`, which is
    /// as it stands after it.
    ///
    /// # Errors
    /// [`Full`]: the journal is as before.
    pub fn add(
        &mut self,
        notes: &[Note],
        counters: Counters,
        all: impl FnOnce() -> Vec<Note>,
    ) -> Result<(), Full> {
        let base = self.base();
        let used = self.memory.load(base + USED);
        if used + needed(notes)? > self.memory.load(HALF_BYTES) {
            return self.renew(&all(), counters);
        }
        let mut at = base + used;
        for note in notes {
            at += self.put(at, note);
        }
        self.count(base, counters);
        // From here on it has happened.
        self.memory.store(base + USED, at - base);
        Ok(())
    }

    /// Says that this journal counts no longer.
    pub fn forget(mut self) {
        self.memory.store(0, 0);
    }

    /// The memory.
    pub fn into_memory(self) -> M {
        self.memory
    }

    /// Bytes of the memory.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    fn renew(&mut self, all: &[Note], counters: Counters) -> Result<(), Full> {
        let next = self.memory.load(GENERATION).wrapping_add(1);
        self.fill(next & 1, all, counters)?;
        self.memory.store(GENERATION, next);
        Ok(())
    }

    fn fill(&mut self, half: u64, all: &[Note], counters: Counters) -> Result<(), Full> {
        let bytes = self.memory.load(HALF_BYTES);
        // Half of a half stays free: else the next changes would begin all over again.
        if ENTRIES + 2 * needed(all)? + LONGEST as u64 > bytes {
            return Err(Full);
        }
        let base = HALVES + half * bytes;
        let mut at = base + ENTRIES;
        for note in all {
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
        self.memory.store(base + COUNTERS, counters[0]);
        self.memory.store(base + COUNTERS + 8, counters[1]);
    }

    /// Writes an entry; its bytes.
    fn put(&mut self, at: u64, note: &Note) -> u64 {
        self.memory.store(at, note.head());
        self.memory.store(at + 8, note.number);
        self.memory.write(at + HEAD, &note.bytes);
        note.length()
    }

    /// The entry at an offset, unless it was written over, and its bytes; `None` at the end.
    fn entry(&self, base: u64, at: u64, end: u64) -> Option<(Option<Note>, u64)> {
        let left = end.checked_sub(at).filter(|left| *left >= HEAD)?;
        let at = base + at;
        let head = self.memory.load(at);
        let bytes = head & (SET - 1);
        if bytes > LONGEST as u64 || HEAD + bytes.next_multiple_of(8) > left {
            return None;
        }
        let mut own = vec![0; bytes as usize];
        self.memory.read(at + HEAD, &mut own);
        let note = Note {
            number: self.memory.load(at + 8),
            set: head & SET != 0,
            bytes: own,
        };
        let length = note.length();
        Some(((note.head() == head).then_some(note), length))
    }
}

/// Bytes that notes take.
fn needed(notes: &[Note]) -> Result<u64, Full> {
    match notes.iter().all(|note| note.bytes.len() <= LONGEST) {
        true => Ok(notes.iter().map(Note::length).sum()),
        false => Err(Full),
    }
}

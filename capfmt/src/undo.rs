//! The undo log: every kernel entry is a transaction on OSnode memory (DESIGN §3).
//!
//! Each logged store writes the entry (address, old word), then the length, then
//! the word itself. A kernel killed between any two of them leaves a log whose
//! rollback restores every word. One entry can stand for a run of words: bits 52–63
//! of its address word are their number less one, bits 0–2 a [`Step`]. This needs stores that happen in program order,
//! which every implementer of [`PhysMap`] gives (volatile accesses).

use crate::{KCB_UNDO_ENTRIES, Kcb, PhysAddr, PhysMap};

const LEN: u64 = 0x1000;
const WORDS: u64 = 0x1010;
const RUN_SHIFT: u32 = PhysAddr::BITS;
const RUN_MAX: u64 = 1 << (64 - RUN_SHIFT);

/// How the words of a run follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Step {
    /// All are the same.
    Same = 0,
    /// Each is 4 KiB more: page-table entries of consecutive pages.
    Page = 1,
    /// Each is 2 MiB more: page-table entries of consecutive blocks.
    Block = 2,
}

/// First word, number of words and step of an entry; `None` for a step that no kernel wrote.
const fn run(address: u64) -> Option<(PhysAddr, u64, u64)> {
    let step = match address & 7 {
        0 => 0,
        1 => 1 << 12,
        2 => 1 << 21,
        _ => return None,
    };
    let first = address & ((1 << RUN_SHIFT) - 1) & !7;
    Some((PhysAddr(first), (address >> RUN_SHIFT) + 1, step))
}

/// A map whose stores are logged in a KCB until they are committed.
///
/// Not logged: [`PhysMap::compare_exchange`], which is for lines that other cores
/// write too (state word, notification bits, core control lines) and must not be
/// taken back, and [`Transaction::zero_unlogged`].
///
/// Dropping it without [`Transaction::commit`] leaves the log open, as a crash does.
#[derive(Debug)]
pub struct Transaction<'a, M: PhysMap> {
    mem: &'a mut M,
    kcb: Kcb,
    len: u64,
}

impl<'a, M: PhysMap> Transaction<'a, M> {
    /// Opens a transaction on the OSnode of `kcb`.
    ///
    /// # Panics
    /// UNDO-CLOSED: when one is open already.
    pub fn begin(mem: &'a mut M, kcb: Kcb) -> Transaction<'a, M> {
        assert!(
            kcb.undo_len(mem) == 0,
            "UNDO-CLOSED: a transaction is open already"
        );
        Transaction { mem, kcb, len: 0 }
    }

    /// Makes all stores so far final; the transaction goes on, empty.
    pub fn commit(&mut self) {
        if self.len != 0 {
            self.mem.store_at(self.kcb.0, LEN, 0);
            self.len = 0;
        }
    }

    /// Takes all stores so far back; the transaction goes on, empty.
    pub fn abort(&mut self) {
        take_back(self.mem, self.kcb, self.len);
        self.len = 0;
    }

    /// Stores that the log still has room for. Preemption points ask it before the next piece of work.
    #[must_use]
    #[inline]
    pub fn room(&self) -> u64 {
        KCB_UNDO_ENTRIES - self.len
    }

    /// Stores logged so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was stored so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The KCB whose log it writes.
    #[must_use]
    pub fn kcb(&self) -> Kcb {
        self.kcb
    }

    /// Logs with one entry what `words` (1–4096) consecutive words from `at` on are to hold after a rollback:
    /// `first`, then each `step` more than the one before. From now on stores to them through
    /// [`Transaction::inner_mut`] are taken back so.
    pub fn log_restore(&mut self, at: PhysAddr, words: u64, first: u64, step: Step) {
        assert!(
            self.len < KCB_UNDO_ENTRIES && words != 0 && words <= RUN_MAX,
            "UNDO-ROOM: a step stored more than the undo log holds"
        );
        let entry = self.kcb.0.add(WORDS + 16 * self.len);
        let run = at.0 | step as u64 | (words - 1) << RUN_SHIFT;
        self.mem.store(entry, run);
        self.mem.store_at(entry, 8, first);
        self.len += 1;
        self.mem.store_at(self.kcb.0, LEN, self.len);
    }

    /// Zeroes memory that nothing refers to yet: after a crash nobody can see it, so it is not logged.
    pub fn zero_unlogged(&mut self, at: PhysAddr, len: u64) {
        self.mem.zero(at, len);
    }

    /// The word that stood at `at` when the transaction began.
    #[must_use]
    pub fn committed(&self, at: PhysAddr) -> u64 {
        committed(self.mem, self.kcb, at)
    }

    /// Stores `value` unless it stands there already.
    pub fn update(&mut self, at: PhysAddr, value: u64) {
        if self.load(at) != value {
            self.store(at, value);
        }
    }

    /// The map below, for reading what only it knows.
    #[must_use]
    pub fn inner(&self) -> &M {
        self.mem
    }

    /// The map below: stores through it are not logged and are not taken back.
    pub fn inner_mut(&mut self) -> &mut M {
        self.mem
    }
}

impl<M: PhysMap> PhysMap for Transaction<'_, M> {
    #[inline]
    fn load(&self, at: PhysAddr) -> u64 {
        self.mem.load(at)
    }

    #[inline]
    fn load_at(&self, base: PhysAddr, offset: u64) -> u64 {
        self.mem.load_at(base, offset)
    }

    #[inline]
    fn store(&mut self, at: PhysAddr, value: u64) {
        assert!(
            self.len < KCB_UNDO_ENTRIES,
            "UNDO-ROOM: a step stored more than the undo log holds"
        );
        let (kcb, entry) = (self.kcb.0, WORDS + 16 * self.len);
        let old = self.mem.load(at);
        self.mem.store_at(kcb, entry, at.0);
        self.mem.store_at(kcb, entry + 8, old);
        self.len += 1;
        self.mem.store_at(kcb, LEN, self.len);
        self.mem.store(at, value);
    }

    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        self.mem.compare_exchange(at, old, new)
    }

    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        self.mem.covers(at, len)
    }
}

/// Why a log cannot be rolled back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UndoError {
    /// The length exceeds the log.
    Length(u64),
    /// The entry's address is misaligned or not memory.
    Address(u64),
}

/// Whether the log of `kcb` is one that a kernel wrote.
///
/// # Errors
/// See [`UndoError`]; nothing is changed.
pub fn check(mem: &impl PhysMap, kcb: Kcb) -> Result<(), UndoError> {
    let len = kcb.undo_len(mem);
    if len > KCB_UNDO_ENTRIES {
        return Err(UndoError::Length(len));
    }
    for i in 0..len {
        let word = kcb.undo_word(mem, 2 * i);
        match run(word) {
            Some((at, words, _)) if mem.covers(at, 8 * words) => {}
            _ => return Err(UndoError::Address(word)),
        }
    }
    Ok(())
}

/// The word at `at` as it will be after a rollback of the open transaction, if there is one.
///
/// Takes time in proportion to the log. The log must have passed [`check`].
#[must_use]
pub fn committed(mem: &impl PhysMap, kcb: Kcb, at: PhysAddr) -> u64 {
    let len = kcb.undo_len(mem);
    let oldest = (0..len)
        .map(|i| kcb.0.add(WORDS + 16 * i))
        .find(|entry| mem.load(*entry) == at.0);
    oldest.map_or_else(|| mem.load(at), |entry| mem.load_at(entry, 8))
}

/// Takes back what an open transaction stored; returns the number of stores (0 = none was open).
///
/// May be interrupted anywhere and begun again: the log is emptied last.
///
/// # Errors
/// See [`UndoError`]; then nothing was changed.
pub fn rollback(mem: &mut impl PhysMap, kcb: Kcb) -> Result<u64, UndoError> {
    check(mem, kcb)?;
    let len = kcb.undo_len(mem);
    take_back(mem, kcb, len);
    Ok(len)
}

fn take_back(mem: &mut impl PhysMap, kcb: Kcb, len: u64) {
    for i in (0..len).rev() {
        let entry = kcb.0.add(WORDS + 16 * i);
        let (at, old) = (mem.load(entry), mem.load_at(entry, 8));
        let (first, words, step) = run(at).expect("UNDO-ENTRY: no kernel wrote this entry");
        for k in 0..words {
            mem.store_at(first, 8 * k, old.wrapping_add(k * step));
        }
    }
    if len != 0 {
        mem.store_at(kcb.0, LEN, 0);
    }
}

// The hot path spells the two offsets out; the table is what they must agree with.
const _: () = {
    let mut found = 0;
    let mut i = 0;
    while i < Kcb::FIELDS.len() {
        let f = Kcb::FIELDS[i];
        if f.offset == LEN && f.words == 1 || f.offset == WORDS && f.words == 2 * KCB_UNDO_ENTRIES {
            found += 1;
        }
        i += 1;
    }
    assert!(found == 2);
};

//! What outlives a memory server: its books, record by record, in memory that its starter keeps.
//!
//! Not in it is what is free. Of that the server has the only capabilities, so when its process is taken apart the
//! kernel brings it back (`ReclaimBind`), whatever was being done with it. So a record need not be exact: what it says
//! of memory that has come back is no longer true ([`crate::Allocator::returned`]), and what no record speaks of is entered
//! when it comes back as new. Between any two of the ledger's stores the server may end.
//!
//! A record is four little-endian words of 64 bits: kind (bits 0 to 7) and hash of the rest (bits 8 to 63), then what the kind
//! says. A first word of zero is no record. It is written last, and taken away first.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use twox_hash::XxHash3_128;

use crate::{Fact, Grant};

/// Words of a record.
pub const RECORD_WORDS: usize = 4;
/// Bytes of a record.
pub const RECORD_BYTES: u64 = 8 * RECORD_WORDS as u64;
/// Stands for an account without a limit.
const NO_LIMIT: u64 = u64::MAX;
/// Of an account that is closed, beside its number.
const CLOSED: u64 = 1 << 32;

type Record = [u64; RECORD_WORDS];

/// One thing that the next life is to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// An account that was opened for a process.
    Account {
        /// Its number.
        number: u32,
        /// Most bytes.
        limit: Option<u64>,
        /// Bytes that it can always have.
        share: u64,
        /// Its owner has ended.
        closed: bool,
    },
    /// Somebody has a piece.
    Grant(Grant),
    /// Another OSnode has a range (first byte, first byte after).
    Lent {
        /// First byte.
        base: u64,
        /// First byte after.
        end: u64,
        /// Which OSnode.
        osnode: u64,
    },
    /// A range never goes to another server (first byte, first byte after).
    Fixed(u64, u64),
    /// Something is known of the machine.
    Fact(Fact),
    /// What an OSnode left that is gone, and that nobody was told of yet.
    Estate {
        /// First byte.
        base: u64,
        /// Bytes.
        bytes: u64,
        /// Which OSnode.
        osnode: u64,
    },
    /// Bytes that the server began with, got from other servers, and sent them.
    Sums(u64, u64, u64),
    /// Node of the memory that the server began with.
    Node(u8),
}

/// What an entry is of: at most one for each key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// By number.
    Account(u32),
    /// By first byte.
    Grant(u64),
    /// By first byte.
    Lent(u64),
    /// By first byte.
    Fixed(u64),
    /// By all of it.
    Fact(Fact),
    /// By first byte.
    Estate(u64),
    /// There is one.
    Sums,
    /// There is one.
    Node,
}

/// What happened to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new, or another one than before.
    Put(Entry),
    /// It is none any more.
    Erase(Key),
}

mod kind {
    pub const ACCOUNT: u64 = 1;
    pub const GRANT: u64 = 2;
    pub const LENT: u64 = 3;
    pub const FIXED: u64 = 4;
    pub const RANGE: u64 = 5;
    pub const DISTANCE: u64 = 6;
    pub const CORE: u64 = 7;
    pub const ESTATE: u64 = 8;
    pub const SUMS: u64 = 9;
    pub const NODE: u64 = 10;
}

/// Bits 8 to 63 of the first word: finds what a server that went wrong wrote here.
fn hashed(record: Record) -> u64 {
    let [head, a, b, c] = record;
    let mut bytes = [0; 8 * RECORD_WORDS];
    let words = [head & 0xff, a, b, c];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    (XxHash3_128::oneshot(&bytes) as u64) << 8
}

impl Entry {
    /// What it is of.
    #[must_use]
    pub const fn key(&self) -> Key {
        match *self {
            Entry::Account { number, .. } => Key::Account(number),
            Entry::Grant(grant) => Key::Grant(grant.base),
            Entry::Lent { base, .. } => Key::Lent(base),
            Entry::Fixed(base, _) => Key::Fixed(base),
            Entry::Fact(fact) => Key::Fact(fact),
            Entry::Estate { base, .. } => Key::Estate(base),
            Entry::Sums(..) => Key::Sums,
            Entry::Node(_) => Key::Node,
        }
    }

    fn record(&self) -> Record {
        let plain = match *self {
            Entry::Account {
                number,
                limit,
                share,
                closed,
            } => {
                let closed = if closed { CLOSED } else { 0 };
                let limit = limit.unwrap_or(NO_LIMIT);
                [kind::ACCOUNT, u64::from(number) | closed, limit, share]
            }
            Entry::Grant(Grant {
                base,
                size,
                account,
            }) => [kind::GRANT, base, size, account.into()],
            Entry::Lent { base, end, osnode } => [kind::LENT, base, end, osnode],
            Entry::Fixed(base, end) => [kind::FIXED, base, end, 0],
            Entry::Fact(Fact::Range(base, bytes, node)) => [kind::RANGE, base, bytes, node.into()],
            Entry::Fact(Fact::Distance(from, to, distance)) => {
                [kind::DISTANCE, from.into(), to.into(), distance.into()]
            }
            Entry::Fact(Fact::Core(core, node)) => [kind::CORE, core.into(), node.into(), 0],
            Entry::Estate {
                base,
                bytes,
                osnode,
            } => [kind::ESTATE, base, bytes, osnode],
            Entry::Sums(donated, got, sent) => [kind::SUMS, donated, got, sent],
            Entry::Node(node) => [kind::NODE, node.into(), 0, 0],
        };
        let [head, a, b, c] = plain;
        [head | hashed(plain), a, b, c]
    }

    /// `None` for what no server wrote.
    fn of(record: Record) -> Option<Entry> {
        let [head, a, b, c] = record;
        if head & !0xff != hashed(record) {
            return None;
        }
        let byte = |w: u64| u8::try_from(w).ok();
        let number = |w: u64| u32::try_from(w).ok();
        Some(match head & 0xff {
            kind::ACCOUNT => Entry::Account {
                number: number(a & !CLOSED)?,
                limit: (b != NO_LIMIT).then_some(b),
                share: c,
                closed: a & CLOSED != 0,
            },
            kind::GRANT => Entry::Grant(Grant {
                base: a,
                size: b,
                account: number(c)?,
            }),
            kind::LENT => Entry::Lent {
                base: a,
                end: b,
                osnode: c,
            },
            kind::FIXED => Entry::Fixed(a, b),
            kind::RANGE => Entry::Fact(Fact::Range(a, b, byte(c)?)),
            kind::DISTANCE => Entry::Fact(Fact::Distance(byte(a)?, byte(b)?, number(c)?)),
            kind::CORE => Entry::Fact(Fact::Core(number(a)?, byte(b)?)),
            kind::ESTATE => Entry::Estate {
                base: a,
                bytes: b,
                osnode: c,
            },
            kind::SUMS => Entry::Sums(a, b, c),
            kind::NODE => Entry::Node(byte(a)?),
            _ => return None,
        })
    }
}

/// Memory for records; all zero at first.
pub trait Store {
    /// How many it has room for.
    fn records(&self) -> u32;
    /// A word of a record.
    fn load(&self, record: u32, word: usize) -> u64;
    /// Changes a word of a record.
    fn store(&mut self, record: u32, word: usize, value: u64);
}

/// The records.
#[derive(Debug)]
pub struct Ledger<S> {
    store: S,
    places: BTreeMap<Key, u32>,
    empty: Vec<u32>,
}

impl<S: Store> Ledger<S> {
    /// Reads what is there: what an earlier life left. Damaged records, and all but the first of a key, are taken away.
    pub fn open(store: S) -> (Ledger<S>, Vec<Entry>) {
        let mut ledger = Ledger {
            store,
            places: BTreeMap::new(),
            empty: Vec::new(),
        };
        let mut found = Vec::new();
        for at in (0..ledger.store.records()).rev() {
            let record = ledger.read(at);
            let entry = Entry::of(record).filter(|_| record[0] != 0);
            match entry {
                Some(entry) if !ledger.places.contains_key(&entry.key()) => {
                    ledger.places.insert(entry.key(), at);
                    found.push(entry);
                }
                _ => ledger.clear(at),
            }
        }
        found.sort_by_key(Entry::key);
        (ledger, found)
    }

    fn read(&self, at: u32) -> Record {
        core::array::from_fn(|word| self.store.load(at, word))
    }

    fn clear(&mut self, at: u32) {
        if self.store.load(at, 0) != 0 {
            self.store.store(at, 0, 0);
        }
        self.empty.push(at);
    }

    fn write(&mut self, at: u32, record: Record) {
        for (word, value) in record.into_iter().enumerate().skip(1) {
            self.store.store(at, word, value);
        }
        self.store.store(at, 0, record[0]);
    }

    /// Whether there is no place for one more entry.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // The last one is for what changes.
        self.empty.len() < 2
    }

    /// Whether less than an eighth of it is empty.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.empty.len() < self.store.records() as usize / 8
    }

    /// Writes an entry, in the place of the one with the same key; whether there was a place.
    pub fn put(&mut self, entry: &Entry) -> bool {
        let (key, record) = (entry.key(), entry.record());
        let before = self.places.get(&key).copied();
        if before.is_some_and(|at| self.read(at) == record) {
            return true;
        }
        if before.is_none() && self.is_full() {
            return false;
        }
        let Some(at) = self.empty.pop() else {
            return false;
        };
        self.write(at, record);
        self.places.insert(key, at);
        if let Some(before) = before {
            self.clear(before);
        }
        true
    }

    /// Takes an entry away, if there is one.
    pub fn erase(&mut self, key: Key) {
        if let Some(at) = self.places.remove(&key) {
            self.clear(at);
        }
    }

    /// Carries changes out, those that add something first: what moves from one key to another is under one of them
    /// at any time; and the last first, so that the end of a range stands by itself before the whole is cut short. How many
    /// found no place.
    pub fn enter(&mut self, changes: &[Change]) -> usize {
        let mut lost = 0;
        for change in changes.iter().rev() {
            match change {
                Change::Put(entry) if !self.put(entry) => lost += 1,
                _ => {}
            }
        }
        for change in changes {
            if let Change::Erase(key) = change {
                self.erase(*key);
            }
        }
        lost
    }

    /// Everything that stands in it.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let places = self.places.values();
        places.filter_map(|at| Entry::of(self.read(*at)))
    }
}

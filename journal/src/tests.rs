//! The journal: what is read from it after a death at any store is what stood before or after the change.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::format;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::{Counters, Full, Journal, Memory, Note};

/// Memory that takes so many stores, and loses all that come after them.
#[derive(Clone, Debug)]
struct Ram {
    bytes: Vec<u8>,
    left: Rc<Cell<u64>>,
}

impl Ram {
    fn new(bytes: usize) -> Ram {
        Ram {
            bytes: vec![0xa5; bytes],
            left: Rc::new(Cell::new(u64::MAX)),
        }
    }
    fn lives(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

impl Memory for Ram {
    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn load(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.read(at, &mut word);
        u64::from_le_bytes(word)
    }
    fn store(&mut self, at: u64, word: u64) {
        assert_eq!(at % 8, 0, "words are aligned");
        if self.lives() {
            self.bytes[at as usize..][..8].copy_from_slice(&word.to_le_bytes());
        }
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        to.copy_from_slice(&self.bytes[at as usize..][..to.len()]);
    }
    fn write(&mut self, at: u64, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            if self.lives() {
                self.bytes[at as usize + i] = *byte;
            }
        }
    }
}

/// By name: number and bytes. The bytes of a note that is set begin with the name.
type Model = BTreeMap<String, (u64, Vec<u8>)>;

fn set(name: &str, size: usize, number: u64) -> Note {
    Note::set(number, format!("{name} {}", "x".repeat(size)))
}

fn apply(model: &mut Model, note: &Note) {
    let text = str::from_utf8(&note.bytes).expect("as it was written");
    let name = text.split(' ').next().unwrap_or_default().to_string();
    match note.set {
        true => drop(model.insert(name, (note.number, note.bytes.clone()))),
        false => drop(model.remove(&name)),
    }
}

fn all(model: &Model) -> Vec<Note> {
    let all = model.values().cloned();
    all.map(|(number, bytes)| Note::set(number, bytes))
        .collect()
}

fn read(ram: &Ram) -> Option<(Model, Counters)> {
    let (_, notes, counters) = Journal::open(ram.clone())?;
    let mut model = Model::new();
    for note in &notes {
        apply(&mut model, note);
    }
    Some((model, counters))
}

#[test]
fn a_journal_that_is_too_small_says_so_and_stays_as_it_was() {
    let counters = [0, 0];
    assert!(Journal::create(Ram::new(4096), &[], counters).is_err());
    let mut journal = Journal::create(Ram::new(64 << 10), &[], counters).unwrap();
    let mut model = Model::new();
    let full = (0..100).find_map(|i| {
        let note = set(&format!("r{i}"), 1000, i);
        let before = model.clone();
        apply(&mut model, &note);
        let now = all(&model);
        let end = journal.add(&[note], counters, || now);
        (end == Err(Full)).then_some(before)
    });
    let before = full.expect("100,000 bytes do not fit");
    assert!(before.len() >= 10, "{} records fit", before.len());
}

#[test]
fn what_is_no_journal_is_not_read() {
    assert!(read(&Ram::new(64 << 10)).is_none());
    let ram = Ram::new(64 << 10);
    let left = ram.left.clone();
    let journal = Journal::create(ram, &[set("a", 3, 1)], [0, 0]).unwrap();
    left.set(u64::MAX);
    journal.forget();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random changes, and a death after a random number of stores in each: what is read is what was there
    /// before the change or what is there after it, and goes on.
    #[test]
    fn a_death_at_any_store_loses_at_most_the_change_under_way(
        changes in prop::collection::vec((0u8..20, 0usize..1200, any::<bool>(), 0u64..1500), 1..120),
    ) {
        let mut counters = [0, 7];
        let mut model = Model::new();
        let ram = Ram::new(128 << 10);
        let mut left = ram.left.clone();
        let mut journal = Journal::create(ram, &[], counters).unwrap();
        for (name, size, delete, dies_after) in changes {
            counters[0] += 1;
            let name = format!("r{name}");
            let note = match delete {
                true => Note::gone(counters[0], name.clone()),
                false => set(&name, size, counters[0]),
            };
            let before = model.clone();
            apply(&mut model, &note);
            let now = all(&model);
            left.set(dies_after);
            let added = journal.add(&[note], counters, || now);
            prop_assert_eq!(added, Ok(()));
            let died = left.get() == 0;
            left.set(u64::MAX);
            let ram = journal.into_memory();
            let (found, read_counters) = read(&ram).expect("it stays a journal");
            if died {
                prop_assert!(found == before || found == model);
                model = found;
            } else {
                prop_assert_eq!(&found, &model);
                prop_assert_eq!(read_counters, counters);
            }
            prop_assert_eq!(read_counters[1], 7);
            left = ram.left.clone();
            let (opened, ..) = Journal::open(ram).expect("it stays a journal");
            journal = opened;
        }
    }

    /// Bytes written over: the rest is read as it was, or nothing from there on; never anything that was not written.
    #[test]
    fn what_was_written_over_is_left_out(
        sizes in prop::collection::vec(0usize..300, 1..40),
        (at, with) in (0usize..(64 << 10) - 8, any::<u64>()),
    ) {
        let notes: Vec<Note> =
            (0..).zip(&sizes).map(|(i, size)| set(&format!("r{i}"), *size, i)).collect();
        let journal = Journal::create(Ram::new(64 << 10), &notes, [1, 2]).unwrap();
        let mut ram = journal.into_memory();
        ram.bytes[at..at + 8].copy_from_slice(&with.to_le_bytes());
        let Some((journal, found, _)) = Journal::open(ram) else {
            // Only the words before the halves say whether there is a journal at all.
            prop_assert!(at < 64);
            return Ok(());
        };
        prop_assert!(found.iter().all(|note| notes.contains(note)));
        let lost = notes.len() - found.len();
        if at >= 64 + 24 {
            let first = notes.iter().position(|note| !found.contains(note));
            let rest = &notes[first.unwrap_or(notes.len())..];
            // Eight bytes are in three entries at most; with a length, all behind it are lost.
            prop_assert!(lost <= 3 || lost == rest.len());
        }
        drop(journal);
    }
}

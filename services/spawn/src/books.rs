//! What outlives the spawn service: records in a journal, and capabilities in a ledger of CNodes, both of which its
//! starter keeps.
//!
//! A record names its capabilities by their slots. Slots that no record names are nobody's: a process that was being built
//! or taken apart when the service ended, or something that nobody keeps any more. The next life's first step empties
//! them, so that a process whose record was not written never was, and one whose record was taken away is over. Whatever
//! is written is therefore written after a slot was filled, and before it is emptied.
//!
//! Every fourth slot is for blocks: RAM that is revoked before it is deleted, and what was made of it with it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use journal::{Counters, Note};

use crate::records::{Key, ProcessRecord, Record, ServiceRecord};

/// Whether a slot of the ledger is for the block of a process.
#[must_use]
pub const fn is_block(slot: u32) -> bool {
    slot.is_multiple_of(4)
}

/// Where records and capabilities outlive the service.
pub trait Custody {
    /// A capability of the service's own.
    type Cap: ?Sized;
    /// Why a capability cannot be put there.
    type Error;
    /// More slots: how many there are now, if there can be more.
    fn grow(&mut self) -> Option<u32>;
    /// A copy of a capability in an empty slot.
    ///
    /// # Errors
    /// Why it is not there.
    fn put(&mut self, cap: &Self::Cap, slot: u32) -> Result<(), Self::Error>;
    /// Deletes what stands in a slot, if anything does; whether the slot is empty then.
    fn delete(&mut self, slot: u32) -> bool;
    /// Revokes what stands in a slot, if anything does: everything made of it goes, and its other copies.
    fn revoke(&mut self, slot: u32);
    /// Writes notes, all or none; `all` is everything as it stands after them.
    fn write(&mut self, notes: &[Note], counters: Counters, all: &dyn Fn() -> Vec<Note>);
}

/// Why a capability is not in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheld<E> {
    /// There is no slot for it.
    NoRoom,
    /// It cannot be put there.
    Refused(E),
}

/// What a former life left, as far as it fits together.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Left {
    /// Processes by number.
    pub processes: BTreeMap<u64, ProcessRecord>,
    /// Services by number.
    pub services: BTreeMap<u64, ServiceRecord>,
    /// Last number of a process, and of a service.
    pub counters: Counters,
}

impl Left {
    /// What notes say, in order. A slot that two records name is the first one's.
    #[must_use]
    pub fn read(notes: &[Note], counters: Counters) -> Left {
        let records = latest(notes);
        let records = records.iter().filter_map(|(n, b)| Record::read(*n, b));
        let mut left = Left {
            counters,
            ..Left::default()
        };
        let mut claimed = BTreeSet::new();
        for (key, record) in records {
            match (key, record) {
                (Key::Process(number), Record::Process(mut p)) => {
                    p.slots = p.slots.filter(|slots| {
                        let fits = is_block(slots.block) && !slots.parts.into_iter().any(is_block);
                        fits && slots.all().all(|slot| claimed.insert(slot))
                    });
                    left.counters[0] = left.counters[0].max(number);
                    left.processes.insert(number, p);
                }
                (Key::Service(number), Record::Service(mut s)) => {
                    s.kept
                        .retain(|kept| !is_block(kept.slot) && claimed.insert(kept.slot));
                    left.counters[1] = left.counters[1].max(number);
                    left.services.insert(number, s);
                }
                (Key::Process(_), Record::Service(_)) | (Key::Service(_), Record::Process(_)) => {}
            }
        }
        left
    }

    /// The slots that records name.
    fn claimed(&self) -> BTreeSet<u32> {
        let of_processes = self.processes.values().flat_map(|p| p.slots);
        let of_services = self.services.values().flat_map(|s| &s.kept);
        let mut all: BTreeSet<u32> = of_services.map(|kept| kept.slot).collect();
        of_processes.for_each(|slots| all.extend(slots.all()));
        all
    }
}

/// What notes say in the end, by number.
#[must_use]
pub fn latest(notes: &[Note]) -> BTreeMap<u64, Vec<u8>> {
    let mut found = BTreeMap::new();
    for note in notes {
        match note.set {
            true => found.insert(note.number, note.bytes.clone()),
            false => found.remove(&note.number),
        };
    }
    found
}

/// The books of one life.
#[derive(Debug)]
pub struct Books<C> {
    custody: C,
    free_blocks: BTreeSet<u32>,
    free: BTreeSet<u32>,
    /// How many slots there are.
    slots: u32,
    /// Slots that are to be emptied once the records that named them say otherwise.
    over: Vec<u32>,
    /// What changed since it was written.
    changed: BTreeSet<Key>,
}

impl<C: Custody> Books<C> {
    /// The books that a former life left, with `slots` slots; what no record names is over.
    pub fn open(mut custody: C, slots: u32, left: &Left) -> Books<C> {
        let claimed = left.claimed();
        let unclaimed = (0..slots).filter(|slot| !claimed.contains(slot));
        let mut empty: Vec<u32> = unclaimed.collect();
        // One that cannot be emptied is nobody's as long as this life lasts.
        empty.retain(|slot| {
            if is_block(*slot) {
                custody.revoke(*slot);
            }
            custody.delete(*slot)
        });
        let mut books = Books {
            custody,
            free_blocks: BTreeSet::new(),
            free: BTreeSet::new(),
            slots,
            over: Vec::new(),
            changed: BTreeSet::new(),
        };
        empty.into_iter().for_each(|slot| books.add(slot));
        books
    }

    /// Where they stand.
    pub const fn custody(&self) -> &C {
        &self.custody
    }

    fn add(&mut self, slot: u32) {
        match is_block(slot) {
            true => self.free_blocks.insert(slot),
            false => self.free.insert(slot),
        };
    }

    fn take(&mut self, block: bool) -> Option<u32> {
        loop {
            let found = match block {
                true => self.free_blocks.pop_first(),
                false => self.free.pop_first(),
            };
            if found.is_some() {
                return found;
            }
            let before = self.slots;
            self.slots = self.custody.grow().filter(|now| *now > before)?;
            (before..self.slots).for_each(|slot| self.add(slot));
        }
    }

    fn hold(&mut self, cap: &C::Cap, block: bool) -> Result<u32, Unheld<C::Error>> {
        let slot = self.take(block).ok_or(Unheld::NoRoom)?;
        self.custody.put(cap, slot).map(|()| slot).map_err(|e| {
            self.add(slot);
            Unheld::Refused(e)
        })
    }

    /// Puts a copy of a capability into the ledger; its slot, for a record that is written next.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn keep(&mut self, cap: &C::Cap) -> Result<u32, Unheld<C::Error>> {
        self.hold(cap, false)
    }

    /// As [`Books::keep`], for RAM that a process is about to be made of.
    ///
    /// # Errors
    /// As [`Books::keep`].
    pub fn keep_block(&mut self, cap: &C::Cap) -> Result<u32, Unheld<C::Error>> {
        self.hold(cap, true)
    }

    /// Whoever a slot was for does not need it any more. It is emptied after the next [`Books::write`].
    pub fn release(&mut self, slot: u32) {
        self.over.push(slot);
    }

    /// Something changed that is to be written.
    pub fn change(&mut self, key: Key) {
        self.changed.insert(key);
    }

    /// Writes what changed, as `record` says it stands (`None` = it is gone). Then it has happened.
    pub fn write(
        &mut self,
        counters: Counters,
        record: impl Fn(Key) -> Option<Record>,
        all: impl Fn() -> Vec<(Key, Record)>,
    ) {
        let changed = core::mem::take(&mut self.changed);
        if !changed.is_empty() {
            let note = |key| match record(key) {
                Some(record) => record.note(key),
                None => Note::gone(key.number(), []),
            };
            let notes: Vec<Note> = changed.into_iter().map(note).collect();
            let all = || all().iter().map(|(key, r)| r.note(*key)).collect();
            self.custody.write(&notes, counters, &all);
        }
        for slot in core::mem::take(&mut self.over) {
            if self.custody.delete(slot) {
                self.add(slot);
            }
        }
    }
}

//! The records, who answers for them, and what changes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Bound;

use journal::{Counters, Note};
use proto::ServiceError;
use proto::iface::registry::SetMode;

use crate::language::{self, MAX_ATTRIBUTES, MAX_NAME, MAX_RECORD, Query, Record};
use crate::{ClientId, Refusal, SYSTEM_PREFIX};

/// Most records.
pub const MAX_RECORDS: usize = 2048;
/// So many more may be the system's.
pub const SYSTEM_RECORDS: usize = 256;
/// Most records that one connection answers for.
pub const CLIENT_RECORDS: usize = 256;
/// Most bytes of them, as text.
pub const CLIENT_BYTES: usize = 64 * 1024;
/// Digits of a sequential name's number.
const DIGITS: usize = 10;

/// How a record is to be set.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What to do with what is there.
    pub mode: SetMode,
    /// It goes with its client.
    pub ephemeral: bool,
    /// A number goes behind its name.
    pub sequential: bool,
    /// Version that it must have, or 0.
    pub version: u64,
}

/// A record as it stands here.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it says.
    pub record: Rc<Record>,
    /// Version of its last change.
    pub version: u64,
    /// Who set it, if that connection is still there.
    charged: Option<ClientId>,
    /// It goes with who set it.
    ephemeral: bool,
}

impl Stored {
    /// Whether it outlives the registry's process: who set an ephemeral one, and the system, say it again.
    fn lasts(&self) -> bool {
        !self.ephemeral && !self.record.name.starts_with(SYSTEM_PREFIX)
    }
    fn note(&self) -> Note {
        Note::set(self.version, self.record.to_string())
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record before.
    pub old: Option<Rc<Record>>,
    /// The record after.
    pub new: Option<Rc<Record>>,
    /// Its version.
    pub version: u64,
}

/// What a connection answers for.
#[derive(Clone, Copy, Default, Debug)]
struct Charge {
    records: usize,
    bytes: usize,
}

/// The records, in the order of their names.
#[derive(Default, Debug)]
pub struct Store {
    records: BTreeMap<String, Stored>,
    charges: BTreeMap<ClientId, Charge>,
    version: u64,
    sequence: u64,
    /// What the journal was not told yet.
    notes: Vec<Note>,
}

impl Store {
    /// What a journal says: its notes in order.
    #[must_use]
    pub fn restore(notes: &[Note], counters: Counters) -> Store {
        let mut store = Store {
            version: counters[0],
            sequence: counters[1],
            ..Store::default()
        };
        for note in notes {
            // What this program wrote it can read; what it cannot, it never wrote.
            let Ok(text) = str::from_utf8(&note.bytes) else {
                continue;
            };
            if !note.set {
                store.records.remove(text);
                continue;
            }
            let Ok(record) = language::record(text) else {
                continue;
            };
            store.version = store.version.max(note.number);
            let stored = Stored {
                record: Rc::new(record),
                version: note.number,
                charged: None,
                ephemeral: false,
            };
            store.records.insert(stored.record.name.clone(), stored);
        }
        store
    }

    /// What happened since the last call, for the journal.
    pub fn take_notes(&mut self) -> Vec<Note> {
        core::mem::take(&mut self.notes)
    }

    /// How far versions and sequential names have come.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        [self.version, self.sequence]
    }

    /// Every record that outlives the process.
    #[must_use]
    pub fn lasting(&self) -> Vec<Note> {
        let all = self.records.values().filter(|s| s.lasts());
        all.map(Stored::note).collect()
    }

    /// Notes what became of a record.
    fn note(&mut self, name: &str, old_lasted: bool) {
        let now = self.records.get(name).filter(|s| s.lasts());
        match now.map(Stored::note) {
            Some(note) => self.notes.push(note),
            None if old_lasted => self.notes.push(Note::gone(self.version, name)),
            None => {}
        }
    }

    /// The record with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.records.get(name)
    }

    /// Records that fit, in the order of their names, those after `after`.
    pub fn find<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Stored> {
        let prefix = query.names.prefix();
        let from = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after.to_string()),
            _ => Bound::Included(prefix.clone()),
        };
        let range = self.records.range((from, Bound::Unbounded));
        let range = range.take_while(move |(name, _)| name.starts_with(&prefix));
        range
            .map(|(_, stored)| stored)
            .filter(|s| query.is_match(&s.record))
    }

    /// Sets a record.
    ///
    /// # Errors
    /// What stands against it; nothing has changed then.
    pub fn set(&mut self, client: ClientId, how: How, wanted: Record) -> Result<Change, Refusal> {
        let mut record = wanted;
        if how.sequential {
            record.name = self.numbered(&record.name)?;
        }
        ensure_allowed(client, &record.name)?;
        let old = self.records.get(&record.name);
        ensure_fits(how, &record.name, old)?;
        let (mut charged, mut ephemeral) = (Some(client), how.ephemeral);
        if let (SetMode::Merge, Some(old)) = (how.mode, old) {
            record = merged(&old.record, record)?;
            (charged, ephemeral) = (old.charged, old.ephemeral);
        }
        let old = old.cloned();
        let (is_new, lasted) = (old.is_none(), old.as_ref().is_some_and(Stored::lasts));
        self.ensure_room(client, charged, &record, old.as_ref())?;
        if let Some(old) = &old {
            self.discharge(old);
        }
        if how.sequential {
            self.sequence += 1;
        }
        self.version += 1;
        let stored = Stored {
            record: Rc::new(record),
            version: self.version,
            charged,
            ephemeral,
        };
        self.charge(&stored);
        let change = Change {
            old: old.map(|o| o.record),
            new: Some(stored.record.clone()),
            version: self.version,
        };
        debug_assert_eq!(is_new, change.old.is_none());
        let name = stored.record.name.clone();
        self.records.insert(name.clone(), stored);
        self.note(&name, lasted);
        Ok(change)
    }

    /// Deletes every record that fits.
    ///
    /// # Errors
    /// One of them is the system's, and `client` is not; nothing has changed then.
    pub fn delete(&mut self, client: ClientId, query: &Query) -> Result<Vec<Change>, Refusal> {
        let found: Vec<String> = self
            .find(query, None)
            .map(|s| s.record.name.clone())
            .collect();
        for name in &found {
            ensure_allowed(client, name)?;
        }
        Ok(found.iter().filter_map(|n| self.remove(n)).collect())
    }

    /// A connection ended: what was its own goes, for the rest nobody answers any more.
    pub fn closed(&mut self, client: ClientId) -> Vec<Change> {
        let mut own = Vec::new();
        for (name, stored) in &mut self.records {
            if stored.charged != Some(client) {
                continue;
            }
            match stored.ephemeral {
                true => own.push(name.clone()),
                false => stored.charged = None,
            }
        }
        let changes = own.iter().filter_map(|n| self.remove(n)).collect();
        self.charges.remove(&client);
        changes
    }

    fn remove(&mut self, name: &str) -> Option<Change> {
        let old = self.records.remove(name)?;
        self.discharge(&old);
        self.version += 1;
        self.note(name, old.lasts());
        Some(Change {
            old: Some(old.record),
            new: None,
            version: self.version,
        })
    }

    fn numbered(&self, name: &str) -> Result<String, Refusal> {
        let number = self.sequence + 1;
        let name = format!("{name}{number:0DIGITS$}");
        match name.len() <= MAX_NAME {
            true => Ok(name),
            false => Err((
                ServiceError::BadArgument,
                format!("{name} is longer than {MAX_NAME} characters"),
            )),
        }
    }

    fn ensure_room(
        &self,
        client: ClientId,
        charged: Option<ClientId>,
        record: &Record,
        old: Option<&Stored>,
    ) -> Result<(), Refusal> {
        let full = |what: String| Err((ServiceError::TableFull, what));
        let most = match client.is_system() {
            true => MAX_RECORDS + SYSTEM_RECORDS,
            false => MAX_RECORDS,
        };
        if old.is_none() && self.records.len() >= most {
            return full(format!("the registry has {most} records: delete some"));
        }
        let Some(payer) = charged.filter(|c| !c.is_system()) else {
            return Ok(());
        };
        let now = self.charges.get(&payer).copied().unwrap_or_default();
        let before = match old.filter(|o| o.charged == charged) {
            Some(old) => Charge::of(&old.record),
            None => Charge::default(),
        };
        let more = Charge::of(record);
        if now.records + more.records > CLIENT_RECORDS + before.records {
            return full(format!(
                "a connection may set {CLIENT_RECORDS} records: delete some"
            ));
        }
        if now.bytes + more.bytes > CLIENT_BYTES + before.bytes {
            return full(format!(
                "a connection's records may have {CLIENT_BYTES} bytes: delete some"
            ));
        }
        Ok(())
    }

    fn charge(&mut self, stored: &Stored) {
        if let Some(client) = stored.charged {
            let charge = self.charges.entry(client).or_default();
            let more = Charge::of(&stored.record);
            charge.records += more.records;
            charge.bytes += more.bytes;
        }
    }

    fn discharge(&mut self, stored: &Stored) {
        if let Some(charge) = stored.charged.and_then(|c| self.charges.get_mut(&c)) {
            let less = Charge::of(&stored.record);
            charge.records -= less.records;
            charge.bytes -= less.bytes;
        }
    }

    /// Names an invariant that does not hold, if one does not.
    ///
    /// # Errors
    /// Its name.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let mut charges: BTreeMap<ClientId, (usize, usize)> = BTreeMap::new();
        for (name, stored) in &self.records {
            if *name != stored.record.name {
                return Err("REGISTRY-NAME");
            }
            if stored.version > self.version {
                return Err("REGISTRY-VERSION");
            }
            if let Some(client) = stored.charged {
                let charge = charges.entry(client).or_default();
                charge.0 += 1;
                charge.1 += Charge::of(&stored.record).bytes;
            }
        }
        let booked = self.charges.iter().filter(|(_, c)| c.records > 0);
        let booked: BTreeMap<_, _> = booked.map(|(k, c)| (*k, (c.records, c.bytes))).collect();
        match booked == charges {
            true => Ok(()),
            false => Err("REGISTRY-CHARGES"),
        }
    }
}

impl Charge {
    fn of(record: &Record) -> Charge {
        Charge {
            records: 1,
            bytes: record.to_string().len(),
        }
    }
}

fn ensure_allowed(client: ClientId, name: &str) -> Result<(), Refusal> {
    if name.starts_with(SYSTEM_PREFIX) && !client.is_system() {
        let text = format!("{name} is the system's: records {SYSTEM_PREFIX}* are only read");
        return Err((ServiceError::BadOperation, text));
    }
    Ok(())
}

/// Whether the mode and the version asked for allow a change of what is there.
fn ensure_fits(how: How, name: &str, old: Option<&Stored>) -> Result<(), Refusal> {
    match (how.mode, old) {
        (SetMode::Create, Some(_)) => Err((ServiceError::Exists, format!("{name} exists"))),
        (SetMode::Merge, None) => Err(missing(name)),
        (SetMode::Replace | SetMode::Create, None) if how.version != 0 => Err(missing(name)),
        (_, Some(old)) if how.version != 0 && how.version != old.version => Err((
            ServiceError::Busy,
            format!(
                "{name} has version {}, not {}: read it again",
                old.version, how.version
            ),
        )),
        _ => Ok(()),
    }
}

/// Nothing has this name.
pub fn missing(name: &str) -> Refusal {
    let text = format!("there is no record {name}");
    (ServiceError::NotFound, text)
}

fn merged(old: &Record, new: Record) -> Result<Record, Refusal> {
    let mut record = old.clone();
    record.attributes.extend(new.attributes);
    let bytes = record.to_string().len();
    if record.attributes.len() > MAX_ATTRIBUTES || bytes > MAX_RECORD {
        let text = format!(
            "{} would have more than {MAX_ATTRIBUTES} attributes or {MAX_RECORD} bytes",
            record.name
        );
        return Err((ServiceError::BadArgument, text));
    }
    Ok(record)
}

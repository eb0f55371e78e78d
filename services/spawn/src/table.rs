//! Processes by number; numbers are never reused.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use proto::iface::spawn::ProcessState;

/// Ended processes that are remembered.
const MAX_ENDED: usize = 16;

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Program name and arguments.
    pub words: Vec<String>,
    /// What it does.
    pub state: ProcessState,
    /// Exit status, when it exited.
    pub status: i32,
    /// Its last report, when it ended.
    pub report: String,
    /// Core time used, when it ended (ns).
    pub used_ns: u64,
    /// Bytes of memory that it holds.
    pub memory: u64,
}

impl Entry {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state, ProcessState::Starting | ProcessState::Running)
    }
}

/// Why a name does not mean one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// No live process has it.
    Unknown,
    /// So many have it.
    Several(usize),
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: BTreeMap<u64, Entry>,
    last: u64,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Table {
        Table::default()
    }
    /// Adds a process that is being built; its number.
    pub fn add(&mut self, words: Vec<String>) -> u64 {
        self.last += 1;
        let entry = Entry {
            words,
            state: ProcessState::Starting,
            status: 0,
            report: String::new(),
            used_ns: 0,
            memory: 0,
        };
        self.entries.insert(self.last, entry);
        self.last
    }
    /// The process was started with so much memory.
    pub fn started(&mut self, number: u64, memory: u64) {
        if let Some(e) = self.entries.get_mut(&number) {
            e.state = ProcessState::Running;
            e.memory = memory;
        }
    }
    /// The process could not be built: it never was.
    pub fn remove(&mut self, number: u64) {
        self.entries.remove(&number);
    }
    /// The process ended; the first end counts. The oldest ended ones are forgotten: those.
    pub fn ended(
        &mut self,
        number: u64,
        state: ProcessState,
        status: i32,
        report: String,
    ) -> Vec<u64> {
        let Some(e) = self.entries.get_mut(&number).filter(|e| e.is_live()) else {
            return Vec::new();
        };
        e.state = state;
        e.status = status;
        e.report = report;
        e.memory = 0;
        let ended = self.entries.iter().filter(|(_, e)| !e.is_live());
        let mut ended: Vec<u64> = ended.map(|(n, _)| *n).collect();
        ended.truncate(ended.len().saturating_sub(MAX_ENDED));
        for n in &ended {
            self.entries.remove(n);
        }
        ended
    }
    /// A process that a former life of the table knew.
    pub fn restore(&mut self, number: u64, entry: Entry) {
        self.entries.insert(number, entry);
        self.last = self.last.max(number);
    }
    /// No process has had a number above this one.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }
    /// As [`Table::last`], of a former life.
    pub fn begin_after(&mut self, last: u64) {
        self.last = self.last.max(last);
    }
    /// Every process.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(n, e)| (*n, e))
    }
    /// Core time that an ended process had used.
    pub fn set_used(&mut self, number: u64, used_ns: u64) {
        if let Some(e) = self.entries.get_mut(&number) {
            e.used_ns = used_ns;
        }
    }
    /// One process.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }
    /// The first process with a number above this one.
    #[must_use]
    pub fn next(&self, number: u64) -> Option<(u64, &Entry)> {
        let above = number.checked_add(1)?;
        self.entries.range(above..).next().map(|(n, e)| (*n, e))
    }
    /// The one live process with this name.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn named(&self, name: &str) -> Result<u64, NameError> {
        let is_it = |e: &Entry| e.is_live() && e.words.first().is_some_and(|w| w == name);
        let mut found = self.entries.iter().filter(|(_, e)| is_it(e));
        let first = found.next().ok_or(NameError::Unknown)?;
        match found.count() {
            0 => Ok(*first.0),
            more => Err(NameError::Several(more + 1)),
        }
    }
}

//! The journal in a Frame that the spawn service keeps for the registry's next process.

use alloc::format;

use proto::Name;
use registry::Registry;
use registry::journal::{Counters, Full, Journal, Memory, Note};
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, env, mem, process};

/// Bytes of the first journal; the one after a full one has twice as many.
const FIRST_BYTES: u64 = 64 << 10;
/// So many journals can follow one another: the last holds all records that there can be.
const JOURNALS: u32 = 10;

struct Frame(Mapped);

impl Memory for Frame {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
    fn load(&self, at: u64) -> u64 {
        self.0.load(at)
    }
    fn store(&mut self, at: u64, word: u64) {
        self.0.store(at, word);
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        self.0.read(at, to);
    }
    fn write(&mut self, at: u64, from: &[u8]) {
        self.0.write(at, from);
    }
}

/// Keeps what happens to records.
#[derive(Default)]
pub struct Keeper {
    journal: Option<Journal<Frame>>,
    /// Number of the next journal.
    next: u32,
    /// It was said that records do not outlive this process.
    said: bool,
}

impl Keeper {
    /// What an earlier process left, or nothing.
    pub fn open() -> (Keeper, Registry) {
        let left = (0..JOURNALS).rev().find_map(|number| {
            let frame = env::given(&name(number))?;
            let (journal, notes, counters) = Journal::open(Frame(map(frame).ok()?))?;
            Some((number, journal, notes, counters))
        });
        let Some((number, journal, notes, counters)) = left else {
            return (Keeper::default(), Registry::new());
        };
        let keeper = Keeper {
            journal: Some(journal),
            next: number + 1,
            said: false,
        };
        (keeper, Registry::restore(&notes, counters))
    }

    /// Keeps what happened. A registry whose records cannot be kept says so once, and serves on.
    pub fn add(&mut self, registry: &Registry, notes: &[Note]) {
        let counters = registry.counters();
        let added = match &mut self.journal {
            Some(journal) => journal.add(notes, counters, || registry.lasting()),
            None => Err(Full),
        };
        if added.is_err()
            && let Err(e) = self.begin(&registry.lasting(), counters)
            && !core::mem::replace(&mut self.said, true)
        {
            rt::println!("registry: records will not outlive it: {e}");
        }
    }

    /// A new journal, larger than the last; that one counts no longer once this one is kept.
    fn begin(&mut self, records: &[Note], counters: Counters) -> Result<(), alloc::string::String> {
        let mut bytes = self.journal.as_ref().map_or(FIRST_BYTES, |j| 2 * j.bytes());
        loop {
            if self.next >= JOURNALS {
                return Err("there were too many journals".into());
            }
            let frame = mem::alloc_frame(bytes).map_err(|e| format!("{e}"))?;
            let mapped = map(frame.addr()).map_err(|e| e.message())?;
            match Journal::create(Frame(mapped), records, counters) {
                Err(Full) => bytes *= 2,
                Ok(journal) => {
                    let kept = process::keep(Name::truncated(&name(self.next)), frame.leak());
                    kept.map_err(|e| e.message())?;
                    self.next += 1;
                    if let Some(old) = self.journal.replace(journal) {
                        old.forget();
                    }
                    return Ok(());
                }
            }
        }
    }
}

fn name(number: u32) -> alloc::string::String {
    format!("journal.{number}")
}

fn map(frame: CapAddr) -> Result<Mapped, rt::SysError> {
    let bytes = rt::invoke::identify(frame)?.cap.size;
    vspace::map(frame, 0, bytes, Access::ReadWrite)
}

//! A journal in a Frame that the starter keeps for the program's next process ([`crate::process::keep`]).

use alloc::vec::Vec;

use journal::{Counters, Full, Journal, Memory, Note};
use proto::{Name, PeerError, ServiceError};

use crate::vspace::{self, Access, Mapped};
use crate::{CapAddr, Capability, SysError, env, invoke, mem, process};

/// Bytes of the first journal; the one after a full one has twice as many.
const FIRST_BYTES: u64 = 64 << 10;
/// Most bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Under which name the starter keeps it.
const JOURNAL: &str = "journal";

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

/// What an earlier process of the program left, in order, and its counters.
pub type Left = (Vec<Note>, Counters);

/// Writes down what is to outlive the process.
#[derive(Default)]
pub struct Keeper {
    journal: Option<Journal<Frame>>,
    /// The Frame, if this process made it: given up with the one that follows, so that its memory comes back.
    frame: Option<Capability>,
    /// It was said that nothing outlives this process.
    said: bool,
}

impl Keeper {
    /// With what an earlier process left, if one did.
    pub fn open() -> (Keeper, Option<Left>) {
        let frame = env::given(JOURNAL).and_then(|frame| map(frame).ok());
        let Some((journal, notes, counters)) = frame.and_then(|f| Journal::open(Frame(f))) else {
            return (Keeper::default(), None);
        };
        let keeper = Keeper {
            journal: Some(journal),
            ..Keeper::default()
        };
        (keeper, Some((notes, counters)))
    }

    /// Writes down what happened, all of it or nothing; `all` is everything as it stands after it. If that cannot be
    /// kept, the console is told so once.
    pub fn add(&mut self, notes: &[Note], counters: Counters, all: impl Fn() -> Vec<Note>) {
        let added = match &mut self.journal {
            Some(journal) => journal.add(notes, counters, &all),
            None => Err(Full),
        };
        if added.is_err()
            && let Err(e) = self.begin(&all(), counters)
            && !core::mem::replace(&mut self.said, true)
        {
            let program = env::program();
            crate::println!("{program}: what changes will be forgotten when it ends: {e}");
        }
    }

    /// What the next process would read now.
    #[must_use]
    pub fn read(&self) -> Option<Left> {
        self.journal.as_ref().map(Journal::read)
    }

    /// A new journal, larger than the last one; that counts no longer once this one is kept.
    fn begin(&mut self, all: &[Note], counters: Counters) -> Result<(), PeerError> {
        if all.iter().any(|note| note.bytes.len() > journal::LONGEST) {
            // No Frame is large enough.
            return Err(PeerError::Refused(ServiceError::BadArgument));
        }
        let mut bytes = self.journal.as_ref().map_or(FIRST_BYTES, |j| 2 * j.bytes());
        while bytes <= MOST_BYTES {
            let frame = mem::alloc_frame(bytes)?;
            let mapped = map(frame.addr())?;
            let Ok(journal) = Journal::create(Frame(mapped), all, counters) else {
                bytes *= 2;
                continue;
            };
            process::keep(Name::truncated(JOURNAL), frame.addr())?;
            self.journal = Some(journal);
            drop(self.frame.replace(frame));
            return Ok(());
        }
        Err(PeerError::Refused(ServiceError::TableFull))
    }
}

fn map(frame: CapAddr) -> Result<Mapped, SysError> {
    let bytes = invoke::identify(frame)?.cap.size;
    vspace::map(frame, 0, bytes, Access::ReadWrite)
}

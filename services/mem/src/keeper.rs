//! The books in a Frame that the monitor keeps for the server's next life.

use alloc::vec::Vec;

use mem::{Change, Entry, Ledger, RECORD_BYTES, Store};
use proto::Name;
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, Capability, PeerError, SysError, env, mem as own, process};

/// Bytes of the first Frame; the one after a full one has twice as many.
const FIRST_BYTES: u64 = 64 << 10;
/// Under which name the starter keeps it.
const BOOKS: &str = "books";

struct Frame(Mapped);

impl Store for Frame {
    fn records(&self) -> u32 {
        u32::try_from(self.0.bytes() / RECORD_BYTES).unwrap_or(u32::MAX)
    }
    fn load(&self, record: u32, word: usize) -> u64 {
        self.0.load(place(record, word))
    }
    fn store(&mut self, record: u32, word: usize, value: u64) {
        self.0.store(place(record, word), value);
    }
}

const fn place(record: u32, word: usize) -> u64 {
    record as u64 * RECORD_BYTES + 8 * word as u64
}

/// Keeps what changes in the books.
#[derive(Default)]
pub struct Keeper {
    ledger: Option<Ledger<Frame>>,
    /// The Frame, if this life made it: given up with the one that follows, so that its memory comes back.
    frame: Option<Capability>,
    /// First byte of its Frame, and how many there are.
    base: u64,
    bytes: u64,
    /// It was said that there is no Frame for the books.
    said: bool,
}

impl Keeper {
    /// What an earlier life left, or nothing.
    pub fn open() -> (Keeper, Vec<Entry>) {
        let left = env::given(BOOKS).and_then(|frame| map(frame).ok());
        let Some((base, mapped)) = left else {
            return (Keeper::default(), Vec::new());
        };
        let bytes = mapped.bytes();
        let (ledger, entries) = Ledger::open(Frame(mapped));
        let keeper = Keeper {
            ledger: Some(ledger),
            frame: None,
            base,
            bytes,
            said: false,
        };
        (keeper, entries)
    }

    /// Where the books stand: first byte, first byte after.
    pub const fn range(&self) -> (u64, u64) {
        (self.base, self.base + self.bytes)
    }

    /// Whether there is something to write on.
    pub fn is_open(&self) -> bool {
        self.ledger.is_some()
    }

    /// Writes changes down. What finds no place, the next life does not know: it is new to it when it comes back.
    pub fn enter(&mut self, changes: &[Change]) {
        if let Some(ledger) = &mut self.ledger {
            ledger.enter(changes);
        }
    }

    /// Makes room before there is none: takes memory of the server's own, so that nothing of it may be in use.
    pub fn make_room(&mut self) {
        let full = self.ledger.as_ref().is_none_or(Ledger::is_nearly_full);
        if !full {
            return;
        }
        if let Err(e) = self.begin()
            && !core::mem::replace(&mut self.said, true)
        {
            rt::println!("mem: what is on accounts will not be known after a restart: {e}");
        }
    }

    /// A Frame, larger than the last one; that is given up once this one is kept.
    fn begin(&mut self) -> Result<(), PeerError> {
        let bytes = match self.bytes {
            0 => FIRST_BYTES,
            bytes => 2 * bytes,
        };
        let frame = own::alloc_frame(bytes)?;
        let (base, mapped) = map(frame.addr())?;
        let (mut ledger, _) = Ledger::open(Frame(mapped));
        if let Some(old) = &self.ledger {
            let all: Vec<Change> = old.entries().map(Change::Put).collect();
            ledger.enter(&all);
        }
        process::keep(Name::truncated(BOOKS), frame.addr())?;
        self.ledger = Some(ledger);
        drop(self.frame.replace(frame));
        (self.base, self.bytes) = (base, bytes);
        Ok(())
    }
}

/// The Frame's first byte, and the Frame.
fn map(frame: CapAddr) -> Result<(u64, Mapped), SysError> {
    let cap = rt::invoke::identify(frame)?.cap;
    let mapped = vspace::map(frame, 0, cap.size, Access::ReadWrite)?;
    Ok((cap.base.0, mapped))
}

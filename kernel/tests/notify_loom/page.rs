//! The notification page as loom's atomics, and machines that reach it, sound and weak.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use capfmt::{NOTIFICATION_BYTES, Notification, PhysAddr};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64};

use crate::support::machine::SharedWords;
use crate::support::world::OSNODE;

/// Where a signalling OSnode reaches the receiver's page.
pub const PEER_PAGE: PhysAddr = PhysAddr(0x7000_0000);
/// Hardware ids of the cores that the receiver runs on; further ones are the signallers'.
const CORES: [u64; 2] = [100, 101];
/// How a machine differs from a sound one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weak {
    /// Not at all.
    Sound,
    /// Attach finds no bits in the words.
    NoScan,
    /// What attach writes to the location is seen only after its scan.
    LocationAfterScan,
    /// An exchange of a word for itself, the look at the location, is a plain load.
    PlainLook,
    /// Exchanges order nothing else.
    RelaxedExchange,
    /// The summary is taken only after the words that it names were.
    SummaryAfterWords,
    /// Bits are cleared by a load and a store.
    StoreOfBits,
    /// No interrupt ever arrives.
    NoInterrupt,
}

/// The notification page: the words that anybody writes in these tests.
pub struct Page {
    pub location: AtomicU64,
    pub summary: AtomicU64,
    pub word: AtomicU64,
}

/// All that the threads share.
#[derive(Clone)]
pub struct Shared {
    pub page: Arc<Page>,
    /// Notification interrupts pending at the receiver's cores.
    pub interrupts: Arc<[AtomicBool; 2]>,
    weak: Weak,
}

impl Shared {
    pub fn new(weak: Weak) -> Shared {
        Shared {
            page: Arc::new(Page {
                location: AtomicU64::new(0),
                summary: AtomicU64::new(0),
                word: AtomicU64::new(0),
            }),
            interrupts: Arc::new([AtomicBool::new(false), AtomicBool::new(false)]),
            weak,
        }
    }

    /// The page as a machine sees it at `base`.
    pub fn view(&self, base: PhysAddr) -> Rc<View> {
        Rc::new(View {
            base,
            shared: self.clone(),
            attaching: Cell::new(false),
            held: RefCell::new(Vec::new()),
        })
    }

    pub fn interrupt(&self, hw_id: u64) {
        let core = CORES.iter().position(|c| *c == hw_id);
        let core = core.expect("only the receiver's cores are interrupted");
        if self.weak != Weak::NoInterrupt {
            // An exchange, too: loom lets a relaxed store slip behind the exchange that came before it.
            self.interrupts[core].swap(true, Relaxed);
        }
    }
}

const LOCATION: u64 = 0x010;
const SUMMARY: u64 = 0x018;
const WORD: u64 = 0x200;

pub struct View {
    base: PhysAddr,
    pub shared: Shared,
    /// Attach is running: for the machines that are weak there.
    pub attaching: Cell<bool>,
    /// Exchanges that a weak machine holds back: offset and value.
    held: RefCell<Vec<(u64, u64)>>,
}

impl View {
    fn offset(&self, at: PhysAddr) -> u64 {
        at.0 - self.base.0
    }
    fn cell(&self, offset: u64) -> Option<&AtomicU64> {
        match offset {
            LOCATION => Some(&self.shared.page.location),
            SUMMARY => Some(&self.shared.page.summary),
            WORD => Some(&self.shared.page.word),
            _ => None,
        }
    }
    /// Whether this machine holds the exchange back.
    fn holds(&self, offset: u64, new: u64) -> bool {
        match self.shared.weak {
            Weak::LocationAfterScan => self.attaching.get() && offset == LOCATION,
            Weak::SummaryAfterWords => offset == SUMMARY && new == 0,
            _ => false,
        }
    }
    /// Carries out what was held back.
    pub fn let_go(&self) {
        for (offset, value) in self.held.borrow_mut().drain(..) {
            let cell = self.cell(offset).expect("it was exchanged");
            cell.swap(value, SeqCst);
        }
    }
}

impl SharedWords for View {
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at >= self.base && at.0 + len <= self.base.0 + NOTIFICATION_BYTES
    }
    fn load(&self, at: PhysAddr) -> u64 {
        let offset = self.offset(at);
        if self.shared.weak == Weak::NoScan && self.attaching.get() && offset == WORD {
            return 0;
        }
        // What nobody writes here needs no atomic.
        match (offset, self.cell(offset)) {
            (_, Some(cell)) => cell.load(Relaxed),
            (0, None) => Notification::MAGIC,
            (8, None) => OSNODE,
            (_, None) => 0,
        }
    }
    fn store(&self, at: PhysAddr, value: u64) {
        panic!("{value:#x} is stored at {at:?}: a page that others write is reached by exchanges");
    }
    fn compare_exchange(&self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let offset = self.offset(at);
        let Some(cell) = self.cell(offset) else {
            panic!("no thread has business at {at:?}");
        };
        if self.holds(offset, new) {
            self.held.borrow_mut().push((offset, new));
            return Ok(());
        }
        let plain = match self.shared.weak {
            Weak::PlainLook => old == new,
            Weak::StoreOfBits => offset == WORD && old & !new != 0,
            _ => false,
        };
        if plain {
            let found = cell.load(Relaxed);
            if found != old {
                return Err(found);
            }
            if old != new {
                cell.store(new, Relaxed);
            }
            return Ok(());
        }
        let (yes, no) = match self.shared.weak {
            Weak::RelaxedExchange => (Relaxed, Relaxed),
            _ => (SeqCst, SeqCst),
        };
        cell.compare_exchange(old, new, yes, no).map(|_| ())
    }
}

/// The peer's page while an OSnode is prepared: there, and untouched.
pub struct Untouched;

impl SharedWords for Untouched {
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at >= PEER_PAGE && at.0 + len <= PEER_PAGE.0 + NOTIFICATION_BYTES
    }
    fn load(&self, at: PhysAddr) -> u64 {
        panic!("a load at {at:?}")
    }
    fn store(&self, at: PhysAddr, _: u64) {
        panic!("a store at {at:?}")
    }
    fn compare_exchange(&self, at: PhysAddr, _: u64, _: u64) -> Result<(), u64> {
        panic!("an exchange at {at:?}")
    }
}

//! Test kernels that ruin one process, or each that takes its place.
//!
//! The OSnode must not outlive those that hold it up, and must live on with those that are started again. That is found
//! out by ending one of them, as its own error would: it goes on at an address where nothing is.

use core::marker::PhantomData;

use abi::disp;
use capfmt::{Dcb, PhysMap};

use super::erring::Fault;
use crate::dispatch;
use crate::entry::live_area;

/// Nanoseconds of OSnode time that everybody runs well.
const GOOD_NS: u64 = 600_000_000;
/// What shifts end before (ns): about as long as a process takes to be started.
const MOST_SHIFT_NS: u64 = 2_000_000;
/// Nothing is mapped there.
const NOWHERE: u64 = 0x10;

/// Whose end is wanted.
pub trait Victim {
    /// First eight bytes of the name of the process.
    const NAME: [u8; 8];
    /// It can still say itself that it ended; else the kernel says so.
    const CAN_TELL: bool;
    /// Nanoseconds of OSnode time until the next of that name is ruined, if ever.
    const AGAIN_NS: Option<u64> = None;
    /// Each is ruined so much longer after it got the core than the one before it (ns of OSnode time), up to a most: so they
    /// end in the middle of whatever they do.
    const SHIFT_NS: u64 = 0;
}

/// The monitor, which can tell nobody.
#[derive(Debug)]
pub struct TheMonitor;
impl Victim for TheMonitor {
    const NAME: [u8; 8] = *b"monitor\0";
    const CAN_TELL: bool = false;
}

/// The memory service, which tells the monitor.
#[derive(Debug)]
pub struct TheMemoryService;
impl Victim for TheMemoryService {
    const NAME: [u8; 8] = *b"mem\0\0\0\0\0";
    const CAN_TELL: bool = true;
    // Seldom enough for it to be started again each time.
    const AGAIN_NS: Option<u64> = Some(4_000_000_000);
}

/// The memory service and those that follow, until there are no more.
#[derive(Debug)]
pub struct EveryMemoryService;
impl Victim for EveryMemoryService {
    const NAME: [u8; 8] = TheMemoryService::NAME;
    const CAN_TELL: bool = true;
    const AGAIN_NS: Option<u64> = Some(400_000_000);
}

/// The spawn service, of which the kernel tells the monitor.
#[derive(Debug)]
pub struct TheSpawnService;
impl Victim for TheSpawnService {
    const NAME: [u8; 8] = *b"spawn\0\0\0";
    const CAN_TELL: bool = false;
    const AGAIN_NS: Option<u64> = TheMemoryService::AGAIN_NS;
    const SHIFT_NS: u64 = 173_000;
}

/// The spawn service and those that follow, until there are no more.
#[derive(Debug)]
pub struct EverySpawnService;
impl Victim for EverySpawnService {
    const NAME: [u8; 8] = TheSpawnService::NAME;
    const CAN_TELL: bool = false;
    const AGAIN_NS: Option<u64> = EveryMemoryService::AGAIN_NS;
}

/// The process of that name is ruined when it gets the core after a while.
#[derive(Debug)]
pub struct Ruining<V> {
    /// OSnode time from which on it happens; 0 = not known yet.
    from_ns: u64,
    /// When it happens to the one that has got the core since then.
    due_ns: Option<u64>,
    /// How many were ruined.
    ruined: u64,
    whom: PhantomData<V>,
}

impl<V: Victim> Fault for Ruining<V> {
    fn new() -> Self {
        Ruining {
            from_ns: 0,
            due_ns: None,
            ruined: 0,
            whom: PhantomData,
        }
    }

    fn runs(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) {
        if self.from_ns == 0 {
            self.from_ns = now_ns.saturating_add(GOOD_NS);
        }
        if now_ns < self.from_ns || !is::<V>(m, dcb) {
            return;
        }
        let shift = self.ruined.wrapping_mul(V::SHIFT_NS) % MOST_SHIFT_NS;
        let due = *self.due_ns.get_or_insert(now_ns.saturating_add(shift));
        if now_ns < due {
            return;
        }
        let Some(page) = dispatch::frame(m, dcb) else {
            return;
        };
        let area = live_area(m, page);
        m.store_at(area, disp::AREA_PC, NOWHERE);
        if !V::CAN_TELL {
            m.store_at(page, disp::UPCALLS_WANTED, 0);
        }
        let again = V::AGAIN_NS.and_then(|ns| now_ns.checked_add(ns));
        self.from_ns = again.unwrap_or(u64::MAX);
        self.due_ns = None;
        self.ruined += 1;
    }

    fn until_ns(&self, m: &impl PhysMap, dcb: Dcb) -> Option<u64> {
        self.due_ns.filter(|_| is::<V>(m, dcb))
    }
}

fn is<V: Victim>(m: &impl PhysMap, dcb: Dcb) -> bool {
    dcb.name0(m) == u64::from_le_bytes(V::NAME)
}

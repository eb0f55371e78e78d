//! Policies of test kernels: one process is ruined, all else is [`RoundRobin`]'s.
//!
//! The OSnode must not outlive those that hold it up, and that is found out by ending one of them, as its own
//! error would: it goes on at an address where nothing is.

use core::marker::PhantomData;

use abi::disp;
use capfmt::{Dcb, PhysMap};

use super::{Arrival, Picked, Policy, RoundRobin};
use crate::Event;
use crate::dispatch;
use crate::entry::live_area;

/// Nanoseconds of OSnode time that everybody runs well.
const GOOD_NS: u64 = 600_000_000;
/// Nothing is mapped there.
const NOWHERE: u64 = 0x10;

/// Whose end is wanted.
pub trait Victim {
    /// First eight bytes of the name of the process.
    const NAME: [u8; 8];
    /// It can still say itself that it ended; else the kernel says so.
    const CAN_TELL: bool;
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
}

/// The spawn service, of which the kernel tells the monitor.
#[derive(Debug)]
pub struct TheSpawnService;
impl Victim for TheSpawnService {
    const NAME: [u8; 8] = *b"spawn\0\0\0";
    const CAN_TELL: bool = false;
}

/// The process of that name is ruined the first time that it gets the core after a while.
#[derive(Debug)]
pub struct Ruining<V> {
    inner: RoundRobin,
    /// OSnode time from which on it happens; 0 = not known yet.
    from_ns: u64,
    whom: PhantomData<V>,
}

impl<V: Victim> Ruining<V> {
    fn ruin(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) {
        if self.from_ns == 0 {
            self.from_ns = now_ns.saturating_add(GOOD_NS);
        }
        if now_ns < self.from_ns || dcb.name0(m) != u64::from_le_bytes(V::NAME) {
            return;
        }
        let Some(page) = dispatch::frame(m, dcb) else {
            return;
        };
        let area = live_area(m, page);
        m.store(area.add(disp::AREA_PC), NOWHERE);
        if !V::CAN_TELL {
            m.store(page.add(disp::UPCALLS_WANTED), 0);
        }
        self.from_ns = u64::MAX;
    }
}

impl<V: Victim> Policy for Ruining<V> {
    fn new() -> Self {
        Ruining {
            inner: RoundRobin::new(),
            from_ns: 0,
            whom: PhantomData,
        }
    }
    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, arrival: Arrival) {
        self.inner.enqueue(m, dcb, now_ns, arrival);
    }
    fn dequeue(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        self.inner.dequeue(m, dcb);
    }
    fn pick(&mut self, m: &mut impl PhysMap, now_ns: u64) -> Option<Picked> {
        let picked = self.inner.pick(m, now_ns)?;
        self.ruin(m, picked.dcb, now_ns);
        Some(picked)
    }
    fn slice(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked {
        self.ruin(m, dcb, now_ns);
        self.inner.slice(m, dcb, now_ns)
    }
    fn charge(&mut self, m: &mut impl PhysMap, dcb: Dcb, ran_ns: u64) {
        self.inner.charge(m, dcb, ran_ns);
    }
    fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
    fn preempts(&self, m: &impl PhysMap, current: Dcb) -> bool {
        self.inner.preempts(m, current)
    }
    fn refresh(&mut self, m: &mut impl PhysMap, now_ns: u64) {
        self.inner.refresh(m, now_ns);
    }
    fn next_event_ns(&self) -> u64 {
        self.inner.next_event_ns()
    }
    fn trace(&mut self, counter: impl FnOnce() -> u64, event: &Event) {
        self.inner.trace(counter, event);
    }
}

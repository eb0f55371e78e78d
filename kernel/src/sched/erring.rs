//! The policy of test kernels: [`RoundRobin`], but for one fault.

use capfmt::{Dcb, PhysMap};

use super::{Arrival, Picked, Policy, RoundRobin, WakeUp};
use crate::Event;

/// What a test kernel does wrong.
pub trait Fault {
    /// Before anything runs.
    fn new() -> Self;

    /// Whether a wake-up of `dcb` is lost now.
    fn loses(&mut self, _m: &impl PhysMap, _dcb: Dcb, _what: WakeUp) -> bool {
        false
    }

    /// A dispatcher is about to get the core.
    fn runs(&mut self, _m: &mut impl PhysMap, _dcb: Dcb, _now_ns: u64) {}

    /// When a dispatcher must give the core up again at the latest, whoever else wants it (ns of OSnode time).
    fn until_ns(&self, _m: &impl PhysMap, _dcb: Dcb) -> Option<u64> {
        None
    }
}

/// [`RoundRobin`] with a fault.
#[derive(Debug)]
pub struct Erring<F> {
    inner: RoundRobin,
    fault: F,
}

impl<F: Fault> Erring<F> {
    fn cut(&mut self, m: &mut impl PhysMap, picked: Picked, now_ns: u64) -> Picked {
        self.fault.runs(m, picked.dcb, now_ns);
        match self.fault.until_ns(m, picked.dcb) {
            None => picked,
            Some(until) => Picked {
                slice_ns: picked.slice_ns.min(until.saturating_sub(now_ns).max(1)),
                strict: true,
                ..picked
            },
        }
    }
}

impl<F: Fault> Policy for Erring<F> {
    fn new() -> Self {
        Erring {
            inner: RoundRobin::new(),
            fault: F::new(),
        }
    }
    fn loses(&mut self, m: &impl PhysMap, dcb: Dcb, what: WakeUp) -> bool {
        self.fault.loses(m, dcb, what)
    }
    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, arrival: Arrival) {
        self.inner.enqueue(m, dcb, now_ns, arrival);
    }
    fn dequeue(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        self.inner.dequeue(m, dcb);
    }
    fn pick(&mut self, m: &mut impl PhysMap, now_ns: u64) -> Option<Picked> {
        let picked = self.inner.pick(m, now_ns)?;
        Some(self.cut(m, picked, now_ns))
    }
    fn slice(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked {
        let picked = self.inner.slice(m, dcb, now_ns);
        self.cut(m, picked, now_ns)
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

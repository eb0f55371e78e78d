//! `trace`: a binary heap of virtual start times in kernel memory, and a ring of kernel entries.

use capfmt::{Dcb, PhysAddr, PhysMap};

use super::{Arrival, Picked, Policy, TIME_SLICE_NS, charge, has_budget, slice_of};
use crate::Event;

/// Places in the heap; further dispatchers queue behind it, first in first out.
const HEAP_PLACES: usize = 256;
/// Records in the event ring.
const RING_RECORDS: usize = 256;

/// One kernel entry in the event ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceRecord {
    /// Hardware counter at the entry.
    pub counter: u64,
    /// Number of the event: 0 system call, 1 timer, 2 notified, 3 stop, 4 interrupt, 5 page fault, 6 trap, 7 idle.
    pub event: u64,
    /// Interrupt source, fault address or trap detail.
    pub detail: u64,
}

/// Who waits, and since which virtual time.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: u64,
    /// Arrival number: ties go to who came first.
    number: u64,
    dcb: u64,
}

/// Start-time fair queuing: whoever has had the least of the core goes first.
///
/// Reserved budgets (class 1) stand before all others, in the order of their
/// deadlines, until the budget is used up.
pub struct FairShare {
    heap: [Place; HEAP_PLACES],
    len: usize,
    overflow_head: u64,
    overflow_tail: u64,
    /// Virtual time: the key of the last one picked.
    virtual_ns: u64,
    arrivals: u64,
    /// End of the earliest period of a queued dispatcher that used its budget up; `u64::MAX` = none.
    refill_ns: u64,
    ring: [TraceRecord; RING_RECORDS],
    entries: u64,
}

/// Keys of class 0 have this bit: reserved budgets come first.
const SHARED: u64 = 1 << 63;

impl FairShare {
    /// Kernel entries recorded so far; the last 256 of them stand in the ring.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Record `number` (counted from the first entry), if the ring still has it.
    #[must_use]
    pub fn record(&self, number: u64) -> Option<TraceRecord> {
        let kept = self.entries.min(RING_RECORDS as u64);
        (number < self.entries && number >= self.entries - kept)
            .then(|| self.ring[(number % RING_RECORDS as u64) as usize])
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.heap[a], &self.heap[b]);
        (a.key, a.number) < (b.key, b.number)
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 && self.before(at, (at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.len && self.before(child, least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    fn remove_at(&mut self, at: usize) -> Place {
        let place = self.heap[at];
        self.len -= 1;
        self.heap[at] = self.heap[self.len];
        if at < self.len {
            self.sift_up(at);
            self.sift_down(at);
        }
        place
    }

    fn insert(&mut self, key: u64, dcb: u64) {
        self.arrivals += 1;
        self.heap[self.len] = Place {
            key,
            number: self.arrivals,
            dcb,
        };
        self.len += 1;
        self.sift_up(self.len - 1);
    }

    /// Moves the first of the overflow into the heap.
    fn take_overflow(&mut self, m: &mut impl PhysMap) {
        if self.overflow_head != 0 && self.len < HEAP_PLACES {
            let dcb = self.overflow_head;
            self.overflow_head = Dcb(PhysAddr(dcb)).sched_link(m);
            self.insert(SHARED | self.virtual_ns, dcb);
        }
    }

    fn append_overflow(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        dcb.set_sched_link(m, 0);
        if self.overflow_head == 0 {
            self.overflow_head = dcb.0.0;
        } else {
            Dcb(PhysAddr(self.overflow_tail)).set_sched_link(m, dcb.0.0);
        }
        self.overflow_tail = dcb.0.0;
    }

    fn remove_overflow(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        let mut at = self.overflow_head;
        self.overflow_head = 0;
        while at != 0 {
            let next = Dcb(PhysAddr(at)).sched_link(m);
            if at != dcb.0.0 {
                self.append_overflow(m, Dcb(PhysAddr(at)));
            }
            at = next;
        }
    }
}

impl Policy for FairShare {
    fn new() -> Self {
        FairShare {
            heap: [Place::default(); HEAP_PLACES],
            len: 0,
            overflow_head: 0,
            overflow_tail: 0,
            virtual_ns: 0,
            arrivals: 0,
            refill_ns: u64::MAX,
            ring: [TraceRecord::default(); RING_RECORDS],
            entries: 0,
        }
    }

    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, arrival: Arrival) {
        let key = if has_budget(m, dcb, now_ns) {
            dcb.deadline_ns(m) & !SHARED
        } else {
            if dcb.sched_class(m) == 1 {
                self.refill_ns = self.refill_ns.min(dcb.deadline_ns(m));
            }
            // Whoever an event woke stands a slice ahead, unless others have been waiting for longer than that.
            SHARED
                | match arrival {
                    Arrival::Turn(ran_ns) => self.virtual_ns.saturating_add(ran_ns),
                    Arrival::Inside => self.virtual_ns,
                    Arrival::Outside => self.virtual_ns.saturating_sub(TIME_SLICE_NS),
                }
        };
        if self.len == HEAP_PLACES {
            self.append_overflow(m, dcb);
        } else {
            self.insert(key, dcb.0.0);
        }
    }

    fn dequeue(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        match (0..self.len).find(|&i| self.heap[i].dcb == dcb.0.0) {
            Some(at) => {
                self.remove_at(at);
                self.take_overflow(m);
            }
            None => self.remove_overflow(m, dcb),
        }
    }

    fn pick(&mut self, m: &mut impl PhysMap, now_ns: u64) -> Option<Picked> {
        if self.len == 0 {
            return None;
        }
        let place = self.remove_at(0);
        if place.key & SHARED != 0 {
            self.virtual_ns = self.virtual_ns.max(place.key & !SHARED);
        }
        self.take_overflow(m);
        Some(self.slice(m, Dcb(PhysAddr(place.dcb)), now_ns))
    }

    fn slice(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked {
        slice_of(m, dcb, now_ns)
    }

    fn charge(&mut self, m: &mut impl PhysMap, dcb: Dcb, ran_ns: u64) {
        charge(m, dcb, ran_ns);
        // Whoever sleeps and wakes all the time must not stand before all others for ever.
        self.virtual_ns += ran_ns / (1 + self.len as u64);
    }

    fn next_event_ns(&self) -> u64 {
        self.refill_ns
    }

    /// Gives those whose new period has begun a reserved key again.
    fn refresh(&mut self, m: &mut impl PhysMap, now_ns: u64) {
        self.refill_ns = u64::MAX;
        for at in 0..self.len {
            let Place { key, dcb, .. } = self.heap[at];
            let dcb = Dcb(PhysAddr(dcb));
            if key & SHARED == 0 || dcb.sched_class(m) != 1 {
                continue;
            }
            if has_budget(m, dcb, now_ns) {
                self.heap[at].key = dcb.deadline_ns(m) & !SHARED;
            } else {
                self.refill_ns = self.refill_ns.min(dcb.deadline_ns(m));
            }
        }
        for at in (0..self.len / 2).rev() {
            self.sift_down(at);
        }
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn preempts(&self, m: &impl PhysMap, current: Dcb) -> bool {
        if self.len == 0 || self.heap[0].key & SHARED != 0 {
            return false;
        }
        let reserved = current.sched_class(m) == 1 && current.budget_left_ns(m) != 0;
        !reserved || self.heap[0].key < current.deadline_ns(m)
    }

    fn trace(&mut self, counter: impl FnOnce() -> u64, event: &Event) {
        let (number, detail) = match *event {
            Event::Syscall => (0, 0),
            Event::Timer => (1, 0),
            Event::Notified => (2, 0),
            Event::StopRequested => (3, 0),
            Event::Irq(source) => (4, source),
            Event::PageFault(address, _) => (5, address),
            Event::Trap(_, detail) => (6, detail),
            Event::Idle => (7, 0),
        };
        self.ring[(self.entries % RING_RECORDS as u64) as usize] = TraceRecord {
            counter: counter(),
            event: number,
            detail,
        };
        self.entries += 1;
    }
}

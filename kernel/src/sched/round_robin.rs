//! `std`: reserved budgets first (earliest deadline), round robin for the rest, of whom those that were waiting have a
//! short first turn before the others: a request that goes through several services does not wait at each of them
//! until all who compute have had their turns.

use capfmt::{Dcb, PhysAddr, PhysMap};

use super::{Arrival, Picked, Policy, charge, has_budget, slice_of};

/// Nanoseconds of a first turn of a dispatcher whose waiting has ended.
const FIRST_TURN_NS: u64 = 2_000_000;
/// First turns in a row, before one of the others has its turn in between.
const FIRST_TURNS: u32 = 8;

/// A first-in-first-out queue through [`Dcb::sched_link`].
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    head: u64,
    tail: u64,
}

impl Queue {
    fn push(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        dcb.set_sched_link(m, 0);
        if self.head == 0 {
            self.head = dcb.0.0;
        } else {
            Dcb(PhysAddr(self.tail)).set_sched_link(m, dcb.0.0);
        }
        self.tail = dcb.0.0;
    }

    fn pop(&mut self, m: &mut impl PhysMap) -> Option<Dcb> {
        if self.head == 0 {
            return None;
        }
        let dcb = Dcb(PhysAddr(self.head));
        self.head = dcb.sched_link(m);
        Some(dcb)
    }

    fn remove(&mut self, m: &mut impl PhysMap, dcb: Dcb) -> bool {
        let (mut at, mut prev) = (self.head, 0);
        while at != 0 && at != dcb.0.0 {
            (prev, at) = (at, Dcb(PhysAddr(at)).sched_link(m));
        }
        if at == 0 {
            return false;
        }
        let next = dcb.sched_link(m);
        if prev == 0 {
            self.head = next;
        } else {
            Dcb(PhysAddr(prev)).set_sched_link(m, next);
        }
        if self.tail == at {
            self.tail = prev;
        }
        true
    }
}

/// Class 1 (budget left) in the order of deadlines; everyone else in turn.
///
/// A class-1 dispatcher whose budget is used up takes turns with the rest until
/// its period ends, then gets its budget again.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    /// Class 1 with budget, earliest deadline first.
    reserved: Queue,
    /// Those whose waiting has ended, and who have not run since.
    woken: Queue,
    /// First turns given since one of `turns` ran.
    first_turns: u32,
    turns: Queue,
    /// End of the earliest period of a dispatcher that used its budget up; `u64::MAX` = none.
    refill_ns: u64,
}

impl RoundRobin {
    fn insert_reserved(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        let deadline = dcb.deadline_ns(m);
        let (mut at, mut prev) = (self.reserved.head, 0);
        while at != 0 && Dcb(PhysAddr(at)).deadline_ns(m) <= deadline {
            (prev, at) = (at, Dcb(PhysAddr(at)).sched_link(m));
        }
        if at == 0 {
            return self.reserved.push(m, dcb);
        }
        dcb.set_sched_link(m, at);
        if prev == 0 {
            self.reserved.head = dcb.0.0;
        } else {
            Dcb(PhysAddr(prev)).set_sched_link(m, dcb.0.0);
        }
    }
}

impl Policy for RoundRobin {
    fn new() -> Self {
        RoundRobin {
            refill_ns: u64::MAX,
            ..RoundRobin::default()
        }
    }

    #[inline]
    fn enqueue(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64, arrival: Arrival) {
        if dcb.sched_class(m) == 1 {
            if has_budget(m, dcb, now_ns) {
                return self.insert_reserved(m, dcb);
            }
            self.refill_ns = self.refill_ns.min(dcb.deadline_ns(m));
        } else if !matches!(arrival, Arrival::Turn(_)) {
            return self.woken.push(m, dcb);
        }
        self.turns.push(m, dcb);
    }

    fn dequeue(&mut self, m: &mut impl PhysMap, dcb: Dcb) {
        let _ =
            self.turns.remove(m, dcb) || self.woken.remove(m, dcb) || self.reserved.remove(m, dcb);
    }

    #[inline]
    fn pick(&mut self, m: &mut impl PhysMap, now_ns: u64) -> Option<Picked> {
        if let Some(dcb) = self.reserved.pop(m) {
            return Some(slice_of(m, dcb, now_ns));
        }
        if (self.first_turns < FIRST_TURNS || self.turns.head == 0)
            && let Some(dcb) = self.woken.pop(m)
        {
            self.first_turns += 1;
            return Some(Picked {
                dcb,
                slice_ns: FIRST_TURN_NS,
                strict: false,
            });
        }
        self.first_turns = 0;
        let dcb = self.turns.pop(m)?;
        Some(slice_of(m, dcb, now_ns))
    }

    #[inline]
    fn slice(&mut self, m: &mut impl PhysMap, dcb: Dcb, now_ns: u64) -> Picked {
        slice_of(m, dcb, now_ns)
    }

    #[inline]
    fn charge(&mut self, m: &mut impl PhysMap, dcb: Dcb, ran_ns: u64) {
        charge(m, dcb, ran_ns);
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.turns.head == 0 && self.woken.head == 0 && self.reserved.head == 0
    }

    #[inline]
    fn next_event_ns(&self) -> u64 {
        self.refill_ns
    }

    /// Moves those whose new period has begun back to the reserved queue.
    fn refresh(&mut self, m: &mut impl PhysMap, now_ns: u64) {
        self.refill_ns = u64::MAX;
        let mut old = core::mem::take(&mut self.turns);
        while let Some(dcb) = old.pop(m) {
            self.enqueue(m, dcb, now_ns, Arrival::Turn(0));
        }
    }

    /// A reserved dispatcher with an earlier deadline (or any, when the current one has no budget) goes first.
    fn preempts(&self, m: &impl PhysMap, current: Dcb) -> bool {
        if self.reserved.head == 0 {
            return false;
        }
        let reserved = current.sched_class(m) == 1 && current.budget_left_ns(m) != 0;
        !reserved || Dcb(PhysAddr(self.reserved.head)).deadline_ns(m) < current.deadline_ns(m)
    }
}

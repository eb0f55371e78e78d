//! Counting ticks and the faults found on the way.

use core::fmt;

/// A tick delivered this much after its due time counts as late (ns).
const LATE_NS: u64 = 1_000_000;

/// Something that a right kernel never does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// (earlier reading, later reading): OSnode time went back.
    TimeWentBack(u64, u64),
    /// (tick, ns): the wait for this tick ended so long before it was due: an early or doubled tick.
    Early(u64, u64),
    /// (tick, ns): the tick was still not delivered so long after it was due: a dropped tick.
    Dropped(u64, u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeWentBack(from, to) => write!(f, "time went back from {from} ns to {to} ns"),
            Self::Early(k, ns) => write!(f, "tick {k} came {ns} ns before it was due (doubled)"),
            Self::Dropped(k, ns) => {
                write!(
                    f,
                    "tick {k} was not delivered {ns} ns after it was due (dropped)"
                )
            }
        }
    }
}

/// What `ticker check` reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Ticks delivered.
    pub delivered: u64,
    /// Ticks due by now.
    pub due: u64,
    /// Ticks delivered late.
    pub late: u64,
    /// Largest lateness in ns.
    pub max_late_ns: u64,
    /// Faults found so far.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<Fault>,
}

impl Report {
    /// Whether every tick came, once, and time never went back.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ticks of {} due, {} late (at most {} us)",
            self.delivered,
            self.due,
            self.late,
            self.max_late_ns / 1000
        )?;
        match self.first_fault {
            Some(first) => write!(f, "; {} faults, the first: {first}", self.faults),
            None => Ok(()),
        }
    }
}

/// The ticks of one ticker.
#[derive(Clone, Debug)]
pub struct Ticks {
    t0: u64,
    period: u64,
    grace: u64,
    next: u64,
    late: u64,
    max_late: u64,
    last_now: u64,
    faults: u64,
    first_fault: Option<Fault>,
    /// The tick that was already reported as dropped, so that it counts once.
    dropped: Option<u64>,
}

impl Ticks {
    /// Ticks with period `period` ns from `t0` on; one that is `grace` ns overdue while the
    /// process was given the core for another reason is a dropped one.
    #[must_use]
    pub fn new(t0: u64, period: u64, grace: u64) -> Ticks {
        Ticks {
            t0,
            period: period.max(1),
            grace,
            next: 0,
            late: 0,
            max_late: 0,
            last_now: 0,
            faults: 0,
            first_fault: None,
            dropped: None,
        }
    }

    /// Time to wait for: when the next tick is due.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.due_of(self.next)
    }

    fn due_of(&self, tick: u64) -> u64 {
        self.t0.saturating_add(tick.saturating_mul(self.period))
    }

    fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        self.first_fault.get_or_insert(fault);
    }

    fn observe(&mut self, now: u64) {
        if now < self.last_now {
            self.fault(Fault::TimeWentBack(self.last_now, now));
        }
        self.last_now = now;
    }

    /// The wait for [`Ticks::due`] ended by time, at `now`: delivers the tick.
    pub fn timed_out(&mut self, now: u64) {
        self.observe(now);
        let due = self.due();
        if now < due {
            self.fault(Fault::Early(self.next, due - now));
            return;
        }
        let lateness = now - due;
        if lateness > LATE_NS {
            self.late += 1;
        }
        self.max_late = self.max_late.max(lateness);
        self.next += 1;
    }

    /// The process runs at `now` for another reason: the tick must not be long overdue.
    pub fn interrupted(&mut self, now: u64) {
        self.observe(now);
        self.woken(now);
    }

    /// A wait for this tick ended at `at` (some time ago) for another reason than its time.
    pub fn woken(&mut self, at: u64) {
        let overdue = at.saturating_sub(self.due());
        if overdue > self.grace && self.dropped != Some(self.next) {
            self.dropped = Some(self.next);
            self.fault(Fault::Dropped(self.next, overdue));
        }
    }

    /// A wait for this tick ended at `at` (some time ago) for its time, but before it.
    pub fn woken_early(&mut self, at: u64) {
        self.fault(Fault::Early(self.next, self.due().saturating_sub(at)));
    }

    /// The books at `now`.
    #[must_use]
    pub fn report(&self, now: u64) -> Report {
        Report {
            delivered: self.next,
            due: now.checked_sub(self.t0).map_or(0, |d| d / self.period + 1),
            late: self.late,
            max_late_ns: self.max_late,
            faults: self.faults,
            first_fault: self.first_fault,
        }
    }
}

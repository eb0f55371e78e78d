//! Waiting for a line to change: reads that follow each other at once, then sleeps that grow.

use crate::types::{Action, Timing};

/// What a part of a sequence wants next, or what came of it.
pub(crate) enum Part<V> {
    /// To do.
    Do(Action),
    /// It is over.
    End(V),
}

/// One wait with a time-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    start_ns: u64,
    end_ns: u64,
    spins_left: u32,
    sleep_ns: u64,
    last_sleep_ns: u64,
    /// A second signal was asked for.
    repeated: bool,
}

impl Poll {
    pub fn new(now: u64, for_ns: u64, t: &Timing) -> Poll {
        Poll {
            start_ns: now,
            end_ns: now.saturating_add(for_ns),
            spins_left: t.spin_reads,
            sleep_ns: t.first_sleep_ns,
            last_sleep_ns: t.last_sleep_ns,
            repeated: false,
        }
    }

    /// How to pass the time until the next read; `None` when the time is over.
    pub fn pause(&mut self, now: u64) -> Option<Action> {
        if now >= self.end_ns {
            return None;
        }
        if self.spins_left > 0 {
            self.spins_left -= 1;
            return Some(Action::Wait { until_ns: now });
        }
        let until_ns = now.saturating_add(self.sleep_ns).min(self.end_ns);
        self.sleep_ns = (2 * self.sleep_ns).min(self.last_sleep_ns);
        Some(Action::Wait { until_ns })
    }

    /// Once, when half of the time is over: time to signal again, in case the signal got lost.
    pub fn repeat_now(&mut self, now: u64) -> bool {
        let half = self.start_ns + (self.end_ns - self.start_ns) / 2;
        let repeat = !self.repeated && now >= half && now < self.end_ns;
        self.repeated |= repeat;
        repeat
    }
}

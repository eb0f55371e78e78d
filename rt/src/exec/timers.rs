//! Who is to be woken when.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::task::Waker;

/// Identifies a timer: its time, and a number that tells equal times apart.
pub type Key = (u64, u64);

/// Wakers by time.
#[derive(Default)]
pub struct Timers {
    queue: BTreeMap<Key, Waker>,
    next: u64,
}

impl Timers {
    /// No timers.
    pub const fn new() -> Timers {
        Timers {
            queue: BTreeMap::new(),
            next: 0,
        }
    }
    /// Wakes `waker` at `at_ns`.
    pub fn add(&mut self, at_ns: u64, waker: Waker) -> Key {
        self.next += 1;
        let key = (at_ns, self.next);
        self.queue.insert(key, waker);
        key
    }
    /// Forgets a timer; returns its waker to be dropped outside.
    pub fn remove(&mut self, key: Key) -> Option<Waker> {
        self.queue.remove(&key)
    }
    /// When the next one is due.
    pub fn first(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(k, _)| k.0)
    }
    /// Takes those due at `now_ns`, to be woken outside.
    pub fn due(&mut self, now_ns: u64) -> Vec<Waker> {
        let mut due = Vec::new();
        while self.first().is_some_and(|at| at <= now_ns) {
            due.extend(self.queue.pop_first().map(|(_, w)| w));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_in_order_and_removable() {
        let mut t = Timers::new();
        let w = Waker::noop();
        let a = t.add(10, w.clone());
        t.add(5, w.clone());
        t.add(10, w.clone());
        assert_eq!(t.first(), Some(5));
        assert_eq!(t.due(4).len(), 0);
        assert_eq!(t.due(5).len(), 1);
        assert!(t.remove(a).is_some() && t.remove(a).is_none());
        assert_eq!(t.due(u64::MAX).len(), 1);
        assert_eq!(t.first(), None);
    }
}

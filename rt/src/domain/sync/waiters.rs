//! Who waits, in order.

use alloc::collections::VecDeque;
use core::task::Waker;

/// A queue of tasks. A task that is taken out of it was woken.
#[derive(Default, Debug)]
pub struct Waiters {
    last: u64,
    queue: VecDeque<(u64, Waker)>,
}

/// A task's place in a queue; `None`: it never waited.
pub type Ticket = Option<u64>;

impl Waiters {
    /// Nobody.
    pub const fn new() -> Waiters {
        Waiters {
            last: 0,
            queue: VecDeque::new(),
        }
    }

    /// Enters a task at the end, unless it stands in the queue: then only its waker is renewed.
    pub fn enter(&mut self, ticket: &mut Ticket, waker: &Waker) {
        let own = |(id, _): &&mut (u64, Waker)| Some(*id) == *ticket;
        if let Some((_, old)) = self.queue.iter_mut().find(own) {
            old.clone_from(waker);
            return;
        }
        self.last += 1;
        *ticket = Some(self.last);
        self.queue.push_back((self.last, waker.clone()));
    }

    /// Whether a task stands in the queue.
    pub fn has(&self, ticket: Ticket) -> bool {
        self.queue.iter().any(|(id, _)| Some(*id) == ticket)
    }

    /// Takes a task out; whether it was in.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let at = self.queue.iter().position(|(id, _)| Some(*id) == ticket);
        at.and_then(|i| self.queue.remove(i)).is_some()
    }

    /// Takes out who came first; to be woken when the lock is free.
    #[must_use]
    pub fn pop(&mut self) -> Option<Waker> {
        self.queue.pop_front().map(|(_, waker)| waker)
    }

    /// Takes out all.
    #[must_use]
    pub fn pop_all(&mut self) -> VecDeque<(u64, Waker)> {
        core::mem::take(&mut self.queue)
    }
}

/// Wakes, if there is anybody.
pub fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

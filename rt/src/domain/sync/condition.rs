//! Waiting, with a mutex, until another task says that something changed.

use core::future::poll_fn;
use core::task::{Context, Poll};

use super::super::spin::Spin;
use super::mutex::MutexGuard;
use super::waiters::{Ticket, Waiters, wake};

/// A condition variable.
#[derive(Debug)]
pub struct Condition {
    waiters: Spin<Waiters>,
}

/// A task that waits: if it is given up after it was told, the next one is told.
struct Waiting<'a> {
    waiters: &'a Spin<Waiters>,
    ticket: Ticket,
}

impl Waiting<'_> {
    /// Enters the queue at the first call; told when it does not stand there any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let told = self.waiters.with(|w| {
            if self.ticket.is_some() && !w.has(self.ticket) {
                return true;
            }
            w.enter(&mut self.ticket, cx.waker());
            false
        });
        if told {
            self.ticket = None;
            return Poll::Ready(true);
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let next = self.waiters.with(|w| match w.leave(self.ticket) {
            true => None,
            false => w.pop(),
        });
        wake(next);
    }
}

impl Condition {
    /// Of its parts.
    pub const fn of(waiters: Spin<Waiters>) -> Condition {
        Condition { waiters }
    }

    /// Gives the mutex back, waits to be told, and takes it again. Who calls
    /// [`Condition::tell_one`] with the mutex in hand, or after it, is not missed.
    pub async fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = guard.mutex();
        let mut waiting = Waiting {
            waiters: &self.waiters,
            ticket: None,
        };
        let mut guard = Some(guard);
        poll_fn(|cx| {
            let told = waiting.poll(cx);
            // Entered first, then given back.
            drop(guard.take());
            told
        })
        .await;
        drop(waiting);
        mutex.lock().await
    }

    /// Tells who waits longest.
    pub fn tell_one(&self) {
        wake(self.waiters.with(Waiters::pop));
    }

    /// Tells all who wait.
    pub fn tell_all(&self) {
        let all = self.waiters.with(Waiters::pop_all);
        all.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

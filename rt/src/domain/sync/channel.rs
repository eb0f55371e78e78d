//! A queue from any tasks to any tasks, with room for a fixed number of values.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use super::super::spin::Spin;
use super::waiters::{Ticket, Waiters, wake};

/// What is under way.
#[derive(Debug)]
pub struct Queue<T> {
    values: VecDeque<T>,
    room: usize,
    senders: usize,
    receivers: usize,
    sending: Waiters,
    receiving: Waiters,
}

impl<T> Queue<T> {
    /// Empty, with one sender and one receiver.
    pub fn new(room: usize) -> Queue<T> {
        Queue {
            values: VecDeque::new(),
            room: room.max(1),
            senders: 1,
            receivers: 1,
            sending: Waiters::new(),
            receiving: Waiters::new(),
        }
    }
}

/// The end that values go in; cloned, there are more.
#[derive(Debug)]
pub struct Sender<T>(Arc<Spin<Queue<T>>>);

/// The end that values come out of; cloned, each value comes out of one of them.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Spin<Queue<T>>>);

/// Both ends of a queue.
pub fn ends<T>(queue: Spin<Queue<T>>) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(queue);
    (Sender(queue.clone()), Receiver(queue))
}

/// A task that waits in one of the two lines; given up after it was woken, it wakes the next one.
struct Waiting<'a, T> {
    queue: &'a Spin<Queue<T>>,
    line: fn(&mut Queue<T>) -> &mut Waiters,
    ticket: Ticket,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let next = self.queue.with(|q| {
            let line = (self.line)(q);
            if line.leave(self.ticket) {
                None
            } else {
                line.pop()
            }
        });
        wake(next);
    }
}

impl<T> Sender<T> {
    /// Puts a value in, waiting for room.
    ///
    /// # Errors
    /// The value, when no receiver is left.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        let mut waiting = Waiting {
            queue: &self.0,
            line: |q| &mut q.sending,
            ticket: None,
        };
        poll_fn(|cx| self.poll(&mut value, &mut waiting.ticket, cx)).await
    }

    fn poll(
        &self,
        value: &mut Option<T>,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), T>> {
        let done = self.0.with(|q| {
            if q.receivers == 0 {
                q.sending.leave(ticket.take());
                return Some(None);
            }
            if q.values.len() >= q.room {
                q.sending.enter(ticket, cx.waker());
                return None;
            }
            q.sending.leave(ticket.take());
            q.values.extend(value.take());
            Some(q.receiving.pop())
        });
        let Some(next) = done else {
            return Poll::Pending;
        };
        wake(next);
        Poll::Ready(value.take().map_or(Ok(()), Err))
    }
}

impl<T> Receiver<T> {
    /// Takes a value out, waiting for one; `None` when none is left and no sender either.
    pub async fn receive(&self) -> Option<T> {
        let mut waiting = Waiting {
            queue: &self.0,
            line: |q| &mut q.receiving,
            ticket: None,
        };
        poll_fn(|cx| self.poll(&mut waiting.ticket, cx)).await
    }

    fn poll(&self, ticket: &mut Ticket, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let taken = self.0.with(|q| {
            if let Some(value) = q.values.pop_front() {
                q.receiving.leave(ticket.take());
                return Some((Some(value), q.sending.pop()));
            }
            if q.senders == 0 {
                q.receiving.leave(ticket.take());
                return Some((None, None));
            }
            q.receiving.enter(ticket, cx.waker());
            None
        });
        match taken {
            Some((value, next)) => {
                wake(next);
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.with(|q| q.senders += 1);
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.0.with(|q| q.receivers += 1);
        Receiver(self.0.clone())
    }
}

fn wake_all(all: VecDeque<(u64, Waker)>) {
    all.into_iter().for_each(|(_, waker)| waker.wake());
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = self.0.with(|q| {
            q.senders -= 1;
            (q.senders == 0).then(|| q.receiving.pop_all())
        });
        wake_all(last.unwrap_or_default());
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let last = self.0.with(|q| {
            q.receivers -= 1;
            (q.receivers == 0).then(|| q.sending.pop_all())
        });
        wake_all(last.unwrap_or_default());
    }
}

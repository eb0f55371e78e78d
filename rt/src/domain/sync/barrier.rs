//! Meeting of a fixed number of tasks, again and again.

use core::future::poll_fn;
use core::task::Poll;

use super::super::spin::Spin;
use super::waiters::{Ticket, Waiters};

/// Who has come so far.
#[derive(Debug)]
pub struct Round {
    number: u64,
    here: usize,
    waiters: Waiters,
}

impl Round {
    /// The first one.
    pub const fn new() -> Round {
        Round {
            number: 0,
            here: 0,
            waiters: Waiters::new(),
        }
    }
}

/// A barrier for `parties` tasks.
#[derive(Debug)]
pub struct Barrier {
    parties: usize,
    round: Spin<Round>,
}

impl Barrier {
    /// Of its parts.
    pub const fn of(parties: usize, round: Spin<Round>) -> Barrier {
        Barrier { parties, round }
    }

    /// Waits until all have come; `true` for the last one. Who has come counts, even if it is given up.
    pub async fn wait(&self) -> bool {
        let (round, last) = self.round.with(|r| {
            let round = r.number;
            r.here += 1;
            if r.here < self.parties {
                return (round, None);
            }
            r.here = 0;
            r.number += 1;
            (round, Some(r.waiters.pop_all()))
        });
        if let Some(all) = last {
            all.into_iter().for_each(|(_, waker)| waker.wake());
            return true;
        }
        let mut ticket: Ticket = None;
        poll_fn(|cx| {
            let over = self.round.with(|r| {
                let over = r.number != round;
                if !over {
                    r.waiters.enter(&mut ticket, cx.waker());
                }
                over
            });
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        false
    }
}

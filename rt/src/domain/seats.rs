//! Where the dispatchers are: on which OSnodes, and these on which cores.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;

use super::place::{self, State};
use super::spin::Spin;
use super::sync::Waiters;
use super::{Member, members};
use crate::env;

/// Where a dispatcher is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Which dispatcher.
    pub member: Member,
    /// Its OSnode.
    pub osnode: u64,
    /// The core that the OSnode ran on when the dispatcher heard of it last.
    pub core: u32,
}

/// Changes so far: dispatchers that began, OSnodes that went to other cores.
static CHANGES: AtomicU64 = AtomicU64::new(0);
static WAITING: Spin<Waiters> = Spin::new(Waiters::new());

/// Where all dispatchers are.
#[must_use]
pub fn seats() -> Vec<Seat> {
    let seat = |member: Member| {
        let place = place::at(member.index());
        let here = member == Member::current();
        Seat {
            member,
            osnode: member.osnode(),
            core: match here {
                true => env::core(),
                false => place.core.load(Ordering::Relaxed),
            },
        }
    };
    members().into_iter().map(seat).collect()
}

/// Changes of [`seats`] since the process started.
#[must_use]
pub fn change_count() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// Waits until [`change_count`] is above `seen`: a dispatcher began, or the set of cores changed
/// for one of them. Returns the new count.
pub async fn changed(seen: u64) -> u64 {
    let mut ticket = None;
    poll_fn(|cx| {
        // Entered first: a change after that finds the waiter.
        WAITING.with(|w| w.enter(&mut ticket, cx.waker()));
        let now = change_count();
        if now > seen {
            WAITING.with(|w| w.leave(ticket));
            return Poll::Ready(now);
        }
        Poll::Pending
    })
    .await
}

/// The seats changed.
pub fn tell() {
    CHANGES.fetch_add(1, Ordering::AcqRel);
    let all = WAITING.with(Waiters::pop_all);
    all.into_iter().for_each(|(_, waker)| waker.wake());
}

/// The own dispatcher writes where it is.
pub fn write_own() {
    let place = place::own();
    place.osnode.store(env::osnode(), Ordering::Relaxed);
    place.core.store(env::core(), Ordering::Relaxed);
}

/// The kernel said that the core set changed for this dispatcher.
pub fn moved() {
    let place = place::own();
    if place::current() == 0 || place.state() == State::Up {
        write_own();
        tell();
    }
}

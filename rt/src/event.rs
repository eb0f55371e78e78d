//! What the kernel tells a dispatcher by upcall, and notifications from other OSnodes.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Poll, Waker};

use abi::{SysError, slots};

use crate::exec::driver;
use crate::invoke;
use crate::single::Single;

#[cfg_attr(nekton_user, thread_local)]
static RETRIES: AtomicU64 = AtomicU64::new(0);
/// Upcalls by [`Event`]; written by upcalls, read by the executor.
#[cfg_attr(nekton_user, thread_local)]
static COUNTS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The OSnode runs on another core, or the set of cores changed.
    CoreSetChanged = 0,
    /// The kernel was replaced.
    KernelRestarted = 1,
}

struct Watch {
    /// Counts that the watchers were last told of.
    told: [u64; 2],
    wakers: Vec<Waker>,
}

#[cfg_attr(nekton_user, thread_local)]
static WATCH: Single<Watch> = Single::new(Watch {
    told: [0; 2],
    wakers: Vec::new(),
});

/// System calls that were repeated because the kernel was replaced during them.
#[must_use]
pub fn retries() -> u64 {
    RETRIES.load(Ordering::Relaxed)
}

/// A system call was repeated because the kernel was replaced during it.
pub(crate) fn note_retry() {
    RETRIES.fetch_add(1, Ordering::Relaxed);
}

/// An upcall brought this event. Called on the upcall stack: touches the counter only.
pub(crate) fn note(event: Event) {
    COUNTS[event as usize].fetch_add(1, Ordering::Release);
}

/// How often the event happened since the process started.
#[must_use]
pub fn count(event: Event) -> u64 {
    COUNTS[event as usize].load(Ordering::Acquire)
}

/// Waits until [`count`] is above `seen`; returns the new count.
pub async fn after(event: Event, seen: u64) -> u64 {
    poll_fn(|cx| {
        let now = count(event);
        if now > seen {
            return Poll::Ready(now);
        }
        let waker = cx.waker().clone();
        WATCH.with(|w| w.wakers.push(waker));
        Poll::Pending
    })
    .await
}

/// Wakes who waits for events that happened; whether any did.
pub(crate) fn poll() -> bool {
    let now = [count(Event::CoreSetChanged), count(Event::KernelRestarted)];
    let woken = WATCH.with(|w| {
        if w.told == now {
            return Vec::new();
        }
        if w.told[0] != now[0] {
            crate::domain::moved();
        }
        w.told = now;
        core::mem::take(&mut w.wakers)
    });
    let any = !woken.is_empty();
    woken.into_iter().for_each(Waker::wake);
    any
}

/// The process's word of the OSnode's notification page.
struct NotifyWord {
    /// First channel, once bound.
    first: Option<u64>,
    /// Set = in use.
    used: u64,
}

#[cfg_attr(nekton_user, thread_local)]
static NOTIFY: Single<NotifyWord> = Single::new(NotifyWord {
    first: None,
    used: 0,
});

/// A notification channel of this process: whoever holds its Notify capability can wake it.
#[derive(Debug)]
pub struct Notification {
    channel: u64,
    bit: u8,
    /// The bit is one of this dispatcher's word.
    _here: PhantomData<*const ()>,
}

impl Notification {
    /// A channel that is not in use.
    ///
    /// # Errors
    /// `TableFull` when all 64 of the process are in use; any of `Op::NotifyBind`.
    pub fn new() -> Result<Notification, SysError> {
        let first = match NOTIFY.with(|n| n.first) {
            Some(first) => first,
            None => {
                let first = invoke::notify_bind(slots::DISPATCHER)?;
                NOTIFY.with(|n| *n.first.insert(first))
            }
        };
        let bit = NOTIFY.with(|n| {
            let bit = n.used.trailing_ones() as u8;
            n.used |= 1u64.checked_shl(bit.into()).unwrap_or(0);
            bit
        });
        if bit >= 64 {
            return Err(SysError::TableFull);
        }
        Ok(Notification {
            channel: first + u64::from(bit),
            bit,
            _here: PhantomData,
        })
    }

    /// Its channel number in the OSnode, as in `Op::NotifyMint`.
    #[must_use]
    pub fn channel(&self) -> u64 {
        self.channel
    }

    /// Waits until it is signalled; signals since the last wait count as one.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if driver::take_bit(self.bit) {
                return Poll::Ready(());
            }
            driver::wait_bit(self.bit, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        NOTIFY.with(|n| n.used &= !(1 << self.bit));
    }
}

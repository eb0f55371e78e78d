//! Clocks: OSnode time (stands still while the OSnode is detached, never goes back) and system
//! time (never stands still). Both are read from the OSnode's time page without a system call.

use core::future::{Future, poll_fn};
use core::sync::atomic::{AtomicU64, Ordering, fence};
use core::task::Poll;

use abi::vaddr::{TIME_PAGE, time_page};

use crate::exec::driver;
use crate::single::Single;
use crate::task::{Either, select};
use crate::{env, isa};

fn word(offset: u64) -> &'static AtomicU64 {
    // SAFETY: the time page is mapped, read only, in every process for as long as it lives; the
    // kernel writes it word by word, so only atomic loads are made of it. Offsets are 8-aligned.
    unsafe { &*((TIME_PAGE + offset) as *const AtomicU64) }
}

/// (value << 0) × mult >> shift without overflow.
const fn scale(count: u64, mult: u64, shift: u64) -> u64 {
    ((count as u128 * mult as u128) >> (shift & 127)) as u64
}

/// What the time page says at one moment.
struct Reading {
    base_ns: u64,
    start: u64,
    mult: u64,
    shift: u64,
    system_offset_ns: u64,
    counter: u64,
}

fn read() -> Reading {
    loop {
        let generation = word(time_page::GENERATION).load(Ordering::Acquire);
        let get = |offset| word(offset).load(Ordering::Relaxed);
        let r = Reading {
            base_ns: get(time_page::BASE_NS),
            start: get(time_page::COUNTER_START),
            mult: get(time_page::MULT),
            shift: get(time_page::SHIFT),
            system_offset_ns: get(time_page::SYSTEM_OFFSET_NS),
            counter: isa::counter(),
        };
        fence(Ordering::Acquire);
        // Odd: a kernel is writing; changed: it wrote meanwhile. Either ends soon, it does not block.
        if generation & 1 == 0 && word(time_page::GENERATION).load(Ordering::Relaxed) == generation
        {
            return r;
        }
        spin_pause();
    }
}

/// OSnode time in nanoseconds.
#[must_use]
pub fn now_ns() -> u64 {
    let r = read();
    r.base_ns + scale(r.counter.saturating_sub(r.start), r.mult, r.shift)
}

/// System time in nanoseconds.
#[must_use]
pub fn system_ns() -> u64 {
    let r = read();
    scale(r.counter, r.mult, r.shift).wrapping_add(r.system_offset_ns)
}

/// The hardware counter.
#[must_use]
pub fn counter() -> u64 {
    isa::counter()
}

/// Which clock a timer follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// OSnode time.
    Osnode,
    /// System time.
    System,
}

impl Clock {
    /// Its time now.
    pub(crate) fn now_ns(self) -> u64 {
        match self {
            Clock::Osnode => now_ns(),
            Clock::System => system_ns(),
        }
    }
}

/// Waits until `at_ns` of a clock.
pub(crate) async fn until(clock: Clock, at_ns: u64) {
    let mut timer = driver::TimerGuard::new(clock);
    poll_fn(|cx| {
        if clock.now_ns() >= at_ns {
            return Poll::Ready(());
        }
        timer.set(at_ns, cx.waker());
        Poll::Pending
    })
    .await;
}

/// Waits until this OSnode time.
pub async fn sleep_until(at_ns: u64) {
    until(Clock::Osnode, at_ns).await;
}

/// Waits for this long in OSnode time.
pub async fn sleep(ns: u64) {
    sleep_until(now_ns().saturating_add(ns)).await;
}

/// Waits until this system time.
pub async fn system_sleep_until(at_ns: u64) {
    until(Clock::System, at_ns).await;
}

/// Waits for this long in system time, which goes on while the OSnode is stopped.
pub async fn system_sleep(ns: u64) {
    system_sleep_until(system_ns().saturating_add(ns)).await;
}

/// The future's result, or `None` at this OSnode time.
pub async fn timeout<F: Future>(at_ns: u64, f: F) -> Option<F::Output> {
    match select(f, sleep_until(at_ns)).await {
        Either::Left(out) => Some(out),
        Either::Right(()) => None,
    }
}

/// The future's result, or `None` at this system time.
pub async fn system_timeout<F: Future>(at_ns: u64, f: F) -> Option<F::Output> {
    match select(f, system_sleep_until(at_ns)).await {
        Either::Left(out) => Some(out),
        Either::Right(()) => None,
    }
}

/// How the process's last sleep in the kernel ended, of those whose kernel lived to begin them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sleep {
    /// OSnode time at which it was to end by itself (`u64::MAX` = never).
    pub until_ns: u64,
    /// OSnode time at which it ended.
    pub ended_ns: u64,
    /// The kernel ended it because the time was over.
    pub by_time: bool,
    /// Sleeps so far that the kernel ended for their time too early.
    pub early: u64,
}

#[cfg_attr(nekton_user, thread_local)]
static SLEEP: Single<Sleep> = Single::new(Sleep {
    until_ns: 0,
    ended_ns: 0,
    by_time: false,
    early: 0,
});

/// How the process's last sleep ended (see [`Sleep`]).
#[must_use]
pub fn last_sleep() -> Sleep {
    SLEEP.with(|s| *s)
}

/// A sleep ended.
pub(crate) fn note_sleep(until_ns: u64, by_time: bool) {
    let ended_ns = now_ns();
    SLEEP.with(|s| {
        *s = Sleep {
            until_ns,
            ended_ns,
            by_time,
            early: s.early + u64::from(by_time && ended_ns < until_ns),
        };
    });
}

/// A spin's pause, where the machine needs one: under instruction counting it lets the other
/// cores run; otherwise it would only slow the loop down.
#[inline]
pub fn spin_pause() {
    if env::is_icount() {
        isa::pause();
    }
}

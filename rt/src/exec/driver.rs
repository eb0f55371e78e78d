//! What lets events in: messages, notifications, timers, UMP channels.
//!
//! One turn looks at what changed in memory (upcall counters, timers, UMP lines), then takes
//! kernel events, and sleeps in `Wait` only when nothing else can happen. A UMP channel that
//! was active lately is polled for a while before the dispatcher sleeps.

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::task::Waker;

use abi::{CapAddr, SysError, WaitResult, slots};
use capfmt::DCB_ENDPOINTS;

use super::timers::{Key, Timers};
use crate::cap::{self, Capability};
use crate::domain::place;
use crate::lmp::{self, Words};
use crate::single::Single;
use crate::time::{self, Clock};
use crate::{event, invoke, mem};

/// How long a channel that was active is polled before sleeping.
const SPIN_NS: u64 = 20_000;
/// How long a channel counts as active.
const ACTIVE_NS: u64 = 100_000;
/// How long the first dispatcher sleeps at most while another one comes up.
const LOOK_NS: u64 = 500_000;
/// Turns between two looks at the kernel while tasks keep the executor busy.
const BUSY_TURNS: u32 = 16;

/// A message or interrupt as it arrived.
pub struct Incoming {
    /// Badge of the capability that it was sent with.
    pub badge: u32,
    /// Its words.
    pub words: Words,
    /// Its capability.
    pub cap: Option<Capability>,
}

/// Takes what arrives at an endpoint.
pub trait Sink {
    /// One message. Must not block.
    fn deliver(&self, incoming: Incoming);
}

/// A shared-memory channel as the driver sees it.
pub trait Pollable {
    /// Wakes who waits for what is there now; whether anybody was woken.
    fn poll(&self) -> bool;
    /// Whether anybody waits.
    fn is_awaited(&self) -> bool;
    /// Announces sleep: `false` when something is there after all.
    fn prepare_sleep(&self) -> bool;
    /// Whether the peer can wake a sleeper (else it must be polled on).
    fn can_sleep(&self) -> bool;
    /// Withdraws the announcement.
    fn awake(&self);
    /// Tells the peer that nothing comes any more; the process ends.
    fn close(&self);
}

struct Driver {
    sinks: [Option<Rc<dyn Sink>>; DCB_ENDPOINTS as usize],
    receive: [CapAddr; DCB_ENDPOINTS as usize],
    osnode_timers: Timers,
    system_timers: Timers,
    channels: Vec<Weak<dyn Pollable>>,
    /// Wakers by bit of the process's notification word.
    notified: u64,
    bit_wakers: Vec<(u8, Waker)>,
    busy: u32,
    last_active_ns: u64,
    /// An endpoint has no receive slot, because none could be had.
    slot_missing: bool,
}

#[cfg_attr(nekton_user, thread_local)]
static DRIVER: Single<Driver> = Single::new(Driver {
    sinks: [const { None }; DCB_ENDPOINTS as usize],
    receive: [CapAddr::NULL; DCB_ENDPOINTS as usize],
    osnode_timers: Timers::new(),
    system_timers: Timers::new(),
    channels: Vec::new(),
    notified: 0,
    bit_wakers: Vec::new(),
    busy: 0,
    last_active_ns: 0,
    slot_missing: false,
});

/// A timer of a future; forgotten when dropped.
pub struct TimerGuard {
    clock: Clock,
    key: Option<Key>,
    /// The timer is one of this dispatcher's.
    _here: PhantomData<*const ()>,
}

impl TimerGuard {
    /// No timer yet.
    pub const fn new(clock: Clock) -> TimerGuard {
        TimerGuard {
            clock,
            key: None,
            _here: PhantomData,
        }
    }
    /// Wakes `waker` at `at_ns`, instead of what was set before.
    pub fn set(&mut self, at_ns: u64, waker: &Waker) {
        self.clear();
        let waker = waker.clone();
        self.key = Some(DRIVER.with(|d| d.timers(self.clock).add(at_ns, waker)));
    }
    fn clear(&mut self) {
        if let Some(key) = self.key.take() {
            drop(DRIVER.with(|d| d.timers(self.clock).remove(key)));
        }
    }
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Driver {
    fn timers(&mut self, clock: Clock) -> &mut Timers {
        match clock {
            Clock::Osnode => &mut self.osnode_timers,
            Clock::System => &mut self.system_timers,
        }
    }
}

/// Opens an endpoint with `count` ring slots; what arrives goes to `sink`. Returns its index
/// and the capability without badge.
///
/// # Errors
/// `TableFull` when endpoints or ring slots are used up; any of `Op::EndpointOpen`.
pub fn open_endpoint(count: u64, sink: Rc<dyn Sink>) -> Result<(u64, Capability), SysError> {
    let (index, own) = lmp::open(count)?;
    attach_sink(index.into(), sink)?;
    Ok((index.into(), own))
}

/// Takes over the endpoint with this index, which is open already.
///
/// # Errors
/// Any of `Op::EndpointReceive`.
pub fn attach_sink(index: u64, sink: Rc<dyn Sink>) -> Result<(), SysError> {
    let slot = cap::alloc_slot()?;
    invoke::endpoint_receive(slots::DISPATCHER, index, slot)?;
    DRIVER.with(|d| {
        d.sinks[index as usize] = Some(sink);
        d.receive[index as usize] = slot;
    });
    Ok(())
}

/// Has a channel polled from now on, for as long as it lives.
pub fn add_channel(channel: Weak<dyn Pollable>) {
    let dead = DRIVER.with(|d| {
        let (live, dead): (Vec<_>, Vec<_>) = core::mem::take(&mut d.channels)
            .into_iter()
            .partition(|c| c.strong_count() > 0);
        d.channels = live;
        d.channels.push(channel);
        dead
    });
    drop(dead);
}

/// Closes every channel: the process ends, and its peers are to know at once. Whoever panics may
/// hold what this needs; then the peers are told by the monitors.
pub fn close_channels() {
    let all = DRIVER.try_with(|d| core::mem::take(&mut d.channels));
    for channel in all.iter().flatten().filter_map(Weak::upgrade) {
        channel.close();
    }
}

/// Registers who is woken when this bit of the notification word is set.
pub fn wait_bit(bit: u8, waker: &Waker) {
    let waker = waker.clone();
    let old = DRIVER.with(|d| {
        let at = d.bit_wakers.iter().position(|(b, _)| *b == bit);
        let old = at.map(|i| d.bit_wakers.swap_remove(i));
        d.bit_wakers.push((bit, waker));
        old
    });
    drop(old);
}

/// Takes a bit of the notification word, if it was set since the last look.
pub fn take_bit(bit: u8) -> bool {
    DRIVER.with(|d| {
        let set = d.notified >> bit & 1 != 0;
        d.notified &= !(1 << bit);
        set
    })
}

/// One turn: see the module's text.
pub fn turn(may_block: bool) {
    mem::replenish();
    repair_receive_slots();
    let mut woke = event::poll() | fire_timers();
    woke |= poll_channels() | attend();
    if woke || !may_block {
        let due = DRIVER.with(|d| {
            d.busy += 1;
            d.busy.is_multiple_of(BUSY_TURNS)
        });
        if due {
            while take_event(&lmp::poll(None)) {}
        }
        return;
    }
    if spin() {
        return;
    }
    sleep();
}

/// Sleeps until something happens, unless `channel` says that it has something already. What
/// arrives elsewhere is handed on as ever, but no task runs.
pub fn sleep_on(channel: &dyn Pollable) {
    if channel.prepare_sleep() {
        take_event(&lmp::wait(u64::MAX, None));
    }
    channel.awake();
}

fn fire_timers() -> bool {
    let (osnode, system) = DRIVER.with(|d| (d.osnode_timers.first(), d.system_timers.first()));
    if osnode.is_none() && system.is_none() {
        return false;
    }
    let mut due = Vec::new();
    for (first, clock) in [(osnode, Clock::Osnode), (system, Clock::System)] {
        let now = clock.now_ns();
        if first.is_some_and(|at| at <= now) {
            due.extend(DRIVER.with(|d| d.timers(clock).due(now)));
        }
    }
    let any = !due.is_empty();
    due.into_iter().for_each(Waker::wake);
    any
}

/// Does what other dispatchers of the process have for this one.
fn attend() -> bool {
    let any = place::attend();
    if any {
        let now = time::now_ns();
        DRIVER.with(|d| d.last_active_ns = now);
    }
    any
}

fn channels() -> Vec<Rc<dyn Pollable>> {
    let all = DRIVER.with(|d| {
        if d.channels.is_empty() {
            return Vec::new();
        }
        d.channels.clone()
    });
    let live = all.iter().filter_map(Weak::upgrade);
    live.filter(|c| c.is_awaited()).collect()
}

fn poll_channels() -> bool {
    let mut any = false;
    for channel in channels() {
        any |= channel.poll();
    }
    if any {
        let now = time::now_ns();
        DRIVER.with(|d| d.last_active_ns = now);
    }
    any
}

/// Polls channels that were active lately; `true` when something came.
fn spin() -> bool {
    let channels = channels();
    let start = time::now_ns();
    let last = DRIVER.with(|d| d.last_active_ns);
    let nothing = channels.is_empty() && !place::is_spanned();
    if nothing || start.saturating_sub(last) > ACTIVE_NS {
        return false;
    }
    loop {
        for _ in 0..32 {
            if place::is_rung() {
                return attend();
            }
            if channels.iter().any(|c| c.poll()) {
                let now = time::now_ns();
                DRIVER.with(|d| d.last_active_ns = now);
                return true;
            }
            time::spin_pause();
        }
        if take_event(&lmp::poll(None)) || event::poll() || fire_timers() {
            return true;
        }
        // The peer may be waiting for this very core.
        lmp::yield_core();
        if time::now_ns() - start > SPIN_NS {
            return false;
        }
    }
}

/// OSnode time of the next timer of either clock; `u64::MAX` = none.
fn deadline() -> u64 {
    let (osnode, system) = DRIVER.with(|d| (d.osnode_timers.first(), d.system_timers.first()));
    let mut at = osnode.unwrap_or(u64::MAX);
    if let Some(system) = system {
        // Both clocks run alike while the dispatcher can run at all.
        let left = system.saturating_sub(time::system_ns());
        at = at.min(time::now_ns().saturating_add(left));
    }
    at
}

fn sleep() {
    let channels = channels();
    let mut until = deadline();
    if place::must_look() {
        until = until.min(time::now_ns().saturating_add(LOOK_NS));
    }
    let mut prepared = 0;
    let mut something = false;
    for c in &channels {
        if c.can_sleep() {
            prepared += 1;
            something |= !c.prepare_sleep();
        } else {
            until = until.min(time::now_ns().saturating_add(SPIN_NS));
        }
        if something {
            break;
        }
    }
    if !something && place::prepare_sleep() {
        let event = lmp::wait(until, None);
        place::awake();
        note_sleep(until, &event);
        take_event(&event);
    }
    if prepared > 0 {
        channels
            .iter()
            .filter(|c| c.can_sleep())
            .for_each(|c| c.awake());
    }
}

/// Keeps how a wait ended. One that was lost with its kernel never began to wait: how late it comes back says nothing
/// about time-outs.
fn note_sleep(until: u64, event: &Result<lmp::Event, SysError>) {
    if !matches!(event, Err(SysError::KernelRestarted)) {
        time::note_sleep(until, matches!(event, Err(SysError::TimedOut)));
    }
}

/// Delivers one kernel event; `false` when there was none.
#[inline]
fn take_event(event: &Result<lmp::Event, SysError>) -> bool {
    let Ok(event) = event else { return false };
    match event.what.kind() {
        WaitResult::NOTHING => false,
        WaitResult::NOTIFICATION => {
            notify(event.words[0]);
            true
        }
        _ => {
            deliver(event);
            true
        }
    }
}

fn notify(bits: u64) {
    let awaited = DRIVER.with(|d| {
        d.notified |= bits;
        !d.bit_wakers.is_empty()
    });
    // Most often nobody waits for a bit: channels are looked at anyway.
    if awaited {
        wake_waiting(bits);
    }
}

/// Wakes who waits for these bits.
fn wake_waiting(bits: u64) {
    while let Some(waker) = DRIVER.with(|d| {
        let waits = |(bit, _): &(u8, Waker)| bits >> bit & 1 != 0;
        let at = d.bit_wakers.iter().position(waits)?;
        Some(d.bit_wakers.swap_remove(at).1)
    }) {
        waker.wake();
    }
}

fn deliver(event: &lmp::Event) {
    let index = event.what.endpoint();
    let cap = event.what.has_cap().then(|| take_received(index)).flatten();
    let sink = DRIVER.with(|d| d.sinks[index as usize].clone());
    let incoming = Incoming {
        badge: event.what.badge(),
        words: event.words,
        cap,
    };
    match sink {
        Some(sink) => sink.deliver(incoming),
        None => drop(incoming),
    }
}

/// The capability that stands in an endpoint's receive slot, and a new receive slot.
fn take_received(index: u64) -> Option<Capability> {
    let slot = DRIVER.with(|d| core::mem::take(&mut d.receive[index as usize]));
    set_receive_slot(index);
    (slot != CapAddr::NULL).then(|| Capability::from_slot(slot))
}

/// Gives an endpoint a receive slot; without one, senders of capabilities are told to try again.
fn set_receive_slot(index: u64) {
    let slot = cap::alloc_slot().and_then(|slot| {
        let set = invoke::endpoint_receive(slots::DISPATCHER, index, slot);
        set.map(|()| slot).inspect_err(|_| cap::free_slot(slot))
    });
    DRIVER.with(|d| match slot {
        Ok(slot) => d.receive[index as usize] = slot,
        Err(_) => d.slot_missing = true,
    });
}

/// Tries again what [`set_receive_slot`] could not do.
fn repair_receive_slots() {
    let missing = DRIVER.with(|d| {
        if !core::mem::take(&mut d.slot_missing) {
            return 0;
        }
        let bare = |i: &usize| d.sinks[*i].is_some() && d.receive[*i] == CapAddr::NULL;
        (0..d.sinks.len())
            .filter(bare)
            .fold(0u64, |m, i| m | 1 << i)
    });
    (0..64)
        .filter(|i| missing >> i & 1 != 0)
        .for_each(set_receive_slot);
}

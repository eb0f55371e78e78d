//! The dispatchers of the process, as all of them see each other.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::CapAddr;

use super::bell::Bell;
use super::owner;
use super::spin::Spin;
use crate::exec::TaskWaker;
use crate::invoke;

/// Most dispatchers of a process.
pub const PLACES: usize = 64;

/// What a dispatcher gets from another one.
pub enum Mail {
    /// A task of the receiver wants to be polled.
    Task(Arc<TaskWaker>),
    /// To be run there.
    Run(Box<dyn FnOnce() + Send>),
}

/// What a place says of its dispatcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum State {
    /// There is none.
    Empty = 0,
    /// It is being made.
    Starting = 1,
    /// It runs.
    Up = 2,
}

/// One dispatcher.
pub struct Place {
    state: AtomicU32,
    /// Its OSnode.
    pub osnode: AtomicU64,
    /// Core that its OSnode ran on when it looked last.
    pub core: AtomicU32,
    /// Its notification channel there.
    pub channel: AtomicU64,
    bell: Bell,
    mail: Spin<Vec<Mail>>,
    /// What it asks of the first dispatcher.
    pub ask: owner::Ask,
}

impl Place {
    const fn new() -> Place {
        Place {
            state: AtomicU32::new(0),
            osnode: AtomicU64::new(0),
            core: AtomicU32::new(0),
            channel: AtomicU64::new(u64::MAX),
            bell: Bell::of(AtomicBool::new(false), AtomicBool::new(false)),
            mail: Spin::new(Vec::new()),
            ask: owner::Ask::new(),
        }
    }
    /// What it says.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            1 => State::Starting,
            2 => State::Up,
            _ => State::Empty,
        }
    }
    /// Says something else.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }
    /// Takes an empty place.
    pub fn take(&self) -> bool {
        let (from, to) = (State::Empty as u32, State::Starting as u32);
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

static ALL: [Place; PLACES] = [const { Place::new() }; PLACES];

/// Whether the process has, or had, more than one dispatcher.
static SPANNED: AtomicBool = AtomicBool::new(false);

/// Dispatchers that the first one is to notify for those that cannot do it themselves.
static RELAY: AtomicU64 = AtomicU64::new(0);

#[cfg(nekton_user)]
#[thread_local]
static CURRENT: Cell<usize> = const { Cell::new(0) };
#[cfg(nekton_user)]
#[thread_local]
static NOTIFIES: [Cell<CapAddr>; PLACES] = [const { Cell::new(CapAddr::NULL) }; PLACES];

#[cfg(not(nekton_user))]
std::thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static NOTIFIES: [Cell<CapAddr>; PLACES] = const { [const { Cell::new(CapAddr::NULL) }; PLACES] };
}

/// The place of the dispatcher that runs.
#[cfg(nekton_user)]
#[inline]
pub fn current() -> usize {
    CURRENT.get()
}
/// The place of the dispatcher that runs.
#[cfg(not(nekton_user))]
pub fn current() -> usize {
    CURRENT.with(Cell::get)
}

/// This dispatcher is the one of place `index` from now on.
pub fn enter(index: usize) {
    #[cfg(nekton_user)]
    CURRENT.set(index);
    #[cfg(not(nekton_user))]
    CURRENT.with(|c| c.set(index));
}

fn notify_of(index: usize) -> CapAddr {
    #[cfg(nekton_user)]
    return NOTIFIES[index].get();
    #[cfg(not(nekton_user))]
    return NOTIFIES.with(|n| n[index].get());
}

/// With this capability the dispatcher of place `index` is notified from here.
pub fn set_notify(index: usize, notify: CapAddr) {
    #[cfg(nekton_user)]
    NOTIFIES[index].set(notify);
    #[cfg(not(nekton_user))]
    NOTIFIES.with(|n| n[index].set(notify));
}

/// Whether the dispatcher of place `index` can be notified from here.
pub fn can_notify(index: usize) -> bool {
    notify_of(index) != CapAddr::NULL
}

/// A place.
pub fn at(index: usize) -> &'static Place {
    &ALL[index]
}

/// The own place.
pub fn own() -> &'static Place {
    at(current())
}

/// Whether the process has, or had, more than one dispatcher.
#[inline]
pub fn is_spanned() -> bool {
    SPANNED.load(Ordering::Relaxed)
}

/// The process is about to have more than one dispatcher.
pub fn span() {
    SPANNED.store(true, Ordering::Relaxed);
}

/// Tells the dispatcher of place `to` that something is there for it.
pub fn ring(to: usize) {
    if at(to).bell.ring() {
        signal(to);
    }
}

fn signal(to: usize) {
    let notify = notify_of(to);
    if notify != CapAddr::NULL {
        // One that is gone needs no notice: the process ends.
        let _ = invoke::signal(notify);
    } else if current() != 0 && to != 0 {
        // Not known here yet: the first dispatcher knows everybody. (It looks by itself while one comes up.)
        RELAY.fetch_or(1 << to, Ordering::AcqRel);
        ring(0);
    }
}

/// Sends something to the dispatcher of place `to`.
pub fn post(to: usize, mail: Mail) {
    at(to).mail.with(|m| m.push(mail));
    ring(to);
}

/// Looks what others have for this dispatcher, and does it; whether there was anything.
pub fn attend() -> bool {
    if !is_spanned() {
        return false;
    }
    let place = own();
    if !place.bell.take() {
        return false;
    }
    if current() == 0 {
        owner::serve();
        let relay = RELAY.swap(0, Ordering::AcqRel);
        (0..PLACES)
            .filter(|to| relay >> to & 1 != 0)
            .for_each(signal);
    }
    for mail in place.mail.with(core::mem::take) {
        match mail {
            Mail::Task(task) => task.enqueue(),
            Mail::Run(f) => f(),
        }
    }
    true
}

/// Whether something is there for this dispatcher.
pub fn is_rung() -> bool {
    is_spanned() && own().bell.is_rung()
}

/// Whether a dispatcher comes up that cannot notify the first one, which this is, yet.
pub fn must_look() -> bool {
    let coming = |p: &Place| p.state() == State::Starting;
    is_spanned() && current() == 0 && ALL.iter().any(coming)
}

/// Announces sleep; `false` when something is there after all.
pub fn prepare_sleep() -> bool {
    !is_spanned() || own().bell.prepare_sleep()
}

/// The sleep is over.
pub fn awake() {
    if is_spanned() {
        own().bell.awake();
    }
}

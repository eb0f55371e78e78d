//! A process with several dispatchers, on any OSnodes: a *domain*.
//!
//! All of them see the same memory at the same addresses, but for a private part
//! (`abi::vaddr::PRIVATE`): dispatcher page, time page, start block, and what a further dispatcher
//! maps for itself. Capabilities are each dispatcher's own, and so are its executor, endpoints
//! and connections: the runtime's state stands in thread-local storage. What is shared is what
//! `Send` and `Sync` allow: the heap, statics, and the things of [`sync`].
//!
//! The OSnode of the first dispatcher owns the shared page tables; the others ask the first one
//! to change them ([`SharedMemory`], the heap). Threads are tasks: [`Member::start`] runs one on
//! the dispatcher of one's choice.

pub(crate) mod atomic;
mod bell;
mod core_set;
mod join;
mod memory;
pub(crate) mod owner;
pub(crate) mod place;
mod seats;
pub(crate) mod spin;
pub mod sync;
mod thread;

pub use core_set::{Change, CoreSet, Topology};
pub use join::span;
pub use memory::SharedMemory;
pub use seats::{Seat, change_count, changed, seats};
pub use thread::Thread;

#[cfg(nekton_user)]
pub(crate) use join::{enter, run};
pub(crate) use seats::moved;

use alloc::vec::Vec;
use core::future::Future;
use core::sync::atomic::Ordering;

use place::State;

/// A dispatcher of this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member(usize);

impl Member {
    /// The one that the process was started with.
    pub const FIRST: Member = Member(0);

    /// The one that runs this.
    #[must_use]
    pub fn current() -> Member {
        Member(place::current())
    }

    /// Its number: 0 for the first, then in the order of their start.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    /// The OSnode that it belongs to.
    #[must_use]
    pub fn osnode(self) -> u64 {
        if self == Member::current() {
            return crate::env::osnode();
        }
        place::at(self.0).osnode.load(Ordering::Relaxed)
    }

    /// Starts a thread there: `f` is called there, and the task that it makes is one of that dispatcher's.
    pub fn start<F, R>(self, f: F) -> Thread<R::Output>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future + 'static,
        R::Output: Send + 'static,
    {
        thread::start(self.0, f)
    }
}

/// The dispatchers that run.
#[must_use]
pub fn members() -> Vec<Member> {
    let up = |i: &usize| *i == 0 || place::at(*i).state() == State::Up;
    (0..place::PLACES).filter(up).map(Member).collect()
}

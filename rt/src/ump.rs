//! UMP channels: a Frame shared with another OSnode, polled for a while, then slept on.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use core::task::{Poll, Waker};

use abi::SysError;
use proto::PeerError;
use proto::ump::{Line, Ring, RingError, SharedWords, Side, Wake};

use crate::cap::Capability;
use crate::event::Notification;
use crate::exec::driver::{self, Pollable};
use crate::invoke;
use crate::vspace::{self, Access, Mapped};

/// Why a channel call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UmpError {
    /// The ring says so.
    Ring(RingError),
    /// A system call failed.
    Sys(SysError),
}

impl From<UmpError> for PeerError {
    fn from(e: UmpError) -> PeerError {
        match e {
            UmpError::Ring(RingError::Full) => PeerError::TimedOut,
            // A peer that breaks the ring's rules is as good as gone.
            UmpError::Ring(RingError::Closed | RingError::Broken) => PeerError::Gone,
            UmpError::Ring(RingError::TooSmall) => PeerError::Sys(SysError::BadArgument),
            UmpError::Sys(e) => PeerError::from(e),
        }
    }
}

/// The channel's words in this address space.
#[derive(Debug)]
struct Words {
    base: *const AtomicU64,
    len: usize,
    _mapped: Mapped,
}

impl Words {
    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len, "word past the end of a channel");
        // SAFETY: below `len`, so inside the mapping.
        let at = unsafe { self.base.add(index) };
        // SAFETY: mapped for as long as `self`, aligned; shared memory is reached by atomics only.
        unsafe { &*at }
    }
}

impl SharedWords for Words {
    fn len(&self) -> usize {
        self.len
    }
    #[inline]
    fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }
    #[inline]
    fn load_acquire(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }
    #[inline]
    fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }
    #[inline]
    fn store_release(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }
    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

/// What a side has of its channel until it leaves it for good.
struct Held {
    ring: Ring<Words>,
    _frame: Capability,
}

struct Inner {
    held: RefCell<Option<Held>>,
    side: Side,
    notify: RefCell<Option<Capability>>,
    /// The peer slept before there was a capability to wake it with.
    owed: Cell<bool>,
    own: Option<Notification>,
    receiver: RefCell<Option<Waker>>,
    sender: RefCell<Option<Waker>>,
}

/// One side of a channel. Clones are the same side.
#[derive(Clone)]
pub struct UmpChannel(Rc<Inner>);

impl core::fmt::Debug for UmpChannel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "UmpChannel({:?})", self.0.side)
    }
}

impl UmpChannel {
    /// Maps `frame` (`bytes` of it, zeroed before the first side opens it) and becomes one side.
    /// `own`: what the peer signals when this side sleeps (`None`: it only polls). The Notify
    /// for the peer may come later.
    ///
    /// # Errors
    /// [`UmpError`].
    pub fn open(
        frame: Capability,
        bytes: u64,
        side: Side,
        own: Option<Notification>,
    ) -> Result<UmpChannel, UmpError> {
        let mapped = vspace::map(frame.addr(), 0, bytes, Access::ReadWrite);
        let mapped = mapped.map_err(UmpError::Sys)?;
        let words = Words {
            base: mapped.address() as *const AtomicU64,
            len: (bytes / 8) as usize,
            _mapped: mapped,
        };
        let ring = Ring::new(words, side).map_err(UmpError::Ring)?;
        let held = Held {
            ring,
            _frame: frame,
        };
        let inner = Rc::new(Inner {
            held: RefCell::new(Some(held)),
            side,
            notify: RefCell::new(None),
            owed: Cell::new(false),
            own,
            receiver: RefCell::new(None),
            sender: RefCell::new(None),
        });
        let polled: Rc<dyn Pollable> = inner.clone();
        driver::add_channel(Rc::downgrade(&polled));
        Ok(UmpChannel(inner))
    }

    /// Own notification channel, `u64::MAX` when this side only polls.
    #[must_use]
    pub fn own_channel(&self) -> u64 {
        self.0.own.as_ref().map_or(u64::MAX, Notification::channel)
    }

    /// Sets the capability with which the peer is notified.
    pub fn set_notify(&self, notify: Capability) {
        *self.0.notify.borrow_mut() = Some(notify);
        if self.0.owed.replace(false) {
            self.0.wake(Wake::Peer);
        }
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// [`UmpError`]; `Full` when there is none.
    #[inline(always)]
    pub fn try_send(&self, line: &Line) -> Result<(), UmpError> {
        let sent = match &mut *self.0.held.borrow_mut() {
            Some(held) => held.ring.send(line),
            None => Err(RingError::Closed),
        };
        self.0.wake(sent.map_err(UmpError::Ring)?);
        Ok(())
    }

    /// Leaves a message that the peer takes when something else wakes it.
    ///
    /// # Errors
    /// [`UmpError`]; `Full` when there is no room.
    pub fn leave(&self, line: &Line) -> Result<(), UmpError> {
        self.0.on_ring(|ring| ring.send(line)).map(drop)
    }

    /// Messages that may be sent now.
    ///
    /// # Errors
    /// [`UmpError`]; `Broken`.
    pub fn room(&self) -> Result<u64, UmpError> {
        self.0.on_ring(|ring| ring.credit())
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    /// [`UmpError`].
    pub async fn send(&self, line: &Line) -> Result<(), UmpError> {
        poll_fn(|cx| match self.try_send(line) {
            Err(UmpError::Ring(RingError::Full)) => {
                *self.0.sender.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            done => Poll::Ready(done),
        })
        .await
    }

    /// Whether a message is there.
    #[must_use]
    #[inline]
    pub fn has_message(&self) -> bool {
        let held = self.0.held.borrow();
        held.as_ref().is_some_and(|h| h.ring.has_message())
    }

    /// Takes a message if one is there.
    ///
    /// # Errors
    /// [`UmpError`]; `Closed` once the peer closed and all was taken.
    #[inline(always)]
    pub fn try_receive(&self) -> Result<Option<Line>, UmpError> {
        let taken = match &mut *self.0.held.borrow_mut() {
            Some(held) => held.ring.receive().map_err(UmpError::Ring)?,
            None => return Err(UmpError::Ring(RingError::Closed)),
        };
        Ok(taken.map(|(line, wake)| {
            self.0.wake(wake);
            line
        }))
    }

    /// Takes a message, waiting for it.
    ///
    /// # Errors
    /// [`UmpError`].
    pub async fn receive(&self) -> Result<Line, UmpError> {
        poll_fn(|cx| match self.try_receive() {
            Ok(Some(line)) => Poll::Ready(Ok(line)),
            Err(e) => Poll::Ready(Err(e)),
            Ok(None) => {
                *self.0.receiver.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Takes a message; without one, the whole process sleeps until one is there: no task runs
    /// meanwhile. For programs that have nothing else to do and cannot lose a moment.
    ///
    /// # Errors
    /// [`UmpError`]; `BadArgument` on a side that only polls.
    pub fn receive_blocking(&self) -> Result<Line, UmpError> {
        loop {
            match self.try_receive() {
                Ok(Some(line)) => return Ok(line),
                Err(e) => return Err(e),
                Ok(None) if self.0.own.is_none() => {
                    return Err(UmpError::Sys(SysError::BadArgument));
                }
                Ok(None) => driver::sleep_on(&*self.0),
            }
        }
    }

    /// Closes this side and lets go of its Frame, whoever else has a clone of it, and waits for nothing more from a
    /// peer that may never close its own: whoever waits hears that the channel is closed.
    pub fn leave_for_good(&self) {
        self.close();
        let held = self.0.held.borrow_mut().take();
        drop(held);
        take(&self.0.receiver);
        take(&self.0.sender);
    }

    /// Lets go of a side that nobody used, without a word: the other side waits on for somebody to open it.
    pub fn abandon(self) {
        let held = self.0.held.borrow_mut().take();
        drop(held);
    }

    /// Closes this side; the peer takes what was sent before.
    pub fn close(&self) {
        Pollable::close(&*self.0);
    }
}

impl Inner {
    /// Does something with the ring, unless this side left for good.
    #[inline(always)]
    fn on_ring<T>(
        &self,
        what: impl FnOnce(&mut Ring<Words>) -> Result<T, RingError>,
    ) -> Result<T, UmpError> {
        match &mut *self.held.borrow_mut() {
            Some(held) => what(&mut held.ring).map_err(UmpError::Ring),
            None => Err(UmpError::Ring(RingError::Closed)),
        }
    }
    #[inline]
    fn wake(&self, wake: Wake) {
        if wake == Wake::Peer {
            self.signal();
        }
    }

    #[cold]
    fn signal(&self) {
        match self.notify.try_borrow().as_deref() {
            // A peer whose OSnode is gone is found out by its silence; a signal cannot tell.
            Ok(Some(notify)) => drop(invoke::signal(notify.addr())),
            Ok(None) => self.owed.set(true),
            // The process panicked while it set it.
            Err(_) => {}
        }
    }
}

fn take(slot: &RefCell<Option<Waker>>) -> bool {
    let waker = slot.borrow_mut().take();
    let woken = waker.is_some();
    waker.into_iter().for_each(Waker::wake);
    woken
}

impl Pollable for Inner {
    fn poll(&self) -> bool {
        let (message, room) = match &mut *self.held.borrow_mut() {
            Some(Held { ring, .. }) => {
                let closed = ring.peer_closed();
                let awaited = self.sender.borrow().is_some();
                let room = awaited && !matches!(ring.credit(), Ok(0));
                (closed || ring.has_message(), closed || room)
            }
            None => (true, true),
        };
        (message && take(&self.receiver)) | (room && take(&self.sender))
    }

    fn is_awaited(&self) -> bool {
        self.receiver.borrow().is_some() || self.sender.borrow().is_some()
    }

    fn can_sleep(&self) -> bool {
        self.own.is_some()
    }

    fn prepare_sleep(&self) -> bool {
        let want_credit = self.sender.borrow().is_some();
        let prepared = self.on_ring(|ring| ring.prepare_sleep(want_credit));
        match prepared {
            Ok((sleep, wake)) => {
                self.wake(wake);
                sleep
            }
            // Broken or left: whoever waits must be told.
            Err(_) => {
                take(&self.receiver);
                take(&self.sender);
                false
            }
        }
    }

    fn awake(&self) {
        if let Some(held) = &mut *self.held.borrow_mut() {
            held.ring.awake();
        }
    }

    fn close(&self) {
        // The process may have panicked while it used the ring.
        let Ok(mut held) = self.held.try_borrow_mut() else {
            return;
        };
        let wake = held.as_mut().map(|held| held.ring.close());
        drop(held);
        wake.into_iter().for_each(|wake| self.wake(wake));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        Pollable::close(self);
    }
}

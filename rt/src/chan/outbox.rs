//! Outgoing messages of one connection: sent at once when there is room, else queued in order.
//!
//! A capability over UMP goes by the monitors: its message waits in the queue until they have
//! taken it to the other OSnode, and later messages wait behind it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{CapAddr, MessageTag, SysError, slots};
use proto::iface::transport::Transport;
use proto::ump::{Line, RingError};
use proto::{Header, PeerError, ServiceError, Wire, WireError, blob};

use super::{Attach, transfer};
use crate::cap::{self, Capability};
use crate::lmp::{self, Words};
use crate::ump::{UmpChannel, UmpError};
use crate::{invoke, task, time};

/// Most messages queued; a peer that leaves so many untaken is given up.
const MAX_QUEUED: usize = 4096;
/// First and longest pause between tries while the peer's ring is full.
const RETRY_MIN_NS: u64 = 10_000;
const RETRY_MAX_NS: u64 = 1_000_000;
/// A peer that takes nothing for so long (system time) is given up, unless it may.
const STUCK_NS: u64 = 30_000_000_000;
/// Longest pause between two tries with a peer that may take nothing for as long as it likes.
const PATIENT_NS: u64 = 100_000_000;

/// How messages travel.
pub enum Carrier {
    /// To this endpoint.
    Lmp(Capability),
    /// Through this channel.
    Ump(UmpChannel),
}

struct Outgoing {
    words: Words,
    cap: Option<Capability>,
    /// Over UMP: ownership goes along.
    give: bool,
}

/// Tells whoever asked with this tag that the request cannot be sent.
type Refused = Box<dyn Fn(u32, PeerError)>;

/// See the module's text.
pub struct Outbox {
    carrier: RefCell<Carrier>,
    queue: RefCell<VecDeque<Outgoing>>,
    dead: Cell<Option<PeerError>>,
    /// A task sends what is queued.
    busy: Cell<bool>,
    /// The channel is to be closed once the queue is empty.
    closing: Cell<bool>,
    drained: RefCell<Option<Waker>>,
    /// The peer may take nothing for as long as it likes.
    patient: Cell<bool>,
    /// Number of a UMP connection's binding at the monitor of this side.
    binding: Cell<Option<u64>>,
    /// `None` (servers): the peer itself is told.
    refused: RefCell<Option<Refused>>,
}

/// What became of one try.
enum Tried {
    Sent,
    NoRoom,
}

impl Outbox {
    pub fn new(carrier: Carrier) -> Rc<Outbox> {
        Rc::new(Outbox {
            carrier: RefCell::new(carrier),
            queue: RefCell::new(VecDeque::new()),
            dead: Cell::new(None),
            busy: Cell::new(false),
            closing: Cell::new(false),
            drained: RefCell::new(None),
            patient: Cell::new(false),
            binding: Cell::new(None),
            refused: RefCell::new(None),
        })
    }

    /// Replaces the endpoint that messages go to.
    pub fn redirect(&self, endpoint: Capability) {
        let old = self.carrier.replace(Carrier::Lmp(endpoint));
        drop(old);
    }

    /// Never gives up a peer that takes nothing, until this side is done with it.
    pub fn be_patient(&self) {
        self.patient.set(true);
    }

    /// Says which binding the channel belongs to: capabilities can go along from now on.
    pub fn set_binding(&self, bind: u64) {
        self.binding.set(Some(bind));
    }

    /// The binding, of a connection that the monitors made.
    pub fn binding(&self) -> Option<u64> {
        self.binding.get()
    }

    /// Has this called for a message whose capability is refused.
    pub fn on_refused(&self, told: impl Fn(u32, PeerError) + 'static) {
        *self.refused.borrow_mut() = Some(Box::new(told));
    }

    /// Why nothing can be sent any more.
    pub fn dead(&self) -> Option<PeerError> {
        self.dead.get()
    }

    /// Gives up: queued messages are dropped.
    pub fn kill(&self, why: PeerError) {
        if self.dead.get().is_none() {
            self.dead.set(Some(why));
        }
        let queued = self.queue.take();
        drop(queued);
    }

    /// Closes the channel, if it is one, as soon as nothing is queued.
    pub fn finish(&self) {
        self.closing.set(true);
        if !self.busy.get() {
            self.close();
        }
    }

    fn close(&self) {
        if let Some(channel) = self.channel() {
            channel.close();
        }
    }

    /// Waits until nothing is queued.
    pub async fn drained(&self) {
        poll_fn(|cx| {
            if !self.busy.get() {
                return Poll::Ready(());
            }
            *self.drained.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The channel, if it is one.
    pub fn channel(&self) -> Option<UmpChannel> {
        match &*self.carrier.borrow() {
            Carrier::Ump(c) => Some(c.clone()),
            Carrier::Lmp(_) => None,
        }
    }

    /// The endpoint, if it is one.
    pub fn endpoint(&self) -> Option<CapAddr> {
        match &*self.carrier.borrow() {
            Carrier::Lmp(e) => Some(e.addr()),
            Carrier::Ump(_) => None,
        }
    }

    /// Sends or queues a message with its blob. The capability is copied, or taken from its slot,
    /// before this returns `Ok`.
    pub fn post<Q: Wire>(self: &Rc<Self>, m: &Q, tag: u32, with: Attach) -> Result<(), PeerError> {
        if with.blob.len() > blob::MAX_BLOB {
            return Err(PeerError::BadAnswer(WireError::BadBlob));
        }
        // Capabilities cross OSnodes by the monitors only.
        if with.cap.is_some() && self.endpoint().is_none() && self.binding.get().is_none() {
            return Err(PeerError::Refused(ServiceError::Unsupported));
        }
        for fragment in blob::fragments(with.blob, tag) {
            self.post_words(fragment, None, false)?;
        }
        self.post_words(m.to_words(tag), with.cap, with.give)
    }

    /// Sends a message without waking its receiver, if it is one of another OSnode and there is room.
    pub fn leave<Q: Wire>(self: &Rc<Self>, m: &Q, blob: &[u8]) -> Result<(), PeerError> {
        let post = || self.post(m, 0, Attach::blob(blob));
        let Some(channel) = self.channel().filter(|_| !self.busy.get()) else {
            return post();
        };
        let mut all: Vec<Words> = blob::fragments(blob, 0).collect();
        all.push(m.to_words(0));
        if channel.room()? < all.len() as u64 || blob.len() > blob::MAX_BLOB {
            return post();
        }
        for words in all {
            channel.leave(&line_of(words, 0))?;
        }
        Ok(())
    }

    fn post_words(
        self: &Rc<Self>,
        words: Words,
        cap: Option<CapAddr>,
        give: bool,
    ) -> Result<(), PeerError> {
        if let Some(why) = self.dead.get() {
            return Err(why);
        }
        let at_once = cap.is_none() || self.endpoint().is_some();
        if at_once && !self.busy.get() {
            match self.attempt(words, cap, give, 0) {
                Ok(Tried::Sent) => return Ok(()),
                Ok(Tried::NoRoom) => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        let cap = cap.map(|addr| kept(addr, give)).transpose();
        let cap = cap.map_err(PeerError::Sys)?;
        let queued = {
            let mut queue = self.queue.borrow_mut();
            queue.push_back(Outgoing { words, cap, give });
            queue.len()
        };
        if queued >= MAX_QUEUED {
            self.kill(PeerError::TimedOut);
        } else if !self.busy.replace(true) {
            task::spawn(flush(self.clone()));
        }
        Ok(())
    }

    /// Sends a liveness probe past the queue.
    pub fn ping(&self) -> Result<(), PeerError> {
        if self.endpoint().is_some() {
            let words = Transport::Ping {}.to_words(0);
            self.attempt(words, None, false, 0)
                .map_err(|e| self.failed(e))?;
        }
        self.dead.get().map_or(Ok(()), Err)
    }

    fn failed(&self, e: PeerError) -> PeerError {
        if e == PeerError::Gone {
            self.kill(e);
        }
        e
    }

    /// Tries once. `number`: what the monitors know the capability by (UMP).
    fn attempt(
        &self,
        words: Words,
        cap: Option<CapAddr>,
        give: bool,
        number: u64,
    ) -> Result<Tried, PeerError> {
        match &*self.carrier.borrow() {
            Carrier::Lmp(endpoint) => {
                let tag = MessageTag {
                    cap: cap.unwrap_or(CapAddr::NULL),
                    give,
                    ..MessageTag::default()
                };
                match lmp::send(endpoint.addr(), tag, words) {
                    Ok(()) => Ok(Tried::Sent),
                    Err(SysError::EndpointFull | SysError::NoReceiveSlot) => Ok(Tried::NoRoom),
                    Err(e) => Err(cannot_send(e, cap)),
                }
            }
            Carrier::Ump(channel) => match channel.try_send(&line_of(words, number)) {
                Ok(()) => Ok(Tried::Sent),
                Err(UmpError::Ring(RingError::Full)) => Ok(Tried::NoRoom),
                Err(e) => Err(e.into()),
            },
        }
    }

    /// Has the monitors take the capability of a message to the peer's OSnode: its number there. A
    /// message whose capability they refuse is not sent; whoever waits for an answer is told.
    async fn prepare(&self, head: &mut Outgoing) -> Option<u64> {
        let (Some(cap), Some(bind)) = (&head.cap, self.binding.get()) else {
            return Some(0);
        };
        match transfer::send(bind, cap.addr(), head.give).await {
            Ok(number) => Some(number),
            Err(why) => {
                head.words = self.instead(head.words, why)?;
                head.cap = None;
                Some(0)
            }
        }
    }

    /// A message cannot go because of its capability. Who waits for an answer to it here is told; of a service's
    /// answer the asker hears instead, by what this returns.
    fn instead(&self, words: Words, why: PeerError) -> Option<Words> {
        let tag = Header::unpack(words[0]).tag;
        if let Some(told) = &*self.refused.borrow() {
            told(tag, why);
            return None;
        }
        (tag != 0).then(|| refusal(why).to_words(tag))
    }

    /// Sends one message, however long that takes.
    async fn send(&self, mut head: Outgoing) {
        let lmp = self.endpoint().is_some();
        let number = match lmp {
            true => 0,
            false => match self.prepare(&mut head).await {
                Some(number) => number,
                None => return,
            },
        };
        let mut cap = head.cap.as_ref().map(Capability::addr).filter(|_| lmp);
        let mut pause = RETRY_MIN_NS;
        let start = time::system_ns();
        while self.dead.get().is_none() {
            match self.attempt(head.words, cap, true, number) {
                Ok(Tried::Sent) => return,
                Ok(Tried::NoRoom) => {
                    let patient = self.patient.get() && !self.closing.get();
                    if !patient && time::system_ns().saturating_sub(start) > STUCK_NS {
                        return self.kill(PeerError::TimedOut);
                    }
                    time::sleep(pause).await;
                    let longest = if patient { PATIENT_NS } else { RETRY_MAX_NS };
                    pause = (pause * 2).min(longest);
                }
                Err(e) if e != PeerError::Gone && cap.take().is_some() => {
                    let Some(words) = self.instead(head.words, e) else {
                        return;
                    };
                    head.words = words;
                }
                Err(e) => {
                    self.failed(e);
                    return;
                }
            }
        }
    }
}

/// What a failed system call says of the peer: nothing, if the capability that was to go along is what is gone.
fn cannot_send(e: SysError, cap: Option<CapAddr>) -> PeerError {
    match cap {
        Some(cap) if e == SysError::NoCapability && invoke::identify(cap).is_err() => {
            PeerError::Sys(e)
        }
        _ => e.into(),
    }
}

/// A message as it goes over UMP. `number`: what the monitors know its capability by, or 0.
fn line_of(words: Words, number: u64) -> Line {
    let mut line = Line::default();
    line.words[..words.len()].copy_from_slice(&words);
    line.words[transfer::WORD] = number;
    line
}

/// The capability for the queue: a copy, or the very one, out of its slot.
fn kept(addr: CapAddr, give: bool) -> Result<Capability, SysError> {
    match give {
        true => cap::in_slot(|slot| invoke::cnode_move(slots::ROOT_CNODE, addr, slot)),
        false => cap::copy(addr),
    }
}

/// What the peer is told when its request ends here.
pub fn refusal(why: PeerError) -> Transport {
    let error = match why {
        PeerError::Refused(error) => error,
        PeerError::Sys(e) => ServiceError::Sys(e),
        PeerError::BadAnswer(_) => ServiceError::BadMessage,
        PeerError::Gone => ServiceError::ProcessGone,
        PeerError::TimedOut => ServiceError::NoAnswer,
        PeerError::Version(_) => ServiceError::OtherVersion,
    };
    Transport::Refused {
        error,
        interface: 0,
        version: 0,
    }
}

/// Sends what is queued, in order.
async fn flush(outbox: Rc<Outbox>) {
    loop {
        let head = outbox.queue.borrow_mut().pop_front();
        let Some(head) = head else { break };
        outbox.send(head).await;
    }
    outbox.busy.set(false);
    if outbox.closing.get() {
        outbox.close();
    }
    let waker = outbox.drained.borrow_mut().take();
    waker.into_iter().for_each(Waker::wake);
}

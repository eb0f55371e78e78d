//! Outgoing messages of one connection: sent at once when there is room, else queued in order.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use abi::{CapAddr, MessageTag, SysError};
use proto::iface::transport::Transport;
use proto::ump::{Line, RingError};
use proto::{PeerError, ServiceError, Wire, WireError, blob};

use super::Attach;
use crate::cap::{self, Capability};
use crate::lmp::{self, Words};
use crate::ump::{UmpChannel, UmpError};
use crate::{task, time};

/// Most messages queued; a peer that leaves so many untaken is given up.
const MAX_QUEUED: usize = 4096;
/// First and longest pause between tries while the peer's ring is full.
const RETRY_MIN_NS: u64 = 10_000;
const RETRY_MAX_NS: u64 = 1_000_000;
/// A peer that takes nothing for so long (system time) is given up.
const STUCK_NS: u64 = 30_000_000_000;

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
}

/// See the module's text.
pub struct Outbox {
    carrier: RefCell<Carrier>,
    queue: RefCell<VecDeque<Outgoing>>,
    dead: Cell<Option<PeerError>>,
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
        })
    }

    /// Replaces the endpoint that messages go to.
    pub fn redirect(&self, endpoint: Capability) {
        let old = self.carrier.replace(Carrier::Lmp(endpoint));
        drop(old);
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

    /// Sends or queues a message with its blob. The capability is copied before this returns.
    pub fn post<Q: Wire>(self: &Rc<Self>, m: &Q, tag: u32, with: Attach) -> Result<(), PeerError> {
        if with.blob.len() > blob::MAX_BLOB {
            return Err(PeerError::BadAnswer(WireError::BadBlob));
        }
        // Capabilities cross OSnodes by the monitors only.
        if with.cap.is_some() && self.endpoint().is_none() {
            return Err(PeerError::Refused(ServiceError::Unsupported));
        }
        for fragment in blob::fragments(with.blob, tag) {
            self.post_words(fragment, None)?;
        }
        self.post_words(m.to_words(tag), with.cap)
    }

    fn post_words(self: &Rc<Self>, words: Words, cap: Option<CapAddr>) -> Result<(), PeerError> {
        if let Some(why) = self.dead.get() {
            return Err(why);
        }
        if self.queue.borrow().is_empty() {
            match self.attempt(words, cap, false) {
                Ok(Tried::Sent) => return Ok(()),
                Ok(Tried::NoRoom) => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        let cap = cap.map(cap::copy).transpose()?;
        let queued = {
            let mut queue = self.queue.borrow_mut();
            queue.push_back(Outgoing { words, cap });
            queue.len()
        };
        match queued {
            1 => task::spawn(flush(self.clone())),
            MAX_QUEUED.. => self.kill(PeerError::TimedOut),
            _ => {}
        }
        Ok(())
    }

    /// Sends a liveness probe past the queue.
    pub fn ping(&self) -> Result<(), PeerError> {
        if self.endpoint().is_some() {
            let words = Transport::Ping {}.to_words(0);
            self.attempt(words, None, false)
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

    fn attempt(&self, words: Words, cap: Option<CapAddr>, give: bool) -> Result<Tried, PeerError> {
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
                    Err(e) => Err(e.into()),
                }
            }
            Carrier::Ump(channel) => {
                let mut line = Line::default();
                line.words[..words.len()].copy_from_slice(&words);
                match channel.try_send(&line) {
                    Ok(()) => Ok(Tried::Sent),
                    Err(UmpError::Ring(RingError::Full)) => Ok(Tried::NoRoom),
                    Err(e) => Err(e.into()),
                }
            }
        }
    }

    /// Tries the message at the head of the queue; `None` when the queue is empty.
    fn step(&self) -> Option<Result<Tried, PeerError>> {
        let head = self.queue.borrow_mut().pop_front()?;
        let addr = head.cap.as_ref().map(Capability::addr);
        let tried = self.attempt(head.words, addr, true);
        match &tried {
            Ok(Tried::NoRoom) => self.queue.borrow_mut().push_front(head),
            // Given to the peer: dropping it only frees its slot.
            _ => drop(head),
        }
        Some(tried)
    }
}

/// Sends what is queued, in order.
async fn flush(outbox: Rc<Outbox>) {
    let mut pause = RETRY_MIN_NS;
    let mut last_progress = time::system_ns();
    while let Some(tried) = outbox.step() {
        match tried {
            Ok(Tried::Sent) => {
                pause = RETRY_MIN_NS;
                last_progress = time::system_ns();
            }
            Ok(Tried::NoRoom) => {
                if time::system_ns().saturating_sub(last_progress) > STUCK_NS {
                    outbox.kill(PeerError::TimedOut);
                    return;
                }
                time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX_NS);
            }
            Err(e) => {
                outbox.failed(e);
            }
        }
    }
}

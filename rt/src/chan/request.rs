//! A request as a service sees it.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use proto::iface::transport::Transport;
use proto::{Call, Header, Pass, PeerError, ServiceError, Wire, WireError};

use super::outbox::refusal;
use super::server::Session;
use super::{Attach, given};
use crate::cap::Capability;
use crate::lmp::Words;

/// A request as it arrived. Whoever drops it without an answer refuses it (`GivenUp`).
pub struct Request {
    /// The words.
    pub words: Words,
    /// The blob.
    pub blob: Vec<u8>,
    /// The capability.
    pub cap: Option<Capability>,
    pub(super) header: Header,
    /// `None`: a message on an introduction, without a connection.
    pub(super) session: Option<Rc<Session>>,
    pub(super) introducer: u32,
    pub(super) answered: Cell<bool>,
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request")
            .field("header", &self.header)
            .field("connection", &self.connection())
            .field("introducer", &self.introducer)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Whether the connection that it came over is closed: its end was told, or will be, by `Server::closings`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let dead = |s: &Rc<Session>| s.outbox.dead().is_some();
        self.session.as_ref().is_some_and(dead)
    }
    /// Connection that it came over, never reused by a server; 0 = none (a notice sent to an
    /// introduction).
    #[must_use]
    pub fn connection(&self) -> u32 {
        self.session.as_ref().map_or(0, |s| s.id)
    }
    /// Whether it came over a channel from another OSnode.
    #[must_use]
    pub fn is_from_afar(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|s| s.outbox.channel().is_some())
    }
    /// Badge of the capability that the connection was bound with.
    #[must_use]
    pub fn introducer(&self) -> u32 {
        self.introducer
    }
    /// Number of the interface that it belongs to.
    #[must_use]
    pub fn interface(&self) -> u8 {
        self.header.interface
    }
    /// Whether anybody waits for an answer, as far as is known.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let session = self.session.as_ref();
        self.wants_answer() && session.is_some_and(|s| s.outbox.dead().is_none())
    }
    fn wants_answer(&self) -> bool {
        self.header.tag != 0
    }
    /// Reads it.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode<Q: Wire>(&self) -> Result<Q, WireError> {
        Q::from_words(self.words).map(|(_, message)| message)
    }
    /// Answers it; may be done any time later, once. The capability is copied before this
    /// returns; the answer is queued when the asker has no room.
    ///
    /// # Errors
    /// [`PeerError`]; `Gone` when the asker is gone.
    pub fn answer<R: Wire>(&self, reply: &R, with: Attach<'_>) -> Result<(), PeerError> {
        if !self.wants_answer() {
            return Ok(());
        }
        let session = self.session.as_ref().ok_or(PeerError::Gone)?;
        session.outbox.post(reply, self.header.tag, with)?;
        self.answered.set(true);
        Ok(())
    }
    /// Text of the blob (what is not UTF-8 is replaced).
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.blob).into_owned()
    }
}

impl Call for Request {
    type Cap = Capability;
    fn words(&self) -> Words {
        self.words
    }
    fn take_blob(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.blob)
    }
    fn take_cap(&mut self) -> Option<Capability> {
        self.cap.take()
    }
    fn answer<R: Wire>(&self, reply: &R, blob: &[u8], cap: Option<Pass<Capability>>) -> bool {
        let with = Attach::of(blob, cap.as_ref());
        match (Request::answer(self, reply, with), &self.session) {
            (Ok(()), _) if self.wants_answer() => given(cap),
            (Err(why), Some(session)) => {
                // It cannot be sent as it is: the asker must not wait for it.
                session.tell(&refusal(why), self.header.tag);
                self.answered.set(true);
            }
            _ => {}
        }
        self.session
            .as_ref()
            .is_some_and(|s| s.outbox.dead().is_none())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some(session) = &self.session else { return };
        session.open.set(session.open.get().saturating_sub(1));
        if !self.answered.get() {
            let given_up = Transport::Refused {
                error: ServiceError::GivenUp,
                interface: self.header.interface,
                version: self.header.version,
            };
            session.tell(&given_up, self.header.tag);
        }
    }
}

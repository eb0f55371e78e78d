//! The answering end: an endpoint, and every connection made to it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{SysError, slots, vaddr};
use capfmt::Rights;
use proto::blob::Joiner;
use proto::iface::names::{Accept, NamesClient};
use proto::iface::process::{FaultKind, ProcessNotice};
use proto::iface::transport::Transport;
use proto::stub::InterfaceId;
use proto::{Header, Interface, Name, PeerError, ServiceError, Wire};

use super::outbox::{Carrier, Outbox};
use super::{Attach, CONNECTION, Client, FAULT, INTRODUCTION, MONITOR, Request};
use crate::cap::{self, Capability};
use crate::exec::driver::{self, Incoming, Sink};
use crate::lmp::Words;
use crate::ump::UmpChannel;

/// Ring slots of a service's endpoint.
const RING: u64 = 32;
/// Requests of one connection that may be open at a time; a client with more is cut off.
const MAX_OPEN: u32 = 512;
/// Introductions whose blobs are gathered at a time.
const MAX_NOTICES: usize = 64;
/// After so many new connections, those of clients that are gone are swept out.
const SWEEP_EVERY: u32 = 16;

/// One connection.
pub struct Session {
    pub id: u32,
    introducer: u32,
    pub outbox: Rc<Outbox>,
    joiner: RefCell<Joiner>,
    /// Requests that were not answered or dropped yet.
    pub open: Cell<u32>,
}

impl Session {
    /// Says something of the channel's own; a client that is gone need not hear it.
    pub fn tell(&self, message: &Transport, tag: u32) {
        if tag != 0 {
            let _ = self.outbox.post(message, tag, Attach::NONE);
        }
    }
}

/// Connections that ended.
pub struct Closings(Rc<Core>);

impl Closings {
    /// The next one (its number, its introducer): the service drops what it held for it.
    pub async fn next(&mut self) -> (u32, u32) {
        poll_fn(|cx| {
            let mut closed = self.0.closed.borrow_mut();
            if let Some(ended) = closed.as_mut().and_then(VecDeque::pop_front) {
                return Poll::Ready(ended);
            }
            *self.0.closed_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A server's state.
pub struct Core {
    /// Endpoint capability without a badge.
    own: Capability,
    /// Interfaces that it speaks; empty: the service looks for itself.
    offers: RefCell<Vec<InterfaceId>>,
    pub sessions: RefCell<BTreeMap<u32, Rc<Session>>>,
    queue: RefCell<VecDeque<Request>>,
    waker: RefCell<Option<Waker>>,
    /// Connections that ended, if the service wants to know.
    closed: RefCell<Option<VecDeque<(u32, u32)>>>,
    closed_waker: RefCell<Option<Waker>>,
    last: Cell<u32>,
    /// Blobs of notices, by introducer.
    notices: RefCell<BTreeMap<u32, Joiner>>,
    /// Connections by the monitor's number of their UMP binding.
    pub bindings: RefCell<BTreeMap<u64, u32>>,
    pub this: Weak<Core>,
}

/// A service's listening end: an endpoint of its own, every connection made to it, and UMP
/// channels that the monitor brings. It lives as long as the process.
#[derive(Clone)]
pub struct Server(Rc<Core>);

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Server({} connections)", self.0.sessions.borrow().len())
    }
}

impl Sink for Core {
    fn deliver(&self, mut incoming: Incoming) {
        if incoming.badge & (CONNECTION | FAULT) == FAULT {
            incoming.words = fault_notice(&incoming.words).to_words(0);
            incoming.badge &= !FAULT;
        }
        let header = Header::unpack(incoming.words[0]);
        if incoming.badge & CONNECTION == 0 {
            return self.introduced(header, incoming);
        }
        let id = incoming.badge & !CONNECTION;
        let session = self.sessions.borrow().get(&id).cloned();
        if let Some(session) = session {
            self.take(&session, header, incoming.words, incoming.cap);
        }
    }
}

/// What the kernel tells a fault endpoint (upcall, detail, pc), as the process itself would say it.
fn fault_notice(words: &Words) -> ProcessNotice {
    ProcessNotice::Faulted {
        kind: FaultKind::Kernel,
        detail: words[1],
        pc: words[2].wrapping_sub(vaddr::IMAGE),
    }
}

impl Core {
    fn new(own: Capability) -> Rc<Core> {
        Rc::new_cyclic(|this| Core {
            own,
            offers: RefCell::default(),
            sessions: RefCell::default(),
            queue: RefCell::default(),
            waker: RefCell::default(),
            closed: RefCell::default(),
            closed_waker: RefCell::default(),
            last: Cell::new(0),
            notices: RefCell::default(),
            bindings: RefCell::default(),
            this: this.clone(),
        })
    }

    /// Why a client of this version of an interface is not served; `None` = it is.
    fn objection(&self, interface: u8, version: u8) -> Option<Transport> {
        let offers = self.offers.borrow();
        let welcome = interface == Transport::INTERFACE
            || interface == Accept::ID.number
            || offers.is_empty();
        if welcome {
            return None;
        }
        let (error, version) = match offers.iter().find(|o| o.number == interface) {
            Some(same) if same.version == version => return None,
            Some(other) => (ServiceError::OtherVersion, other.version),
            None => (ServiceError::NoInterface, 0),
        };
        Some(Transport::Refused {
            error,
            interface,
            version,
        })
    }

    /// Why a `Bind` is refused; `None` = it is not. `spoken`: its sender's version of the channel.
    fn bind_objection(&self, spoken: u8, interface: u8, version: u8) -> Option<Transport> {
        if spoken == Transport::VERSION {
            return self.objection(interface, version);
        }
        Some(Transport::Refused {
            error: ServiceError::OtherVersion,
            interface: Transport::INTERFACE,
            version: Transport::VERSION,
        })
    }

    pub fn add_session(&self, introducer: u32, carrier: Carrier) -> Rc<Session> {
        self.last.set(self.last.get() + 1);
        let session = Rc::new(Session {
            id: self.last.get(),
            introducer,
            outbox: Outbox::new(carrier),
            joiner: RefCell::default(),
            open: Cell::new(0),
        });
        let mut sessions = self.sessions.borrow_mut();
        sessions.insert(session.id, session.clone());
        session
    }

    /// A message on a capability that is no connection: a request for one, or a notice.
    fn introduced(&self, header: Header, incoming: Incoming) {
        let introducer = incoming.badge & !INTRODUCTION;
        if let Some((tag, Transport::Bind { interface, version })) =
            Transport::negotiation(incoming.words)
        {
            let objection = self.bind_objection(header.version, interface, version);
            if let Some(reply) = incoming.cap {
                self.bind(introducer, tag, reply, objection);
            }
            return;
        }
        match Transport::from_words(incoming.words) {
            Ok((tag, Transport::Fragment { place, low, high })) => {
                let mut notices = self.notices.borrow_mut();
                if notices.len() < MAX_NOTICES || notices.contains_key(&introducer) {
                    let joiner = notices.entry(introducer).or_default();
                    // A blob that does not fit is noticed when its message comes.
                    let _ = joiner.add(tag, place, [low.0, low.1, high.0, high.1]);
                }
            }
            Ok(_) => {}
            Err(_) if header.interface == Transport::INTERFACE => {}
            Err(_) => {
                let joiner = self.notices.borrow_mut().remove(&introducer);
                let blob = joiner.unwrap_or_default().take(header.tag);
                self.push(Request {
                    words: incoming.words,
                    blob: blob.unwrap_or_default(),
                    cap: incoming.cap,
                    header,
                    session: None,
                    introducer,
                    answered: Cell::new(false),
                });
            }
        }
    }

    fn bind(&self, introducer: u32, tag: u32, reply: Capability, objection: Option<Transport>) {
        if let Some(refused) = objection {
            // A client that is gone needs no refusal.
            let _ = Outbox::new(Carrier::Lmp(reply)).post(&refused, tag, Attach::NONE);
            return;
        }
        if (self.last.get() + 1).is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        let session = self.add_session(introducer, Carrier::Lmp(reply));
        let badge = CONNECTION | session.id;
        let posted = match cap::mint(self.own.addr(), Rights::SHARED, Some(badge)) {
            Ok(connection) => {
                let with = Attach::give(connection.addr());
                session.outbox.post(&Transport::Bound {}, tag, with)
            }
            Err(e) => {
                let refused = super::outbox::refusal(e.into());
                // Refused or gone: either way there is no connection.
                let _ = session.outbox.post(&refused, tag, Attach::NONE);
                Err(e.into())
            }
        };
        if posted.is_err() {
            self.sessions.borrow_mut().remove(&session.id);
        }
    }

    /// A message on a connection.
    pub fn take(
        &self,
        session: &Rc<Session>,
        header: Header,
        words: Words,
        cap: Option<Capability>,
    ) {
        if session.outbox.dead().is_some() {
            // It left too many answers untaken, or is gone.
            return self.close(session);
        }
        if let Some((tag, Transport::Bind { interface, version })) = Transport::negotiation(words) {
            let objection = self.bind_objection(header.version, interface, version);
            let answer = objection.unwrap_or(Transport::Bound {});
            return session.tell(&answer, tag);
        }
        match Transport::from_words(words) {
            Ok((tag, Transport::Fragment { place, low, high })) => {
                let bytes = [low.0, low.1, high.0, high.1];
                // A blob that does not fit is noticed when its message comes.
                let _ = session.joiner.borrow_mut().add(tag, place, bytes);
            }
            Ok((_, Transport::Close {})) => self.close(session),
            Ok(_) => {}
            Err(_) if header.interface == Transport::INTERFACE => {}
            Err(_) => self.request(session, header, words, cap),
        }
    }

    fn request(
        &self,
        session: &Rc<Session>,
        header: Header,
        words: Words,
        cap: Option<Capability>,
    ) {
        let joined = session.joiner.borrow_mut().take(header.tag);
        if let Some(refused) = self.objection(header.interface, header.version) {
            return session.tell(&refused, header.tag);
        }
        let open = session.open.get() + 1;
        let (Ok(blob), false) = (joined, open > MAX_OPEN) else {
            return self.close(session);
        };
        session.open.set(open);
        let request = Request {
            words,
            blob,
            cap,
            header,
            session: Some(session.clone()),
            introducer: session.introducer,
            answered: Cell::new(false),
        };
        if header.interface == Accept::ID.number {
            return self.accept(request, session.introducer == MONITOR);
        }
        self.push(request);
    }

    fn push(&self, request: Request) {
        self.queue.borrow_mut().push_back(request);
        let waker = self.waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn close(&self, session: &Rc<Session>) {
        if self.sessions.borrow_mut().remove(&session.id).is_none() {
            return;
        }
        session.outbox.kill(PeerError::Gone);
        if let Some(channel) = session.outbox.channel() {
            channel.leave_for_good();
        }
        let ended = (session.id, session.introducer);
        self.bindings.borrow_mut().retain(|_, id| *id != session.id);
        if let Some(closed) = self.closed.borrow_mut().as_mut() {
            closed.push_back(ended);
        }
        let waker = self.closed_waker.borrow_mut().take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Closes the connections of clients that are gone.
    fn sweep(&self) {
        let all: VecDeque<_> = self.sessions.borrow().values().cloned().collect();
        for session in all {
            if session.outbox.ping().is_err() {
                self.close(&session);
            }
        }
    }
}

impl Server {
    /// Opens an endpoint for a service.
    ///
    /// # Errors
    /// `TableFull` when the process has no endpoint or ring slots left.
    pub fn open() -> Result<Server, SysError> {
        let relay = Rc::new(Relay(RefCell::new(Weak::new())));
        let (_, own) = driver::open_endpoint(RING, relay.clone())?;
        let core = Core::new(own);
        *relay.0.borrow_mut() = Rc::downgrade(&core);
        // Services never stop listening: endpoints cannot be closed.
        core::mem::forget(core.clone());
        Ok(Server(core))
    }

    /// The server on endpoint 0, which the starter opened.
    pub(crate) fn of_process() -> Result<Server, SysError> {
        let core = Core::new(Capability::from_slot(slots::SELF_ENDPOINT));
        driver::attach_sink(0, core.clone())?;
        Ok(Server(core))
    }

    /// Says that the server speaks this interface, in this version. Once it says so of one, clients of
    /// others and of other versions are refused, when they bind and at each message.
    pub fn offer<I: Interface>(&self) {
        let mut offers = self.0.offers.borrow_mut();
        if !offers.contains(&I::ID) {
            offers.push(I::ID);
        }
    }

    /// An Endpoint capability of the service with a badge that [`Request::introducer`] shows
    /// (below 2^29; 0 = anybody).
    ///
    /// # Errors
    /// `BadArgument` for a larger badge; any of `Op::Copy`.
    pub fn introduction(&self, badge: u32) -> Result<Capability, SysError> {
        if badge >= MONITOR {
            return Err(SysError::BadArgument);
        }
        cap::mint(
            self.0.own.addr(),
            Rights::SHARED,
            Some(INTRODUCTION | badge),
        )
    }

    /// As [`Server::introduction`], for [`crate::spawn::Program::fault`]: what the kernel tells comes as
    /// `ProcessNotice::Faulted` from this introducer.
    ///
    /// # Errors
    /// As [`Server::introduction`].
    pub fn fault_introduction(&self, badge: u32) -> Result<Capability, SysError> {
        if badge >= FAULT {
            return Err(SysError::BadArgument);
        }
        let badge = INTRODUCTION | FAULT | badge;
        cap::mint(self.0.own.addr(), Rights::SHARED, Some(badge))
    }

    /// Registers the service's endpoint at the monitor under a name, and tells the starter `Ready`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn register(&self, name: &str) -> Result<(), PeerError> {
        let name = Name::new(name).ok_or(PeerError::Refused(ServiceError::BadArgument))?;
        // Without a badge: the monitor makes introductions to it.
        let endpoint = self.0.own.duplicate()?;
        let names = NamesClient(Client::names().await?);
        names.register(name, endpoint).await?;
        crate::control::ready();
        Ok(())
    }

    /// Also takes requests from this UMP channel; returns the connection's number.
    pub fn accept_ump(&self, channel: UmpChannel, introducer: u32) -> u32 {
        self.0.serve(channel, introducer).id
    }

    /// The UMP channels of its connections: for programs that measure them.
    #[must_use]
    pub fn channels(&self) -> Vec<UmpChannel> {
        let sessions = self.0.sessions.borrow();
        sessions
            .values()
            .filter_map(|s| s.outbox.channel())
            .collect()
    }

    /// The next request, from whichever connection. One task at a time may wait for it.
    pub async fn next(&self) -> Request {
        poll_fn(|cx| {
            if let Some(request) = self.0.queue.borrow_mut().pop_front() {
                return Poll::Ready(request);
            }
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The connections that end from here on: for a service that holds something for connections.
    /// There is one such list: who asks for it again shares it, and each connection stands in it once.
    #[must_use]
    pub fn closings(&self) -> Closings {
        self.0.closed.borrow_mut().get_or_insert_default();
        Closings(self.0.clone())
    }

    /// Closes the connections of clients of this OSnode that are gone without a word.
    pub fn sweep(&self) {
        self.0.sweep();
    }

    /// Closes every connection of this introducer (its process ended).
    pub fn close_introduced(&self, introducer: u32) {
        let all = self.0.sessions.borrow();
        let of = all.values().filter(|s| s.introducer == introducer);
        let of: VecDeque<_> = of.cloned().collect();
        drop(all);
        of.iter().for_each(|s| self.0.close(s));
    }
}

/// Stands at the endpoint before the core exists.
struct Relay(RefCell<Weak<Core>>);

impl Sink for Relay {
    fn deliver(&self, incoming: Incoming) {
        let core = self.0.borrow().upgrade();
        if let Some(core) = core {
            core.deliver(incoming);
        }
    }
}

//! The asking end of a connection.

use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{CapAddr, SysError, slots};
use proto::blob::Joiner;
use proto::iface::names::{NamesReply, NamesRequest};
use proto::iface::transport::Transport;
use proto::ump::Side;
use proto::{Header, Name, PeerError, ServiceError, Wire, WireError};

use super::outbox::{Carrier, Outbox};
use super::{Answer, Attach};
use crate::cap::{self, Capability};
use crate::event::Notification;
use crate::exec::driver::{self, Incoming, Sink};
use crate::lmp::Words;
use crate::single::Single;
use crate::task::{self, Either, select};
use crate::ump::UmpChannel;
use crate::{env, time};

/// Ring slots of the endpoint that answers come to.
const RING: u64 = 32;
/// First and longest time (system time) between two looks whether a silent service still lives.
const PROBE_MIN_NS: u64 = 100_000_000;
const PROBE_MAX_NS: u64 = 30_000_000_000;

/// How long (system time) a service of another OSnode may take to register, and the pause between tries.
const REGISTER_NS: u64 = 5_000_000_000;
const REGISTER_RETRY_NS: u64 = 10_000_000;

/// An answer before it is decoded.
struct Raw {
    words: Words,
    blob: Vec<u8>,
    cap: Option<Capability>,
}

/// A request that waits.
#[derive(Default)]
struct Pending {
    waker: Option<Waker>,
    answer: Option<Result<Raw, PeerError>>,
}

struct Inner {
    outbox: Rc<Outbox>,
    last_tag: Cell<u32>,
    pending: RefCell<BTreeMap<u32, Pending>>,
    joiner: RefCell<Joiner>,
    /// Number of the binding at the monitor, of a UMP connection made by it.
    binding: Cell<Option<u64>>,
    /// Number of this connection in answers' badges (LMP).
    id: u32,
}

/// Connection to a service. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Client(Rc<Handle>);

/// Closes the connection when the last clone goes; tasks of the connection hold `Inner` only.
struct Handle(Rc<Inner>);

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Client({})", self.0.0.id)
    }
}

/// All connections of the process, and the endpoint that their answers come to.
struct Clients {
    endpoint: Option<CapAddr>,
    by_id: BTreeMap<u32, Weak<Inner>>,
    last: u32,
    names: Option<Client>,
}

static CLIENTS: Single<Clients> = Single::new(Clients {
    endpoint: None,
    by_id: BTreeMap::new(),
    last: 0,
    names: None,
});

/// Takes all answers that come by LMP.
struct Answers;

impl Sink for Answers {
    fn deliver(&self, incoming: Incoming) {
        let inner = CLIENTS.with(|c| c.by_id.get(&incoming.badge).and_then(Weak::upgrade));
        if let Some(inner) = inner {
            inner.deliver(incoming.words, incoming.cap);
        }
    }
}

fn answer_endpoint() -> Result<CapAddr, SysError> {
    if let Some(open) = CLIENTS.with(|c| c.endpoint) {
        return Ok(open);
    }
    let (_, cap) = driver::open_endpoint(RING, Rc::new(Answers))?;
    let addr = cap.leak();
    CLIENTS.with(|c| c.endpoint = Some(addr));
    Ok(addr)
}

impl Inner {
    fn new(carrier: Carrier) -> Rc<Inner> {
        let id = CLIENTS.with(|c| {
            c.last += 1;
            c.last
        });
        let inner = Rc::new(Inner {
            outbox: Outbox::new(carrier),
            last_tag: Cell::new(0),
            pending: RefCell::default(),
            joiner: RefCell::default(),
            binding: Cell::new(None),
            id,
        });
        CLIENTS.with(|c| c.by_id.insert(id, Rc::downgrade(&inner)));
        inner
    }

    fn deliver(&self, words: Words, cap: Option<Capability>) {
        let Ok(header) = Header::unpack(words[0]) else {
            return;
        };
        if header.interface == Transport::INTERFACE {
            match Transport::from_words(words) {
                Ok((tag, Transport::Fragment { place, low, high })) => {
                    let bytes = [low.0, low.1, high.0, high.1];
                    // A blob that does not fit is noticed when its message comes.
                    let _ = self.joiner.borrow_mut().add(tag, place, bytes);
                    return;
                }
                Ok((_, Transport::Close {})) => return self.fail(PeerError::Gone),
                Ok((_, Transport::Ping {})) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let blob = self.joiner.borrow_mut().take(header.tag);
        let answer = blob.map_err(PeerError::BadAnswer);
        let answer = answer.map(|blob| Raw { words, blob, cap });
        self.complete(header.tag, answer);
    }

    fn complete(&self, tag: u32, answer: Result<Raw, PeerError>) {
        let woken = match self.pending.borrow_mut().get_mut(&tag) {
            Some(p) if p.answer.is_none() => {
                p.answer = Some(answer);
                p.waker.take()
            }
            // Nobody asked, or nobody waits any more.
            _ => None,
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// The service is gone: every request that waits is told.
    fn fail(&self, why: PeerError) {
        self.outbox.kill(why);
        let tags: Vec<u32> = self.pending.borrow().keys().copied().collect();
        for tag in tags {
            self.complete(tag, Err(why));
        }
    }

    fn next_tag(&self) -> u32 {
        let tag = self.last_tag.get().wrapping_add(1).max(1);
        self.last_tag.set(tag);
        tag
    }

    async fn ask_once<Q: Wire>(&self, request: &Q, with: Attach<'_>) -> Result<Raw, PeerError> {
        let tag = self.next_tag();
        let waiting = Waiting::new(self, tag);
        self.outbox.post(request, tag, with)?;
        waiting.answer().await
    }

    async fn ask<Q: Wire>(&self, request: &Q, with: Attach<'_>) -> Result<Raw, PeerError> {
        let tag = self.next_tag();
        let waiting = Waiting::new(self, tag);
        self.outbox.post(request, tag, with)?;
        let mut probe = PROBE_MIN_NS;
        loop {
            let look = time::system_sleep_until(time::system_ns().saturating_add(probe));
            match select(waiting.answer(), look).await {
                Either::Left(answer) => return answer,
                Either::Right(()) => self.outbox.ping()?,
            }
            probe = (probe * 2).min(PROBE_MAX_NS);
        }
    }
}

/// Looks whether the services that somebody waits for are still there; who waits for one that is
/// not is told at once, and not by the next probe.
pub(crate) fn look_after_services() {
    let all: Vec<Rc<Inner>> =
        CLIENTS.with(|c| c.by_id.values().filter_map(Weak::upgrade).collect());
    for inner in all {
        let waits = !inner.pending.borrow().is_empty();
        if waits && let Err(why) = inner.outbox.ping() {
            inner.fail(why);
        }
    }
}

/// A request's place in the table of those that wait; given up when dropped.
struct Waiting<'a> {
    inner: &'a Inner,
    tag: u32,
}

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner, tag: u32) -> Waiting<'a> {
        inner.pending.borrow_mut().insert(tag, Pending::default());
        Waiting { inner, tag }
    }

    async fn answer(&self) -> Result<Raw, PeerError> {
        poll_fn(|cx| {
            let mut pending = self.inner.pending.borrow_mut();
            let Some(p) = pending.get_mut(&self.tag) else {
                return Poll::Ready(Err(PeerError::Gone));
            };
            if let Some(answer) = p.answer.take() {
                return Poll::Ready(answer);
            }
            p.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let gone = self.inner.pending.borrow_mut().remove(&self.tag);
        drop(gone);
    }
}

/// Takes the answers of a UMP connection until either side closes it.
async fn pump(channel: UmpChannel, inner: Weak<Inner>) {
    loop {
        let line = channel.receive().await;
        let Some(inner) = inner.upgrade() else { return };
        match line {
            Ok(line) => {
                let [w0, w1, w2, w3, w4, w5, _] = line.words;
                inner.deliver([w0, w1, w2, w3, w4, w5], None);
            }
            Err(e) => return inner.fail(e.into()),
        }
    }
}

impl Client {
    /// Binds over LMP to the service behind an Endpoint capability.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn bind(endpoint: CapAddr) -> Result<Client, PeerError> {
        let own = answer_endpoint()?;
        let inner = Inner::new(Carrier::Lmp(cap::copy(endpoint)?));
        let client = Client(Rc::new(Handle(inner.clone())));
        let reply = cap::mint(own, capfmt::Rights::ALL, Some(inner.id))?;
        let request = Transport::Bind { interface: 0 };
        let raw = inner.ask(&request, Attach::cap(reply.addr())).await?;
        match (Transport::from_words(raw.words), raw.cap) {
            (Ok((_, Transport::Bound {})), Some(connection)) => {
                inner.outbox.redirect(connection);
                Ok(client)
            }
            (Ok((_, Transport::BindRefused {})), _) => {
                Err(PeerError::Refused(ServiceError::TableFull))
            }
            _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
        }
    }

    /// The connection to the monitor's name service.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn names() -> Result<Client, PeerError> {
        if let Some(names) = CLIENTS.with(|c| c.names.clone()) {
            return Ok(names);
        }
        let names = Client::bind(env::given("names").unwrap_or(slots::PARENT)).await?;
        CLIENTS.with(|c| c.names = Some(names.clone()));
        Ok(names)
    }

    /// Binds to a service of this OSnode by name, waiting until it is registered.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn lookup(name: &str) -> Result<Client, PeerError> {
        let name = Name::new(name).ok_or(PeerError::Refused(ServiceError::NotFound))?;
        let request = NamesRequest::Lookup { name, wait: true };
        let names = Client::names().await?;
        let answer = names
            .request::<_, NamesReply>(&request, Attach::NONE)
            .await?;
        match (answer.message, answer.cap) {
            (NamesReply::Found {}, Some(endpoint)) => Client::bind(endpoint.addr()).await,
            (NamesReply::Refused { error }, _) => Err(PeerError::Refused(error)),
            _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
        }
    }

    /// Binds over UMP to a service of another OSnode, through the monitors, waiting a while
    /// for it to be registered.
    ///
    /// # Errors
    /// [`PeerError`]; `Refused(NotFound)` when it is still not registered after some seconds.
    pub async fn lookup_on(osnode: u64, name: &str) -> Result<Client, PeerError> {
        let not_found = PeerError::Refused(ServiceError::NotFound);
        let name = Name::new(name).ok_or(not_found)?;
        let until = time::system_ns().saturating_add(REGISTER_NS);
        loop {
            match Client::bind_on(osnode, name).await {
                Err(e) if e == not_found && time::system_ns() < until => {
                    time::sleep(REGISTER_RETRY_NS).await;
                }
                done => return done,
            }
        }
    }

    async fn bind_on(osnode: u64, name: Name) -> Result<Client, PeerError> {
        let own = Notification::new()?;
        let request = NamesRequest::BindUmp {
            osnode,
            name,
            channel: own.channel(),
        };
        let bad = PeerError::BadAnswer(WireError::UnknownOp);
        let names = Client::names().await?;
        let answer = names
            .request::<_, NamesReply>(&request, Attach::NONE)
            .await?;
        let (bind, channel) = match (answer.message, answer.cap) {
            (NamesReply::UmpFrame { bind, bytes }, Some(frame)) => {
                (bind, UmpChannel::open(frame, bytes, Side::A, Some(own))?)
            }
            (NamesReply::Refused { error }, _) => return Err(PeerError::Refused(error)),
            _ => return Err(bad),
        };
        let client = Client::over_ump(channel.clone());
        client.0.0.binding.set(Some(bind));
        let request = NamesRequest::UmpNotify { bind };
        let answer = names
            .request::<_, NamesReply>(&request, Attach::NONE)
            .await?;
        match (answer.message, answer.cap) {
            (NamesReply::UmpNotify { given: true }, Some(notify)) => channel.set_notify(notify),
            (NamesReply::UmpNotify { given: false }, _) => {}
            (NamesReply::Refused { error }, _) => return Err(PeerError::Refused(error)),
            _ => return Err(bad),
        }
        Ok(client)
    }

    /// A client over an existing UMP channel; takes what arrives there from now on.
    #[must_use]
    pub fn over_ump(channel: UmpChannel) -> Client {
        let inner = Inner::new(Carrier::Ump(channel.clone()));
        task::spawn(pump(channel, Rc::downgrade(&inner)));
        Client(Rc::new(Handle(inner)))
    }

    /// The UMP channel below, if it is one: for programs that measure it. What they take from it
    /// never reaches this client.
    #[must_use]
    pub fn channel(&self) -> Option<UmpChannel> {
        self.0.0.outbox.channel()
    }

    /// Asks and waits for the answer, as long as the service lives.
    ///
    /// # Errors
    /// [`PeerError`]; `Gone` also when the service ends meanwhile.
    pub async fn request<Q: Wire, R: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Answer<R>, PeerError> {
        let raw = self.0.0.ask(request, with).await?;
        let (_, message) = R::from_words(raw.words).map_err(PeerError::BadAnswer)?;
        Ok(Answer {
            message,
            blob: raw.blob,
            cap: raw.cap,
        })
    }

    /// As [`Client::request`], but never looks whether the service still lives: nothing but its
    /// answer, or the end of the connection, wakes either side. For checks that nothing is lost.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn request_unprobed<Q: Wire, R: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Answer<R>, PeerError> {
        let raw = self.0.0.ask_once(request, with).await?;
        let (_, message) = R::from_words(raw.words).map_err(PeerError::BadAnswer)?;
        Ok(Answer {
            message,
            blob: raw.blob,
            cap: raw.cap,
        })
    }

    /// As [`Client::request`], but gives up at `deadline_ns` of system time.
    ///
    /// # Errors
    /// [`PeerError`]; `TimedOut`.
    pub async fn request_until<Q: Wire, R: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
        deadline_ns: u64,
    ) -> Result<Answer<R>, PeerError> {
        let asked = self.request(request, with);
        let answer = time::system_timeout(deadline_ns, asked).await;
        answer.unwrap_or(Err(PeerError::TimedOut))
    }

    /// Blocking form of [`Client::request`]; other tasks go on meanwhile.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn request_blocking<Q: Wire, R: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Answer<R>, PeerError> {
        task::block_on(self.request(request, with))
    }

    /// Sends without wanting an answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn notice<Q: Wire>(&self, message: &Q, with: Attach<'_>) -> Result<(), PeerError> {
        self.0.0.outbox.post(message, 0, with)
    }

    /// Whether the service is known to be gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.0.outbox.dead().is_some()
    }

    /// Looks whether the service still takes messages.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn ping(&self) -> Result<(), PeerError> {
        self.0.0.outbox.ping()
    }

    pub(crate) fn outbox(&self) -> &Rc<Outbox> {
        &self.0.0.outbox
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let inner = &self.0;
        CLIENTS.with(|c| c.by_id.remove(&inner.id));
        // Best effort: a service that is gone needs no farewell.
        let _ = inner.outbox.post(&Transport::Close {}, 0, Attach::NONE);
        if let Some(channel) = inner.outbox.channel() {
            channel.close();
        }
        if let Some(bind) = inner.binding.get() {
            task::spawn(async move {
                if let Ok(names) = Client::names().await {
                    let request = NamesRequest::UmpClose { bind };
                    // The monitor notices the closed channel anyway.
                    let _ = names.request::<_, NamesReply>(&request, Attach::NONE).await;
                }
            });
        }
    }
}

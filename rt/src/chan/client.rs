//! The asking end of a connection.

use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::{CapAddr, SysError};
use proto::blob::Joiner;
use proto::iface::transport::Transport;
use proto::stub::InterfaceId;
use proto::{Header, PeerError, Raw, ServiceError, Versions, Wire, WireError};

use super::outbox::{Carrier, Outbox};
use super::{Answer, Attach, Leaving, Unprobed, Until, find, transfer};
use crate::cap::{self, Capability};
use crate::exec::driver::{self, Incoming, Sink};
use crate::lmp::Words;
use crate::single::Single;
use crate::task::{self, Either, select};
use crate::time;
use crate::ump::UmpChannel;

/// Ring slots of the endpoint that answers come to.
const RING: u64 = 32;
/// First and longest time (system time) between two looks whether a silent service still lives.
const PROBE_MIN_NS: u64 = 100_000_000;
const PROBE_MAX_NS: u64 = 30_000_000_000;

/// What answers a `Bind` otherwise than it can be answered.
const NO_CONNECTION: PeerError = PeerError::BadAnswer(WireError::UnknownOp);

/// A request that waits.
#[derive(Default)]
struct Pending {
    waker: Option<Waker>,
    answer: Option<Result<Raw<Capability>, PeerError>>,
}

/// What a connection's clones and tasks share.
pub struct Inner {
    outbox: Rc<Outbox>,
    last_tag: Cell<u32>,
    pending: RefCell<BTreeMap<u32, Pending>>,
    joiner: RefCell<Joiner>,
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
}

#[cfg_attr(nekton_user, thread_local)]
static CLIENTS: Single<Clients> = Single::new(Clients {
    endpoint: None,
    by_id: BTreeMap::new(),
    last: 0,
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
            id,
        });
        let weak = Rc::downgrade(&inner);
        inner.outbox.on_refused(move |tag, why| {
            if let Some(inner) = weak.upgrade() {
                inner.complete(tag, Err(why));
            }
        });
        CLIENTS.with(|c| c.by_id.insert(id, Rc::downgrade(&inner)));
        inner
    }

    fn deliver(&self, words: Words, cap: Option<Capability>) {
        let header = Header::unpack(words[0]);
        if header.interface == Transport::INTERFACE {
            match Transport::from_words(words) {
                Ok((tag, Transport::Fragment { place, low, high })) => {
                    let bytes = [low.0, low.1, high.0, high.1];
                    // A blob that does not fit is noticed when its message comes.
                    let _ = self.joiner.borrow_mut().add(tag, place, bytes);
                    return;
                }
                Ok((_, Transport::Close {})) => return self.fail(PeerError::Gone),
                Ok((_, Transport::Ping {})) => return,
                Ok(_) => {}
                Err(_) if Transport::negotiation(words).is_some() => {}
                Err(_) => return,
            }
        }
        let blob = self.joiner.borrow_mut().take(header.tag);
        let answer = blob.map_err(PeerError::BadAnswer);
        let answer = answer.map(|blob| Raw { words, blob, cap });
        self.complete(header.tag, answer);
    }

    fn complete(&self, tag: u32, answer: Result<Raw<Capability>, PeerError>) {
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

    /// Sends `Bind`; what came with `Bound`.
    async fn greet(
        &self,
        wanted: Option<InterfaceId>,
        with: Attach<'_>,
    ) -> Result<Raw<Capability>, PeerError> {
        let wanted = wanted.unwrap_or(InterfaceId {
            number: 0,
            ..InterfaceId::of::<Transport>()
        });
        let request = Transport::Bind {
            interface: wanted.number,
            version: wanted.version,
        };
        let raw = accepted(self.ask_raw(&request, with).await, wanted)?;
        match Transport::from_words(raw.words) {
            Ok((_, Transport::Bound {})) => Ok(raw),
            _ => Err(NO_CONNECTION),
        }
    }

    pub async fn ask_once<Q: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Raw<Capability>, PeerError> {
        let tag = self.next_tag();
        let waiting = Waiting::new(self, tag);
        self.outbox.post(request, tag, with)?;
        accepted(waiting.answer().await, InterfaceId::of::<Q>())
    }

    pub async fn ask<Q: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Raw<Capability>, PeerError> {
        let answer = self.ask_raw(request, with).await;
        accepted(answer, InterfaceId::of::<Q>())
    }

    async fn ask_raw<Q: Wire>(
        &self,
        request: &Q,
        with: Attach<'_>,
    ) -> Result<Raw<Capability>, PeerError> {
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

/// An answer, unless the channel itself refused the request.
fn accepted(
    answer: Result<Raw<Capability>, PeerError>,
    wanted: InterfaceId,
) -> Result<Raw<Capability>, PeerError> {
    let raw = answer?;
    match Transport::negotiation(raw.words) {
        Some((_, Transport::Refused { error, version, .. })) => Err(match error {
            ServiceError::OtherVersion => PeerError::Version(Versions {
                interface: wanted.name,
                service: version,
                program: wanted.version,
            }),
            error => PeerError::Refused(error),
        }),
        _ => Ok(raw),
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

    async fn answer(&self) -> Result<Raw<Capability>, PeerError> {
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
        let line = match line {
            Ok(line) => line,
            Err(e) => return inner.fail(e.into()),
        };
        let [w0, w1, w2, w3, w4, w5, number] = line.words;
        match transfer::take(inner.outbox.binding(), number).await {
            Ok(cap) => inner.deliver([w0, w1, w2, w3, w4, w5], cap),
            // The answer without its capability is none.
            Err(why) => inner.complete(Header::unpack(w0).tag, Err(why)),
        }
    }
}

impl Client {
    /// Binds over LMP to the service behind an Endpoint capability, for any interface.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn bind(endpoint: CapAddr) -> Result<Client, PeerError> {
        Client::bind_for(endpoint, None).await
    }

    /// Binds over LMP to the service behind an Endpoint capability, for this interface only.
    ///
    /// # Errors
    /// [`PeerError`]; `Version` when the service speaks another version.
    pub async fn bind_for(
        endpoint: CapAddr,
        wanted: Option<InterfaceId>,
    ) -> Result<Client, PeerError> {
        let own = answer_endpoint()?;
        let inner = Inner::new(Carrier::Lmp(cap::copy(endpoint)?));
        let client = Client(Rc::new(Handle(inner.clone())));
        let reply = cap::mint(own, capfmt::Rights::SHARED, Some(inner.id))?;
        let raw = inner.greet(wanted, Attach::cap(reply.addr())).await?;
        inner.outbox.redirect(raw.cap.ok_or(NO_CONNECTION)?);
        Ok(client)
    }

    /// Asks whether the service speaks this interface in this version; over UMP.
    ///
    /// # Errors
    /// [`PeerError`]; `Version` when it speaks another version.
    pub async fn check(&self, wanted: InterfaceId) -> Result<(), PeerError> {
        self.0.0.greet(Some(wanted), Attach::NONE).await.map(drop)
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
        typed(self.0.0.ask(request, with).await?)
    }

    /// The same connection for stubs whose calls never look whether the service still lives: nothing but its answer,
    /// or the end of the connection, wakes either side. For what may wait for ever, and checks that nothing is lost.
    #[must_use]
    pub fn unprobed(&self) -> Unprobed {
        Unprobed(self.clone())
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

    /// The same connection for stubs whose calls give up at `deadline_ns` of system time.
    #[must_use]
    pub fn until(&self, deadline_ns: u64) -> Until {
        Until::new(self.clone(), deadline_ns)
    }

    /// As [`Client::notice`], at once: messages posted one after another arrive in that order.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn post<Q: Wire>(&self, message: &Q, with: Attach<'_>) -> Result<(), PeerError> {
        self.0.0.outbox.post(message, 0, with)
    }

    /// The same connection for stubs whose notices wake nobody: the service takes them once something else wakes
    /// it. Over LMP, and when there is no room, they are sent as any other.
    #[must_use]
    pub fn leaving(&self) -> Leaving {
        Leaving(self.clone())
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

    pub(super) fn inner(&self) -> &Rc<Inner> {
        &self.0.0
    }

    /// Messages wait for a peer that takes none for as long as it likes, such as one whose OSnode is stopped.
    pub fn be_patient(&self) {
        self.outbox().be_patient();
    }

    pub(crate) fn outbox(&self) -> &Rc<Outbox> {
        &self.0.0.outbox
    }
}

/// An answer with its message decoded.
fn typed<R: Wire>(raw: Raw<Capability>) -> Result<Answer<R>, PeerError> {
    let message = R::from_words(raw.words);
    let (_, message) = message.map_err(|e| PeerError::unreadable::<R>(raw.words, e))?;
    Ok(Answer {
        message,
        blob: raw.blob,
        cap: raw.cap,
    })
}

impl Drop for Handle {
    fn drop(&mut self) {
        let inner = &self.0;
        CLIENTS.with(|c| c.by_id.remove(&inner.id));
        // Best effort: a service that is gone needs no farewell.
        let _ = inner.outbox.post(&Transport::Close {}, 0, Attach::NONE);
        inner.outbox.finish();
        if let Some(bind) = inner.outbox.binding() {
            task::spawn(find::close(inner.outbox.clone(), bind));
        }
    }
}

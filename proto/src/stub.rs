//! What stubs stand on: how a client's requests travel, what a server needs of a request, and how
//! a capability goes along. A runtime implements [`Ask`] and [`Call`]; nothing here knows one.

use alloc::string::String;
#[doc(hidden)]
pub use alloc::vec::Vec;
use core::future::Future;
use core::marker::PhantomData;

use abi::CapAddr;

use crate::error::{CallError, PeerError, Refusal};
use crate::wire::{Wire, WireError};

/// Which interface, in which version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceId {
    /// Its number, never reused.
    pub number: u8,
    /// Both ends of a connection must have the same.
    pub version: u8,
    /// For people.
    pub name: &'static str,
}

impl InterfaceId {
    /// The interface that these messages belong to.
    #[must_use]
    pub const fn of<M: Wire>() -> InterfaceId {
        InterfaceId {
            number: M::INTERFACE,
            version: M::VERSION,
            name: M::NAME,
        }
    }
}

impl core::fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "version {} of interface {}", self.version, self.name)
    }
}

/// A field as an interface declares it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Words that it takes in a message.
    pub words: usize,
    /// Largest number that each of its words may have.
    pub largest: fn(usize) -> u64,
}

/// When a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answering {
    /// Never: it is a notice.
    Never,
    /// As soon as the server is done with it.
    Soon,
    /// When the server likes.
    Later,
}

/// A request as an interface declares it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// Its number on the wire.
    pub number: u16,
    /// Its fields, in the order of their words.
    pub members: &'static [Member],
    /// Whether a blob goes along.
    pub blob: bool,
    /// Whether a capability goes along, or may.
    pub cap: bool,
    /// Whether there is an answer.
    pub answering: Answering,
}

impl Operation {
    /// The largest numbers of its words.
    pub fn largest(&self) -> impl Iterator<Item = u64> {
        let words = |m: &'static Member| (0..m.words).map(|word| (m.largest)(word));
        self.members.iter().flat_map(words)
    }
}

/// When the request is answered that names these replies.
#[doc(hidden)]
#[must_use]
pub const fn answering(soon: &[&str], later: &[&str]) -> Answering {
    match (soon, later) {
        ([], []) => Answering::Never,
        (_, []) => Answering::Soon,
        _ => Answering::Later,
    }
}

/// Whether there is something in a list.
#[doc(hidden)]
#[must_use]
pub const fn some(list: &[&str]) -> bool {
    !list.is_empty()
}

/// An interface: what [`interface!`](crate::interface) declares.
pub trait Interface {
    /// Number, version, name.
    const ID: InterfaceId;
    /// Its requests, in the order of their declaration.
    const REQUESTS: &'static [Operation];
    /// The client's stub over a carrier.
    type Client<C: Ask>;
    /// The stub over this carrier.
    fn client<C: Ask>(carrier: C) -> Self::Client<C>;
}

/// A capability that goes with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass<K> {
    /// The peer gets a copy.
    Copy(CapAddr),
    /// The peer gets the capability itself.
    Give(K),
}

/// An answer as it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raw<K> {
    /// Words.
    pub words: [u64; 6],
    /// Blob.
    pub blob: Vec<u8>,
    /// Capability.
    pub cap: Option<K>,
}

/// How a client's requests travel.
pub trait Ask {
    /// A capability of one's own.
    type Cap;
    /// Asks and waits for the answer.
    fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Self::Cap>>,
    ) -> impl Future<Output = Result<Raw<Self::Cap>, PeerError>>;
    /// Sends what has no answer.
    ///
    /// # Errors
    /// [`PeerError`].
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        blob: &[u8],
        cap: Option<Pass<Self::Cap>>,
    ) -> Result<(), PeerError>;
}

/// A request at a server.
pub trait Call {
    /// A capability of one's own.
    type Cap;
    /// Its words.
    fn words(&self) -> [u64; 6];
    /// Its blob; empty the second time.
    fn take_blob(&mut self) -> Vec<u8>;
    /// Its capability; `None` the second time.
    fn take_cap(&mut self) -> Option<Self::Cap>;
    /// Answers it; `false`: the asker is gone, and needs no answer.
    fn answer<R: Wire>(&self, reply: &R, blob: &[u8], cap: Option<Pass<Self::Cap>>) -> bool;
}

/// An interface that a service `S` implements for requests `K`.
pub trait Dispatch<S, K: Call>: Interface {
    /// Takes at once what the service takes in a plain function; anything else comes back.
    fn notice(service: &S, call: K) -> Option<K>;
    /// Decodes a request, calls the service, answers. What does not decode is refused.
    fn dispatch(service: &S, call: K) -> impl Future<Output = ()>;
}

/// Error of an interface: what it says of requests that never reach the service.
pub trait Malformed: Sized {
    /// The request's words, blob or capability are not as declared.
    fn malformed(why: WireError) -> Self;
}

/// The replies of an interface, one of which refuses.
pub trait Replies: Wire {
    /// Its error.
    type Error: Malformed;
    /// The reply that refuses.
    fn refused(error: Self::Error) -> Self;
    /// What it refuses with, if it does.
    fn refusal(&self) -> Option<Self::Error>;
}

/// How a declared capability goes along.
pub trait CapMode {
    /// At the receiver.
    type Got<K>;
    /// At the sender.
    type Said<K>;
    /// What arrived.
    ///
    /// # Errors
    /// [`WireError::NoCapability`].
    fn got<K>(cap: Option<K>) -> Result<Self::Got<K>, WireError>;
    /// What is sent.
    fn said<K>(said: Self::Said<K>) -> Option<Pass<K>>;
}

/// `copies`: the sender names a capability and keeps it.
#[derive(Debug)]
pub enum Copies {}
/// `gives`: the sender gives its own away.
#[derive(Debug)]
pub enum Gives {}
/// `may give`: as `gives`, or none.
#[derive(Debug)]
pub enum MayGive {}

impl CapMode for Copies {
    type Got<K> = K;
    type Said<K> = CapAddr;
    fn got<K>(cap: Option<K>) -> Result<K, WireError> {
        cap.ok_or(WireError::NoCapability)
    }
    fn said<K>(said: CapAddr) -> Option<Pass<K>> {
        Some(Pass::Copy(said))
    }
}

impl CapMode for Gives {
    type Got<K> = K;
    type Said<K> = K;
    fn got<K>(cap: Option<K>) -> Result<K, WireError> {
        cap.ok_or(WireError::NoCapability)
    }
    fn said<K>(said: K) -> Option<Pass<K>> {
        Some(Pass::Give(said))
    }
}

impl CapMode for MayGive {
    type Got<K> = Option<K>;
    type Said<K> = Option<K>;
    fn got<K>(cap: Option<K>) -> Result<Option<K>, WireError> {
        Ok(cap)
    }
    fn said<K>(said: Option<K>) -> Option<Pass<K>> {
        said.map(Pass::Give)
    }
}

/// A message with what goes along.
#[derive(Debug)]
pub struct Parts<M, K> {
    /// The message.
    pub message: M,
    /// Its blob.
    pub blob: Vec<u8>,
    /// Its capability.
    pub cap: Option<Pass<K>>,
}

/// A declared reply as a value of its own, with its blob and capability.
pub trait Answered {
    /// The interface's replies.
    type Reply: Replies;
    /// At the client.
    type Got<K>;
    /// At the server.
    type Said<K>;
    /// From what arrived.
    ///
    /// # Errors
    /// [`WireError::UnknownOp`] for another reply, [`WireError::NoCapability`].
    fn got<K>(reply: Self::Reply, blob: Vec<u8>, cap: Option<K>)
    -> Result<Self::Got<K>, WireError>;
    /// To what is sent.
    fn said<K>(said: Self::Said<K>) -> Parts<Self::Reply, K>;
}

/// Error of the interface that has this reply.
pub type ErrorOf<A> = <<A as Answered>::Reply as Replies>::Error;
/// What a client's call brings.
pub type Outcome<A, K> = Result<<A as Answered>::Got<K>, CallError<ErrorOf<A>>>;
/// What a service says to a call.
pub type Said<A, K> = Result<<A as Answered>::Said<K>, Refusal<ErrorOf<A>>>;

/// Reads a message, for the stubs: apart, so that not each of them has a decoder of its own.
///
/// # Errors
/// Any [`WireError`].
#[inline(never)]
pub fn decoded<M: Wire>(words: [u64; 6]) -> Result<M, WireError> {
    M::from_words(words).map(|(_, message)| message)
}

/// A client's call, for the stubs.
///
/// # Errors
/// [`CallError`].
pub async fn ask<C: Ask, Q: Wire, A: Answered>(
    carrier: &C,
    request: &Q,
    blob: &[u8],
    cap: Option<Pass<C::Cap>>,
) -> Outcome<A, C::Cap> {
    let raw = carrier.ask(request, blob, cap).await?;
    let decoded = decoded::<A::Reply>(raw.words);
    let reply = decoded.map_err(|e| PeerError::unreadable::<A::Reply>(raw.words, e))?;
    if let Some(error) = reply.refusal() {
        let text = String::from_utf8_lossy(&raw.blob).into_owned();
        return Err(CallError::Refused(Refusal { error, text }));
    }
    let got = A::got(reply, raw.blob, raw.cap);
    got.map_err(|e| CallError::Peer(PeerError::BadAnswer(e)))
}

/// Reads a request, for the stubs; what does not decode is refused (`None`).
pub fn open<Q: Wire, R: Replies, K: Call>(call: &mut K) -> Option<(Q, Vec<u8>, Option<K::Cap>)> {
    match decoded(call.words()) {
        Ok(request) => Some((request, call.take_blob(), call.take_cap())),
        Err(why) => {
            refuse::<R, K>(call, why);
            None
        }
    }
}

/// Refuses a request that is not as declared, for the stubs.
pub fn refuse<R: Replies, K: Call>(call: &K, why: WireError) {
    call.answer(&R::refused(R::Error::malformed(why)), &[], None);
}

/// Answers a request with what the service said; `false`: the asker is gone.
pub fn reply<A: Answered, K: Call>(call: &K, said: Said<A, K::Cap>) -> bool {
    match said {
        Ok(said) => {
            let parts = A::said(said);
            call.answer(&parts.message, &parts.blob, parts.cap)
        }
        Err(refusal) => {
            let text = refusal.text.as_bytes();
            let text = &text[..text.len().min(crate::blob::MAX_BLOB)];
            call.answer(&A::Reply::refused(refusal.error), text, None)
        }
    }
}

/// A request whose answer, an `A`, may come later. Whoever drops it gives the request up.
pub struct Later<A, K> {
    call: K,
    answered: PhantomData<A>,
}

impl<A: Answered, K: Call> Later<A, K> {
    /// For the stubs.
    pub fn new(call: K) -> Self {
        Later {
            call,
            answered: PhantomData,
        }
    }
    /// The request.
    pub fn call(&self) -> &K {
        &self.call
    }
    /// Answers it; `false`: the asker is gone.
    pub fn answer(self, said: Said<A, K::Cap>) -> bool {
        reply::<A, K>(&self.call, said)
    }
}

impl<A, K: core::fmt::Debug> core::fmt::Debug for Later<A, K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Later").field(&self.call).finish()
    }
}

//! One interface over LMP and UMP: clients, servers, requests.

use alloc::vec::Vec;

use abi::{CapAddr, SysError};
use proto::{PeerError, ServiceError, Wire, WireError};

use crate::Capability;
use crate::ump::UmpChannel;

/// What goes with a message besides its fields.
#[derive(Default, Debug)]
pub struct Attach<'a> {
    /// Bytes.
    pub blob: &'a [u8],
    /// Capability to copy to the peer (LMP only).
    pub cap: Option<CapAddr>,
}
impl<'a> Attach<'a> {
    /// Nothing.
    pub const NONE: Attach<'static> = Attach {
        blob: &[],
        cap: None,
    };
    /// Bytes only.
    #[must_use]
    pub const fn blob(blob: &'a [u8]) -> Attach<'a> {
        Attach { blob, cap: None }
    }
    /// A capability only.
    #[must_use]
    pub const fn cap(cap: CapAddr) -> Attach<'static> {
        Attach {
            blob: &[],
            cap: Some(cap),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer<R> {
    /// The message.
    pub message: R,
    /// Its blob.
    pub blob: Vec<u8>,
    /// Its capability.
    pub cap: Option<Capability>,
}

/// Connection to a service. Cheap to clone; the last clone closes it.
#[derive(Clone, Debug)]
pub struct Client(());

impl Client {
    /// Binds over LMP to the service behind an Endpoint capability.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn bind(_endpoint: CapAddr) -> Result<Client, PeerError> {
        todo!()
    }
    /// Binds to a service of this OSnode by name, waiting until it is registered.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn lookup(_name: &str) -> Result<Client, PeerError> {
        todo!()
    }
    /// Binds over UMP to a service of another OSnode.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn lookup_on(_osnode: u64, _name: &str) -> Result<Client, PeerError> {
        todo!()
    }
    /// A client over an existing UMP channel.
    #[must_use]
    pub fn over_ump(_channel: UmpChannel) -> Client {
        todo!()
    }
    /// Asks and waits for the answer, as long as the service lives.
    ///
    /// # Errors
    /// [`PeerError`]; `Gone` also when the service ends meanwhile.
    pub async fn request<Q: Wire, R: Wire>(
        &self,
        _request: &Q,
        _with: Attach<'_>,
    ) -> Result<Answer<R>, PeerError> {
        todo!()
    }
    /// As [`Client::request`], but gives up at `deadline_ns` of system time.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn request_until<Q: Wire, R: Wire>(
        &self,
        _request: &Q,
        _with: Attach<'_>,
        _deadline_ns: u64,
    ) -> Result<Answer<R>, PeerError> {
        todo!()
    }
    /// Blocking form of [`Client::request`]; other tasks go on meanwhile.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn request_blocking<Q: Wire, R: Wire>(
        &self,
        _request: &Q,
        _with: Attach<'_>,
    ) -> Result<Answer<R>, PeerError> {
        todo!()
    }
    /// Sends without wanting an answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn notice<Q: Wire>(&self, _request: &Q, _with: Attach<'_>) -> Result<(), PeerError> {
        todo!()
    }
}

/// A service's listening end: an endpoint of its own, every connection made to it, and UMP
/// channels accepted from the monitor.
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// Opens an endpoint for a service.
    ///
    /// # Errors
    /// `TableFull` when the process has no endpoint or ring slots left.
    pub fn open() -> Result<Server, SysError> {
        todo!()
    }
    /// An Endpoint capability of the service with a badge that [`Request::introducer`] shows (1..=0xffff; 0 = anybody).
    ///
    /// # Errors
    /// Any of `Op::Copy`.
    pub fn introduction(&self, _badge: u32) -> Result<Capability, SysError> {
        todo!()
    }
    /// Registers the service's endpoint at the monitor under a name, and tells the starter `Ready`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn register(&self, _name: &str) -> Result<(), PeerError> {
        todo!()
    }
    /// Also takes requests from this UMP channel.
    pub fn accept_ump(&self, _channel: UmpChannel, _introducer: u32) {
        todo!()
    }
    /// The next request, from whichever connection.
    pub async fn next(&self) -> Request {
        todo!()
    }
    /// The next connection that ended (id, introducer): the service drops what it held for it.
    pub async fn next_closed(&self) -> (u32, u32) {
        todo!()
    }
}

/// A request as it arrived. Dropped without an answer, it is answered `Refused(BadOperation)`-less: the asker waits.
#[derive(Debug)]
pub struct Request {
    /// The words.
    pub words: [u64; 6],
    /// The blob.
    pub blob: Vec<u8>,
    /// The capability.
    pub cap: Option<Capability>,
    connection: u32,
    introducer: u32,
}

impl Request {
    /// Connection it came over; never reused by a server.
    #[must_use]
    pub fn connection(&self) -> u32 {
        self.connection
    }
    /// Badge of the capability that the connection was bound with.
    #[must_use]
    pub fn introducer(&self) -> u32 {
        self.introducer
    }
    /// Number of the interface it belongs to.
    #[must_use]
    pub fn interface(&self) -> u8 {
        todo!()
    }
    /// Reads it.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode<Q: Wire>(&self) -> Result<Q, WireError> {
        todo!()
    }
    /// Answers it; may be done any time later. The asker being gone is `Err(Gone)`.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn answer<R: Wire>(&self, _reply: &R, _with: Attach<'_>) -> Result<(), PeerError> {
        todo!()
    }
    /// Text of the blob (lossy).
    #[must_use]
    pub fn text(&self) -> alloc::string::String {
        todo!()
    }
}

/// The error that a reply's words stand for when they do not decode.
#[must_use]
pub fn refusal(_e: WireError) -> ServiceError {
    todo!()
}

//! Why a service refused, and why a request got no answer.

use alloc::string::String;

use abi::SysError;

use crate::stub::Malformed;
use crate::wire::{Field, Header, Reader, Wire, WireError, Writer};

macro_rules! service_errors {
    ($($(#[doc = $doc:literal])* $name:ident = $n:literal,)*) => {
        /// Why a service refused a request: explicit numbers, never reused (`wire-codes`).
        /// The reply's blob says which object and what to do.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ServiceError {
            $($(#[doc = $doc])* $name,)*
            /// an OSnode does not answer now: try again when the membership view is another one
            /// (the number on the wire: 34, the view in the upper 48 bits)
            TryLater(u64),
            /// A system call made for the request failed.
            Sys(SysError),
        }
        impl ServiceError {
            /// The number on the wire; system-call errors stand from 0x1000 on.
            #[must_use]
            pub const fn code(self) -> u64 {
                match self {
                    $(ServiceError::$name => $n,)*
                    ServiceError::TryLater(view) => 34 | view << 16,
                    ServiceError::Sys(e) => 0x1000 | e as u64,
                }
            }
            /// The error with this number.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<ServiceError> {
                match code {
                    $($n => Some(ServiceError::$name),)*
                    _ if code as u16 == 34 => Some(ServiceError::TryLater(code >> 16)),
                    0x1000..=0x1fff => match SysError::from_code((code & 0xfff) as u16) {
                        Some(e) => Some(ServiceError::Sys(e)),
                        None => None,
                    },
                    _ => None,
                }
            }
            /// One sentence for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(ServiceError::$name => concat!($($doc),*).trim_ascii_start(),)*
                    ServiceError::TryLater(_) => SysError::TryLater.message(),
                    ServiceError::Sys(e) => e.message(),
                }
            }
        }
    };
}

service_errors! {
    /// no such operation in this interface
    BadOperation = 1,
    /// the message's words do not decode
    BadMessage = 2,
    /// nothing has this name
    NotFound = 3,
    /// the name is taken
    Exists = 4,
    /// no memory is left for this request
    OutOfMemory = 5,
    /// the request lacks its capability
    NoCapability = 6,
    /// an argument is out of its range
    BadArgument = 7,
    /// the file is not a program that can be run here
    BadProgram = 8,
    /// no OSnode has this id
    NoOsnode = 9,
    /// the OSnode is gone
    OsnodeGone = 10,
    /// the process ended
    ProcessGone = 11,
    /// the service does something else now
    Busy = 12,
    /// the process did not answer in time
    NoAnswer = 13,
    /// the end of the input or list was reached
    End = 14,
    /// no core has this number
    NoCore = 15,
    /// the core is not in the state that the command needs
    BadCoreState = 16,
    /// the kernel file cannot be run on that core
    BadKernel = 17,
    /// the operation failed and was undone
    Undone = 18,
    /// the boot driver runs on that core itself
    OwnCore = 19,
    /// the core did not answer in time
    CoreTimeout = 20,
    /// the kernel crashed while starting
    KernelCrashed = 21,
    /// the service does not offer that
    Unsupported = 22,
    /// a table of the service is full
    TableFull = 23,
    /// no core, or more than one, fits
    Ambiguous = 24,
    /// the two programs are built from different versions of the interface
    OtherVersion = 25,
    /// the service does not speak this interface
    NoInterface = 26,
    /// the service gave the request up without an answer
    GivenUp = 27,
    /// the process has as much memory as it may have
    OverLimit = 32,
    /// the memory server's books are not in order
    BadBooks = 33,
}

impl From<SysError> for ServiceError {
    fn from(e: SysError) -> ServiceError {
        ServiceError::Sys(e)
    }
}

impl Field for ServiceError {
    const WORDS: usize = 1;
    fn put(&self, w: &mut Writer) {
        w.push(self.code());
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        ServiceError::from_code(r.pull()).ok_or(WireError::BadField)
    }
}

impl Malformed for ServiceError {
    fn malformed(why: WireError) -> ServiceError {
        match why {
            WireError::BadVersion => ServiceError::OtherVersion,
            WireError::OtherInterface => ServiceError::NoInterface,
            WireError::UnknownOp => ServiceError::BadOperation,
            WireError::BadField | WireError::BadBlob => ServiceError::BadMessage,
            WireError::NoCapability => ServiceError::NoCapability,
        }
    }
}

/// Two programs built from different versions of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The interface.
    pub interface: &'static str,
    /// Version that the service speaks.
    pub service: u8,
    /// Version that this program speaks.
    pub program: u8,
}

impl core::fmt::Display for Versions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Versions {
            interface,
            service,
            program,
        } = self;
        write!(
            f,
            "speaks version {service} of interface {interface}, this program version {program}: "
        )?;
        f.write_str(match service > program {
            true => "rebuild this program",
            false => "rebuild the service, and start it again",
        })
    }
}

/// Why a request got no answer (`peer-may-go`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerError {
    /// The peer ended, or its OSnode is gone.
    Gone,
    /// The peer did not answer in the time given.
    TimedOut,
    /// The peer's answer does not decode, or is not an answer to the request.
    BadAnswer(WireError),
    /// The service refused.
    Refused(ServiceError),
    /// The service speaks another version of the interface.
    Version(Versions),
    /// A system call of one's own failed.
    Sys(SysError),
}

impl PeerError {
    /// An answer that does not decode as `R`: of another version, or malformed.
    #[must_use]
    pub fn unreadable<R: Wire>(words: [u64; 6], why: WireError) -> PeerError {
        match why {
            WireError::BadVersion => PeerError::Version(Versions {
                interface: R::NAME,
                service: Header::unpack(words[0]).version,
                program: R::VERSION,
            }),
            why => PeerError::BadAnswer(why),
        }
    }
}

impl From<SysError> for PeerError {
    fn from(e: SysError) -> PeerError {
        match e {
            SysError::EndpointClosed | SysError::NoCapability => PeerError::Gone,
            e => PeerError::Sys(e),
        }
    }
}

impl core::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())?;
        match self {
            ServiceError::TryLater(view) => write!(f, " (view {view})"),
            _ => Ok(()),
        }
    }
}

impl core::fmt::Display for PeerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PeerError::Gone => f.write_str("the service is gone"),
            PeerError::TimedOut => f.write_str("the service did not answer in time"),
            PeerError::BadAnswer(e) => write!(f, "the service's answer is malformed: {e}"),
            PeerError::Refused(e) => write!(f, "{e}"),
            PeerError::Version(v) => write!(f, "the service {v}"),
            PeerError::Sys(e) => f.write_str(e.message()),
        }
    }
}

/// A service's refusal: the interface's error, and a text for people (which object, what to do).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal<E = ServiceError> {
    /// Why.
    pub error: E,
    /// For people; may be empty.
    pub text: String,
}

impl<E> Refusal<E> {
    /// With a text.
    pub fn new(error: E, text: impl Into<String>) -> Refusal<E> {
        let text = text.into();
        Refusal { error, text }
    }
}

impl<E> From<E> for Refusal<E> {
    fn from(error: E) -> Refusal<E> {
        Refusal {
            error,
            text: String::new(),
        }
    }
}

impl From<SysError> for Refusal {
    fn from(e: SysError) -> Refusal {
        ServiceError::Sys(e).into()
    }
}

impl<E: core::fmt::Display> core::fmt::Display for Refusal<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.text.is_empty() {
            true => write!(f, "{}", self.error),
            false => f.write_str(&self.text),
        }
    }
}

/// Why a call of a client's stub failed: no answer, or a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError<E = ServiceError> {
    /// The peer is lost, late, or not understood.
    Peer(PeerError),
    /// The service refused.
    Refused(Refusal<E>),
}

impl<E: PartialEq> CallError<E> {
    /// Whether the service refused with this error.
    pub fn is(&self, error: E) -> bool {
        matches!(self, CallError::Refused(r) if r.error == error)
    }
}

impl<E> From<PeerError> for CallError<E> {
    fn from(e: PeerError) -> CallError<E> {
        CallError::Peer(e)
    }
}

impl From<CallError> for PeerError {
    fn from(e: CallError) -> PeerError {
        match e {
            CallError::Peer(e) => e,
            CallError::Refused(r) => PeerError::Refused(r.error),
        }
    }
}

impl<E: core::fmt::Display> core::fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CallError::Peer(e) => write!(f, "{e}"),
            CallError::Refused(r) => write!(f, "{r}"),
        }
    }
}

//! Why a service refused, and why a request got no answer.

use abi::SysError;

use crate::wire::{Field, Reader, WireError, Writer};

macro_rules! service_errors {
    ($($(#[doc = $doc:literal])* $name:ident = $n:literal,)*) => {
        /// Why a service refused a request: explicit numbers, never reused (`wire-codes`).
        /// The reply's blob says which object and what to do.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ServiceError {
            $($(#[doc = $doc])* $name,)*
            /// A system call made for the request failed.
            Sys(SysError),
        }
        impl ServiceError {
            /// The number on the wire; system-call errors stand from 0x1000 on.
            #[must_use]
            pub const fn code(self) -> u64 {
                match self {
                    $(ServiceError::$name => $n,)*
                    ServiceError::Sys(e) => 0x1000 | e as u64,
                }
            }
            /// The error with this number.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<ServiceError> {
                match code {
                    $($n => Some(ServiceError::$name),)*
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
                    $(ServiceError::$name => concat!($($doc),*),)*
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
    /// A system call of one's own failed.
    Sys(SysError),
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
        f.write_str(self.message())
    }
}

impl core::fmt::Display for PeerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PeerError::Gone => f.write_str("the service is gone"),
            PeerError::TimedOut => f.write_str("the service did not answer in time"),
            PeerError::BadAnswer(e) => write!(f, "the service's answer is malformed: {e}"),
            PeerError::Refused(e) => write!(f, "{e}"),
            PeerError::Sys(e) => f.write_str(e.message()),
        }
    }
}

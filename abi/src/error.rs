//! The errors of system calls: explicit numbers, never reused (`wire-codes`).

macro_rules! errors {
    ($($(#[doc = $doc:literal])* $name:ident = $n:literal,)*) => {
        /// Why a system call was refused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum SysError { $($(#[doc = $doc])* $name = $n,)* }

        impl SysError {
            /// The error with this number.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<SysError> {
                match code { $($n => Some(SysError::$name),)* _ => None }
            }
            /// One sentence for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(SysError::$name => concat!($($doc),*),)* }
            }
        }
    };
}

errors! {
    /// no such system call or operation
    BadCall = 1,
    /// no capability stands at this address
    NoCapability = 2,
    /// the capability is of another type than the operation needs
    WrongType = 3,
    /// the capability lacks a right that the operation needs
    NoRight = 4,
    /// an argument is out of its range
    BadArgument = 5,
    /// the destination slot is in use
    SlotInUse = 6,
    /// the region overlaps an object made from it before
    Overlaps = 7,
    /// this type cannot be made from that one
    BadRetype = 8,
    /// the entry of the page table is in use
    AlreadyMapped = 9,
    /// nothing is mapped there
    NotMapped = 10,
    /// the object has copies or descendants on other OSnodes
    SharedRemote = 11,
    /// the receiver's ring is full: try again later
    EndpointFull = 12,
    /// the endpoint is not open, or its dispatcher is gone
    EndpointClosed = 13,
    /// the receiver has no slot for the capability
    NoReceiveSlot = 14,
    /// the time given to wait is over
    TimedOut = 15,
    /// the kernel was replaced during the call, which had no effect
    KernelRestarted = 16,
    /// the capability is being deleted
    InDelete = 17,
    /// the object still has copies, descendants or mappings
    StillInUse = 18,
    /// this OSnode does not hold the control of that core
    NotHolder = 19,
    /// the core is not in the state that the command needs
    BadCoreState = 20,
    /// the object's words do not form what they should (magic, version, checksum)
    BadObject = 21,
    /// the KCB is run by a kernel already
    Attached = 22,
    /// a kernel feature that the object needs is absent
    NoFeature = 23,
    /// the firmware refused (the second word has its status)
    Firmware = 24,
    /// a table of the kernel or OSnode is full
    TableFull = 25,
    /// the core would have to command itself
    OwnCore = 26,
    /// the OSnode that had to agree is gone
    OsnodeGone = 27,
    /// another OSnode does not answer now: try again later
    TryLater = 28,
    /// memory comes back, and its CNode has no empty slot: take what is there, and try again
    BackFull = 29,
}

/// What stands in r0 when a call ends with [`SysError::TryLater`]: the error, and in its upper 48 bits the membership
/// view (mod 2^48) in which the OSnode's monitor said so. In a later view it may be worth trying again.
///
/// ```
/// use abi::{SysError, late, late_view};
/// assert_eq!(SysError::from_code(late(7) as u16), Some(SysError::TryLater));
/// assert_eq!(late_view(late(7)), Some(7));
/// assert_eq!(late_view(SysError::OsnodeGone as u64), None);
/// ```
#[must_use]
pub const fn late(view: u64) -> u64 {
    SysError::TryLater as u64 | view << 16
}

/// The view in a word of [`late`]; `None`: it is another error, or none.
#[must_use]
pub const fn late_view(r0: u64) -> Option<u64> {
    match r0 as u16 == SysError::TryLater as u16 {
        true => Some(r0 >> 16),
        false => None,
    }
}

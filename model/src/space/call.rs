//! What callers ask for.

/// An operation with the arguments of its system call; addresses are those of the caller's CSpace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the arguments are those of the system calls")]
pub enum Call {
    Identify {
        cap: u64,
    },
    Copy {
        root: u64,
        from: u64,
        to: u64,
        how: u64,
        badge: u64,
    },
    Move {
        root: u64,
        from: u64,
        to: u64,
    },
    Delete {
        root: u64,
        at: u64,
    },
    Revoke {
        root: u64,
        at: u64,
    },
    Retype {
        from: u64,
        offset: u64,
        what: u64,
        size: u64,
        count: u64,
        root: u64,
        to: u64,
    },
    Map {
        table: u64,
        what: u64,
        first: u64,
        offset: u64,
        how: u64,
        to: u64,
    },
    Unmap {
        mapping: u64,
    },
    Protect {
        mapping: u64,
        rights: u64,
    },
    EndpointOpen {
        dispatcher: u64,
        index: u64,
        to: u64,
    },
    NotifyMint {
        page: u64,
        channel: u64,
        to: u64,
    },
    IrqMint {
        sources: u64,
        source: u64,
        to: u64,
    },
}

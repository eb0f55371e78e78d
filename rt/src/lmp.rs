//! Raw messages within an OSnode: the system calls, without any bookkeeping.
//!
//! For [`crate::chan`], and for programs that measure or need the shortest way.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::{CapAddr, MESSAGE_WORDS, MessageTag, SysError, Syscall, WaitResult};

use crate::{Capability, cap, event, invoke, isa, rings};

/// Words of a message.
pub type Words = [u64; MESSAGE_WORDS];

/// What [`wait`], [`call`] and [`poll`] bring.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it is, whence, and whether a capability came.
    pub what: WaitResult,
    /// Words of a message, bits of a notification, number of an interrupt source.
    pub words: Words,
}

/// Opens an endpoint of this process with `slots` ring slots (a power of two): its index for
/// [`wait`], and its capability. Nothing in [`crate::chan`] looks at it.
///
/// # Errors
/// `TableFull` when the process has no endpoint or ring slots left; `BadArgument` for other counts.
pub fn open(slots: u64) -> Result<(u8, Capability), SysError> {
    let (index, first) = rings::take(slots).ok_or(SysError::TableFull)?;
    let endpoint = cap::in_slot(|slot| {
        invoke::endpoint_open(abi::slots::DISPATCHER, index, first, slots, slot)
    })?;
    Ok((index as u8, endpoint))
}

#[cfg_attr(nekton_user, thread_local)]
static LATE: AtomicU64 = AtomicU64::new(0);

/// The membership view in which this dispatcher was told `TryLater` last; 0: never. `members` shows the view that
/// counts now.
pub fn late_view() -> u64 {
    LATE.load(Ordering::Relaxed)
}

/// The status word as a result.
#[inline]
pub(crate) fn status(r0: u64) -> Result<(), SysError> {
    match r0 {
        0 => Ok(()),
        code => Err(error(code)),
    }
}

#[cold]
fn error(r0: u64) -> SysError {
    if let Some(view) = abi::late_view(r0) {
        LATE.store(view, Ordering::Relaxed);
    }
    SysError::from_code(r0 as u16).unwrap_or(SysError::BadCall)
}

#[inline]
fn outcome(r: [u64; 8]) -> Result<Event, SysError> {
    status(r[0])?;
    Ok(Event {
        what: WaitResult(r[1]),
        words: [r[2], r[3], r[4], r[5], r[6], r[7]],
    })
}

/// Sends a message; never blocks.
///
/// # Errors
/// `EndpointFull` and `NoReceiveSlot` pass; `EndpointClosed` and `NoCapability` mean that the
/// receiver is gone.
#[inline]
pub fn send(endpoint: CapAddr, tag: MessageTag, w: Words) -> Result<(), SysError> {
    let r0 = tag.r0(Syscall::Send);
    loop {
        let r = isa::syscall([r0, endpoint.0.into(), w[0], w[1], w[2], w[3], w[4], w[5]]);
        match status(r[0]) {
            Err(SysError::KernelRestarted) => event::note_retry(),
            result => return result,
        }
    }
}

/// Sends a message and waits for the next one on the own endpoint `tag.reply`.
///
/// # Errors
/// As [`send`].
#[inline]
pub fn call(endpoint: CapAddr, tag: MessageTag, w: Words) -> Result<Event, SysError> {
    let r0 = tag.r0(Syscall::Call);
    loop {
        let r = isa::syscall([r0, endpoint.0.into(), w[0], w[1], w[2], w[3], w[4], w[5]]);
        match outcome(r) {
            Err(SysError::KernelRestarted) => event::note_retry(),
            result => return result,
        }
    }
}

/// Waits for a message on `endpoint` (`None`: for any event) until an OSnode time.
///
/// # Errors
/// `TimedOut`; `KernelRestarted` when the kernel was replaced meanwhile (nothing was taken).
#[inline]
pub fn wait(until_ns: u64, endpoint: Option<u8>) -> Result<Event, SysError> {
    let which = endpoint.map_or(0, |e| u64::from(e) + 1);
    outcome(isa::syscall([
        Syscall::Wait as u64,
        until_ns,
        which,
        0,
        0,
        0,
        0,
        0,
    ]))
}

/// Takes what is there without waiting.
///
/// # Errors
/// `TimedOut` when nothing is there.
#[inline]
pub fn poll(endpoint: Option<u8>) -> Result<Event, SysError> {
    let which = endpoint.map_or(0, |e| u64::from(e) + 1);
    loop {
        let r = isa::syscall([Syscall::Poll as u64, 0, which, 0, 0, 0, 0, 0]);
        match outcome(r) {
            Err(SysError::KernelRestarted) => event::note_retry(),
            result => return result,
        }
    }
}

/// Gives the core to another runnable dispatcher.
pub fn yield_core() {
    isa::syscall([Syscall::Yield as u64, 0, 0, 0, 0, 0, 0, 0]);
}

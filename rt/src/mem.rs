//! Memory: RAM from the memory service (or a source of one's own), and Frames made of it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::{CapAddr, SysError, slots};
use capfmt::CapType;
use proto::iface::memory::{MemoryClient, MemoryPlace};
use proto::{CallError, PeerError, ServiceError};

use crate::cap::{self, CNODE_BYTES, CNODE_LOG2, Capability};
use crate::chan::Client;
use crate::invoke::{self, Retype};
use crate::single::Single;
use crate::{link, ram};

/// Least that a pool fed by [`set_source`] keeps for the heap, and what it asks for at a time.
const LOW_WATER: u64 = 2 << 20;
/// How often one question may find that the memory service has ended.
const LIVES: u32 = 4;

pub use proto::iface::memory::Stats;

/// Gives a RAM capability of at least so many bytes (a power of two).
pub type Source = Box<dyn FnMut(u64) -> Option<Capability>>;

#[cfg_attr(nekton_user, thread_local)]
static SOURCE: Single<Option<Source>> = Single::new(None);
/// Whether [`set_source`] was called (the source itself is taken out while it runs).
#[cfg_attr(nekton_user, thread_local)]
static OWN: AtomicBool = AtomicBool::new(false);

/// Serves this process's own memory from `source` instead of a memory service: for the memory
/// service and an OSnode's first process. The source is called by [`alloc_ram`] and, when the
/// heap's reserve runs low, between two tasks: never from inside an allocation.
pub fn set_source(source: Source) {
    OWN.store(true, Ordering::Relaxed);
    let old = SOURCE.with(|s| s.replace(source));
    drop(old);
}

fn from_source(bytes: u64) -> Option<Option<Capability>> {
    // Taken out while it runs: it may allocate, and ask for memory figures.
    if !OWN.load(Ordering::Relaxed) {
        return None;
    }
    let Some(mut source) = SOURCE.with(Option::take) else {
        return Some(None);
    };
    let ram = source(bytes);
    SOURCE.with(|s| s.is_none().then(|| *s = Some(source)));
    Some(ram)
}

/// Between two tasks: fills the heap's reserve when it runs low.
pub(crate) fn replenish() {
    if OWN.load(Ordering::Relaxed)
        && ram::left() < LOW_WATER
        && let Some(Some(piece)) = from_source(LOW_WATER)
    {
        // A source that gives something else than RAM gives nothing.
        let _ = ram::donate(piece.leak());
    }
}

/// Bytes left for heap, slots and page tables: for programs that serve themselves ([`set_source`]) and get
/// memory in another way.
#[must_use]
pub fn left() -> u64 {
    ram::left()
}

/// Adds RAM to what heap, slots and page tables are made of.
///
/// # Errors
/// `WrongType` for anything but RAM.
pub fn donate(memory: Capability) -> Result<(), SysError> {
    ram::donate(memory.leak())
}

/// RAM of `bytes` (rounded up to a power of two, at least 4 KiB), aligned to its size, but to no more than 64 KiB.
///
/// # Errors
/// [`PeerError`]; `Refused(OutOfMemory)` when there is none.
pub fn alloc_ram(bytes: u64) -> Result<Capability, PeerError> {
    let bytes = bytes.max(4096).checked_next_power_of_two();
    let out = PeerError::Refused(ServiceError::OutOfMemory);
    let bytes = bytes.ok_or(out)?;
    match from_source(bytes) {
        Some(ram) => ram.ok_or(out),
        None => link::allocate(bytes),
    }
}

/// RAM of `bytes` (whole pages), aligned to `align`, where `place` says; `number` is a NUMA node or a core.
///
/// # Errors
/// [`PeerError`]; `Refused(OutOfMemory)` when there is none, `Refused(OverLimit)` when the process may have no more.
pub fn alloc_ram_at(
    bytes: u64,
    align: u64,
    place: MemoryPlace,
    number: u32,
) -> Result<Capability, PeerError> {
    link::ask_memory(|service| Ok(link::now(service.allocate_at(bytes, align, place, number))?.ram))
}

/// Gives back what [`alloc_ram`] or [`alloc_frame`] gave: every copy and mapping of it goes, and with the last the
/// memory is the memory service's again.
///
/// # Errors
/// Any of `Op::Revoke` and `Op::Delete`.
pub fn free_ram(memory: Capability) -> Result<(), PeerError> {
    invoke::revoke(memory.addr())?;
    Ok(memory.delete()?)
}

/// A zeroed Frame of `bytes` (as for [`alloc_ram`]).
///
/// # Errors
/// [`PeerError`].
pub fn alloc_frame(bytes: u64) -> Result<Capability, PeerError> {
    let ram = alloc_ram(bytes)?;
    let size = invoke::identify(ram.addr())?.cap.size;
    Ok(retype_one(ram.addr(), CapType::Frame, 0, 0, size)?)
}

/// An empty CNode of [`cap::CNODE_SLOTS`] slots.
///
/// # Errors
/// [`PeerError`].
pub fn alloc_cnode() -> Result<Capability, PeerError> {
    let ram = alloc_ram(CNODE_BYTES)?;
    let (kind, log2) = (CapType::CNode, CNODE_LOG2);
    Ok(retype_one(ram.addr(), kind, log2, 0, CNODE_BYTES)?)
}

/// One object made of part of a RAM (or Frame, …) capability, which stays.
///
/// # Errors
/// Any of `Op::Retype`.
pub fn retype_one(
    source: CapAddr,
    kind: CapType,
    param: u32,
    offset: u64,
    bytes: u64,
) -> Result<Capability, SysError> {
    let what = Retype {
        offset,
        kind,
        param,
        bytes,
        count: 1,
    };
    cap::retype(source, what)
}

/// The memory service's figures.
///
/// # Errors
/// [`PeerError`].
pub fn stats() -> Result<Stats, PeerError> {
    link::ask_memory(|service| link::now(service.stats(0)))
}

/// The connection of [`ask`].
#[cfg_attr(nekton_user, thread_local)]
static SERVICE: Single<Option<MemoryClient<Client>>> = Single::new(None);

/// Asks the memory service by messages, while other tasks go on. One that ended was perhaps started again: it is asked
/// again then.
///
/// # Errors
/// What the service says; `Gone` when there is none any more.
pub async fn ask<T>(
    ask: impl AsyncFn(&MemoryClient<Client>) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let mut lives = LIVES;
    loop {
        let known = SERVICE.with(|s| s.clone());
        let service = match known.filter(|s| !s.0.is_gone()) {
            Some(service) => service,
            None => {
                let bound = Client::bind(slots::MEMORY).await;
                match bound {
                    Ok(client) => MemoryClient(client),
                    Err(PeerError::Gone) if lives > 0 => {
                        link::renew_memory()?;
                        lives -= 1;
                        continue;
                    }
                    Err(e) => return Err(e.into()),
                }
            }
        };
        SERVICE.with(|s| *s = Some(service.clone()));
        match ask(&service).await {
            Err(CallError::Peer(PeerError::Gone)) if lives > 0 => {
                drop(SERVICE.with(Option::take));
                lives -= 1;
            }
            done => return done,
        }
    }
}

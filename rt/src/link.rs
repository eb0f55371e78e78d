//! Requests made without the executor and without the heap: to the memory service, from inside
//! the allocator, and the bindings of the console. One endpoint of its own takes the answers.

use abi::{CapAddr, MessageTag, SysError, WaitResult, slots};
use proto::iface::memory::{MemoryReply, MemoryRequest};
use proto::iface::names::{NamesReply, NamesRequest};
use proto::iface::transport::Transport;
use proto::{Name, PeerError, ServiceError, Wire, WireError};

use crate::cap::{self, Capability};
use crate::lmp::{self, Words};
use crate::single::Single;
use crate::{env, invoke, rings};

/// Ring slots of the endpoint: one answer at a time, and room for what comes late.
const RING: u64 = 4;
/// Tries while a receiver's ring is full or it has no receive slot, with a yield after each.
const TRIES: u32 = 1_000_000;

struct Link {
    /// Endpoint index and its capability, once open.
    endpoint: Option<(u8, CapAddr)>,
    receive: CapAddr,
    memory: Option<CapAddr>,
    tag: u32,
}

#[cfg_attr(nekton_user, thread_local)]
static LINK: Single<Link> = Single::new(Link {
    endpoint: None,
    receive: CapAddr::NULL,
    memory: None,
    tag: 0,
});

fn endpoint() -> Result<(u8, CapAddr), SysError> {
    if let Some(open) = LINK.with(|l| l.endpoint) {
        return Ok(open);
    }
    let (index, first) = rings::take(RING).ok_or(SysError::TableFull)?;
    let slot = cap::alloc_slot()?;
    invoke::endpoint_open(slots::DISPATCHER, index, first, RING, slot)?;
    renew_receive(index)?;
    let open = (index as u8, slot);
    LINK.with(|l| l.endpoint = Some(open));
    Ok(open)
}

fn renew_receive(index: u64) -> Result<(), SysError> {
    let slot = cap::alloc_slot()?;
    invoke::endpoint_receive(slots::DISPATCHER, index, slot)?;
    LINK.with(|l| l.receive = slot);
    Ok(())
}

/// Sends, retrying while the receiver has no room.
pub(crate) fn send_patiently(
    endpoint: CapAddr,
    tag: MessageTag,
    words: Words,
) -> Result<(), SysError> {
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = lmp::send(endpoint, tag, words);
        match result {
            Err(SysError::EndpointFull | SysError::NoReceiveSlot) => lmp::yield_core(),
            done => return done,
        }
    }
    result
}

/// Sends a request with a tag of its own and waits for the answer to it.
fn ask<R: Wire>(
    to: CapAddr,
    request: &impl Wire,
    give: CapAddr,
) -> Result<(R, Option<Capability>), PeerError> {
    let (index, _) = endpoint()?;
    let tag = LINK.with(|l| {
        l.tag = l.tag.wrapping_add(1).max(1);
        l.tag
    });
    let how = MessageTag {
        cap: give,
        give: give != CapAddr::NULL,
        ..MessageTag::default()
    };
    send_patiently(to, how, request.to_words(tag))?;
    loop {
        let event = match lmp::wait(u64::MAX, Some(index)) {
            Ok(event) => event,
            Err(SysError::KernelRestarted | SysError::TimedOut) => continue,
            Err(e) => return Err(e.into()),
        };
        if event.what.kind() != WaitResult::MESSAGE {
            continue;
        }
        let cap = match event.what.has_cap() {
            true => {
                let slot = LINK.with(|l| l.receive);
                renew_receive(index.into())?;
                Some(Capability::from_slot(slot))
            }
            false => None,
        };
        match R::from_words(event.words) {
            Ok((t, reply)) if t == tag => return Ok((reply, cap)),
            // Another version answers: it will never be understood.
            Err(e @ WireError::BadVersion) => return Err(PeerError::BadAnswer(e)),
            // A late answer to an earlier request.
            _ => drop(cap),
        }
    }
}

/// Binds to the service behind `to`; the answer is the connection's capability.
pub(crate) fn bind(to: CapAddr) -> Result<Capability, PeerError> {
    let (_, own) = endpoint()?;
    let reply = cap::mint(own, capfmt::Rights::ALL, Some(1))?;
    let request = Transport::Bind {
        interface: 0,
        version: 0,
    };
    let (answer, cap) = ask::<Transport>(to, &request, reply.addr())?;
    // Given away: only its slot is left.
    cap::free_slot(reply.leak());
    match (answer, cap) {
        (Transport::Bound {}, Some(cap)) => Ok(cap),
        (Transport::Refused { error, .. }, _) => Err(PeerError::Refused(error)),
        _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
    }
}

/// Binds anew to the service with this name, if it is there now.
pub(crate) fn rebind(name: &str) -> Result<Capability, PeerError> {
    let name = Name::new(name).ok_or(PeerError::Refused(ServiceError::BadArgument))?;
    let names = bind(env::given("names").unwrap_or(slots::PARENT))?;
    let request = NamesRequest::Lookup { name, wait: false };
    let found = ask::<NamesReply>(names.addr(), &request, CapAddr::NULL);
    // A farewell: the monitor keeps no connection for it.
    let close = Transport::Close {}.to_words(0);
    let _ = send_patiently(names.addr(), MessageTag::default(), close);
    match found? {
        (NamesReply::Found {}, Some(endpoint)) => bind(endpoint.addr()),
        (NamesReply::Refused { error }, _) => Err(PeerError::Refused(error)),
        _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
    }
}

/// The connection to the memory service.
fn memory() -> Result<CapAddr, PeerError> {
    if let Some(bound) = LINK.with(|l| l.memory) {
        return Ok(bound);
    }
    let bound = bind(slots::MEMORY)?.leak();
    LINK.with(|l| l.memory = Some(bound));
    Ok(bound)
}

/// One request to the memory service.
///
/// # Errors
/// [`PeerError`]; `Gone` without a memory service.
pub(crate) fn ask_memory(
    request: &MemoryRequest,
) -> Result<(MemoryReply, Option<Capability>), PeerError> {
    match ask::<MemoryReply>(memory()?, request, CapAddr::NULL)? {
        (MemoryReply::Refused { error }, _) => Err(PeerError::Refused(error)),
        answer => Ok(answer),
    }
}

/// RAM of at least `bytes` bytes from the memory service.
///
/// # Errors
/// [`PeerError`].
pub(crate) fn allocate(bytes: u64) -> Result<Capability, PeerError> {
    match ask_memory(&MemoryRequest::Allocate { bytes })? {
        (MemoryReply::Allocated { .. }, Some(ram)) => Ok(ram),
        _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
    }
}

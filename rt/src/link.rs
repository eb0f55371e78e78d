//! Requests made without the executor and without the heap: to the memory service, from inside
//! the allocator, and the bindings of the console. One endpoint of its own takes the answers. A service that ends is
//! noticed, and the memory service bound to anew when it was started again.

use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use abi::{CapAddr, MessageTag, SysError, WaitResult, slots};
use proto::iface::memory::MemoryClient;
use proto::iface::names::NamesClient;
use proto::iface::process::ProcessNotice;
use proto::iface::spawn::SpawnClient;
use proto::iface::transport::Transport;
use proto::{Ask, CallError, Header, Name, Pass, PeerError, Raw, ServiceError, Wire, WireError};

use crate::cap::{self, Capability};
use crate::lmp::{self, Words};
use crate::single::Single;
use crate::{env, invoke, rings, time};

/// Ring slots of the endpoint: one answer at a time, and room for what comes late.
const RING: u64 = 4;
/// Tries while a receiver's ring is full or it has no receive slot, with a yield after each.
const TRIES: u32 = 1_000_000;
/// After so long without an answer it is looked whether the service still lives: first and longest pause (ns of OSnode time).
const PROBE_MIN_NS: u64 = 100_000_000;
const PROBE_MAX_NS: u64 = 2_000_000_000;
/// How often one call may find that the memory service has ended.
const LIVES: u32 = 3;
/// How long the next memory service may take to register, and the pause between two looks (ns of OSnode time).
const NEXT_NS: u64 = 10_000_000_000;
const NEXT_LOOK_NS: u64 = 2_000_000;

/// After so long it is said once more that the process ends (ns of OSnode time).
const ENDS_NS: u64 = 2_000_000_000;

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

/// Sends a request with a tag of its own and waits for the answer to it, whose blob is left out.
fn ask(to: CapAddr, request: &impl Wire, give: CapAddr) -> Result<Raw<Capability>, PeerError> {
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
    let mut pause = PROBE_MIN_NS;
    let mut look = time::now_ns().saturating_add(pause);
    loop {
        let event = match lmp::wait(look, Some(index)) {
            Ok(event) => event,
            Err(SysError::KernelRestarted) => continue,
            Err(SysError::TimedOut) => {
                ping(to)?;
                pause = (2 * pause).min(PROBE_MAX_NS);
                look = time::now_ns().saturating_add(pause);
                continue;
            }
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
        let words = event.words;
        if Header::unpack(words[0]).tag != tag {
            // A late answer to an earlier request.
            continue;
        }
        match Transport::from_words(words) {
            Ok((_, Transport::Fragment { .. })) => {}
            Ok((_, Transport::Refused { error, .. })) => return Err(PeerError::Refused(error)),
            _ => {
                let blob = Vec::new();
                return Ok(Raw { words, blob, cap });
            }
        }
    }
}

/// Looks whether somebody still takes messages.
fn ping(to: CapAddr) -> Result<(), PeerError> {
    let ping = Transport::Ping {}.to_words(0);
    match lmp::send(to, MessageTag::default(), ping).map_err(PeerError::from) {
        Err(PeerError::Gone) => Err(PeerError::Gone),
        // Who has no room for it is there.
        _ => Ok(()),
    }
}

/// A connection whose requests are answered before anything else goes on.
pub(crate) struct AtOnce(CapAddr);

impl Ask for AtOnce {
    type Cap = Capability;
    async fn ask<Q: Wire>(
        &self,
        request: &Q,
        _: &[u8],
        cap: Option<Pass<Capability>>,
    ) -> Result<Raw<Capability>, PeerError> {
        match cap {
            None => ask(self.0, request, CapAddr::NULL),
            Some(_) => Err(PeerError::Refused(ServiceError::Unsupported)),
        }
    }
    fn tell<Q: Wire>(
        &self,
        message: &Q,
        _: &[u8],
        _: Option<Pass<Capability>>,
    ) -> Result<(), PeerError> {
        let none = MessageTag::default();
        Ok(send_patiently(self.0, none, message.to_words(0))?)
    }
}

/// What a call over [`AtOnce`] brings.
pub(crate) fn now<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, PeerError> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(call).poll(&mut context) {
        Poll::Ready(done) => done.map_err(PeerError::from),
        // No such call waits for anything else.
        Poll::Pending => Err(PeerError::TimedOut),
    }
}

/// Binds to the service behind `to`; the answer is the connection's capability.
pub(crate) fn bind(to: CapAddr) -> Result<Capability, PeerError> {
    let (_, own) = endpoint()?;
    let reply = cap::mint(own, capfmt::Rights::SHARED, Some(1))?;
    let request = Transport::Bind {
        interface: 0,
        version: 0,
    };
    let answer = ask(to, &request, reply.addr())?;
    // Given away: only its slot is left.
    cap::free_slot(reply.leak());
    match (Transport::from_words(answer.words), answer.cap) {
        (Ok((_, Transport::Bound {})), Some(cap)) => Ok(cap),
        _ => Err(PeerError::BadAnswer(WireError::UnknownOp)),
    }
}

/// Binds anew to the service with this name, if it is there now.
pub(crate) fn rebind(name: &str) -> Result<Capability, PeerError> {
    bind(find(name)?.addr())
}

/// What to bind to the service with this name by, if it is there now.
fn find(name: &str) -> Result<Capability, PeerError> {
    let name = Name::new(name).ok_or(PeerError::Refused(ServiceError::BadArgument))?;
    let names = bind(env::given("names").unwrap_or(slots::PARENT))?;
    let found = now(NamesClient(AtOnce(names.addr())).lookup(name, false));
    farewell(&names);
    Ok(found?.cap)
}

/// Whoever serves the connection keeps nothing for it.
fn farewell(connection: &Capability) {
    let close = Transport::Close {}.to_words(0);
    // One that is gone keeps nothing anyway.
    let _ = send_patiently(connection.addr(), MessageTag::default(), close);
}

/// The memory service.
///
/// # Errors
/// [`PeerError`]; `Gone` without one.
pub(crate) fn memory() -> Result<MemoryClient<AtOnce>, PeerError> {
    if let Some(bound) = LINK.with(|l| l.memory) {
        return Ok(MemoryClient(AtOnce(bound)));
    }
    let bound = bind(slots::MEMORY)?.leak();
    LINK.with(|l| l.memory = Some(bound));
    Ok(MemoryClient(AtOnce(bound)))
}

/// Asks the memory service; one that ended was perhaps started again, and is asked again then. (What the former one
/// gave and nobody got has come back to it.)
///
/// # Errors
/// [`PeerError`].
pub(crate) fn ask_memory<T>(
    ask: impl Fn(&MemoryClient<AtOnce>) -> Result<T, PeerError>,
) -> Result<T, PeerError> {
    let mut lives = LIVES;
    loop {
        match memory().and_then(|service| ask(&service)) {
            Err(PeerError::Gone) if lives > 0 => renew_memory()?,
            done => return done,
        }
        lives -= 1;
    }
}

/// RAM of at least `bytes` bytes from the memory service.
///
/// # Errors
/// [`PeerError`].
pub(crate) fn allocate(bytes: u64) -> Result<Capability, PeerError> {
    ask_memory(|service| Ok(now(service.allocate(bytes))?.ram))
}

/// Puts the Endpoint of the memory service that was started again into [`slots::MEMORY`].
///
/// # Errors
/// [`PeerError`]; `Gone` when it does not come.
pub(crate) fn renew_memory() -> Result<(), PeerError> {
    let next = match env::pid().number {
        // A service of the monitor's, which finds it itself.
        0 => next_by_name(".memory")?,
        _ => next_of_starter()?,
    };
    let former = LINK.with(|l| l.memory.take());
    drop(former.map(Capability::from_slot));
    match invoke::delete(slots::MEMORY) {
        Ok(()) | Err(SysError::NoCapability) => {}
        Err(e) => return Err(e.into()),
    }
    invoke::cnode_move(slots::ROOT_CNODE, next.addr(), slots::MEMORY)?;
    cap::free_slot(next.leak());
    Ok(())
}

/// The starter knows the process's account.
fn next_of_starter() -> Result<Capability, PeerError> {
    let mut next = None;
    with_starter(&mut |parent| {
        let starter = bind(parent)?;
        let answer = now(SpawnClient(AtOnce(starter.addr())).own_memory());
        farewell(&starter);
        next = Some(answer?.endpoint);
        Ok(())
    })?;
    next.ok_or(PeerError::Gone)
}

/// Does something with the starter's Endpoint. A spawn service that ends is started again, and puts the Endpoint of its next
/// life there: that is waited for.
///
/// # Errors
/// Those of `what`; `Gone` when there is no starter any more.
pub(crate) fn with_starter(
    what: &mut dyn FnMut(CapAddr) -> Result<(), PeerError>,
) -> Result<(), PeerError> {
    let until = time::now_ns().saturating_add(NEXT_NS);
    loop {
        match what(slots::PARENT) {
            // Whoever the monitor, or nobody, started is not adopted.
            Err(PeerError::Gone) if env::pid().number != 0 && time::now_ns() < until => {}
            done => return done,
        }
        pause(NEXT_LOOK_NS)?;
    }
}

/// Sends a notice to the starter, patiently and without the executor.
pub(crate) fn tell_starter(notice: &ProcessNotice, blob: &[u8]) -> Result<(), PeerError> {
    let none = MessageTag::default();
    with_starter(&mut |parent| {
        for fragment in proto::blob::fragments(blob, 0) {
            send_patiently(parent, none, fragment)?;
        }
        Ok(send_patiently(parent, none, notice.to_words(0))?)
    })
}

/// Waits as long as a starter may take to end a process that said that it ends; `false` if there is never another one.
pub(crate) fn may_have_another_starter() -> bool {
    env::pid().number != 0 && pause(ENDS_NS).is_ok()
}

/// Waits for so long (ns of OSnode time).
fn pause(ns: u64) -> Result<(), SysError> {
    let (index, _) = endpoint()?;
    // Only for the time: what comes is a late answer to an earlier request.
    let _ = lmp::wait(time::now_ns().saturating_add(ns), Some(index));
    Ok(())
}

fn next_by_name(name: &str) -> Result<Capability, PeerError> {
    let until = time::now_ns().saturating_add(NEXT_NS);
    loop {
        let now = time::now_ns();
        match find(name) {
            Err(PeerError::Refused(ServiceError::NotFound)) if now < until => {}
            Err(PeerError::Refused(ServiceError::NotFound)) => return Err(PeerError::Gone),
            done => return done,
        }
        pause(NEXT_LOOK_NS)?;
    }
}

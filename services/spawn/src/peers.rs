//! Spawn services of other OSnodes, and the list of OSnodes.

use alloc::format;
use core::pin::{Pin, pin};

use proto::iface::spawn::{Place, Spawn, SpawnClient};
use proto::iface::system::{MemberStatus, NOWHERE, Osnode};
use proto::{CallError, PeerError, Refusal, ServiceError};
use rt::chan::{self, Again, Client};
use rt::task::{Either, select};
use rt::{env, time};

use crate::service::Service;

/// How long another OSnode may take to answer (ns of system time); waits for an end are not limited.
const ANSWER_NS: u64 = 20_000_000_000;
/// How often it is looked whether an OSnode that was asked still runs (ns of OSnode time).
const LOOK_NS: u64 = 500_000_000;

/// The first OSnode with an id above this one.
pub async fn next_osnode(service: &Service, after: u64) -> Result<Osnode, ServiceError> {
    service.system.next(after).await.map_err(unsaid)
}

/// Why the monitor does not say where an OSnode is.
fn unsaid(e: CallError) -> ServiceError {
    match e {
        CallError::Refused(r) => r.error,
        CallError::Peer(_) => ServiceError::NoAnswer,
    }
}

/// The OSnode that a request is about, unless it is this one.
pub fn other(osnode: u64) -> Option<u64> {
    (osnode != env::osnode() && osnode != 0).then_some(osnode)
}

/// The OSnode that a place means.
///
/// # Errors
/// None is there, with a sentence.
pub async fn resolve(service: &Service, place: Place, number: u64) -> Result<u64, Refusal> {
    match place {
        Place::Here => Ok(env::osnode()),
        Place::Osnode => Ok(number),
        Place::Home => {
            // The home OSnode has the lowest id: it made the others.
            let first = next_osnode(service, 0).await;
            Ok(first?.osnode)
        }
        Place::Core => {
            let core = u32::try_from(number).unwrap_or(NOWHERE);
            let on = service.system.on_core(core).await;
            on.map(|l| l.osnode).map_err(|e| {
                let text = format!("core {number} runs no OSnode that is known here");
                Refusal::new(unsaid(e), text)
            })
        }
    }
}

/// The core that an OSnode runs on.
async fn locate(service: &Service, osnode: u64) -> Result<u32, Refusal> {
    let found = match osnode.checked_sub(1) {
        Some(before) => next_osnode(service, before).await.ok(),
        None => None,
    };
    match found.filter(|l| l.osnode == osnode) {
        Some(l) if l.core != NOWHERE => Ok(l.core),
        Some(_) => Err(absent(service, osnode).await),
        None if is_gone(service, osnode).await => Err(gone(osnode)),
        None => {
            let text = format!("there is no OSnode o{osnode}");
            Err(Refusal::new(ServiceError::NoOsnode, text))
        }
    }
}

/// What is said of an OSnode that no core runs.
async fn absent(service: &Service, osnode: u64) -> Refusal {
    let member = service.system.member(osnode.saturating_sub(1)).await;
    match member.map_err(unsaid) {
        Ok(m) if m.osnode == osnode && m.status != MemberStatus::Gone => {
            let view = m.view;
            let text = format!(
                "o{osnode} does not run (view {view}): core start, or core recover after a crash, brings it back"
            );
            Refusal::new(ServiceError::TryLater(view), text)
        }
        Err(e) if e != ServiceError::End => Refusal::new(e, format!("where o{osnode} is: {e}")),
        _ => gone(osnode),
    }
}

fn gone(osnode: u64) -> Refusal {
    Refusal::new(ServiceError::OsnodeGone, format!("o{osnode} is gone"))
}

/// Whether an OSnode is gone for good.
pub async fn is_gone(service: &Service, osnode: u64) -> bool {
    let member = service.system.member(osnode.saturating_sub(1)).await;
    member.is_ok_and(|m| m.osnode == osnode && m.status == MemberStatus::Gone)
}

/// The spawn service of another OSnode.
pub type Peer = SpawnClient<Client>;

async fn connect(service: &Service, osnode: u64) -> Result<Peer, Refusal> {
    locate(service, osnode).await?;
    let known = service.state.borrow().peers.get(&osnode).cloned();
    if let Some(peer) = known.filter(|p| !p.0.is_gone()) {
        return Ok(peer);
    }
    let until = time::now_ns() + ANSWER_NS;
    let bound = time::timeout(until, chan::connect_on::<Spawn>(osnode, "spawn")).await;
    let bound = bound.map(|b| b.map_err(PeerError::from));
    let peer = bound.unwrap_or(Err(PeerError::TimedOut)).map_err(|e| {
        let text = format!("no channel to o{osnode}: {e}");
        Refusal::new(ServiceError::NoOsnode, text)
    })?;
    let mut s = service.state.borrow_mut();
    // Channels to OSnodes that are gone are given up.
    s.peers.retain(|_, p| !p.0.is_gone());
    s.peers.insert(osnode, peer.clone());
    Ok(peer)
}

/// Asks another OSnode's spawn service something that may be asked twice: its next life, if it ends before it answers.
///
/// # Errors
/// It refuses, or cannot be reached, with a sentence.
pub async fn ask<A>(
    service: &Service,
    osnode: u64,
    call: impl AsyncFn(Peer) -> Result<A, CallError>,
) -> Result<A, Refusal> {
    repeat(osnode, async || answer(service, osnode, &call).await).await
}

/// Does what asks another OSnode's spawn service until one answers.
async fn repeat<A>(
    osnode: u64,
    ask: impl AsyncFn() -> Result<Result<A, CallError>, Refusal>,
) -> Result<A, Refusal> {
    let mut again = Again::new();
    loop {
        match ask().await? {
            Err(CallError::Peer(PeerError::Gone)) if again.may() => {}
            answer => return said(osnode, answer),
        }
    }
}

/// As [`ask`], once: whether something was done that was not answered, nobody knows.
///
/// # Errors
/// As [`ask`].
pub async fn ask_once<A>(
    service: &Service,
    osnode: u64,
    call: impl AsyncFnOnce(Peer) -> Result<A, CallError>,
) -> Result<A, Refusal> {
    said(osnode, answer(service, osnode, call).await?)
}

async fn answer<A>(
    service: &Service,
    osnode: u64,
    call: impl AsyncFnOnce(Peer) -> Result<A, CallError>,
) -> Result<Result<A, CallError>, Refusal> {
    let peer = connect(service, osnode).await?;
    let mut answer = Err(PeerError::TimedOut.into());
    {
        let asked = pin!(async { answer = call(peer).await });
        in_time(service, osnode, asked).await?;
    }
    Ok(answer)
}

/// Waits for an answer as long as an OSnode may take for one: the same code for every question.
async fn in_time(
    service: &Service,
    osnode: u64,
    asked: Pin<&mut dyn Future<Output = ()>>,
) -> Result<(), Refusal> {
    let until = time::system_ns().saturating_add(ANSWER_NS);
    match select(time::system_timeout(until, asked), leaves(service, osnode)).await {
        Either::Left(_) => Ok(()),
        Either::Right(gone) => Err(gone),
    }
}

/// As [`ask`], for as long as it takes.
///
/// # Errors
/// As [`ask`].
pub async fn ask_patiently<A>(
    service: &Service,
    osnode: u64,
    call: impl AsyncFn(Peer) -> Result<A, CallError>,
) -> Result<A, Refusal> {
    let asked = async || Ok(call(connect(service, osnode).await?).await);
    repeat(osnode, asked).await
}

fn said<A>(osnode: u64, answer: Result<A, CallError>) -> Result<A, Refusal> {
    answer.map_err(|e| match e {
        CallError::Refused(refusal) => refusal,
        CallError::Peer(e) => {
            let text = format!("o{osnode} does not answer: {e}");
            Refusal::new(ServiceError::NoAnswer, text)
        }
    })
}

/// Ends when an OSnode that was asked something does not run any more.
async fn leaves(service: &Service, osnode: u64) -> Refusal {
    loop {
        time::sleep(LOOK_NS).await;
        if let Err(gone) = locate(service, osnode).await {
            return gone;
        }
    }
}

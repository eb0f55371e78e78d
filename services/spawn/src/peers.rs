//! Spawn services of other OSnodes, and the list of OSnodes.

use alloc::format;
use alloc::string::String;

use proto::iface::spawn::{Place, SpawnReply, SpawnRequest};
use proto::iface::system::{NOWHERE, SystemReply, SystemRequest};
use proto::{PeerError, ServiceError};
use rt::chan::{Answer, Attach, Client, Request};
use rt::task::{Either, select};
use rt::{env, time};

use crate::build::Failure;
use crate::service::Service;

/// How long another OSnode may take to answer (ns of system time); waits for an end are not limited.
const ANSWER_NS: u64 = 20_000_000_000;
/// How often it is looked whether an OSnode that was asked still runs (ns of OSnode time).
const LOOK_NS: u64 = 500_000_000;

/// An OSnode and the core that it runs on.
#[derive(Clone, Copy)]
pub struct Located {
    pub osnode: u64,
    pub core: u32,
}

/// Asks the monitor about OSnodes.
async fn ask(service: &Service, request: SystemRequest) -> Result<Located, ServiceError> {
    let answer = service.system.request(&request, Attach::NONE).await;
    let answer: Answer<SystemReply> = answer.map_err(|_| ServiceError::NoAnswer)?;
    match answer.message {
        SystemReply::Osnode { osnode, core } => Ok(Located { osnode, core }),
        SystemReply::Refused { error } => Err(error),
        _ => Err(ServiceError::BadMessage),
    }
}

/// The first OSnode with an id above this one.
pub async fn next_osnode(service: &Service, after: u64) -> Result<Located, ServiceError> {
    ask(service, SystemRequest::Next { osnode: after }).await
}

/// The OSnode that a place means.
///
/// # Errors
/// None is there, with a sentence.
pub async fn resolve(service: &Service, place: Place, number: u64) -> Result<u64, Failure> {
    match place {
        Place::Here => Ok(env::osnode()),
        Place::Osnode => Ok(number),
        Place::Home => {
            // The home OSnode has the lowest id: it made the others.
            let first = next_osnode(service, 0).await;
            first.map(|l| l.osnode).map_err(|e| (e, String::new()))
        }
        Place::Core => {
            let core = u32::try_from(number).unwrap_or(NOWHERE);
            let on = ask(service, SystemRequest::OnCore { core }).await;
            on.map(|l| l.osnode).map_err(|e| {
                (
                    e,
                    format!("core {number} runs no OSnode that is known here"),
                )
            })
        }
    }
}

/// The core that an OSnode runs on.
async fn locate(service: &Service, osnode: u64) -> Result<u32, Failure> {
    let found = match osnode.checked_sub(1) {
        Some(before) => next_osnode(service, before).await.ok(),
        None => None,
    };
    match found.filter(|l| l.osnode == osnode) {
        Some(l) if l.core != NOWHERE => Ok(l.core),
        Some(_) => {
            let text = format!(
                "o{osnode} does not run: core start, or core recover after a crash, brings it back"
            );
            Err((ServiceError::OsnodeGone, text))
        }
        None => Err((
            ServiceError::NoOsnode,
            format!("there is no OSnode o{osnode}"),
        )),
    }
}

async fn connect(service: &Service, osnode: u64) -> Result<Client, Failure> {
    locate(service, osnode).await?;
    let known = service.state.borrow().peers.get(&osnode).cloned();
    if let Some(client) = known.filter(|c| !c.is_gone()) {
        return Ok(client);
    }
    let until = time::now_ns() + ANSWER_NS;
    let bound = time::timeout(until, Client::lookup_on(osnode, "spawn")).await;
    let bound = bound.map(|b| b.map_err(PeerError::from));
    let client = bound.unwrap_or(Err(PeerError::TimedOut)).map_err(|e| {
        let text = format!("no channel to o{osnode}: {e}");
        (ServiceError::NoOsnode, text)
    })?;
    let mut s = service.state.borrow_mut();
    s.peers.insert(osnode, client.clone());
    Ok(client)
}

/// Passes a request on to another OSnode's spawn service; its answer.
///
/// # Errors
/// It cannot be reached, with a sentence.
pub async fn ask_peer(
    service: &Service,
    osnode: u64,
    request: &SpawnRequest,
    blob: &[u8],
    patient: bool,
) -> Result<Answer<SpawnReply>, Failure> {
    ask_peer_with(service, osnode, request, Attach::blob(blob), patient).await
}

/// As [`ask_peer`], with a capability, too.
///
/// # Errors
/// As [`ask_peer`].
pub async fn ask_peer_with(
    service: &Service,
    osnode: u64,
    request: &SpawnRequest,
    with: Attach<'_>,
    patient: bool,
) -> Result<Answer<SpawnReply>, Failure> {
    let client = connect(service, osnode).await?;
    let no_answer = |e: PeerError| {
        let text = format!("o{osnode} does not answer: {e}");
        (ServiceError::NoAnswer, text)
    };
    if patient {
        return client.request(request, with).await.map_err(no_answer);
    }
    let until = time::system_ns().saturating_add(ANSWER_NS);
    let answer = client.request_until(request, with, until);
    match select(answer, leaves(service, osnode)).await {
        Either::Left(answer) => answer.map_err(no_answer),
        Either::Right(gone) => Err(gone),
    }
}

/// Ends when an OSnode that was asked something does not run any more.
async fn leaves(service: &Service, osnode: u64) -> Failure {
    loop {
        time::sleep(LOOK_NS).await;
        if let Err(gone) = locate(service, osnode).await {
            return gone;
        }
    }
}

/// Passes a request on, and its answer back.
pub async fn forward(service: Service, osnode: u64, message: SpawnRequest, request: Request) {
    let patient = matches!(message, SpawnRequest::Wait { .. });
    let blob = request.blob.clone();
    let (reply, blob) = match ask_peer(&service, osnode, &message, &blob, patient).await {
        Ok(a) => (a.message, a.blob),
        Err((error, text)) => (SpawnReply::Refused { error }, text.into_bytes()),
    };
    // An asker that is gone needs no answer.
    let _ = request.answer(&reply, Attach::blob(&blob));
}

//! The other monitors: two channels to each, one for the requests of each side.

use alloc::string::String;

use proto::iface::monitor::{MonitorReply, MonitorRequest};
use proto::iface::system::SystemReply;
use proto::{Name, ServiceError};
use rt::chan::{Answer, Attach, Client, Request};
use rt::ump::UmpChannel;
use rt::{task, time};

use crate::world::World;
use crate::{bind, channels};

/// How long another monitor may take to answer (ns of system time).
const ANSWER_NS: u64 = 10_000_000_000;
/// Frames made beforehand for channels with a new OSnode.
const STOCK: usize = 4;

/// Another monitor.
pub struct Peer {
    /// For requests to it.
    pub ask: Client,
    /// The channel below `ask`.
    pub asking: UmpChannel,
    /// The channel on which it asks.
    pub asked: UmpChannel,
    /// The Frame of `asking`, until the boot driver takes it.
    pub second: Option<rt::Capability>,
    /// It said hello.
    pub joined: bool,
}

/// Asks the monitor of `osnode`, directly or through the home monitor.
///
/// # Errors
/// It is not known or does not answer.
pub async fn ask(
    world: &World,
    osnode: u64,
    request: &MonitorRequest,
    blob: &[u8],
) -> Result<Answer<MonitorReply>, ServiceError> {
    let client = {
        let s = world.state.borrow();
        let direct = s.peers.get(&osnode).or_else(|| s.peers.get(&world.home));
        direct.map(|p| p.ask.clone())
    };
    let client = client.ok_or(ServiceError::NoOsnode)?;
    let until = time::system_ns() + ANSWER_NS;
    let answer = client.request_until(request, Attach::blob(blob), until);
    answer.await.map_err(|_| ServiceError::NoAnswer)
}

/// Answers; a monitor that is gone needs no answer.
fn answer(request: &Request, reply: &MonitorReply, blob: &[u8]) {
    let _ = request.answer(reply, Attach::blob(blob));
}

/// Takes one request of another monitor.
pub fn take(world: &World, request: Request) {
    let Ok(message) = request.decode::<MonitorRequest>() else {
        let error = ServiceError::BadMessage;
        return answer(&request, &MonitorReply::Refused { error }, &[]);
    };
    let world = world.clone();
    task::spawn(async move {
        let (reply, blob) = serve(&world, message, &request).await;
        answer(&request, &reply, blob.as_bytes());
    });
}

async fn serve(
    world: &World,
    message: MonitorRequest,
    request: &Request,
) -> (MonitorReply, String) {
    let meant = match message {
        MonitorRequest::BindUmp { osnode, .. }
        | MonitorRequest::CloseUmp { osnode, .. }
        | MonitorRequest::ServiceGone { osnode, .. } => osnode,
        MonitorRequest::Hello { .. } | MonitorRequest::Ping {} => world.osnode,
    };
    if meant != world.osnode {
        return pass_on(world, meant, message, request).await;
    }
    let refused = |error| (MonitorReply::Refused { error }, String::new());
    match message {
        MonitorRequest::Ping {} => (MonitorReply::Done {}, String::new()),
        MonitorRequest::Hello {
            osnode,
            asking_bell,
            asked_bell,
        } => match hello(world, osnode, asking_bell, asked_bell) {
            Ok(()) => (MonitorReply::Done {}, String::new()),
            Err(e) => refused(e),
        },
        MonitorRequest::BindUmp {
            client,
            region,
            bell,
            ..
        } => {
            let Some(name) = Name::new(&request.text()) else {
                return refused(ServiceError::BadArgument);
            };
            match bind::accept(world, client, name, region, bell).await {
                Ok(bell) => (MonitorReply::Bound { bell }, String::new()),
                Err(e) => refused(e),
            }
        }
        MonitorRequest::ServiceGone { region, .. } => {
            bind::service_gone(world, region);
            (MonitorReply::Done {}, String::new())
        }
        MonitorRequest::CloseUmp { client, region, .. } => {
            bind::closed(world, client, region).await;
            (MonitorReply::Done {}, String::new())
        }
    }
}

/// What is meant for a third OSnode goes to its monitor.
async fn pass_on(
    world: &World,
    osnode: u64,
    message: MonitorRequest,
    request: &Request,
) -> (MonitorReply, String) {
    let known = world.state.borrow().peers.contains_key(&osnode);
    if !known {
        let error = ServiceError::NoOsnode;
        return (MonitorReply::Refused { error }, String::new());
    }
    match ask(world, osnode, &message, &request.blob).await {
        Ok(a) => {
            let text = String::from_utf8_lossy(&a.blob).into_owned();
            (a.message, text)
        }
        Err(error) => (MonitorReply::Refused { error }, String::new()),
    }
}

/// A new OSnode's monitor is there: it can be woken from now on, and who waits for it is told.
fn hello(
    world: &World,
    osnode: u64,
    asking_bell: u64,
    asked_bell: u64,
) -> Result<(), ServiceError> {
    let asking = channels::notify_for(world, osnode, asking_bell)?;
    let asked = channels::notify_for(world, osnode, asked_bell)?;
    let told = {
        let mut s = world.state.borrow_mut();
        let peer = s.peers.get_mut(&osnode).ok_or(ServiceError::NoOsnode)?;
        // What it asks on is what this side answers on, and the other way round.
        asking.into_iter().for_each(|n| peer.asked.set_notify(n));
        asked.into_iter().for_each(|n| peer.asking.set_notify(n));
        peer.joined = true;
        let waiting = s.awaited.extract_if(.., |(o, _)| *o == osnode);
        waiting.map(|(_, r)| r).collect::<alloc::vec::Vec<_>>()
    };
    if let Err(e) = channels::stock(world, STOCK) {
        rt::println!("monitor: no memory for channels to o{osnode}: {e}");
    }
    for request in told {
        // A device manager that is gone needs no answer.
        let _ = request.answer(&SystemReply::Done {}, Attach::NONE);
    }
    Ok(())
}

/// Says hello to the home monitor.
///
/// # Errors
/// It does not take it.
pub async fn say_hello(world: &World, hello: MonitorRequest) -> Result<(), ServiceError> {
    match ask(world, world.home, &hello, &[]).await?.message {
        MonitorReply::Done {} => {}
        MonitorReply::Refused { error } => return Err(error),
        MonitorReply::Bound { .. } => return Err(ServiceError::BadMessage),
    }
    if channels::stock(world, STOCK).is_err() {
        rt::println!("monitor: no memory for channels to o{}", world.home);
    }
    Ok(())
}

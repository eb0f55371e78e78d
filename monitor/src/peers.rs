//! The other monitors: what they ask of this one, and it of them.

use alloc::string::String;
use alloc::vec::Vec;

use capfmt::OsnodeId;
use monitor::agree::codec::Bytes;
use monitor::agree::membership::MemberInput;
use proto::iface::monitor::{MonitorReply, MonitorRequest};
use proto::{Name, PeerError, ServiceError};
use rt::chan::{Answer, Attach, Client, Request};
use rt::ump::UmpChannel;
use rt::{Capability, task, time};

use crate::channels::ChannelFrame;
use crate::world::World;
use crate::{agreement, bind, channels, links, members, unmaps};

/// How long another monitor may take to answer (ns of system time).
pub const ANSWER_NS: u64 = 10_000_000_000;
/// Frames made beforehand for channels with a new OSnode.
pub const STOCK: usize = 6;

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
    /// This side's Frames below the channels: nobody else may use them as long as the OSnode is there.
    pub frames: Vec<ChannelFrame>,
    /// Or copies of the other side's.
    pub borrowed: Vec<Capability>,
    /// It said hello.
    pub joined: bool,
}

impl Peer {
    /// A monitor that is reached through these channels, and has said hello.
    pub fn new(asking: UmpChannel, asked: UmpChannel) -> Peer {
        let ask = Client::over_ump(asking.clone());
        // An OSnode may be stopped for hours, and must find everything then.
        ask.be_patient();
        Peer {
            ask,
            asking,
            asked,
            second: None,
            frames: Vec::new(),
            borrowed: Vec::new(),
            joined: true,
        }
    }
}

/// What an asker is told of it.
pub fn refusal(e: PeerError) -> ServiceError {
    match e {
        PeerError::Refused(e) => e,
        PeerError::Sys(e) => ServiceError::Sys(e),
        _ => ServiceError::NoAnswer,
    }
}

/// Asks the monitor of `osnode`.
///
/// # Errors
/// It is not known or does not answer.
pub async fn ask(
    world: &World,
    osnode: u64,
    request: &MonitorRequest,
    blob: &[u8],
) -> Result<Answer<MonitorReply>, ServiceError> {
    let client = links::client(world, osnode).await?;
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
    let Some(from) = world.introduced(request.introducer()) else {
        return;
    };
    // Messages of the machines are taken in the order in which they came.
    match message {
        MonitorRequest::Agree {} => return agreement::message(world, from, &request.blob),
        MonitorRequest::Member {} => return members::message(world, from, &request.blob),
        MonitorRequest::Flush {} => return unmaps::message(world, from, &request.blob),
        _ => {}
    }
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
        | MonitorRequest::ServiceGone { osnode, .. }
        | MonitorRequest::Connect { osnode, .. } => osnode,
        _ => world.osnode,
    };
    if meant != world.osnode {
        return pass_on(world, meant, message, request).await;
    }
    let refused = |error| (MonitorReply::Refused { error }, String::new());
    match message {
        MonitorRequest::Ping {} => (MonitorReply::Done {}, String::new()),
        MonitorRequest::Connect {
            client,
            asking,
            asked,
            ..
        } => match links::accept(world, client, [asking, asked], &request.blob) {
            Ok(reply) => (reply, String::new()),
            Err(e) => refused(e),
        },
        MonitorRequest::Holds { dead, base, bytes } => {
            match members::holds(world, dead, base, bytes) {
                false => (MonitorReply::Done {}, String::new()),
                true => refused(ServiceError::Busy),
            }
        }
        MonitorRequest::Agree {} | MonitorRequest::Member {} | MonitorRequest::Flush {} => {
            refused(ServiceError::BadOperation)
        }
        MonitorRequest::Hello {
            osnode,
            asking_bell,
            asked_bell,
        } => match hello(world, osnode, [asking_bell, asked_bell], &request.blob).await {
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

/// What is meant for a third OSnode goes to its monitor: to be introduced to it.
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
async fn hello(
    world: &World,
    osnode: u64,
    [asking_bell, asked_bell]: [u64; 2],
    endowment: &[u8],
) -> Result<(), ServiceError> {
    let asking = channels::notify_for(world, osnode, asking_bell)?;
    let asked = channels::notify_for(world, osnode, asked_bell)?;
    {
        let mut s = world.state.borrow_mut();
        let peer = s.peers.get_mut(&osnode).ok_or(ServiceError::NoOsnode)?;
        // What it asks on is what this side answers on, and the other way round.
        asking.into_iter().for_each(|n| peer.asked.set_notify(n));
        asked.into_iter().for_each(|n| peer.asking.set_notify(n));
        peer.joined = true;
    }
    agreement::message(world, osnode, endowment);
    members::step(world, MemberInput::Sponsor(OsnodeId(osnode)));
    if let Err(e) = channels::stock(world, STOCK).await {
        rt::println!("monitor: no memory for channels to o{osnode}: {e}");
    }
    Ok(())
}

/// Says hello to the home monitor.
///
/// # Errors
/// It does not take it.
pub async fn say_hello(world: &World, hello: MonitorRequest) -> Result<(), ServiceError> {
    let endowment = agreement::endowment(world, world.home).to_bytes();
    match ask(world, world.home, &hello, &endowment).await?.message {
        MonitorReply::Done {} => {}
        MonitorReply::Refused { error } => return Err(error),
        _ => return Err(ServiceError::BadMessage),
    }
    if channels::stock(world, STOCK).await.is_err() {
        rt::println!("monitor: no memory for channels to o{}", world.home);
    }
    Ok(())
}

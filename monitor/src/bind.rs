//! UMP channels between services of different OSnodes.
//!
//! The client's monitor owns the Frame. It sends a copy of it to the service's OSnode and
//! asks the monitor there, which hands it to the service and answers with the service's
//! bell. Capabilities that clients and services send each other go the same way.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::MessageTag;
use monitor::agree::membership::Status;
use proto::iface::monitor::{NO_BELL, pack_bell, unpack_region};
use proto::iface::names::{AcceptClient, UmpFrame};
use proto::iface::process::ProcessRequest;
use proto::ump::Side;
use proto::{CallError, Name, PeerError, ServiceError, Wire};
use rt::chan::Client;
use rt::{Capability, SysError, cap, lmp, time};

use crate::channels::{self, CHANNEL_BYTES, ChannelFrame};
use crate::world::World;
use crate::{agreement, parcels, peers};

/// How long a name may take to appear (ns of OSnode time).
const APPEARS_NS: u64 = 3_000_000_000;

/// A channel of a client here.
struct Outgoing {
    frame: ChannelFrame,
    osnode: u64,
    /// Connection of the client.
    asker: u32,
    /// The client's own notification channel.
    channel: u64,
    /// For the client, until it asks for it.
    notify: Option<Capability>,
}

/// A channel to a service here: key is (client's OSnode, region).
struct Incoming {
    name: Name,
    bind: u64,
    /// The service's own channel of the notification page, or `u64::MAX`.
    channel: u64,
}

/// All channels of this OSnode.
pub struct Bindings {
    outgoing: BTreeMap<u64, Outgoing>,
    incoming: BTreeMap<(u64, u64), Incoming>,
    next: u64,
}

impl Bindings {
    pub const fn new() -> Bindings {
        Bindings {
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            next: 1,
        }
    }
    /// Whether a channel with `osnode` has an end here.
    pub fn has_end(&self, osnode: u64, region: u64) -> bool {
        let own = |o: &Outgoing| o.osnode == osnode && o.frame.region == region;
        self.incoming.contains_key(&(osnode, region)) || self.outgoing.values().any(own)
    }
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A process here, of connection `asker`, wants a channel to service `name` of `osnode`.
pub async fn from_here(
    world: &World,
    asker: u32,
    osnode: u64,
    name: Name,
    channel: u64,
) -> Result<UmpFrame<Capability>, ServiceError> {
    let frame = channels::take_frame(world).await.map_err(peers::refusal)?;
    let notify = match reach(world, osnode, name, &frame, channel).await {
        Ok(notify) => notify,
        Err(e) => {
            world.state.borrow_mut().pool.put(frame);
            return Err(e);
        }
    };
    let copy = cap::copy(frame.cap.addr());
    let bind = {
        let mut s = world.state.borrow_mut();
        let bind = s.bindings.number();
        let outgoing = Outgoing {
            frame,
            osnode,
            asker,
            channel,
            notify,
        };
        s.bindings.outgoing.insert(bind, outgoing);
        bind
    };
    Ok(UmpFrame {
        bind,
        bytes: CHANNEL_BYTES,
        frame: copy?,
    })
}

/// Joins the service to a channel; the capability that wakes it, if it wants to be woken.
async fn reach(
    world: &World,
    osnode: u64,
    name: Name,
    frame: &ChannelFrame,
    channel: u64,
) -> Result<Option<Capability>, ServiceError> {
    lend(world, osnode, frame).await?;
    let bell = pack_bell(world.notification_page(), channel);
    let theirs = match osnode == world.osnode {
        true => accept(world, world.osnode, name, frame.region, bell).await?,
        false => ask(world, osnode, name, frame.region, bell).await?,
    };
    Ok(channels::notify_for(world, osnode, theirs)?)
}

/// Lets the service's OSnode have a copy of the Frame.
async fn lend(world: &World, osnode: u64, frame: &ChannelFrame) -> Result<(), ServiceError> {
    if osnode == world.osnode {
        return Ok(());
    }
    match world.state.borrow().members.status(osnode) {
        None => return Err(ServiceError::NoOsnode),
        Some(Status::Gone) => return Err(ServiceError::OsnodeGone),
        Some(Status::Stopped(_)) => return Err(ServiceError::Sys(SysError::TryLater)),
        // One in motion runs again soon.
        Some(Status::Joining | Status::Running | Status::Moving(_)) => {}
    }
    let copy = cap::copy(frame.cap.addr())?;
    let sent = agreement::send(world, osnode, copy, frame.region, false);
    sent.await.map(|_| ())
}

/// Asks another OSnode's monitor for a binding; the service's bell.
async fn ask(
    world: &World,
    osnode: u64,
    name: Name,
    region: u64,
    bell: u64,
) -> Result<u64, ServiceError> {
    let monitor = peers::monitor(world, osnode).await?;
    let name = name.as_str().as_bytes();
    let bound = monitor.bind_ump(osnode, world.osnode, region, bell, name);
    Ok(bound.await.map_err(peers::unsaid)?.bell)
}

/// The client asks for the capability that wakes the service; `None`: there is no such binding.
pub fn notify(world: &World, bind: u64) -> Option<Option<Capability>> {
    let mut s = world.state.borrow_mut();
    let found = s.bindings.outgoing.get_mut(&bind)?;
    Some(found.notify.take())
}

/// The client gives its channel up.
pub async fn close(world: &World, bind: u64) -> Result<(), ServiceError> {
    let outgoing = world.state.borrow_mut().bindings.outgoing.remove(&bind);
    give_up(world, outgoing.ok_or(ServiceError::NotFound)?).await;
    Ok(())
}

/// A process here ended: its channels are given up in its place.
pub async fn client_ended(world: &World, asker: u32) {
    let left: Vec<Outgoing> = {
        let outgoing = &mut world.state.borrow_mut().bindings.outgoing;
        let of = outgoing.extract_if(.., |_, o| o.asker == asker);
        of.map(|(_, o)| o).collect()
    };
    for outgoing in left {
        give_up(world, outgoing).await;
    }
}

/// Tells the service's side; the Frame can be used again when nobody else holds it.
async fn give_up(world: &World, outgoing: Outgoing) {
    let (osnode, region) = (outgoing.osnode, outgoing.frame.region);
    parcels::forget(world, osnode, region);
    if osnode == world.osnode {
        closed(world, osnode, region).await;
    } else if let Ok(monitor) = peers::monitor(world, osnode).await {
        // An OSnode that does not answer now gives its copy back some time, or is gone.
        let _ = monitor.close_ump(osnode, world.osnode, region).await;
    }
    world.state.borrow_mut().pool.put(outgoing.frame);
    channels::trim(world);
}

/// A connection to the service registered under `name`; one that is just starting is waited for.
pub async fn service(world: &World, name: Name) -> Result<AcceptClient<Client>, ServiceError> {
    let known = world.state.borrow().services.get(&name).cloned();
    if let Some(service) = known.filter(|s| s.0.ping().is_ok()) {
        return Ok(service);
    }
    let until = time::now_ns() + APPEARS_NS;
    let endpoint = time::timeout(until, world.named(name)).await;
    let endpoint = endpoint.ok_or(ServiceError::NotFound)??;
    let bound = Client::bind(endpoint.addr()).await;
    let service = AcceptClient(bound.map_err(|_| ServiceError::ProcessGone)?);
    let known = &mut world.state.borrow_mut().services;
    known.insert(name, service.clone());
    Ok(service)
}

/// A client of OSnode `client` wants a channel to service `name` here; the service's bell.
pub async fn accept(
    world: &World,
    client: u64,
    name: Name,
    region: u64,
    bell: u64,
) -> Result<u64, ServiceError> {
    let accepted = accept_frame(world, client, name, region, bell).await;
    if accepted.is_err() {
        {
            let mut s = world.state.borrow_mut();
            s.bindings.incoming.remove(&(client, region));
        }
        parcels::forget(world, client, region);
    }
    accepted
}

async fn accept_frame(
    world: &World,
    client: u64,
    name: Name,
    region: u64,
    bell: u64,
) -> Result<u64, ServiceError> {
    let to = service(world, name).await?;
    let (base, bytes) = unpack_region(region);
    let copy = if client == world.osnode {
        // The Frame is this OSnode's: a copy made from its words is a copy like any other.
        channels::import_frame(world.osnode, base, bytes)?
    } else {
        parcels::take(world, client, region, None).ok_or(ServiceError::NoCapability)?
    };
    let bind = {
        let mut s = world.state.borrow_mut();
        let bind = s.bindings.number();
        let incoming = Incoming {
            name,
            bind,
            channel: u64::MAX,
        };
        s.bindings.incoming.insert((client, region), incoming);
        bind
    };
    let taken = to.ump(bind, client, copy.addr()).await;
    let channel = taken.map_err(untaken)?.channel;
    if let Some(i) = world
        .state
        .borrow_mut()
        .bindings
        .incoming
        .get_mut(&(client, region))
    {
        i.channel = channel;
    }
    if let Some(notify) = channels::notify_for(world, client, bell)? {
        let taken = to.notify(bind, notify.addr()).await;
        taken.map_err(untaken)?;
    }
    match channel {
        u64::MAX => Ok(NO_BELL),
        c => Ok(pack_bell(world.notification_page(), c)),
    }
}

/// Why a service does not take what it is brought.
fn untaken(e: CallError) -> ServiceError {
    match e {
        CallError::Refused(r) => r.error,
        CallError::Peer(_) => ServiceError::ProcessGone,
    }
}

/// The client of OSnode `client` gave its channel up: the service is told.
pub async fn closed(world: &World, client: u64, region: u64) {
    let found = {
        let mut s = world.state.borrow_mut();
        s.bindings.incoming.remove(&(client, region))
    };
    parcels::forget(world, client, region);
    let Some(Incoming { name, bind, .. }) = found else {
        return;
    };
    // A service that is gone has closed its side.
    let to = world.state.borrow().services.get(&name).cloned();
    if let Some(to) = to.filter(|s| s.0.ping().is_ok()) {
        let _ = to.closed(bind).await;
    }
}

/// A service here ended: the channels that clients have to it are closed in its place. The spawn service has the
/// processes that it made look whether those that they wait for are still there; the monitor's own are told here.
pub async fn services_ended(world: &World) {
    for process in &world.state.borrow().own {
        let words = ProcessRequest::Look {}.to_words(0);
        // One that has no room for it finds out a little later by itself.
        let _ = lmp::send(process.endpoint(), MessageTag::default(), words);
    }
    let lost: Vec<(u64, u64)> = {
        let mut s = world.state.borrow_mut();
        let ended = s
            .services
            .extract_if(.., |_, service| service.0.ping().is_err());
        let ended: Vec<Name> = ended.map(|(name, _)| name).collect();
        let incoming = &mut s.bindings.incoming;
        let lost = incoming.extract_if(.., |_, i| ended.contains(&i.name));
        lost.map(|(channel, _)| channel).collect()
    };
    for (client, region) in lost {
        parcels::forget(world, client, region);
        if client == world.osnode {
            service_gone(world, region);
            continue;
        }
        if let Ok(monitor) = peers::monitor(world, client).await {
            // An OSnode that does not answer finds out when its client asks anew.
            let _ = monitor.service_gone(client, region).await;
        }
    }
}

/// The service of a client here ended: the client sees its channel closed.
pub fn service_gone(world: &World, region: u64) {
    let s = world.state.borrow();
    let mut outgoing = s.bindings.outgoing.values();
    if let Some(o) = outgoing.find(|o| o.frame.region == region)
        && let Err(e) = channels::close_for_service(&o.frame, o.channel)
    {
        rt::println!("monitor: a channel cannot be closed: {e}");
    }
}

/// The other end of a binding, if it is the asker's: OSnode and region.
fn other_end(world: &World, asker: u32, bind: u64) -> Option<(u64, u64)> {
    let s = world.state.borrow();
    let own = s.bindings.outgoing.get(&bind);
    if let Some(o) = own.filter(|o| o.asker == asker) {
        return Some((o.osnode, o.frame.region));
    }
    let mut incoming = s.bindings.incoming.iter();
    let (key, i) = incoming.find(|(_, i)| i.bind == bind)?;
    let registered = s.registrars.get(&i.name) == Some(&asker);
    registered.then_some(*key)
}

/// A client or service sends a capability to the other end of its channel; what it is asked for with there.
pub async fn send_cap(
    world: &World,
    asker: u32,
    bind: u64,
    cap: Capability,
    give: bool,
) -> Result<u64, ServiceError> {
    let (osnode, region) = other_end(world, asker, bind).ok_or(ServiceError::NotFound)?;
    match osnode == world.osnode {
        true => Ok(parcels::keep(world, cap, region)),
        false => agreement::send(world, osnode, cap, region, give).await,
    }
}

/// The other end takes it.
pub fn take_cap(world: &World, asker: u32, bind: u64, number: u64) -> Option<Capability> {
    let (osnode, region) = other_end(world, asker, bind)?;
    parcels::take(world, osnode, region, Some(number))
}

/// An OSnode is gone: its clients' channels to services here are closed in their place. To be called while it
/// still counts as the owner of their Frames.
pub async fn clients_gone(world: &World, osnode: u64) {
    let channels: Vec<(u64, u64)> = {
        let s = world.state.borrow();
        let all = s.bindings.incoming.iter();
        let of = all.filter(|((o, _), _)| *o == osnode);
        of.map(|((_, region), i)| (*region, i.channel)).collect()
    };
    for (region, channel) in channels {
        let (base, bytes) = unpack_region(region);
        let frame = channels::import_frame(osnode, base, bytes).map_err(PeerError::Sys);
        let done = frame.and_then(|f| channels::close_for_dead(channel, &f, Side::A));
        if let Err(e) = done {
            rt::println!("monitor: a channel of o{osnode} cannot be closed: {e}");
        }
        closed(world, osnode, region).await;
    }
}

/// An OSnode is gone: channels to its services are closed.
pub fn osnode_gone(world: &World, osnode: u64) {
    let s = world.state.borrow();
    for outgoing in s.bindings.outgoing.values().filter(|o| o.osnode == osnode) {
        if let Err(e) = channels::close_for_service(&outgoing.frame, outgoing.channel) {
            rt::println!("monitor: a channel cannot be closed: {e}");
        }
    }
}

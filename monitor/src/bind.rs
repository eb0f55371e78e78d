//! The bind machine of this OSnode, run: UMP channels between clients and services, here and on other OSnodes.
//!
//! The client's monitor owns the Frame. The machine decides; here are what it decides about: Frames, the
//! services' connections, and the clients that wait.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use abi::MessageTag;
use capfmt::OsnodeId;
use monitor::agree::Shipped;
use monitor::agree::bind::{BindInput, BindMessage, BindOutput, Binder, Bound, Line, Wanted};
use monitor::agree::codec::Bytes;
use monitor::agree::membership::Status;
use proto::iface::monitor::{NO_BELL, pack_bell};
use proto::iface::names::{AcceptClient, UmpFrame};
use proto::iface::process::ProcessRequest;
use proto::{CallError, Name, PeerError, ServiceError, Wire};
use rt::chan::{Client, Request};
use rt::{Capability, cap, lmp, task, time};

use crate::channels::{self, CHANNEL_BYTES, ChannelFrame};
use crate::links::{self, Kind};
use crate::soon::Soon;
use crate::world::World;
use crate::{agreement, parcels, peers};

/// How long a name may take to appear (ns of OSnode time).
const APPEARS_NS: u64 = 3_000_000_000;
/// How often deadlines are looked at (ns of system time).
const TICK_NS: u64 = 1_000_000_000;

/// A line of a client here.
struct Own {
    frame: ChannelFrame,
    to: u64,
    /// The client's own notification channel.
    channel: u64,
    /// Wakes the service, until the client asks for it.
    notify: Option<Capability>,
}

/// A line that a service here was brought.
struct Served {
    name: Name,
    /// The service's number for it.
    bind: u64,
    /// The service's own channel of the notification page, or `u64::MAX`.
    channel: u64,
}

/// All lines of this OSnode.
pub struct Bindings {
    pub machine: Binder,
    own: BTreeMap<u64, Own>,
    served: BTreeMap<Line, Served>,
    /// Own Frames that services here may still use.
    here: BTreeSet<u64>,
    /// Clients that wait for an answer.
    waiting: BTreeMap<u64, Soon<Bound>>,
    next: u64,
    /// A task looks after deadlines.
    ticking: bool,
}

impl Bindings {
    pub fn new(osnode: u64) -> Bindings {
        Bindings {
            machine: Binder::new(OsnodeId(osnode), Shipped),
            own: BTreeMap::new(),
            served: BTreeMap::new(),
            here: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next: 1,
            ticking: false,
        }
    }
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    /// Whether a service of this OSnode may still use an own Frame.
    pub fn is_served_here(&self, region: u64) -> bool {
        self.here.contains(&region)
    }
    /// The line that a service has under its number, and the service.
    pub fn served(&self, bind: u64) -> Option<(Line, Name)> {
        let mut all = self.served.iter();
        let (line, s) = all.find(|(_, s)| s.bind == bind)?;
        Some((*line, s.name))
    }
}

/// Lets the machine take an input, and does what it says.
fn step(world: &World, input: BindInput) {
    // The borrow ends with the statement: what follows borrows again.
    let outputs = {
        let machine = &mut world.state.borrow_mut().bindings.machine;
        machine.step(time::system_ns(), input)
    };
    for output in outputs {
        perform(world, output);
    }
}

fn perform(world: &World, output: BindOutput) {
    match output {
        BindOutput::Send { to, message } => {
            links::say(world, to.0, Kind::Bind, message.to_bytes());
        }
        BindOutput::Lend { number, to } => lend(world, number, to),
        BindOutput::Answer { number, bound } => {
            let waiting = world.state.borrow_mut().bindings.waiting.remove(&number);
            waiting.into_iter().for_each(|w| w.tell(bound));
        }
        BindOutput::Release { number } => release(world, number),
        BindOutput::CloseAtClient { number } => {
            let s = world.state.borrow();
            let closed = s.bindings.own.get(&number);
            let closed = closed.map(|o| channels::close_for_service(&o.frame, o.channel));
            tell_if_failed(closed);
        }
        BindOutput::Offer { line, wanted } => offer(world, line, wanted),
        BindOutput::Withdraw { line, region } => withdraw(world, line, region),
        BindOutput::ForgetLent { client } => parcels::forget_all(world, client),
    }
}

fn tell_if_failed(closed: Option<Result<(), PeerError>>) {
    if let Some(Err(e)) = closed {
        rt::println!("monitor: a channel cannot be closed: {e}");
    }
}

/// A message of another machine.
pub fn message(world: &World, from: u64, bytes: &[u8]) {
    let from = OsnodeId(from);
    match BindMessage::from_bytes(bytes) {
        Some(message) => step(world, BindInput::Message { from, message }),
        None => rt::println!(
            "monitor: o{} sent a message about a channel that cannot be read",
            from.0
        ),
    }
}

/// Whether channels to an OSnode can be had now.
fn reachable(world: &World, osnode: u64) -> Result<(), ServiceError> {
    if osnode == world.osnode {
        return Ok(());
    }
    let s = world.state.borrow();
    match s.members.status(osnode) {
        None => Err(ServiceError::NoOsnode),
        Some(Status::Gone) => Err(ServiceError::OsnodeGone),
        Some(Status::Stopped(_)) => Err(ServiceError::TryLater(s.members.machine.view())),
        // One in motion runs again soon.
        Some(Status::Joining | Status::Running | Status::Moving(_)) => Ok(()),
    }
}

/// A process here wants a channel to service `name` of `osnode`.
///
/// # Errors
/// As the service or its monitor says; `NoOsnode`, `OsnodeGone`, `TryLater`, `NoAnswer`, `ProcessGone`.
pub async fn from_here(
    world: &World,
    request: &Request,
    osnode: u64,
    name: Name,
    channel: u64,
) -> Result<UmpFrame<Capability>, ServiceError> {
    reachable(world, osnode)?;
    let frame = channels::take_frame(world).await.map_err(peers::refusal)?;
    if request.is_closed() {
        // Its end was told already: nobody would give this line up.
        world.state.borrow_mut().pool.put(frame);
        return Err(ServiceError::ProcessGone);
    }
    let wanted = Wanted {
        name,
        region: frame.region,
        bell: pack_bell(world.notification_page(), channel),
    };
    let soon = Soon::new();
    let number = {
        let b = &mut world.state.borrow_mut().bindings;
        let number = b.number();
        let own = Own {
            frame,
            to: osnode,
            channel,
            notify: None,
        };
        b.own.insert(number, own);
        b.waiting.insert(number, soon.clone());
        number
    };
    let ask = BindInput::Ask {
        number,
        to: OsnodeId(osnode),
        wanted,
        asker: request.connection(),
        deadline: time::system_ns() + peers::ANSWER_NS,
    };
    step(world, ask);
    tick(world);
    let bound = soon.wait().await;
    let bell =
        bound.map_err(|code| ServiceError::from_code(code).unwrap_or(ServiceError::NoAnswer))?;
    let made = hand_out(world, number, osnode, bell);
    if made.is_err() {
        step(world, BindInput::Close(number));
    }
    made
}

/// What the client of a line gets.
fn hand_out(
    world: &World,
    number: u64,
    osnode: u64,
    bell: u64,
) -> Result<UmpFrame<Capability>, ServiceError> {
    let notify = channels::notify_for(world, osnode, bell)?;
    let s = &mut world.state.borrow_mut();
    let own = s.bindings.own.get_mut(&number);
    let own = own.ok_or(ServiceError::ProcessGone)?;
    own.notify = notify;
    Ok(UmpFrame {
        bind: number,
        bytes: CHANNEL_BYTES,
        frame: cap::share(own.frame.cap.addr())?,
    })
}

/// While clients wait, their deadlines are looked at.
fn tick(world: &World) {
    {
        let b = &mut world.state.borrow_mut().bindings;
        if !b.machine.is_asking() || core::mem::replace(&mut b.ticking, true) {
            return;
        }
    }
    let world = world.clone();
    task::spawn(async move {
        while world.state.borrow().bindings.machine.is_asking() {
            time::system_sleep(TICK_NS).await;
            step(&world, BindInput::Tick);
        }
        world.state.borrow_mut().bindings.ticking = false;
    });
}

/// Lets the service's OSnode have a copy of a line's Frame.
fn lend(world: &World, number: u64, to: OsnodeId) {
    if to.0 == world.osnode {
        let outcome = Ok(());
        return step(world, BindInput::Lent { number, outcome });
    }
    let copy = {
        let s = world.state.borrow();
        let own = s.bindings.own.get(&number);
        own.map(|o| (cap::share(o.frame.cap.addr()), o.frame.region))
    };
    let Some((copy, region)) = copy else { return };
    let world = world.clone();
    task::spawn(async move {
        let lent = match copy {
            Ok(copy) => agreement::lend(&world, to.0, copy, region).await,
            Err(e) => Err(e.into()),
        };
        let outcome = lent.map_err(ServiceError::code);
        step(&world, BindInput::Lent { number, outcome });
    });
}

/// The Frame can be used again when nobody else holds it.
fn release(world: &World, number: u64) {
    let own = world.state.borrow_mut().bindings.own.remove(&number);
    let Some(own) = own else { return };
    // What came for the client and it never took.
    parcels::forget(world, own.to, own.frame.region);
    world.state.borrow_mut().pool.put(own.frame);
    channels::trim(world);
}

/// The client asks for the capability that wakes the service; `None`: it has no such channel.
pub fn notify(world: &World, asker: u32, bind: u64) -> Option<Option<Capability>> {
    let b = &mut world.state.borrow_mut().bindings;
    b.machine.service_of(bind, asker)?;
    Some(b.own.get_mut(&bind)?.notify.take())
}

/// The client gives its channel up.
///
/// # Errors
/// `NotFound`: it has no such channel.
pub fn close(world: &World, asker: u32, bind: u64) -> Result<(), ServiceError> {
    let own = world
        .state
        .borrow()
        .bindings
        .machine
        .service_of(bind, asker);
    own.ok_or(ServiceError::NotFound)?;
    step(world, BindInput::Close(bind));
    Ok(())
}

/// A process here ended: its channels are given up in its place.
pub fn client_ended(world: &World, asker: u32) {
    step(world, BindInput::ClientEnded(asker));
}

/// An OSnode is gone.
pub fn gone(world: &World, osnode: OsnodeId) {
    step(world, BindInput::Gone(osnode));
}

/// A connection to the service registered under `name`; one that is just starting is waited for.
pub async fn service(world: &World, name: Name) -> Result<AcceptClient<Client>, ServiceError> {
    let known = world.state.borrow().services.get(&name).cloned();
    if let Some(service) = known.filter(|s| s.0.ping().is_ok()) {
        return Ok(service);
    }
    let until = time::now_ns() + APPEARS_NS;
    let named = time::timeout(until, world.named(name)).await;
    named.ok_or(ServiceError::NotFound)??;
    let endpoint = world.door(&name).ok_or(ServiceError::NotFound)??;
    let bound = Client::bind(endpoint.addr()).await;
    let service = AcceptClient(bound.map_err(|_| ServiceError::ProcessGone)?);
    let known = &mut world.state.borrow_mut().services;
    known.insert(name, service.clone());
    Ok(service)
}

fn offer(world: &World, line: Line, wanted: Wanted) {
    if line.client.0 == world.osnode {
        let here = &mut world.state.borrow_mut().bindings.here;
        here.insert(wanted.region);
    }
    let world = world.clone();
    task::spawn(async move {
        let bound = bring(&world, line, &wanted)
            .await
            .map_err(ServiceError::code);
        step(&world, BindInput::Offered { line, bound });
    });
}

/// Brings a channel to its service; the service's bell.
async fn bring(world: &World, line: Line, wanted: &Wanted) -> Result<u64, ServiceError> {
    let to = service(world, wanted.name).await?;
    let (client, region) = (line.client.0, wanted.region);
    let copy = if client == world.osnode {
        let s = world.state.borrow();
        let own = s.bindings.own.values().find(|o| o.frame.region == region);
        cap::share(own.ok_or(ServiceError::ProcessGone)?.frame.cap.addr())?
    } else {
        parcels::take(world, client, region, None).ok_or(ServiceError::NoCapability)?
    };
    let bind = {
        let b = &mut world.state.borrow_mut().bindings;
        let bind = b.number();
        let served = Served {
            name: wanted.name,
            bind,
            channel: u64::MAX,
        };
        b.served.insert(line, served);
        bind
    };
    let taken = to.ump(bind, client, copy.addr()).await;
    let channel = taken.map_err(untaken)?.channel;
    if let Some(served) = world.state.borrow_mut().bindings.served.get_mut(&line) {
        served.channel = channel;
    }
    if let Some(notify) = channels::notify_for(world, client, wanted.bell)? {
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

/// A line is over: its service is told, which lets go of the Frame, and nobody takes any more what came for it.
fn withdraw(world: &World, line: Line, region: u64) {
    parcels::forget(world, line.client.0, region);
    let (served, to) = {
        let s = &mut world.state.borrow_mut();
        let served = s.bindings.served.remove(&line);
        let to = served.as_ref().and_then(|v| s.services.get(&v.name));
        (served, to.cloned())
    };
    let world = world.clone();
    task::spawn(async move {
        // A service that is gone has closed its side, and holds nothing any more.
        if let (Some(served), Some(to)) = (served, to)
            && to.0.ping().is_ok()
        {
            let _ = to.closed(served.bind).await;
        }
        if line.client.0 == world.osnode {
            world.state.borrow_mut().bindings.here.remove(&region);
            channels::trim(&world);
        }
    });
}

/// A service here ended: the channels that clients have to it are closed in its place. The spawn service has the
/// processes that it made look whether those that they wait for are still there; the monitor's own are told here.
pub fn services_ended(world: &World) {
    for process in world.state.borrow().own.values() {
        let words = ProcessRequest::Look {}.to_words(0);
        // One that has no room for it finds out a little later by itself.
        let _ = lmp::send(process.endpoint(), MessageTag::default(), words);
    }
    let ended: Vec<Name> = {
        let services = &mut world.state.borrow_mut().services;
        let ended = services.extract_if(.., |_, service| service.0.ping().is_err());
        ended.map(|(name, _)| name).collect()
    };
    for name in ended {
        step(world, BindInput::ServiceEnded(name));
    }
}

/// A service registered under a name: what clients had with the one before it is over.
pub fn replaced(world: &World, name: Name) {
    let before = world.state.borrow_mut().services.remove(&name);
    if before.is_some() {
        step(world, BindInput::ServiceEnded(name));
    }
}

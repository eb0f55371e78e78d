//! Channels between monitors: made at first use, between the two concerned.
//!
//! Whoever made an OSnode known has channels to everybody it told. So an OSnode that is
//! known, but not connected, is reached once through its sponsor, or through one's own.
//! `monitor::agree::connect` says which pair of channels counts. What is to be said meanwhile waits, in order.

use alloc::vec::Vec;

use capfmt::OsnodeId;
use monitor::agree::Shipped;
use monitor::agree::connect::{self, Answer, Link, Offer};
use monitor::agree::membership::Status;
use proto::iface::monitor::{Connected, MonitorClient, NO_BELL, pack_bell};
use proto::ump::Side;
use proto::{Ask, PeerError, ServiceError};
use rt::chan::Client;
use rt::event::Notification;
use rt::ump::{UmpChannel, UmpError};
use rt::{Capability, task, time};

use crate::channels::{self, CHANNEL_BYTES, ChannelFrame};
use crate::peers::{ANSWER_NS, Peer, refusal, unsaid};
use crate::world::World;

/// First and longest pause between two tries to reach an OSnode (ns of system time).
const RETRY_MIN_NS: u64 = 1_000_000;
const RETRY_MAX_NS: u64 = 1_000_000_000;

/// What a machine says to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Agree,
    Member,
    Flush,
    Bind,
}

impl Kind {
    fn tell<C: Ask>(self, over: C, message: &[u8]) -> Result<(), PeerError> {
        let monitor = MonitorClient(over);
        match self {
            Kind::Agree => monitor.agree(message),
            Kind::Member => monitor.member(message),
            Kind::Flush => monitor.flush(message),
            Kind::Bind => monitor.bind(message),
        }
    }
}

/// A monitor that is being connected.
#[derive(Default)]
pub struct Connecting {
    /// What waits to be said to it.
    waiting: Vec<(Kind, Vec<u8>)>,
    /// The channels that it is offered, once they are made.
    pair: Option<Pair>,
}

/// One's own two channels, in the order of [`Offer`].
struct Pair {
    channels: [UmpChannel; 2],
    frames: [ChannelFrame; 2],
}

impl Pair {
    async fn make(world: &World) -> Result<Pair, PeerError> {
        let mut made = [None, None];
        for (place, side) in made.iter_mut().zip([Side::A, Side::B]) {
            let frame = channels::take_frame(world).await?;
            let channel = opened(rt::cap::copy(frame.cap.addr())?, side)?;
            *place = Some((channel, frame));
        }
        match made {
            [Some((asking, f)), Some((asked, g))] => Ok(Pair {
                channels: [asking, asked],
                frames: [f, g],
            }),
            _ => Err(PeerError::Refused(ServiceError::OutOfMemory)),
        }
    }
    fn regions(&self) -> Offer {
        [self.frames[0].region, self.frames[1].region]
    }
    fn bells(&self, world: &World) -> Vec<u8> {
        let bells = self.channels.each_ref().map(|c| bell(world, c));
        bells.iter().flat_map(|b| b.to_le_bytes()).collect()
    }
    /// Nobody uses it.
    fn give_back(self, world: &World) {
        self.channels.iter().for_each(UmpChannel::leave_for_good);
        let pool = &mut world.state.borrow_mut().pool;
        self.frames.into_iter().for_each(|f| pool.put(f));
    }
}

/// Says something, in order, now or when there is a channel.
pub fn say(world: &World, osnode: u64, kind: Kind, bytes: Vec<u8>) {
    say_so(world, osnode, kind, bytes, true);
}

/// As [`say`], but without waking that monitor: it hears of it when it runs for another reason.
pub fn leave(world: &World, osnode: u64, kind: Kind, bytes: Vec<u8>) {
    say_so(world, osnode, kind, bytes, false);
}

fn say_so(world: &World, osnode: u64, kind: Kind, bytes: Vec<u8>, wake: bool) {
    let client = {
        let mut s = world.state.borrow_mut();
        match s.peers.get(&osnode) {
            Some(peer) => peer.ask.clone(),
            None => {
                let new = !s.connecting.contains_key(&osnode);
                let connecting = s.connecting.entry(osnode).or_default();
                connecting.waiting.push((kind, bytes));
                drop(s);
                if new {
                    let world = world.clone();
                    task::spawn(async move { connect_patiently(&world, osnode).await });
                }
                return;
            }
        }
    };
    let said = match wake {
        true => kind.tell(client, &bytes),
        false => kind.tell(client.leaving(), &bytes),
    };
    if let Err(e) = said {
        // Only an OSnode that is gone takes nothing: its membership news settles what this was about.
        rt::io::log(format_args!("monitor: o{osnode} takes no messages: {e}\n"));
    }
}

/// A client of the monitor of `osnode`.
///
/// # Errors
/// `NoOsnode`, `OsnodeGone`, `NoAnswer`.
pub async fn client(world: &World, osnode: u64) -> Result<Client, ServiceError> {
    let until = time::system_ns() + ANSWER_NS;
    loop {
        {
            let mut s = world.state.borrow_mut();
            if let Some(peer) = s.peers.get(&osnode) {
                return Ok(peer.ask.clone());
            }
            match s.members.machine.known().get(&capfmt::OsnodeId(osnode)) {
                None => return Err(ServiceError::NoOsnode),
                Some(f) if f.status == Status::Gone => return Err(ServiceError::OsnodeGone),
                Some(_) => {}
            }
            if !s.connecting.contains_key(&osnode) {
                s.connecting.entry(osnode).or_default();
                drop(s);
                let world = world.clone();
                task::spawn(async move { connect_patiently(&world, osnode).await });
            }
        }
        if time::system_ns() >= until {
            return Err(ServiceError::NoAnswer);
        }
        time::system_sleep(RETRY_MIN_NS).await;
    }
}

/// Connects, however long it takes; ends when there are channels, or the OSnode is gone.
async fn connect_patiently(world: &World, osnode: u64) {
    let mut pause = RETRY_MIN_NS;
    loop {
        let gone = {
            let s = world.state.borrow();
            let known = s.members.machine.known().get(&capfmt::OsnodeId(osnode));
            known.is_some_and(|f| f.status == Status::Gone)
        };
        let connected = world.state.borrow().peers.contains_key(&osnode);
        if gone {
            forget(world, osnode);
        }
        if gone || connected {
            return;
        }
        match connect(world, osnode).await {
            Ok(()) | Err(ServiceError::Exists) => {}
            Err(e) => rt::io::log(format_args!("monitor: no channel to o{osnode} yet: {e}\n")),
        }
        if !world.state.borrow().peers.contains_key(&osnode) {
            time::system_sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX_NS);
        }
    }
}

/// Whom to ask for an introduction.
fn route(world: &World, osnode: u64) -> Option<Client> {
    let s = world.state.borrow();
    let known = s.members.machine.known();
    let of = |n: u64| known.get(&capfmt::OsnodeId(n)).map(|f| f.teller.0);
    let ways = [of(osnode), of(world.osnode), Some(world.home)];
    let mut ways = ways.into_iter().flatten();
    let way = ways.find(|n| *n != world.osnode && s.peers.contains_key(n));
    let lowest = || s.peers.keys().next().copied();
    let peer = s.peers.get(&way.or_else(lowest)?)?;
    Some(peer.ask.clone())
}

/// One side of a channel over a Frame.
///
/// # Errors
/// A system call failed, or the Frame is no channel.
pub fn opened(frame: Capability, side: Side) -> Result<UmpChannel, PeerError> {
    let own = Notification::new()?;
    UmpChannel::open(frame, CHANNEL_BYTES, side, Some(own)).map_err(|e| match e {
        UmpError::Sys(e) => PeerError::Sys(e),
        UmpError::Ring(_) => PeerError::Refused(ServiceError::BadArgument),
    })
}

fn bell(world: &World, channel: &UmpChannel) -> u64 {
    match channel.own_channel() {
        u64::MAX => NO_BELL,
        c => pack_bell(world.notification_page(), c),
    }
}

/// Offers a pair of channels: the same until it is answered.
async fn connect(world: &World, osnode: u64) -> Result<(), ServiceError> {
    let via = route(world, osnode).ok_or(ServiceError::NoOsnode)?;
    let made = |world: &World| {
        let s = world.state.borrow();
        let pair = s.connecting.get(&osnode).and_then(|c| c.pair.as_ref());
        pair.map(|p| (p.regions(), p.bells(world)))
    };
    let same = connect::offered(Shipped, made(world).map(|(regions, _)| regions));
    if same.is_none() {
        let pair = Pair::make(world).await.map_err(refusal)?;
        let kept = match world.state.borrow_mut().connecting.get_mut(&osnode) {
            Some(connecting) => connecting.pair.replace(pair),
            None => Some(pair),
        };
        kept.into_iter().for_each(|pair| pair.give_back(world));
    }
    // Meanwhile the other one's can have come.
    let Some(([asking, asked], bells)) = made(world) else {
        return Ok(());
    };
    let via = MonitorClient(via.until(time::system_ns() + ANSWER_NS));
    let connected = via.connect(osnode, world.osnode, asking, asked, &bells);
    let connected = connected.await.map_err(unsaid)?;
    accepted(world, osnode, [connected.asking_bell, connected.asked_bell])
}

/// One's own channels are used.
fn accepted(world: &World, osnode: u64, bells: [u64; 2]) -> Result<(), ServiceError> {
    let notifies = [
        channels::notify_for(world, osnode, bells[0])?,
        channels::notify_for(world, osnode, bells[1])?,
    ];
    let pair = {
        let mut s = world.state.borrow_mut();
        let connecting = s.connecting.get_mut(&osnode);
        connecting.and_then(|c| c.pair.take())
    };
    // It is gone meanwhile.
    let Some(Pair { channels, frames }) = pair else {
        return Ok(());
    };
    for (channel, notify) in channels.iter().zip(notifies) {
        notify.into_iter().for_each(|n| channel.set_notify(n));
    }
    for frame in &frames {
        crate::agreement::lent(world, osnode, frame);
    }
    let [asking, asked] = channels;
    join(world, osnode, asking, asked, Below::Own(frames));
    Ok(())
}

/// How far this monitor is with that one.
fn link(world: &World, osnode: u64) -> Link {
    let s = world.state.borrow();
    match s.peers.get(&osnode) {
        Some(peer) => peer.offer.map_or(Link::Own, Link::Theirs),
        None if s.connecting.contains_key(&osnode) => Link::Asking,
        None => Link::Idle,
    }
}

/// Nobody is to be connected any more: it is gone.
pub fn forget(world: &World, osnode: u64) {
    let connecting = world.state.borrow_mut().connecting.remove(&osnode);
    let pair = connecting.and_then(|c| c.pair);
    pair.into_iter().for_each(|p| p.give_back(world));
}

/// The Frames below a monitor's two channels: of the one on which it asks, and the other.
pub enum Below {
    Own([ChannelFrame; 2]),
    Theirs([Capability; 2], Offer),
}

/// The channels stand: what waited is said.
pub fn join(world: &World, osnode: u64, asking: UmpChannel, asked: UmpChannel, below: Below) {
    let number = world.introduce(osnode);
    world.server.accept_ump(asked.clone(), number);
    let mut peer = Peer::new(asking, asked);
    match below {
        Below::Own(frames) => peer.frames.extend(frames),
        Below::Theirs(caps, offer) => {
            peer.borrowed.extend(caps);
            peer.offer = Some(offer);
        }
    }
    let waiting = {
        let mut s = world.state.borrow_mut();
        s.peers.insert(osnode, peer);
        s.connecting.remove(&osnode)
    };
    let Connecting { waiting, pair } = waiting.unwrap_or_default();
    // The other one never uses this: its own counted before it heard of it, or counts whenever it does.
    pair.into_iter().for_each(|p| p.give_back(world));
    for (kind, bytes) in waiting {
        say(world, osnode, kind, bytes);
    }
}

/// Another monitor wants channels.
///
/// # Errors
/// `Exists` when there are some, or this one's are on their way and count.
pub fn accept(
    world: &World,
    client: u64,
    regions: [u64; 2],
    blob: &[u8],
) -> Result<Connected, ServiceError> {
    let bells: Vec<u64> = blob
        .chunks_exact(8)
        .map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
        .collect();
    let [asking_bell, asked_bell] = bells[..] else {
        return Err(ServiceError::BadArgument);
    };
    let [me, from] = [world.osnode, client].map(OsnodeId);
    match link(world, client).judge(Shipped, me, from, regions) {
        _ if client == world.osnode => return Err(ServiceError::Exists),
        Answer::Refuse => return Err(ServiceError::Exists),
        Answer::Again => {
            let s = world.state.borrow();
            let peer = s.peers.get(&client).ok_or(ServiceError::NoOsnode)?;
            return Ok(connected(world, &peer.asking, &peer.asked));
        }
        // Its sponsor's word is on its way.
        Answer::Accept if world.state.borrow().members.status(client).is_none() => {
            return Err(ServiceError::NoOsnode);
        }
        Answer::Accept => {}
    }
    // What the client asks on is what is asked here.
    let (asked, asked_frame) = taken(world, client, regions[0], Side::B, asking_bell)?;
    let (asking, asking_frame) = match taken(world, client, regions[1], Side::A, asked_bell) {
        Ok(taken) => taken,
        Err(e) => {
            // The same pair is offered again.
            asked.abandon();
            return Err(e);
        }
    };
    let reply = connected(world, &asking, &asked);
    let below = Below::Theirs([asking_frame, asked_frame], regions);
    join(world, client, asking, asked, below);
    Ok(reply)
}

/// This side of another monitor's channel, and the Frame below.
fn taken(
    world: &World,
    client: u64,
    region: u64,
    side: Side,
    bell: u64,
) -> Result<(UmpChannel, Capability), ServiceError> {
    let frame = crate::agreement::borrowed(world, client, region)?;
    let copy = rt::cap::copy(frame.addr())?;
    let notify = channels::notify_for(world, client, bell)?;
    let channel = opened(frame, side).map_err(refusal)?;
    notify.into_iter().for_each(|n| channel.set_notify(n));
    Ok((channel, copy))
}

/// The answer of who asks on `asking`, and is asked on `asked`.
fn connected(world: &World, asking: &UmpChannel, asked: &UmpChannel) -> Connected {
    Connected {
        asking_bell: bell(world, asked),
        asked_bell: bell(world, asking),
    }
}

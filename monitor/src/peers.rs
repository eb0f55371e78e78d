//! The other monitors: what they ask of this one, and it of them.

use alloc::vec::Vec;

use capfmt::OsnodeId;
use monitor::agree::codec::Bytes;
use monitor::agree::connect::Offer;
use monitor::agree::membership::MemberInput;
use proto::iface::monitor::{
    self as iface, Connected, Done, Monitor, MonitorClient, MonitorServer,
};
use proto::{CallError, Dispatch, PeerError, Refusal, ServiceError};
use rt::chan::{Client, Request, Until};
use rt::ump::UmpChannel;
use rt::{Capability, task, time};

use crate::channels::ChannelFrame;
use crate::world::World;
use crate::{agreement, bind, channels, estates, links, members, placements, unmaps};

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
    /// Or copies of the other side's, and which pair that is.
    pub borrowed: Vec<Capability>,
    pub offer: Option<Offer>,
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
            offer: None,
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

/// Why another monitor did not do something.
pub fn unsaid(e: CallError) -> ServiceError {
    match e {
        CallError::Refused(r) => r.error,
        CallError::Peer(_) => ServiceError::NoAnswer,
    }
}

/// The monitor of `osnode`, to be asked something.
///
/// # Errors
/// It is not known.
pub async fn monitor(world: &World, osnode: u64) -> Result<MonitorClient<Until>, ServiceError> {
    let client = links::client(world, osnode).await?;
    Ok(MonitorClient(client.until(time::system_ns() + ANSWER_NS)))
}

/// Takes one request of another monitor.
pub fn take(world: &World, request: Request) {
    if world.introduced(request.introducer()).is_none() {
        return;
    }
    // Messages of the machines are taken in the order in which they came.
    if let Some(request) = Monitor::notice(world, request) {
        let world = world.clone();
        task::spawn(async move { Monitor::dispatch(&world, request).await });
    }
}

impl World {
    fn take_message(&self, request: &Request, take: fn(&World, u64, &[u8]), message: &[u8]) {
        if let Some(from) = self.introduced(request.introducer()) {
            take(self, from, message);
        }
    }
}

impl MonitorServer<Request> for World {
    fn agree(&self, request: &Request, message: Vec<u8>) {
        self.take_message(request, agreement::message, &message);
    }

    fn member(&self, request: &Request, message: Vec<u8>) {
        self.take_message(request, members::message, &message);
    }

    fn flush(&self, request: &Request, message: Vec<u8>) {
        self.take_message(request, unmaps::message, &message);
    }

    fn bind(&self, request: &Request, message: Vec<u8>) {
        self.take_message(request, bind::message, &message);
    }

    async fn hello(
        &self,
        _: &Request,
        osnode: u64,
        asking_bell: u64,
        asked_bell: u64,
        endowment: Vec<u8>,
    ) -> Result<Done, Refusal> {
        hello(self, osnode, [asking_bell, asked_bell], &endowment).await?;
        Ok(Done {})
    }

    /// What is meant for a third OSnode goes to its monitor: to be introduced to it.
    async fn connect(
        &self,
        _: &Request,
        osnode: u64,
        client: u64,
        asking: u64,
        asked: u64,
        bells: Vec<u8>,
    ) -> Result<Connected, Refusal> {
        if osnode == self.osnode {
            return Ok(links::accept(self, client, [asking, asked], &bells)?);
        }
        if !self.state.borrow().peers.contains_key(&osnode) {
            return Err(ServiceError::NoOsnode.into());
        }
        let third = monitor(self, osnode).await?;
        let connected = third.connect(osnode, client, asking, asked, &bells).await;
        Ok(connected.map_err(unsaid)?)
    }

    async fn placement(
        &self,
        _: &Request,
        osnode: u64,
        known: u64,
    ) -> Result<iface::Placement, Refusal> {
        Ok(placements::answer(self, osnode, known).await?)
    }

    async fn settled(
        &self,
        _: &Request,
        dead: u64,
        base: u64,
        bytes: u64,
    ) -> Result<Done, Refusal> {
        match estates::is_settled(self, dead, base, bytes) {
            true => Ok(Done {}),
            false => Err(ServiceError::Busy.into()),
        }
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
pub async fn say_hello(
    world: &World,
    [asking_bell, asked_bell]: [u64; 2],
) -> Result<(), ServiceError> {
    let endowment = agreement::endowment(world, world.home).to_bytes();
    let home = monitor(world, world.home).await?;
    let said = home.hello(world.osnode, asking_bell, asked_bell, &endowment);
    said.await.map_err(unsaid)?;
    if channels::stock(world, STOCK).await.is_err() {
        rt::println!("monitor: no memory for channels to o{}", world.home);
    }
    Ok(())
}

/// Takes the last messages of an OSnode that is fenced.
pub async fn drain(world: &World, osnode: OsnodeId) {
    let channel = {
        let s = world.state.borrow();
        s.peers.get(&osnode.0).map(|p| p.asked.clone())
    };
    if let Some(channel) = channel {
        while channel.has_message() {
            task::yield_now().await;
        }
        // What was taken from the channel waits for the main loop, which takes all of it before this goes on.
        task::yield_now().await;
        task::yield_now().await;
    }
}

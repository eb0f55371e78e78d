//! What the monitor does for the services of its OSnode: other OSnodes, and the machine.

use alloc::vec::Vec;

use abi::slots;
use monitor::agree::membership::Status;
use proto::iface::monitor::pack_bell;
use proto::iface::system::{
    Done, Member, NOWHERE, Osnode, Prepared, Reclaimed, System, SystemReply, SystemServer, Tree,
};
use proto::ump::Side;
use proto::{Dispatch, PeerError, Refusal, ServiceError, WireError, list, stub};
use rt::chan::Request;
use rt::event::Notification;
use rt::ump::{UmpChannel, UmpError};
use rt::{CapAddr, Capability, cap, invoke, task};

use crate::bind;
use crate::channels::{self, CHANNEL_BYTES, ChannelFrame};
use crate::estates;
use crate::members::{self, Asker};
use crate::peers::{Peer, refusal};
use crate::placements;
use crate::world::{World, introducer};

/// Takes one request, of a service of the system.
pub fn take(world: &World, request: Request) {
    if request.introducer() != introducer::SYSTEM {
        return stub::refuse::<SystemReply, _>(&request, WireError::UnknownOp);
    }
    if let Some(request) = System::notice(world, request) {
        let world = world.clone();
        task::spawn(async move { System::dispatch(&world, request).await });
    }
}

impl SystemServer<Request> for World {
    async fn prepare(
        &self,
        _: &Request,
        osnode: u64,
        core: u32,
    ) -> Result<Prepared<Capability>, Refusal> {
        prepare(self, osnode, core).await
    }

    async fn second(&self, _: &Request, osnode: u64) -> Result<Prepared<Capability>, Refusal> {
        Ok(second(self, osnode).ok_or(ServiceError::NoOsnode)?)
    }

    async fn abandon(&self, _: &Request, osnode: u64) -> Result<Done, Refusal> {
        let peer = {
            let mut s = self.state.borrow_mut();
            s.osnodes.remove(osnode);
            s.peers.remove(&osnode)
        };
        if let Some(peer) = peer {
            members::leave_channels(self, peer);
        }
        Ok(Done {})
    }

    fn located(&self, asker: Asker, osnode: u64, core: u32) {
        located(self, asker, osnode, core);
    }

    fn fenced(&self, asker: Asker, osnode: u64) {
        members::fenced(self, osnode, asker);
    }

    async fn reclaim(
        &self,
        _: &Request,
        osnode: u64,
        kcb: Capability,
    ) -> Result<Reclaimed, Refusal> {
        Ok(estates::reclaim(self, osnode, kcb).await?)
    }

    fn moving(&self, _: &Request, osnode: u64) {
        members::moving(self, osnode);
    }

    async fn next(&self, _: &Request, osnode: u64) -> Result<Osnode, Refusal> {
        let next = self.state.borrow().osnodes.next(osnode);
        let (osnode, known) = next.ok_or(ServiceError::End)?;
        let core = match osnode == self.osnode {
            true => rt::env::core(),
            false => known,
        };
        Ok(Osnode { osnode, core })
    }

    async fn on_core(&self, _: &Request, core: u32) -> Result<Osnode, Refusal> {
        let on = self.state.borrow().osnodes.on_core(core);
        let osnode = on.ok_or(ServiceError::NoOsnode)?;
        Ok(Osnode { osnode, core })
    }

    async fn service_ended(&self, _: &Request) -> Result<Done, Refusal> {
        bind::services_ended(self);
        self.server.sweep();
        Ok(Done {})
    }

    async fn member(&self, _: &Request, osnode: u64) -> Result<Member, Refusal> {
        let next = self.state.borrow().members.next(osnode);
        Ok(next.ok_or(ServiceError::End)?)
    }

    async fn tree(&self, _: &Request, last: bool) -> Result<Tree, Refusal> {
        let shown = placements::shown(self, last).await;
        let (version, tree) = shown.ok_or(ServiceError::NotFound)?;
        let nodes: Vec<_> = tree.iter().map(|(o, below)| (o.0, *below)).collect();
        let nodes = list::write(&nodes);
        Ok(Tree { version, nodes })
    }

    async fn halt(&self, _: &Request, status: u32) -> Result<Done, Refusal> {
        invoke::kernel_halt(slots::KERNEL, status.into())?;
        Ok(Done {})
    }
}

/// An OSnode is about to be made: the channels to its monitor.
async fn prepare(world: &World, osnode: u64, core: u32) -> Result<Prepared<Capability>, Refusal> {
    let (peer, frame) = make_peer(world, osnode).await.map_err(refusal)?;
    let asked = peer.asked.clone();
    {
        let mut s = world.state.borrow_mut();
        s.osnodes.locate(osnode, core);
        s.peers.insert(osnode, peer);
    }
    Ok(prepared(world, frame, &asked))
}

fn opened(frame: &ChannelFrame, side: Side) -> Result<UmpChannel, PeerError> {
    let own = Notification::new()?;
    let copy = cap::copy(frame.cap.addr())?;
    UmpChannel::open(copy, CHANNEL_BYTES, side, Some(own)).map_err(|e| match e {
        UmpError::Sys(e) => PeerError::Sys(e),
        UmpError::Ring(_) => PeerError::Refused(ServiceError::BadArgument),
    })
}

/// The peer, and a copy of the Frame of the channel on which it asks. The Frames themselves
/// belong to the new OSnode's life and are never used for another.
async fn make_peer(world: &World, osnode: u64) -> Result<(Peer, Capability), PeerError> {
    let theirs = channels::take_frame(world).await?;
    let ours = channels::take_frame(world).await?;
    let asked = opened(&theirs, Side::B)?;
    let asking = opened(&ours, Side::A)?;
    let number = world.introduce(osnode);
    world.server.accept_ump(asked.clone(), number);
    let copy = cap::copy(theirs.cap.addr())?;
    let ours_copy = cap::copy(ours.cap.addr())?;
    let mut peer = Peer::new(asking, asked);
    // In the order of `asking` and `asked`.
    peer.frames.extend([ours, theirs]);
    peer.joined = false;
    peer.second = Some(ours_copy);
    Ok((peer, copy))
}

fn prepared(world: &World, frame: Capability, channel: &UmpChannel) -> Prepared<Capability> {
    Prepared {
        base: invoke::identify(frame.addr()).map_or(0, |id| id.cap.base.0),
        bytes: CHANNEL_BYTES,
        notification: world.notification_page(),
        channel: channel.own_channel(),
        frame,
    }
}

/// The other channel's Frame.
fn second(world: &World, osnode: u64) -> Option<Prepared<Capability>> {
    let (frame, channel) = {
        let mut s = world.state.borrow_mut();
        let peer = s.peers.get_mut(&osnode)?;
        (peer.second.take()?, peer.asking.clone())
    };
    Some(prepared(world, frame, &channel))
}

/// Where an OSnode runs now. Of one that starts, or is started again, the answer waits until all know that it runs.
fn located(world: &World, asker: Asker, osnode: u64, core: u32) {
    let mut s = world.state.borrow_mut();
    if osnode != world.osnode {
        s.osnodes.locate(osnode, core);
    }
    let joins = s.peers.get(&osnode).is_some_and(|p| !p.joined);
    drop(s);
    members::located(world, osnode, core);
    let status = world.state.borrow().members.status(osnode);
    let comes = matches!(
        status,
        Some(Status::Joining | Status::Stopped(_) | Status::Moving(_))
    );
    if core != NOWHERE && (joins || comes) {
        return members::when_running(world, osnode, asker);
    }
    asker.answer(Ok(Done {}));
}

/// The channels to the home monitor, of which this OSnode was given the Frames; this side's bells for them.
///
/// # Errors
/// A Frame or Notify is missing or cannot be used.
pub fn join_home(world: &World) -> Result<[u64; 2], PeerError> {
    let open = |slot: CapAddr, side: Side| -> Result<UmpChannel, PeerError> {
        let own = Notification::new()?;
        let frame = cap::copy(slot)?;
        UmpChannel::open(frame, CHANNEL_BYTES, side, Some(own)).map_err(|e| match e {
            UmpError::Sys(e) => PeerError::Sys(e),
            UmpError::Ring(_) => PeerError::Refused(ServiceError::BadArgument),
        })
    };
    let asking = open(slots::HOME_CHANNEL, Side::A)?;
    let asked = open(slots::HOME_REQUESTS, Side::B)?;
    asking.set_notify(cap::copy(slots::HOME_NOTIFY)?);
    asked.set_notify(cap::copy(slots::HOME_REQUESTS_NOTIFY)?);
    let number = world.introduce(world.home);
    world.server.accept_ump(asked.clone(), number);
    let page = world.notification_page();
    let bells = [&asking, &asked].map(|c| pack_bell(page, c.own_channel()));
    let peer = Peer::new(asking, asked);
    world.state.borrow_mut().peers.insert(world.home, peer);
    Ok(bells)
}

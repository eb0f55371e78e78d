//! What the monitor does for the services of its OSnode: other OSnodes, and the machine.

use alloc::vec::Vec;

use abi::slots;
use monitor::agree::membership::Status;
use proto::iface::monitor::pack_bell;
use proto::iface::system::{NOWHERE, SystemReply, SystemRequest};
use proto::ump::Side;
use proto::{PeerError, ServiceError};
use rt::chan::{Attach, Request};
use rt::event::Notification;
use rt::ump::{UmpChannel, UmpError};
use rt::{CapAddr, Capability, cap, invoke, task};

use crate::bind;
use crate::channels::{self, CHANNEL_BYTES, ChannelFrame};
use crate::members;
use crate::peers::{Peer, refusal};
use crate::placements;
use crate::world::{World, introducer};

/// Answers; an asker that is gone needs no answer.
fn answer(request: &Request, reply: &SystemReply, cap: Option<CapAddr>) {
    let _ = request.answer(reply, Attach::with(&[], cap));
}

fn refuse(request: &Request, error: ServiceError) {
    answer(request, &SystemReply::Refused { error }, None);
}

/// Takes one request.
pub fn take(world: &World, request: Request) {
    if request.introducer() != introducer::SYSTEM {
        return refuse(&request, ServiceError::BadOperation);
    }
    let Ok(message) = request.decode::<SystemRequest>() else {
        return refuse(&request, ServiceError::BadMessage);
    };
    match message {
        SystemRequest::Prepare { osnode, core } => {
            let world = world.clone();
            task::spawn(async move { prepare(&world, &request, osnode, core).await });
        }
        SystemRequest::Second { osnode } => second(world, &request, osnode),
        SystemRequest::Abandon { osnode } => {
            let mut s = world.state.borrow_mut();
            s.osnodes.remove(osnode);
            let peer = s.peers.remove(&osnode);
            drop(s);
            if let Some(peer) = peer {
                let world = world.clone();
                task::spawn(async move { members::leave_channels(&world, peer).await });
            }
            answer(&request, &SystemReply::Done {}, None);
        }
        SystemRequest::Located { osnode, core } => located(world, request, osnode, core),
        SystemRequest::Fenced { osnode } => members::fenced(world, osnode, request),
        SystemRequest::Vacant {
            osnode,
            base,
            bytes,
        } => {
            let world = world.clone();
            task::spawn(async move {
                let reply = match members::is_vacant(&world, osnode, base, bytes).await {
                    true => SystemReply::Done {},
                    false => SystemReply::Refused {
                        error: ServiceError::Busy,
                    },
                };
                answer(&request, &reply, None);
            });
        }
        SystemRequest::Moving { osnode } => members::moving(world, osnode),
        SystemRequest::Next { osnode } => {
            let next = world.state.borrow().osnodes.next(osnode);
            match next {
                Some((osnode, core)) => {
                    let core = if osnode == world.osnode {
                        rt::env::core()
                    } else {
                        core
                    };
                    answer(&request, &SystemReply::Osnode { osnode, core }, None);
                }
                None => refuse(&request, ServiceError::End),
            }
        }
        SystemRequest::Member { osnode } => {
            let next = world.state.borrow().members.next(osnode);
            match next {
                Some(reply) => answer(&request, &reply, None),
                None => refuse(&request, ServiceError::End),
            }
        }
        SystemRequest::Tree { last } => {
            let world = world.clone();
            task::spawn(async move { show_tree(&world, &request, last).await });
        }
        SystemRequest::OnCore { core } => {
            let on = world.state.borrow().osnodes.on_core(core);
            match on {
                Some(osnode) => answer(&request, &SystemReply::Osnode { osnode, core }, None),
                None => refuse(&request, ServiceError::NoOsnode),
            }
        }
        SystemRequest::ServiceEnded {} => {
            let world = world.clone();
            task::spawn(async move {
                bind::services_ended(&world).await;
                world.server.sweep();
                answer(&request, &SystemReply::Done {}, None);
            });
        }
        SystemRequest::Halt { status } => {
            if let Err(e) = invoke::kernel_halt(slots::KERNEL, status.into()) {
                refuse(&request, e.into());
            }
        }
    }
}

async fn show_tree(world: &World, request: &Request, last: bool) {
    let Some((version, tree)) = placements::shown(world, last).await else {
        return refuse(request, ServiceError::NotFound);
    };
    let words = tree.iter().flat_map(|(o, below)| [o.0, u64::from(*below)]);
    let blob: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    // An asker that is gone needs no answer.
    let _ = request.answer(&SystemReply::Tree { version }, Attach::blob(&blob));
}

/// An OSnode is about to be made: the channels to its monitor.
async fn prepare(world: &World, request: &Request, osnode: u64, core: u32) {
    let made = make_peer(world, osnode).await;
    match made {
        Ok((peer, frame)) => {
            let asked = peer.asked.clone();
            {
                let mut s = world.state.borrow_mut();
                s.osnodes.locate(osnode, core);
                s.peers.insert(osnode, peer);
            }
            hand_out(world, request, frame, &asked);
        }
        Err(e) => refuse(request, refusal(e)),
    }
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

fn hand_out(world: &World, request: &Request, frame: Capability, channel: &UmpChannel) {
    let base = invoke::identify(frame.addr()).map_or(0, |id| id.cap.base.0);
    let reply = SystemReply::Prepared {
        base,
        bytes: CHANNEL_BYTES,
        notification: world.notification_page(),
        channel: channel.own_channel(),
    };
    answer(request, &reply, Some(frame.addr()));
}

fn second(world: &World, request: &Request, osnode: u64) {
    let found = {
        let mut s = world.state.borrow_mut();
        let peer = s.peers.get_mut(&osnode);
        peer.and_then(|p| Some((p.second.take()?, p.asking.clone())))
    };
    match found {
        Some((frame, channel)) => hand_out(world, request, frame, &channel),
        None => refuse(request, ServiceError::NoOsnode),
    }
}

/// Where an OSnode runs now. Of one that starts, or is started again, the answer waits until all know that it runs.
fn located(world: &World, request: Request, osnode: u64, core: u32) {
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
        return members::when_running(world, osnode, request);
    }
    answer(&request, &SystemReply::Done {}, None);
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

//! Capabilities that clients and services send each other: what came for the end of a channel waits for it.

use alloc::vec::Vec;

use capfmt::{OsnodeId, Rights};
use monitor::agree::{Gift, Input, OpId};
use proto::ServiceError;
use proto::iface::monitor::unpack_region;
use rt::Capability;

use crate::agreement;
use crate::world::World;

/// Keeps a capability for the other end of a channel inside this OSnode; its number.
fn keep(world: &World, cap: Capability, channel: u64) -> u64 {
    let gift = Gift {
        rights: Rights::ALL,
        channel,
    };
    let a = &mut world.state.borrow_mut().agreement;
    let op = a.op(world.osnode);
    a.kernel.arrived.insert(op, (gift, cap));
    op.number
}

/// A capability that `from` sent for `channel`, once; any number if `number` is `None`.
pub fn take(world: &World, from: u64, channel: u64, number: Option<u64>) -> Option<Capability> {
    let arrived = &mut world.state.borrow_mut().agreement.kernel.arrived;
    let fits = |op: &OpId, gift: &Gift| {
        is_for(op, gift, from, channel) && number.is_none_or(|n| n == op.number)
    };
    let found = arrived.iter().find(|(op, (gift, _))| fits(op, gift));
    let op = found.map(|(op, _)| *op)?;
    arrived.remove(&op).map(|(_, cap)| cap)
}

fn is_for(op: &OpId, gift: &Gift, from: u64, channel: u64) -> bool {
    op.origin == OsnodeId(from) && gift.channel == channel
}

/// The other end of a channel, if it is the asker's: OSnode and region.
fn other_end(world: &World, asker: u32, bind: u64) -> Option<(u64, u64)> {
    let s = world.state.borrow();
    if let Some((to, region)) = s.bindings.machine.service_of(bind, asker) {
        return Some((to.0, region));
    }
    let (line, name) = s.bindings.served(bind)?;
    let (region, _) = s.bindings.machine.client_of(line)?;
    let registered = s.registrars.get(&name) == Some(&asker);
    registered.then_some((line.client.0, region))
}

/// A client or service sends a capability to the other end of its channel; what it is asked for with there.
///
/// # Errors
/// `NotFound`: it has no such channel; else as [`agreement::send`].
pub async fn send(
    world: &World,
    asker: u32,
    bind: u64,
    cap: Capability,
    give: bool,
) -> Result<u64, ServiceError> {
    let (osnode, region) = other_end(world, asker, bind).ok_or(ServiceError::NotFound)?;
    match osnode == world.osnode {
        true => Ok(keep(world, cap, region)),
        false => agreement::send(world, osnode, cap, region, give).await,
    }
}

/// The other end takes it.
pub fn fetch(world: &World, asker: u32, bind: u64, number: u64) -> Option<Capability> {
    let (osnode, region) = other_end(world, asker, bind)?;
    take(world, osnode, region, Some(number))
}

/// The end of a channel here is closed: nobody takes what came for it.
pub fn forget(world: &World, from: u64, channel: u64) {
    let dropped: Vec<_> = {
        let arrived = &mut world.state.borrow_mut().agreement.kernel.arrived;
        let of = arrived.extract_if(.., |op, (gift, _)| is_for(op, gift, from, channel));
        of.collect()
    };
    delete(world, dropped);
}

/// An OSnode is gone: nobody takes what came from it for a channel.
pub fn forget_all(world: &World, from: OsnodeId) {
    let dropped: Vec<_> = {
        let arrived = &mut world.state.borrow_mut().agreement.kernel.arrived;
        arrived.extract_if(.., |op, _| op.origin == from).collect()
    };
    delete(world, dropped);
}

/// Of what came just now, deletes what came for a channel whose end here is closed already. The first that
/// comes for a channel is its own Frame.
pub fn sort(world: &World) {
    let dropped: Vec<_> = {
        let mut s = world.state.borrow_mut();
        let fresh = core::mem::take(&mut s.agreement.kernel.fresh);
        if fresh.is_empty() {
            return;
        }
        let mut unwanted = Vec::new();
        for (op, object) in fresh {
            let Some((gift, _)) = s.agreement.kernel.arrived.get(&op) else {
                continue;
            };
            let channel = gift.channel;
            let frame = unpack_region(channel).0 == object.base();
            if !frame && !s.bindings.machine.has_end(op.origin, channel) {
                unwanted.push(op);
            }
        }
        let arrived = &mut s.agreement.kernel.arrived;
        unwanted
            .iter()
            .filter_map(|op| arrived.remove_entry(op))
            .collect()
    };
    delete(world, dropped);
}

fn delete(world: &World, dropped: Vec<(OpId, (Gift, Capability))>) {
    if !dropped.is_empty() {
        drop(dropped);
        agreement::step(world, Input::Deleted);
    }
}

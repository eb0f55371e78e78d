//! Capabilities that came for the end of a channel and wait for it to take them.

use alloc::vec::Vec;

use capfmt::{OsnodeId, Rights};
use monitor::agree::{Gift, Input, OpId};
use proto::iface::monitor::unpack_region;
use rt::Capability;

use crate::agreement;
use crate::world::World;

/// Keeps a capability for the other end of a channel inside this OSnode; its number.
pub fn keep(world: &World, cap: Capability, channel: u64) -> u64 {
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

/// The end of a channel here is closed: nobody takes what came for it.
pub fn forget(world: &World, from: u64, channel: u64) {
    let dropped: Vec<_> = {
        let arrived = &mut world.state.borrow_mut().agreement.kernel.arrived;
        let of = arrived.extract_if(.., |op, (gift, _)| is_for(op, gift, from, channel));
        of.collect()
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
            let (from, channel) = (op.origin.0, gift.channel);
            let frame = unpack_region(channel).0 == object.base();
            if !frame && !s.bindings.has_end(from, channel) {
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

//! The memory of an OSnode that is gone goes back to the memory servers: what nobody holds at once, the rest bit by
//! bit.
//!
//! It is its block, of which the home OSnode has the KCB, and what it had got from memory servers here. Once no other
//! survivor accounts for any part of it (`custody.rs`), this one does: its agreement machine knows what others still
//! hold, and frees all else, each byte once, when its last holder drops it. The servers' books have all of it on
//! accounts until then.

use alloc::vec::Vec;

use abi::slots;
use capfmt::schema::Class;
use capfmt::{Cap, CapType, MdbFlags, OsnodeId, PhysAddr};
use monitor::agree::Object;
use monitor::agree::membership::Status;
use proto::ServiceError;
use proto::iface::system::Reclaimed;
use rt::{Capability, SysError, invoke, time};

use crate::world::World;
use crate::{agreement, memory, oskernel, peers};

/// First and longest pause between two questions whether anybody accounts for something (ns of system time).
const FIRST_NS: u64 = 1_000_000;
const LAST_NS: u64 = 1_000_000_000;

fn ram(base: u64, bytes: u64) -> Object {
    Object::of(&Cap::region(CapType::Ram, PhysAddr(base), bytes))
}

/// Whether this OSnode, to which `dead` is gone, accounts for nothing of this memory. At home: whether everything of
/// it that is held here has got its owner.
pub fn is_settled(world: &World, dead: u64, base: u64, bytes: u64) -> bool {
    let memory = ram(base, bytes);
    let s = world.state.borrow();
    let machine = &s.agreement.machine;
    if !s.members.has_buried(dead) || machine.is_inheriting() {
        return false;
    }
    let is_home = world.home == 0;
    if !is_home && machine.accounts_for(&memory) {
        return false;
    }
    let held = oskernel::walk(Class::Physical, base, memory.end());
    held.into_iter().all(|(object, owner)| {
        // What covers more is what it was made from, or the right to addresses.
        let within = object.base() >= base && object.end() <= memory.end();
        let own = owner == OsnodeId(world.osnode);
        !within || machine.lives(owner) && (is_home || !own)
    })
}

/// Whether no other survivor accounts for anything of it. Who does not answer may.
async fn is_unclaimed(world: &World, dead: u64, base: u64, bytes: u64) -> bool {
    let view = |world: &World| world.state.borrow().agreement.machine.view();
    let before = view(world);
    let others: Vec<(u64, Status)> = {
        let s = world.state.borrow();
        let known = s.members.machine.known().values();
        let others = known.filter(|f| f.osnode.0 != world.osnode);
        others.map(|f| (f.osnode.0, f.status)).collect()
    };
    for (osnode, status) in others {
        match status {
            Status::Gone => continue,
            // Who is stopped answers while its caretaker visits it.
            Status::Running | Status::Stopped(_) => {}
            Status::Joining | Status::Moving(_) => return false,
        }
        let Ok(monitor) = peers::monitor(world, osnode).await else {
            return false;
        };
        if monitor.settled(dead, base, bytes).await.is_err() {
            return false;
        }
    }
    // A death in between has other heirs.
    view(world) == before && is_settled(world, dead, base, bytes)
}

async fn until_unclaimed(world: &World, dead: u64, base: u64, bytes: u64) {
    let mut pause = FIRST_NS;
    while !is_unclaimed(world, dead, base, bytes).await {
        time::system_sleep(pause).await;
        pause = (2 * pause).min(LAST_NS);
    }
}

/// The memory of `dead` goes back: its block, whose KCB this is, and what it had got from servers here.
///
/// # Errors
/// The capability is none to the KCB of that OSnode, or cannot be deleted.
pub async fn reclaim(world: &World, dead: u64, kcb: Capability) -> Result<Reclaimed, ServiceError> {
    let block = invoke::identify(kcb.addr())?.cap;
    let info = invoke::kcb_info(kcb.addr())?;
    if block.kind != CapType::Kcb || info.osnode != dead {
        return Err(ServiceError::BadArgument);
    }
    agreement::await_estate(world, ram(block.base.0, block.size));
    until_unclaimed(world, dead, block.base.0, block.size).await;
    let mut ranges = Vec::from([(block.base.0, block.size)]);
    while let Ok(left) = memory::ask(world, async |m| m.bequest(dead).await).await {
        let left = (left.base, left.bytes);
        // What a memory service said that ended then, the next one says once more.
        if !ranges.contains(&left) {
            ranges.push(left);
            agreement::await_estate(world, ram(left.0, left.1));
        }
    }
    for (base, bytes) in ranges.iter().skip(1) {
        until_unclaimed(world, dead, *base, *bytes).await;
    }
    forget_block(kcb, &block)?;
    let all: u64 = ranges.iter().map(|(_, bytes)| bytes).sum();
    let freed: u64 = ranges
        .iter()
        .map(|(base, bytes)| agreement::reclaim(world, ram(*base, *bytes)))
        .sum();
    Ok(Reclaimed {
        block: block.size,
        got: all - block.size,
        held: all - freed,
    })
}

/// Deletes every capability to the KCB, without its memory becoming free by that: it may have holders elsewhere.
fn forget_block(kcb: Capability, block: &Cap) -> Result<(), SysError> {
    invoke::revoke(kcb.addr())?;
    invoke::cap_set_remote(slots::KERNEL, block.emit(), MdbFlags::REMOTE_COPIES)?;
    kcb.delete()
}

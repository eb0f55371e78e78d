//! Frames for UMP channels, and capabilities that cross OSnodes.
//!
//! The monitor of the client owns the Frame of a channel; the service's OSnode gets a copy
//! by the agreement machine. When both sides gave it up, it is taken from whoever kept a copy, zeroed and used again.

use alloc::vec::Vec;

use abi::slots;
use capfmt::{Cap, CapType, MdbFlags, NOTIFICATION_BYTES, PhysAddr, RawCap, Rights};
use monitor::agree::Object;
use proto::iface::monitor::{pack_region, unpack_bell};
use proto::ump::Side;
use proto::{PeerError, ServiceError};
use rt::ump::UmpChannel;
use rt::vspace::{self, Access};
use rt::{CapAddr, Capability, SysError, cap, invoke, mem, time};

use crate::memory;
use crate::world::{State, World};

/// Bytes of a channel: 127 messages each way.
pub const CHANNEL_BYTES: u64 = 16 * 1024;
/// How long memory for a channel is waited for, and the pause between two looks (ns of system time).
const SHORT_NS: u64 = 1_000_000_000;
const LOOK_NS: u64 = 2_000_000;

/// A channel's Frame.
pub struct ChannelFrame {
    pub cap: Capability,
    /// Packed region.
    pub region: u64,
    object: Object,
}

/// Frames that no channel uses.
pub struct Pool {
    free: Vec<ChannelFrame>,
    /// How many there are, used or not, beyond the stock.
    extra: usize,
}

impl Pool {
    pub const fn new() -> Pool {
        Pool {
            free: Vec::new(),
            extra: 0,
        }
    }
    /// So many of the stock are not needed any more.
    pub fn shrink(&mut self, count: usize) {
        self.extra += count;
    }
    /// Takes a Frame back.
    pub fn put(&mut self, frame: ChannelFrame) {
        self.free.push(frame);
    }
}

impl State {
    /// A Frame of the pool that nobody else has. One that another OSnode, or a service here, still holds waits until
    /// it does no more; the client, which gave it up, is not waited for.
    fn take_free(&mut self) -> Option<ChannelFrame> {
        let directory = self.agreement.machine.directory();
        let served = |f: &ChannelFrame| self.bindings.is_served_here(f.region);
        let is_free = |f: &ChannelFrame| !directory.has(&f.object) && !served(f) && f.reclaim();
        let place = self.pool.free.iter().position(is_free)?;
        Some(self.pool.free.swap_remove(place))
    }
}

impl ChannelFrame {
    /// Takes it from everybody else in this OSnode: whether nobody can reach it any more.
    fn reclaim(&self) -> bool {
        // A revoke of what other OSnodes may hold would wait for this monitor.
        let known = invoke::identify(self.cap.addr());
        if !known.is_ok_and(|id| id.flags.0 & MdbFlags::REMOTE.0 == 0) {
            return false;
        }
        let settled = || invoke::cap_removals(slots::KERNEL).map(|r| r.flushes.is_settled());
        invoke::revoke(self.cap.addr()).is_ok() && settled() == Ok(true)
    }
    fn zero(&self) -> Result<(), SysError> {
        let mapped = vspace::map(self.cap.addr(), 0, CHANNEL_BYTES, Access::ReadWrite)?;
        mapped.zero(0, CHANNEL_BYTES);
        Ok(())
    }
}

/// A zeroed Frame for a channel.
pub async fn take_frame(world: &World) -> Result<ChannelFrame, PeerError> {
    let kept = world.state.borrow_mut().take_free();
    let frame = match kept {
        Some(f) => f,
        None => {
            let made = make_patiently(world).await?;
            world.state.borrow_mut().pool.extra += 1;
            made
        }
    };
    if let Err(e) = frame.zero() {
        world.state.borrow_mut().pool.put(frame);
        return Err(e.into());
    }
    Ok(frame)
}

/// Closes a channel as its service would, and wakes the client, whose own channel of the
/// notification page is `client`.
pub fn close_for_service(frame: &ChannelFrame, client: u64) -> Result<(), PeerError> {
    let copy = cap::copy(frame.cap.addr())?;
    let side = UmpChannel::open(copy, CHANNEL_BYTES, Side::B, None)?;
    if client != u64::MAX {
        side.set_notify(mint_notify(client)?);
    }
    side.close();
    Ok(())
}

/// Closes a channel as its other end would, whose OSnode is gone; `own` is this end's channel of the
/// notification page.
pub fn close_for_dead(own: u64, frame: &Capability, dead: Side) -> Result<(), PeerError> {
    let side = UmpChannel::open(cap::copy(frame.addr())?, CHANNEL_BYTES, dead, None)?;
    if own != u64::MAX {
        side.set_notify(mint_notify(own)?);
    }
    side.close();
    Ok(())
}

/// Makes Frames beforehand, so that later channels change no memory figure.
pub async fn stock(world: &World, count: usize) -> Result<(), PeerError> {
    for _ in 0..count {
        let frame = make_frame(world).await?;
        world.state.borrow_mut().pool.put(frame);
    }
    Ok(())
}

/// Gives back what is more than the stock, once nobody else holds it.
pub fn trim(world: &World) {
    loop {
        let surplus = {
            let mut s = world.state.borrow_mut();
            if s.pool.extra == 0 {
                return;
            }
            let free = s.take_free();
            s.pool.extra -= usize::from(free.is_some());
            free
        };
        let Some(frame) = surplus else { return };
        if let Err(e) = frame.cap.delete() {
            let why = e.message();
            rt::println!("monitor: a channel's memory is lost: {why}");
        }
    }
}

/// The memory service can be short for a moment, while it is given more.
async fn make_patiently(world: &World) -> Result<ChannelFrame, PeerError> {
    let until = time::system_ns().saturating_add(SHORT_NS);
    loop {
        match make_frame(world).await {
            Err(PeerError::Refused(ServiceError::OutOfMemory)) if time::system_ns() < until => {
                time::system_sleep(LOOK_NS).await;
            }
            done => return done,
        }
    }
}

async fn make_frame(world: &World) -> Result<ChannelFrame, PeerError> {
    let ram = memory::allocate(world, CHANNEL_BYTES).await?;
    let cap = mem::retype_one(ram.addr(), CapType::Frame, 0, 0, CHANNEL_BYTES)?;
    drop(ram);
    let id = invoke::identify(cap.addr())?;
    let base = id.cap.base.0;
    let out = PeerError::Refused(ServiceError::BadArgument);
    let region = pack_region(base, CHANNEL_BYTES).ok_or(out)?;
    Ok(ChannelFrame {
        cap,
        region,
        object: Object::of(&id.cap),
    })
}

/// A copy of another OSnode's Frame.
pub fn import_frame(owner: u64, base: u64, bytes: u64) -> Result<Capability, SysError> {
    let frame = Cap::region(CapType::Frame, PhysAddr(base), bytes);
    import(frame.emit(), owner)
}

/// The words of a Notify for channel `channel` of OSnode `osnode`'s page.
pub fn notify_cap(osnode: u64, page: u64, channel: u64) -> Cap {
    Cap {
        kind: CapType::Notify,
        rights: Rights::SHARED,
        param: channel as u32,
        base: PhysAddr(page),
        size: NOTIFICATION_BYTES,
        extra: osnode,
    }
}

/// The Notify capability for a bell of `osnode`; `None` for somebody who only polls.
pub fn notify_for(world: &World, osnode: u64, bell: u64) -> Result<Option<Capability>, SysError> {
    let Some((page, channel)) = unpack_bell(bell) else {
        return Ok(None);
    };
    if osnode == world.osnode {
        return mint_notify(channel).map(Some);
    }
    world.state.borrow_mut().pages.insert(osnode, page);
    import(notify_cap(osnode, page, channel).emit(), osnode).map(Some)
}

/// A Notify for any channel of an OSnode whose monitor once said where its notification page is.
pub fn notify_of(world: &World, osnode: u64, channel: u64) -> Result<Capability, ServiceError> {
    if channel >= capfmt::NOTIFICATION_CHANNELS {
        return Err(ServiceError::BadArgument);
    }
    if osnode == world.osnode {
        return Ok(mint_notify(channel)?);
    }
    let page = world.state.borrow().pages.get(&osnode).copied();
    let page = page.ok_or(ServiceError::NoOsnode)?;
    let cap = notify_cap(osnode, page, channel);
    Ok(import(cap.emit(), osnode)?)
}

/// A Notify capability for a channel of this OSnode.
pub fn mint_notify(channel: u64) -> Result<Capability, SysError> {
    cap::in_slot(|slot: CapAddr| invoke::notify_mint(slots::NOTIFICATION, channel, slot))
}

fn import(words: RawCap, owner: u64) -> Result<Capability, SysError> {
    cap::in_slot(|slot: CapAddr| invoke::cap_import(slots::KERNEL, words, owner, slot))
}

//! The monitor's own memory.
//!
//! The memory service may have to wait for the monitor, when others hold something of the
//! memory that it works on. So the monitor never waits for it: it asks by messages, goes on
//! meanwhile, and keeps a reserve for its heap.

use alloc::boxed::Box;

use proto::iface::memory::MemoryClient;
use proto::{CallError, PeerError};
use rt::chan::Client;
use rt::{Capability, mem, task, time};

use crate::world::World;

/// Bytes asked for at a time for heap, slots and page tables.
const RESERVE: u64 = 512 << 10;
/// Below this it is asked for more: what the monitor needs while the answer is on its way is far less.
const LOW: u64 = 256 << 10;

/// How long the next memory service may take when one has ended, and the pause between two looks (ns of system time).
const NEXT_NS: u64 = 10_000_000_000;
const LOOK_NS: u64 = 1_000_000;

/// From here on memory comes from the service by messages.
pub fn open(world: &World, service: Client) {
    world.state.borrow_mut().memory = Some(MemoryClient(service));
    mem::set_source(Box::new(|_| None));
}

/// The memory service was started again.
pub fn renewed(world: &World, service: MemoryClient<Client>) {
    let former = {
        let mut s = world.state.borrow_mut();
        s.memory_life += 1;
        s.memory.replace(service)
    };
    drop(former);
}

/// Asks the memory service; of one that ended, the next one.
///
/// # Errors
/// What it says; `Gone` when there is none for long.
pub async fn ask<T>(
    world: &World,
    ask: impl AsyncFn(&MemoryClient<Client>) -> Result<T, CallError>,
) -> Result<T, CallError> {
    loop {
        let (service, life) = {
            let s = world.state.borrow();
            (s.memory.clone(), s.memory_life)
        };
        let service = service.ok_or(PeerError::Gone)?;
        match ask(&service).await {
            Err(CallError::Peer(PeerError::Gone)) => next(world, life).await?,
            done => return done,
        }
    }
}

/// Waits until the memory service has been started again since that life.
async fn next(world: &World, life: u64) -> Result<(), PeerError> {
    let until = time::system_ns().saturating_add(NEXT_NS);
    while world.state.borrow().memory_life == life {
        if time::system_ns() > until {
            return Err(PeerError::Gone);
        }
        time::sleep(LOOK_NS).await;
    }
    Ok(())
}

/// RAM from the memory service, as large as asked for (a power of two).
///
/// # Errors
/// [`PeerError`].
pub async fn allocate(world: &World, bytes: u64) -> Result<Capability, PeerError> {
    let allocated = ask(world, async |memory| memory.allocate(bytes).await);
    Ok(allocated.await?.ram)
}

/// Fills the reserve when it runs low.
pub fn replenish(world: &World) {
    let idle = {
        let mut s = world.state.borrow_mut();
        mem::left() < LOW && s.memory.is_some() && !core::mem::replace(&mut s.replenishing, true)
    };
    if !idle {
        return;
    }
    let world = world.clone();
    task::spawn(async move {
        let filled = match allocate(&world, RESERVE).await {
            Ok(ram) => mem::donate(ram).map_err(PeerError::from),
            Err(e) => Err(e),
        };
        if let Err(e) = filled {
            rt::println!("monitor: its memory runs low: {e}");
        }
        world.state.borrow_mut().replenishing = false;
    });
}

//! The monitor's own memory.
//!
//! The memory service may have to wait for the monitor, when others hold something of the
//! memory that it works on. So the monitor never waits for it: it asks by messages, goes on
//! meanwhile, and keeps a reserve for its heap.

use alloc::boxed::Box;

use proto::PeerError;
use proto::iface::memory::MemoryClient;
use rt::chan::Client;
use rt::{Capability, mem, task};

use crate::world::World;

/// Bytes asked for at a time for heap, slots and page tables.
const RESERVE: u64 = 512 << 10;
/// Below this it is asked for more: what the monitor needs while the answer is on its way is far less.
const LOW: u64 = 256 << 10;

/// From here on memory comes from the service by messages.
pub fn open(world: &World, service: Client) {
    world.state.borrow_mut().memory = Some(MemoryClient(service));
    mem::set_source(Box::new(|_| None));
}

/// RAM from the memory service, as large as asked for (a power of two).
///
/// # Errors
/// [`PeerError`].
pub async fn allocate(world: &World, bytes: u64) -> Result<Capability, PeerError> {
    let service = world.state.borrow().memory.clone();
    let service = service.ok_or(PeerError::Gone)?;
    Ok(service.allocate(bytes).await?.ram)
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

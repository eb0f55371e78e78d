//! The next lives of the memory service and of the spawn service.
//!
//! Each is a new process in the same block of memory, with what the former one had kept. The memory service's process is
//! taken apart while the monitor collects what comes back: all RAM that it had, whatever it was doing with it. The new one gets
//! the Frame with its books, collects from then on itself, and is given what the monitor collected. Its clients hear *peer
//! gone*, ask their starter for its Endpoint, and ask again. The spawn service's next life finds the processes that the
//! former one started, and becomes their starter.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::{CapAddr, SysError, slots};
use archive::Archive;
use capfmt::Rights;
use proto::iface::memory::{MemoryClient, NEXT_LIFE};
use proto::{CallError, Name, PeerError};
use rt::chan::Client;
use rt::returns::Returns;
use rt::spawn::Process;
use rt::{Capability, env, invoke, task, time};

use crate::world::{World, introducer};
use crate::{bind, founding, memory};

/// Pause between two looks at what comes back (ns of system time): others must forget it first.
const LOOK_NS: u64 = 500_000;

/// What the monitor has between two lives of the memory service.
#[derive(Default)]
pub struct Estate {
    /// Where what comes back between two lives is collected.
    returns: Option<Rc<Returns>>,
    /// RAM that came back, and that the next life has not got yet.
    gathered: Vec<Capability>,
}

/// A service has something kept for its next life.
pub fn keep(world: &World, who: u32, name: Name, cap: Capability) {
    let former = {
        let mut s = world.state.borrow_mut();
        let kept = s.kept.entry(who).or_default();
        let place = kept.iter().position(|(n, _)| *n == name);
        let former = place.map(|place| kept.swap_remove(place));
        kept.push((name, cap));
        former
    };
    // Its memory comes back.
    drop(former);
}

/// What a service had kept.
pub fn kept(world: &World, who: u32) -> Vec<(Name, CapAddr)> {
    let s = world.state.borrow();
    let kept = s.kept.get(&who).into_iter().flatten();
    kept.map(|(name, cap)| (*name, cap.addr())).collect()
}

/// A service ended; it is started again.
pub fn begin(world: &World, who: u32, how: &str) {
    let (osnode, name) = (world.osnode, introducer::name(who));
    rt::io::log(format_args!(
        "monitor: the {name} service of o{osnode} ended {how}, and is started again\n"
    ));
    let world = world.clone();
    task::spawn(async move {
        let started = match who {
            introducer::MEMORY => start_memory_service(&world).await,
            _ => start_spawn_service(&world).await,
        };
        if let Err(e) = started {
            rt::io::log(format_args!(
                "monitor: o{osnode} has no {name} service any more, and ends: {e}\n"
            ));
            rt::process::exit(1)
        }
    });
}

fn former(world: &World, who: u32) -> Result<Process, String> {
    let process = world.state.borrow_mut().own.remove(&who);
    process.ok_or_else(|| String::from("it was never started"))
}

fn archive() -> Result<Archive<'static>, String> {
    let bytes = env::archive().ok_or("the boot archive was not given")?;
    Archive::open(bytes).map_err(|e| e.to_string())
}

async fn start_spawn_service(world: &World) -> Result<(), String> {
    let process = former(world, introducer::SPAWN)?;
    let block = process.destroy();
    let block = block.map_err(|(e, _)| sentence("it cannot be taken apart", e))?;
    // What it is given to ask for memory is that of the memory service that there is.
    let asked = memory::ask(world, async |memory| memory.stats(0).await).await;
    asked.map_err(|e| format!("no memory service: {e}"))?;
    founding::start_spawn_service(world, archive()?, block, true)?;
    // Those of the monitor itself look as well; its processes hear of it from the next life.
    bind::services_ended(world);
    Ok(())
}

fn sentence(what: &str, e: SysError) -> String {
    format!("{what}: {}", e.message())
}

async fn start_memory_service(world: &World) -> Result<(), String> {
    let process = former(world, introducer::MEMORY)?;
    let returns = collector(world).map_err(|e| sentence("its memory cannot be collected", e))?;
    let block = take_apart(world, &returns, process).await?;
    gather(world, &returns).await;
    founding::start_memory_service(world, archive()?, block, true)?;
    let endpoint = world.named(Name::truncated(NEXT_LIFE)).await;
    let endpoint = endpoint.map_err(|e| sentence("its endpoint", e))?;
    // What came back until it took over.
    gather(world, &returns).await;
    let service = Client::bind(endpoint.addr()).await;
    let service = MemoryClient(service.map_err(|e| e.to_string())?);
    match give_back(world, &service).await {
        // This one has ended, too: what it got comes back once more, and the one after it gets it.
        Err(CallError::Peer(PeerError::Gone)) => return Ok(()),
        done => done.map_err(|e| format!("it does not begin: {e}"))?,
    }
    put_in_place(&endpoint).map_err(|e| sentence("its endpoint", e))?;
    memory::renewed(world, service);
    bind::services_ended(world);
    Ok(())
}

/// The monitor collects what comes back from now on.
fn collector(world: &World) -> Result<Rc<Returns>, SysError> {
    let known = world.state.borrow().estate.returns.clone();
    if let Some(returns) = known {
        returns.collect(slots::KERNEL)?;
        return Ok(returns);
    }
    let returns = Rc::new(Returns::open(slots::KERNEL)?);
    world.state.borrow_mut().estate.returns = Some(returns.clone());
    Ok(returns)
}

/// Ends the process; its block, whole again. All other RAM that it had comes back meanwhile.
async fn take_apart(
    world: &World,
    returns: &Returns,
    mut process: Process,
) -> Result<Capability, String> {
    loop {
        process = match process.destroy() {
            Ok(block) => return Ok(block),
            // More came back than there is room for.
            Err((SysError::BackFull, process)) => process,
            Err((e, _)) => return Err(sentence("it cannot be taken apart", e)),
        };
        gather(world, returns).await;
    }
}

/// Takes what came back out of the way, all of it.
async fn gather(world: &World, returns: &Returns) {
    loop {
        while let Some(ram) = returns.next() {
            world.state.borrow_mut().estate.gathered.push(ram);
        }
        if returns.is_empty() {
            return;
        }
        time::system_sleep(LOOK_NS).await;
    }
}

async fn give_back(world: &World, service: &MemoryClient<Client>) -> Result<(), CallError> {
    loop {
        let next = world.state.borrow_mut().estate.gathered.pop();
        let Some(ram) = next else {
            return service.restored().await.map(drop);
        };
        match service.restore(ram).await {
            // Whatever it does not take, it serves with the rest.
            Err(CallError::Refused(why)) => {
                rt::io::log(format_args!("monitor: RAM is lost: {why}\n"));
            }
            Err(gone) => return Err(gone),
            Ok(_) => {}
        }
    }
}

fn put_in_place(endpoint: &Capability) -> Result<(), SysError> {
    match invoke::delete(slots::MEMORY) {
        Ok(()) | Err(SysError::NoCapability) => {}
        Err(e) => return Err(e),
    }
    let root = slots::ROOT_CNODE;
    invoke::cnode_copy(root, endpoint.addr(), slots::MEMORY, Rights::ALL, None)
}

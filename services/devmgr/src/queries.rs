//! What the shell wants to know.

use alloc::format;
use alloc::string::{String, ToString};

use firmware::processor::WORDS;
use proto::iface::cores::{Core, CoreState, Kernel, Log, Osnode};
use proto::iface::system::NOWHERE;
use proto::{CallError, Refusal, ServiceError};
use rt::{env, time};

use crate::operations::{BootDriver, driver, driver_within, knows, locate, lost, no_answer};
use crate::{Manager, destruction, knowledge};

/// How long who only looks waits for a boot driver (ns of system time).
const LOOK_NS: u64 = 200_000_000;

/// How long nobody waits again for one that was missed (ns of system time).
const MISSED_NS: u64 = 2_000_000_000;

/// The boot driver of this OSnode, if there is one. Who looks at many cores waits for it once.
async fn own_driver(manager: &Manager) -> Option<BootDriver> {
    let missed_ns = manager.state.borrow().driver_missed_ns;
    let patience_ns = match missed_ns.is_some_and(|at| time::system_ns() < at + MISSED_NS) {
        true => 0,
        false => LOOK_NS,
    };
    let found = driver_within(manager, env::osnode(), patience_ns).await;
    let mut s = manager.state.borrow_mut();
    match &found {
        Ok(_) => s.driver_missed_ns = None,
        Err(_) if patience_ns > 0 => {
            let first = s.driver_missed_ns.replace(time::system_ns()).is_none();
            drop(s);
            if first {
                rt::println!(
                    "no boot driver answers: the states of cores are as they were last known"
                );
            }
        }
        Err(_) => {}
    }
    found.ok()
}

/// How often the other cores are looked at (ns of OSnode time).
const WATCH_NS: u64 = 1_000_000_000;

/// Looks at the other cores now and then: a crashed kernel cannot say so. One question for 64
/// cores, so that the system rests in between however many there are.
pub async fn watch(manager: Manager) {
    // As soon as there is a boot driver, it is asked what the processors are.
    if driver(&manager, env::osnode()).await.is_ok() {
        knowledge::tell_running(&manager).await;
    }
    loop {
        time::sleep(WATCH_NS).await;
        let (others, kept) = {
            let s = manager.state.borrow();
            let others = s.registry.others_running(env::core());
            (others, s.registry.keeps_any())
        };
        if others.is_empty() && kept {
            crashed(&manager, 0).await;
        }
        for some in others.chunk_by(|a, b| a / 64 == b / 64) {
            let first = some[0] / 64 * 64;
            let crashed = crashed(&manager, first).await;
            for core in some.iter().filter(|c| crashed >> (*c - first) & 1 != 0) {
                observe(&manager, *core).await;
            }
        }
    }
}

/// The cores among 64 whose kernel crashed, as bits; none when nobody can tell. An OSnode that ended while it was
/// stopped has no kernel that could crash with it: it is destroyed.
async fn crashed(manager: &Manager, first: u32) -> u64 {
    let Some(driver) = own_driver(manager).await else {
        return 0;
    };
    let Ok(found) = driver.crashed(first).await else {
        return 0;
    };
    let osnode = found.ended;
    if osnode != 0 && manager.state.borrow().registry.is_kept(osnode) {
        let words = format!("the monitor of o{osnode}, which was stopped there, ended");
        destruction::ended(manager, osnode, &words);
    }
    found.cores
}

/// What the processor of a core says of itself; `None` while no boot driver can tell.
pub async fn processor(manager: &Manager, core: u32) -> Option<[u64; WORDS]> {
    let known = manager.state.borrow().drivers.get(&env::osnode()).cloned();
    let driver = known.filter(|d| d.0.ping().is_ok())?;
    let told = driver.processor(core).await.ok()?;
    let (words, rest) = told.words.as_chunks::<8>();
    let whole = words.len() == WORDS && rest.is_empty();
    whole.then(|| core::array::from_fn(|k| u64::from_le_bytes(words[k])))
}

/// Takes over what a core's object says of it; the last words of a crashed kernel, and what may help. That a kernel
/// crashed is reported once. With an OSnode whose monitor ended nothing helps.
pub async fn observe(manager: &Manager, core: u32) -> String {
    let Some(driver) = own_driver(manager).await else {
        return String::new();
    };
    if core == env::core() || !knows(&manager.state.borrow().registry, core) {
        return String::new();
    }
    let Ok(told) = driver.state(core).await else {
        return String::new();
    };
    let words = String::from_utf8_lossy(&told.epitaph).into_owned();
    let state = told.state;
    let crashed = manager.state.borrow_mut().registry.observe(core, state);
    if state != CoreState::Crashed {
        return words;
    }
    if told.ended != 0 {
        destruction::ended(manager, told.ended, &words);
        return format!("{words}; o{} is being destroyed", told.ended);
    }
    let of = {
        let s = manager.state.borrow();
        s.registry.core(core).map_or(0, |c| c.osnode)
    };
    let words = format!("{words}; core recover {core} brings o{of} back");
    if let Some(osnode) = crashed {
        rt::println!("core {core}: its kernel crashed: {words}");
        // A monitor that is gone keeps no list.
        let _ = locate(manager, osnode, NOWHERE).await;
    }
    words
}

/// One core.
pub async fn core(manager: &Manager, index: u32) -> Result<Core, Refusal> {
    let words = observe(manager, index).await;
    let s = manager.state.borrow();
    let c = s.registry.core(index).ok_or(ServiceError::End)?;
    let d = c.description;
    let place = if d.capacity == 1024 {
        format!("node {}\n{words}", d.node)
    } else {
        format!("node {} ({}/1024)\n{words}", d.node, d.capacity)
    };
    Ok(Core {
        core: index,
        state: c.state,
        osnode: c.osnode,
        node: d.node,
        hw_id: d.hw_id,
        text: place.into_bytes(),
    })
}

/// What the kernel that runs on a core says of itself: asked there.
pub async fn kernel(manager: &Manager, index: u32) -> Result<Kernel, Refusal> {
    let found = {
        let s = manager.state.borrow();
        s.registry.core(index).map(|c| (c.state, c.osnode))
    };
    let (state, osnode) = found.ok_or(ServiceError::End)?;
    if state != CoreState::Running {
        let text = format!("core {index} is {}", state.word());
        return Err(Refusal::new(ServiceError::BadCoreState, text));
    }
    let asked = manager.spawn.ask(async |spawn| spawn.kernel(osnode).await);
    match asked.await {
        Ok(k) => Ok(Kernel {
            name: k.name,
            epoch: k.epoch,
            build: k.build,
        }),
        Err(CallError::Refused(r)) => Err(r),
        Err(CallError::Peer(e)) => Err(no_answer(format!("o{osnode}: {e}"))),
    }
}

/// One OSnode.
pub async fn osnode(manager: &Manager, index: u32) -> Result<Osnode, Refusal> {
    if index == 0 {
        let others = manager.state.borrow().registry.others_running(env::core());
        for core in others {
            observe(manager, core).await;
        }
    }
    let all = manager.state.borrow().registry.osnodes();
    let found = all.get(index as usize).ok_or(ServiceError::End)?;
    let &(osnode, core, attached) = found;
    Ok(Osnode {
        osnode,
        core,
        attached,
    })
}

/// What the kernels of a core logged.
pub async fn log(manager: &Manager, core: u32) -> Result<Log, Refusal> {
    if !knows(&manager.state.borrow().registry, core) {
        let text = manager.state.borrow().registry.no_core(core).to_string();
        return Err(Refusal::new(ServiceError::NoCore, text));
    }
    let driver = own_driver(manager).await;
    let driver = driver.ok_or_else(|| no_answer("there is no boot driver"))?;
    match driver.log(core).await {
        Ok(l) => Ok(Log { text: l.text }),
        Err(CallError::Refused(r)) => Err(Refusal::new(ServiceError::NoCore, r.text)),
        Err(CallError::Peer(e)) => Err(no_answer(lost(e))),
    }
}

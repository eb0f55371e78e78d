//! Core operations: checked, handed to a boot driver, and what follows from their end.

use alloc::format;
use alloc::string::{String, ToString};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use devmgr::{Operation, Plan, Registry};
use proto::iface::cores::{self as said, CoreOp, CoreState};
use proto::iface::driver::{Driver, DriverClient, DriverError};
use proto::iface::system::NOWHERE;
use proto::{CallError, PeerError, Refusal, ServiceError};
use rt::chan::{self, Client};
use rt::{env, time};

use crate::{Manager, knowledge, queries};

/// How long a started OSnode's monitor may take to say hello (ns of system time).
const HELLO_NS: u64 = 20_000_000_000;
/// How long a boot driver that ended may take until it is there again (ns of system time).
const DRIVER_NS: u64 = 20_000_000_000;
/// How long an operation waits for others (ns of system time).
const PATIENCE_NS: u64 = 60_000_000_000;

/// A boot driver.
pub type BootDriver = DriverClient<Client>;

/// Executes one operation.
///
/// # Errors
/// The error and a sentence.
pub async fn run(
    manager: &Manager,
    wanted: Operation,
    kernel: &str,
) -> Result<said::Done, Refusal> {
    let start = time::system_ns();
    let plan = plan(manager, wanted).await?;
    let done = carry_out(manager, plan, kernel, 0).await?;
    Ok(said_done(done.osnode, start, done.text))
}

/// What is said of an operation that began at `start`.
pub fn said_done(osnode: u64, start: u64, text: String) -> said::Done {
    said::Done {
        osnode,
        took_ns: time::system_ns() - start,
        together_ns: 0,
        text: text.into_bytes(),
    }
}

/// Nobody who was asked answers, with a sentence.
pub fn no_answer(text: impl Into<String>) -> Refusal {
    Refusal::new(ServiceError::NoAnswer, text)
}

/// Why an operation is not planned, as it is answered.
pub fn refused(r: &devmgr::Refusal) -> Refusal {
    Refusal::new(error_of(r), r.to_string())
}

/// Executes a planned operation, in group `together` of the boot driver's, and what follows from
/// its end.
///
/// # Errors
/// The error and a sentence.
pub async fn carry_out(
    manager: &Manager,
    plan: Plan,
    kernel: &str,
    together: u64,
) -> Result<Done, Refusal> {
    let starts = plan.operation.op != CoreOp::Stop || plan.operation.pause_ns > 0;
    let chosen = if kernel.is_empty() && starts {
        knowledge::kernel(manager, plan.operation.core).await
    } else {
        String::from(kernel)
    };
    let result = execute(manager, plan, &chosen, together).await;
    let (state, osnode) = match &result {
        Ok(done) => (done.state, done.osnode),
        Err(f) => (f.state, f.osnode),
    };
    manager
        .state
        .borrow_mut()
        .registry
        .finish(plan, state, osnode);
    wake(manager);
    match result {
        Ok(done) => match settle(manager, plan, &done).await {
            Ok(()) => Ok(done),
            Err(text) => Err(no_answer(text)),
        },
        Err(f) => {
            if f.osnode != 0 && f.state != CoreState::Running {
                // It does not run; a monitor that is gone keeps no list.
                let _ = locate(manager, f.osnode, NOWHERE).await;
            }
            Err(Refusal::new(f.error, f.text))
        }
    }
}

/// Tells the monitor where an OSnode is.
pub async fn locate(manager: &Manager, osnode: u64, core: u32) -> Result<(), PeerError> {
    let until = time::system_ns() + HELLO_NS;
    let told = manager.system_until(until).located(osnode, core).await;
    knowledge::tell_running(manager).await;
    told?;
    Ok(())
}

/// What an operation led to.
pub struct Done {
    state: CoreState,
    /// OSnode concerned.
    pub osnode: u64,
    /// For people.
    pub text: String,
    /// System time at which the core was first and last touched.
    pub switched: (u64, u64),
}

/// How an operation failed, and what the core does now.
struct Failed {
    error: ServiceError,
    state: CoreState,
    /// OSnode that was made and is kept, or 0.
    osnode: u64,
    text: String,
}

fn error_of(r: &devmgr::Refusal) -> ServiceError {
    use devmgr::Refusal as R;
    match r {
        R::NoCore(..) | R::Alone(_) => ServiceError::NoCore,
        R::NoExecutor(_) | R::Console(_) | R::Home(..) => ServiceError::OwnCore,
        R::NoOsnode(_) => ServiceError::NoOsnode,
        R::Busy(_) => ServiceError::Busy,
        _ => ServiceError::BadCoreState,
    }
}

pub fn wake(manager: &Manager) {
    let wakers = core::mem::take(&mut manager.state.borrow_mut().wakers);
    wakers.into_iter().for_each(Waker::wake);
}

/// Checks and reserves; waits while other operations are in the way.
pub async fn plan(manager: &Manager, wanted: Operation) -> Result<Plan, Refusal> {
    queries::observe(manager, wanted.core).await;
    when_free(manager, |r| r.plan(wanted)).await
}

/// What a plan comes to; waits while other operations are in the way.
pub async fn when_free<T>(
    manager: &Manager,
    mut plan: impl FnMut(&mut Registry) -> Result<T, devmgr::Refusal>,
) -> Result<T, Refusal> {
    let until = time::now_ns() + PATIENCE_NS;
    let mut last = devmgr::Refusal::Busy(0);
    let planned = poll_fn(|cx| {
        let mut s = manager.state.borrow_mut();
        match plan(&mut s.registry) {
            Err(r @ devmgr::Refusal::Busy(_)) => {
                last = r;
                s.wakers.push(cx.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    });
    let planned = time::timeout(until, planned).await;
    planned.unwrap_or(Err(last)).map_err(|r| refused(&r))
}

/// The boot driver of an OSnode, which may just be starting again.
pub async fn driver(manager: &Manager, osnode: u64) -> Result<BootDriver, String> {
    driver_within(manager, osnode, DRIVER_NS).await
}

/// As [`driver`], but an own one is waited for so long only (ns of system time). One that was started again is
/// described the cores anew.
pub async fn driver_within(
    manager: &Manager,
    osnode: u64,
    patience_ns: u64,
) -> Result<BootDriver, String> {
    let known = manager.state.borrow().drivers.get(&osnode).cloned();
    if let Some(driver) = known.filter(|d| d.0.ping().is_ok()) {
        return Ok(driver);
    }
    let own = osnode == env::osnode();
    let until = time::system_ns().saturating_add(patience_ns);
    let found = match own {
        true => time::system_timeout(until, chan::connect::<Driver>(".bootdrv")).await,
        false => Some(chan::connect_on::<Driver>(osnode, ".bootdrv").await),
    };
    let found = found
        .ok_or_else(|| format!("no boot driver answers on o{osnode}: ps shows whether one runs"))?;
    let driver = found.map_err(|e| format!("no boot driver on o{osnode}: {e}"))?;
    if own {
        let described = manager.state.borrow().described.clone();
        for d in described {
            let said = driver.describe(d.core, d.hw_id, d.node, d.redistributors);
            said.await.map_err(sentence)?;
        }
    }
    manager
        .state
        .borrow_mut()
        .drivers
        .insert(osnode, driver.clone());
    Ok(driver)
}

/// What is said when a boot driver does not answer: it died.
pub fn lost(e: PeerError) -> String {
    format!("the boot driver does not answer: {e}")
}

/// Why a boot driver did not do something.
pub fn sentence(e: CallError<DriverError>) -> String {
    match e {
        CallError::Peer(e) => lost(e),
        CallError::Refused(r) => r.to_string(),
    }
}

/// Gives the right to command a core from one OSnode to another.
pub async fn hand_over(manager: &Manager, core: u32, from: u64, to: u64) -> Result<(), String> {
    let driver = driver(manager, from).await?;
    let done = driver.hand_over(core, to).await;
    done.map(drop)
        .map_err(|e| format!("core {core} cannot be handed over: {}", sentence(e)))
}

async fn execute(
    manager: &Manager,
    plan: Plan,
    kernel: &str,
    together: u64,
) -> Result<Done, Failed> {
    let core = plan.operation.core;
    let before = {
        let s = manager.state.borrow();
        s.registry.core(core).map_or(CoreState::Off, |c| c.state)
    };
    let failed = |text: String| Failed {
        error: ServiceError::NoAnswer,
        state: before,
        osnode: 0,
        text,
    };
    let own = env::osnode();
    let elsewhere = plan.executor != own;
    if elsewhere {
        hand_over(manager, core, own, plan.executor)
            .await
            .map_err(failed)?;
    }
    let driver = driver(manager, plan.executor).await.map_err(failed)?;
    let fresh = if plan.operation.op == CoreOp::Start && plan.osnode == 0 {
        let mut s = manager.state.borrow_mut();
        s.next_osnode += 1;
        s.next_osnode - 1
    } else {
        0
    };
    let (op, kernel) = (plan.operation.op, kernel.as_bytes());
    let operated = match plan.operation.pause_ns {
        0 => {
            let operated = driver.operate(op, core, plan.osnode, fresh, together, kernel);
            operated.await
        }
        for_ns => driver.pause(core, plan.osnode, for_ns, kernel).await,
    };
    let done = match operated {
        Err(CallError::Peer(e)) => {
            return Err(after_death(manager, plan, fresh, before, lost(e)).await);
        }
        Err(CallError::Refused(refusal)) => Err(refusal),
        Ok(done) => Ok(done),
    };
    if elsewhere {
        // The home OSnode drives everything else and may be asked next.
        hand_over(manager, core, plan.executor, own)
            .await
            .map_err(failed)?;
    }
    match done {
        Ok(done) => Ok(Done {
            state: match stays(plan) {
                true => CoreState::Penned,
                false => CoreState::Running,
            },
            osnode: done.osnode,
            text: String::from_utf8_lossy(&done.text).into_owned(),
            switched: done.switched,
        }),
        Err(r) => Err(Failed {
            error: r.error.error,
            state: r.error.state,
            osnode: r.error.osnode,
            text: r.text,
        }),
    }
}

/// Whether the core stays in its pen.
fn stays(plan: Plan) -> bool {
    plan.operation.op == CoreOp::Stop && plan.operation.pause_ns == 0
}

/// The boot driver died in an operation. The one that is started in its place finishes or undoes
/// what was begun before it answers: what the core does then is what came of the operation.
async fn after_death(
    manager: &Manager,
    plan: Plan,
    fresh: u64,
    before: CoreState,
    text: String,
) -> Failed {
    let core = plan.operation.core;
    let state = state_now(manager, plan.executor, core)
        .await
        .unwrap_or(before);
    let runs = state == CoreState::Running;
    let osnode = match plan.osnode {
        0 if runs => fresh,
        osnode => osnode,
    };
    if osnode != 0 {
        let place = if runs { core } else { NOWHERE };
        // A monitor that is gone keeps no list.
        let _ = locate(manager, osnode, place).await;
    }
    Failed {
        error: ServiceError::NoAnswer,
        state,
        osnode: if runs { osnode } else { 0 },
        text: format!(
            "{text}; the one after it found the operation on core {core} under way: the core is {} now",
            state.word()
        ),
    }
}

/// What a core does, from the boot driver that runs now.
pub async fn state_now(manager: &Manager, executor: u64, core: u32) -> Option<CoreState> {
    let driver = driver(manager, executor).await.ok()?;
    Some(driver.state(core).await.ok()?.state)
}

/// Tells the monitor where the OSnode is now; of a fresh one, waits for its hello.
async fn settle(manager: &Manager, plan: Plan, done: &Done) -> Result<(), String> {
    let osnode = if done.osnode != 0 {
        done.osnode
    } else {
        plan.osnode
    };
    let core = match stays(plan) {
        true => NOWHERE,
        false => plan.operation.core,
    };
    let told = locate(manager, osnode, core).await;
    told.map_err(|e| format!("core {core} runs, but o{osnode} does not say hello: {e}"))
}

/// Whether the registry knows a core.
pub fn knows(registry: &Registry, core: u32) -> bool {
    core < registry.len()
}

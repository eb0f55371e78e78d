//! Destroying an OSnode: fenced first, then told to all, then its memory goes back.

use alloc::format;
use alloc::string::String;

use devmgr::{MovePlan, Refusal as Refused};
use proto::iface::cores::{self, CoreOp, CoreState};
use proto::iface::driver::{Done, DriverError};
use proto::iface::system::NOWHERE;
use proto::{CallError, Refusal, ServiceError};
use rt::{task, time};

use crate::operations::{
    BootDriver, driver, locate, refused, said_done, sentence, state_now, wake, when_free,
};
use crate::{Manager, knowledge, queries};

/// How long the monitor may take to bury an OSnode (ns of system time).
const BURIAL_NS: u64 = 20_000_000_000;

/// Destroys the OSnode of a core.
///
/// # Errors
/// The error and a sentence.
pub async fn run(manager: &Manager, core: u32) -> Result<cores::Done, Refusal> {
    let start = time::system_ns();
    queries::observe(manager, core).await;
    let plan = when_free(manager, |r| r.plan_destroy(core)).await?;
    let osnode = plan.osnode;
    let text = destroy(manager, plan).await;
    let text = text.map_err(|text| Refusal::new(ServiceError::BadCoreState, text))?;
    let text = format!("o{osnode} is gone; {text}");
    Ok(said_done(osnode, start, text))
}

/// Destroys an OSnode that ended by itself, as `words` say, for nobody can bring it back: so the others hear that it
/// is gone. Once: should it fail, that is left to people.
pub fn ended(manager: &Manager, osnode: u64, words: &str) {
    if !manager.state.borrow_mut().ended.insert(osnode) {
        return;
    }
    // At once, so that whoever wants to start its core waits for the end of this.
    let planned = manager.state.borrow_mut().registry.plan_ended(osnode);
    let (manager, words) = (manager.clone(), String::from(words));
    task::spawn(async move {
        let planned = match planned {
            Err(Refused::Busy(_)) => when_free(&manager, |r| r.plan_ended(osnode)).await,
            planned => planned.map_err(|r| refused(&r)),
        };
        let plan = match planned {
            Ok(Some(plan)) => plan,
            Ok(None) => return,
            Err(r) => {
                manager.state.borrow_mut().ended.remove(&osnode);
                return rt::println!("{words}; o{osnode} is not destroyed yet: {}", r.text);
            }
        };
        let core = plan.from;
        rt::println!("core {core}: {words}: o{osnode} is destroyed; log {core} says more");
        match destroy(&manager, plan).await {
            Ok(text) => rt::println!("core {core}: o{osnode} is gone; {text}"),
            Err(text) => rt::println!("core {core}: {text}"),
        }
    });
}

/// Carries a planned destruction out.
///
/// # Errors
/// A sentence: it is not fenced, or its memory is kept.
async fn destroy(manager: &Manager, plan: MovePlan) -> Result<String, String> {
    let (osnode, core) = (plan.osnode, plan.from);
    let fenced = fence(manager, plan).await;
    let gone = fenced.is_ok();
    let state = state_now(manager, plan.executor, core).await;
    let state = state.unwrap_or(CoreState::Starting);
    let result = match fenced {
        Ok(()) => bury(manager, plan).await,
        Err(e) => Err(e),
    };
    {
        let mut s = manager.state.borrow_mut();
        s.registry.finish_destroy(plan, state, gone);
        if gone {
            s.drivers.remove(&osnode);
        }
    }
    wake(manager);
    if gone {
        knowledge::tell_running(manager).await;
    } else if state != CoreState::Running {
        // A monitor that is gone keeps no list.
        let _ = locate(manager, osnode, NOWHERE).await;
    }
    result
}

async fn operate(
    manager: &Manager,
    plan: MovePlan,
    call: impl AsyncFnOnce(BootDriver) -> Result<Done, CallError<DriverError>>,
) -> Result<String, String> {
    let done = call(driver(manager, plan.executor).await?).await;
    let done = done.map_err(sentence)?;
    Ok(String::from_utf8_lossy(&done.text).into_owned())
}

/// Its core is in the pen, or off, and has let go of it. One whose kernel panics in its stop is there, too.
async fn fence(manager: &Manager, plan: MovePlan) -> Result<(), String> {
    let (osnode, core) = (plan.osnode, plan.from);
    if plan.runs {
        let stop = async |d: BootDriver| d.operate(CoreOp::Stop, core, osnode, 0, 0, b"").await;
        let stopped = operate(manager, plan, stop).await;
        let state = state_now(manager, plan.executor, core).await;
        if let Err(text) = stopped
            && state != Some(CoreState::Crashed)
        {
            return Err(format!("o{osnode} is not destroyed: {text}"));
        }
    }
    let fence = async |d: BootDriver| d.fence(osnode, core).await;
    let fenced = operate(manager, plan, fence).await;
    fenced
        .map(|_| ())
        .map_err(|text| format!("o{osnode} is not destroyed: {text}"))
}

/// All are told that it is gone; its memory goes back.
async fn bury(manager: &Manager, plan: MovePlan) -> Result<String, String> {
    let osnode = plan.osnode;
    let until = time::system_ns().saturating_add(BURIAL_NS);
    if let Err(e) = manager.system_until(until).fenced(osnode).await {
        return Err(format!("o{osnode} is fenced, but its memory is kept: {e}"));
    }
    operate(manager, plan, async |d: BootDriver| d.bury(osnode).await).await
}

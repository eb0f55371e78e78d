//! Moving an OSnode to another core: checked here, carried out by the home OSnode's boot driver.

use alloc::format;
use alloc::string::String;

use devmgr::MovePlan;
use proto::iface::cores::{CoreState, Done};
use proto::iface::system::NOWHERE;
use proto::{CallError, Refusal};
use rt::time;

use crate::operations::{driver, locate, lost, no_answer, said_done, state_now, wake, when_free};
use crate::{Manager, knowledge, queries};

/// Moves the OSnode of core `from` to core `to`.
///
/// # Errors
/// The error and a sentence.
pub async fn run(manager: &Manager, from: u32, to: u32, kernel: String) -> Result<Done, Refusal> {
    let start = time::system_ns();
    for core in [from, to] {
        queries::observe(manager, core).await;
    }
    let plan = when_free(manager, |r| r.plan_move(from, to)).await?;
    let kernel = match kernel.is_empty() {
        true => knowledge::kernel(manager, to).await,
        false => kernel,
    };
    let result = carry_out(manager, plan, &kernel).await;
    let at = settle(manager, plan).await;
    // The monitor answers when the OSnode's own monitor was heard from there.
    let told = locate(manager, plan.osnode, at.unwrap_or(NOWHERE)).await;
    let text = result?;
    match told {
        Ok(()) => Ok(said_done(plan.osnode, start, text)),
        Err(e) => Err(no_answer(format!(
            "{text}, but its monitor is not heard: {e}"
        ))),
    }
}

async fn carry_out(manager: &Manager, plan: MovePlan, kernel: &str) -> Result<String, Refusal> {
    let driver = driver(manager, plan.executor).await.map_err(no_answer)?;
    let (from, to) = (plan.from, plan.to);
    let moved = driver.move_osnode(plan.osnode, from, to, plan.runs, kernel.as_bytes());
    match moved.await {
        Ok(done) => Ok(String::from_utf8_lossy(&done.text).into_owned()),
        Err(CallError::Refused(r)) => Err(Refusal::new(r.error.error, r.text)),
        Err(CallError::Peer(e)) => Err(no_answer(format!(
            "{}; the one after it finds the move under way: cores says what came of it",
            lost(e)
        ))),
    }
}

/// Enters what both cores do now, as their objects say; the core that runs the OSnode. A boot
/// driver that died in the move is waited for: the one after it finishes or undoes it first.
async fn settle(manager: &Manager, plan: MovePlan) -> Option<u32> {
    let mut states = [CoreState::Off; 2];
    for (state, core) in states.iter_mut().zip([plan.from, plan.to]) {
        *state = match state_now(manager, plan.executor, core).await {
            Some(state) => state,
            None => {
                rt::println!("devmgr: nobody says what core {core} does after the move");
                let known = manager.state.borrow().registry.core(core).map(|c| c.state);
                known.unwrap_or(CoreState::Off)
            }
        };
    }
    let [here, there] = states;
    let mut s = manager.state.borrow_mut();
    let at = s.registry.finish_move(plan, here, there);
    drop(s);
    wake(manager);
    at
}

//! OSnodes that are destroyed: fencing, and what becomes of their memory.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use capfmt::Attachment;
use proto::iface::cores::CoreState;
use proto::iface::driver::Done;
use proto::iface::system::SystemClient;
use proto::{CallError, PeerError, ServiceError};
use rt::{Capability, invoke, time};

use crate::Platform;
use crate::cores::KcbHandle;
use crate::driver::{Driver, control, core_state};
use crate::requests::{Refusal, done, refusal};

/// How long the answer waits for the memory (ns of system time).
const SOON_NS: u64 = 2_000_000_000;

fn not_known<P: Platform>(driver: &Driver<P>, core: u32, osnode: u64) -> Refusal {
    let text = format!("the KCB of o{osnode} is not known to the boot driver");
    refusal(driver, core, ServiceError::BadCoreState, text)
}

fn handle<P: Platform>(driver: &Driver<P>, osnode: u64) -> Option<KcbHandle> {
    driver.holdings.borrow().kcbs.get(&osnode).copied()
}

/// No core runs OSnode `osnode`, and none will.
///
/// # Errors
/// Its core does not let go of it.
pub fn fence<P: Platform>(driver: &Driver<P>, osnode: u64, core: u32) -> Result<Done, Refusal> {
    let kcb = handle(driver, osnode).ok_or_else(|| not_known(driver, core, osnode))?;
    let refuse = |text: String| refusal(driver, core, ServiceError::BadCoreState, text);
    // One whose monitor ended while it was stopped may lie where another OSnode runs by now.
    let other = control(driver, core)
        .and_then(|c| invoke::core_info(c).ok())
        .is_some_and(|info| info.kcb != kcb.kcb);
    // A core that was never started, or is off, runs nothing.
    let at_rest = matches!(
        core_state(driver, core),
        CoreState::Off | CoreState::Penned | CoreState::Crashed
    );
    if let Some(control) = control(driver, core)
        && at_rest
        && core_state(driver, core) != CoreState::Off
        && let Err(e) = invoke::core_release(control, kcb.cap)
    {
        let text = format!("core {core} does not let go of o{osnode}: {}", e.message());
        return Err(refuse(text));
    }
    // Its monitor is not to answer any more. A KCB that nobody cares for stays as it is.
    let _ = invoke::kcb_care(kcb.cap, false);
    let state = invoke::kcb_info(kcb.cap).map(|i| Attachment::unpack(i.state));
    match state {
        Ok(Some(Attachment::Detached { .. })) if at_rest || other => Ok(done(osnode, "")),
        _ => Err(refuse(format!(
            "o{osnode} is not fenced: core {core} is not in its pen; core recover {core} may help"
        ))),
    }
}

/// The memory of OSnode `osnode` goes back: what nobody holds at once, the rest when nobody does. The monitor sees to
/// it, whether this driver waits for its answer or not.
///
/// # Errors
/// It is not known.
pub async fn bury<P: Platform>(driver: &Rc<Driver<P>>, osnode: u64) -> Result<Done, Refusal> {
    let found = driver.holdings.borrow_mut().kcbs.remove(&osnode);
    let kcb = found.ok_or_else(|| not_known(driver, u32::MAX, osnode))?;
    let until = time::system_ns().saturating_add(SOON_NS);
    let system = SystemClient(driver.system.0.until(until));
    let text = match system.reclaim(osnode, Capability::from_slot(kcb.cap)).await {
        Ok(r) => freed(r.block, r.got, r.held),
        Err(CallError::Peer(PeerError::TimedOut)) => String::from(
            "its memory goes back when all others have said what they inherit of it: one does not answer (members; a stopped one does when it is started)",
        ),
        Err(e) => format!("its memory is lost: {e}"),
    };
    Ok(done(osnode, &text))
}

/// What became of a block of so many bytes, and of what was got besides.
fn freed(block: u64, got: u64, held: u64) -> String {
    let besides = match got {
        0 => String::new(),
        n => format!(" and {n} that it had got"),
    };
    match held {
        0 => format!("its {block} bytes{besides} are free again"),
        n => format!(
            "its {block} bytes{besides} are free again, but for {n} that others hold: they are when these drop them"
        ),
    }
}

//! OSnodes that are destroyed: fencing, and what becomes of their memory.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use capfmt::Attachment;
use proto::ServiceError;
use proto::iface::cores::CoreState;
use proto::iface::driver::Done;
use proto::iface::system::{SystemReply, SystemRequest};
use rt::chan::{Answer, Attach};
use rt::{Capability, PeerError, invoke, task, time};

use crate::Platform;
use crate::cores::KcbHandle;
use crate::driver::{Driver, control, core_state};
use crate::requests::{Refusal, done, refusal};

/// How long the answer waits for the memory (ns of system time).
const SOON_NS: u64 = 2_000_000_000;
/// First and longest pause between two questions whether anybody holds something (ns of system time).
const FIRST_NS: u64 = 2_000_000;
const LAST_NS: u64 = 1_000_000_000;

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

/// The memory of OSnode `osnode` goes back once nobody holds anything of it.
///
/// # Errors
/// It is not known.
pub async fn bury<P: Platform>(driver: &Rc<Driver<P>>, osnode: u64) -> Result<Done, Refusal> {
    let found = driver.holdings.borrow_mut().kcbs.remove(&osnode);
    let kcb = found.ok_or_else(|| not_known(driver, u32::MAX, osnode))?;
    let until = time::system_ns().saturating_add(SOON_NS);
    let text = match reclaim(driver, kcb, until).await {
        Ok(Some(bytes)) => format!("its {bytes} bytes are free again"),
        Ok(None) => {
            let driver = driver.clone();
            task::spawn(async move {
                if let Err(e) = reclaim(&driver, kcb, u64::MAX).await {
                    rt::println!("boot driver: the memory of o{osnode} is lost: {e}");
                }
            });
            String::from(
                "its memory goes back when nobody holds a part of it any more, and no stopped OSnode may",
            )
        }
        Err(e) => format!("its memory is lost: {e}"),
    };
    Ok(done(osnode, &text))
}

/// Gives the memory back, if nobody holds anything of it by `until`; its bytes.
async fn reclaim<P: Platform>(
    driver: &Driver<P>,
    kcb: KcbHandle,
    until: u64,
) -> Result<Option<u64>, PeerError> {
    let region = invoke::identify(kcb.cap)?.cap;
    let question = SystemRequest::Vacant {
        osnode: kcb.osnode,
        base: region.base.0,
        bytes: region.size,
    };
    let mut pause = FIRST_NS;
    loop {
        let asked = driver.system.0.request(&question, Attach::NONE).await;
        let asked: Answer<SystemReply> = asked?;
        if asked.message == (SystemReply::Done {}) {
            break;
        }
        if time::system_ns() >= until {
            return Ok(None);
        }
        time::sleep(pause).await;
        pause = (2 * pause).min(LAST_NS);
    }
    rt::mem::free_ram(Capability::from_slot(kcb.cap))?;
    Ok(Some(region.size))
}

//! OSnodes that are destroyed: fencing, and what becomes of their memory.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use capfmt::Attachment;
use proto::ServiceError;
use proto::iface::cores::CoreState;
use proto::iface::driver::DriverReply;
use proto::iface::system::{SystemReply, SystemRequest};
use rt::chan::{Answer, Attach, Request};
use rt::{Capability, PeerError, invoke, task, time};

use crate::Platform;
use crate::cores::KcbHandle;
use crate::driver::{Driver, answer, control, core_state};

/// How long the answer waits for the memory (ns of system time).
const SOON_NS: u64 = 2_000_000_000;
/// First and longest pause between two questions whether anybody holds something (ns of system time).
const FIRST_NS: u64 = 2_000_000;
const LAST_NS: u64 = 1_000_000_000;

fn refuse<P: Platform>(driver: &Driver<P>, request: &Request, core: u32, text: &str) {
    let reply = DriverReply::Refused {
        error: ServiceError::BadCoreState,
        state: core_state(driver, core),
        osnode: 0,
    };
    answer(request, &reply, text);
}

fn done(request: &Request, osnode: u64, text: &str) {
    let reply = DriverReply::Done {
        osnode,
        took_ns: 0,
        switched: (0, 0),
    };
    answer(request, &reply, text);
}

fn handle<P: Platform>(driver: &Driver<P>, osnode: u64) -> Option<KcbHandle> {
    driver.holdings.borrow().kcbs.get(&osnode).copied()
}

/// Takes a request: no core runs OSnode `osnode`, and none will.
pub fn fence<P: Platform>(driver: &Driver<P>, request: &Request, osnode: u64, core: u32) {
    let Some(kcb) = handle(driver, osnode) else {
        let text = format!("the KCB of o{osnode} is not known to the boot driver");
        return refuse(driver, request, core, &text);
    };
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
        return refuse(driver, request, core, &text);
    }
    // Its monitor is not to answer any more. A KCB that nobody cares for stays as it is.
    let _ = invoke::kcb_care(kcb.cap, false);
    let state = invoke::kcb_info(kcb.cap).map(|i| Attachment::unpack(i.state));
    match state {
        Ok(Some(Attachment::Detached { .. })) if at_rest => done(request, osnode, ""),
        _ => {
            let text = format!(
                "o{osnode} is not fenced: core {core} is not in its pen; core recover {core} may help"
            );
            refuse(driver, request, core, &text);
        }
    }
}

/// Takes a request: the memory of OSnode `osnode` goes back once nobody holds anything of it.
pub async fn bury<P: Platform>(driver: &Rc<Driver<P>>, request: &Request, osnode: u64) {
    let found = driver.holdings.borrow_mut().kcbs.remove(&osnode);
    let Some(kcb) = found else {
        let text = format!("the KCB of o{osnode} is not known to the boot driver");
        return refuse(driver, request, u32::MAX, &text);
    };
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
    done(request, osnode, &text);
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
        let asked = driver.system.request(&question, Attach::NONE).await;
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

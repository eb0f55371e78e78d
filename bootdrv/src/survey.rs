//! What there is, for a device manager that starts anew.

use alloc::vec::Vec;

use capfmt::Attachment;
use proto::iface::cores::CoreState;
use proto::iface::driver::Surveyed;
use rt::{invoke, time};

use crate::Platform;
use crate::cores::KcbHandle;
use crate::driver::{Driver, control, core_state};

/// How long an operation that is under way is left alone between two looks (ns of system time).
const LOOK_NS: u64 = 2_000_000;

/// Each OSnode, then each core that has none, once no operation is under way: until then it is not settled what a
/// core does.
pub async fn found<P: Platform>(driver: &Driver<P>) -> Vec<Surveyed> {
    while driver.under_way.get() > 0 {
        time::system_sleep_until(time::system_ns().saturating_add(LOOK_NS)).await;
    }
    let (kcbs, cores) = {
        let h = driver.holdings.borrow();
        let kcbs: Vec<_> = h.kcbs.values().copied().collect();
        let cores: Vec<_> = h.cores.keys().copied().collect();
        (kcbs, cores)
    };
    let mut found = Vec::new();
    let mut taken = Vec::new();
    for kcb in kcbs {
        let Ok(info) = invoke::kcb_info(kcb.cap) else {
            continue;
        };
        let (core, state) = match Attachment::unpack(info.state) {
            Some(Attachment::Attached { core, .. }) => {
                taken.push(core.0);
                (core.0, core_state(driver, core.0))
            }
            _ => (info.last_core.unwrap_or(0), CoreState::Penned),
        };
        let osnode = info.osnode;
        found.push(Surveyed {
            osnode,
            core,
            state,
        });
    }
    let free = cores.into_iter().filter(|core| !taken.contains(core));
    found.extend(free.map(|core| Surveyed {
        osnode: 0,
        core,
        state: core_state(driver, core),
    }));
    found
}

/// Whether the monitor of the OSnode has ended: no kernel can run it.
pub fn has_ended(kcb: &KcbHandle) -> bool {
    invoke::kcb_info(kcb.cap).is_ok_and(|info| info.ended)
}

/// An OSnode whose monitor ended, or 0.
pub fn ended<P: Platform>(driver: &Driver<P>) -> u64 {
    let h = driver.holdings.borrow();
    let ended = h.kcbs.values().find(|k| has_ended(k));
    ended.map_or(0, |k| k.osnode)
}

/// The OSnode whose monitor ended on this core, which is in its pen, or 0.
pub fn ended_on<P: Platform>(driver: &Driver<P>, core: u32) -> u64 {
    let info = control(driver, core).and_then(|c| invoke::core_info(c).ok());
    let Some(info) = info else { return 0 };
    let h = driver.holdings.borrow();
    let mut left = h.kcbs.values().filter(|k| k.kcb == info.kcb);
    left.find(|k| has_ended(k)).map_or(0, |k| k.osnode)
}

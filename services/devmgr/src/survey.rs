//! Going on after a device manager that died: what it knew stands elsewhere, too.
//!
//! The boot driver knows which OSnodes there are and what each core does, the monitor which ids were ever
//! given, firmware's tables what they said before. What the dead one had started goes on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::cores::CoreState;
use proto::iface::driver::Surveyed;
use proto::iface::system::NOWHERE;
use proto::{CallError, list};
use rt::{env, task};

use crate::discovery::CONSOLE;
use crate::operations::{driver, hand_over, locate, sentence};
use crate::{Manager, knowledge};

type Found = Vec<(u64, u32, CoreState)>;

/// Learns what there is.
///
/// # Errors
/// A sentence: without a boot driver nothing can be known.
pub async fn take_up(manager: &Manager) -> Result<(), String> {
    // Which cores it does not drive.
    knowledge::boot_driver(manager).await;
    let found = survey(manager).await?;
    let mut next = found.iter().map(|f| f.0).max().unwrap_or(0);
    next = next.max(last_member(manager).await?) + 1;
    {
        let mut s = manager.state.borrow_mut();
        s.registry.restore(&found);
        s.next_osnode = s.next_osnode.max(next);
    }
    knowledge::tell_placed(manager, CONSOLE, env::core()).await;
    rt::println!(
        "devmgr: started again: {} OSnodes found",
        found.iter().filter(|f| f.0 != 0).count()
    );
    let manager = manager.clone();
    task::spawn(async move { settle(&manager, &found).await });
    Ok(())
}

async fn survey(manager: &Manager) -> Result<Found, String> {
    let driver = driver(manager, env::osnode()).await?;
    let said = driver.survey().await.map_err(sentence)?;
    let found: Vec<Surveyed> = list::read(&said.found)
        .map_err(|e| format!("the boot driver's survey is not understood: {e}"))?;
    Ok(found.iter().map(|s| (s.osnode, s.core, s.state)).collect())
}

/// The highest id in the membership view, in which those that are gone stay.
async fn last_member(manager: &Manager) -> Result<u64, String> {
    let mut last = 0;
    loop {
        match manager.system.member(last).await {
            Ok(member) if member.osnode > last => last = member.osnode,
            Err(CallError::Peer(e)) => return Err(e.to_string()),
            _ => return Ok(last),
        }
    }
}

/// What the dead one may not have come to: telling the monitor where OSnodes are, and taking back the
/// right to command the own core.
async fn settle(manager: &Manager, found: &Found) {
    let own = env::osnode();
    for &(osnode, core, state) in found.iter().filter(|f| f.0 != 0 && f.0 != own) {
        let runs = state == CoreState::Running;
        let place = if runs { core } else { NOWHERE };
        // A monitor that is gone keeps no list.
        let _ = locate(manager, osnode, place).await;
        if runs {
            // Refused by all but the one that has it, if one has.
            let _ = hand_over(manager, env::core(), osnode, own).await;
        }
    }
}

//! Stopping a core for a while: `core stop N --for MS`.
//!
//! Who asks may run on that very core, as the device manager and the console do on core 0. So both halves are
//! carried out here, and nobody has to be asked in between.

use alloc::string::String;

use bootseq::{KcbSource, Op, Outcome, Request as Wanted, Sequence, Success, Timing};
use proto::iface::driver::Done;
use rt::time;

use crate::Platform;
use crate::actions::Running;
use crate::driver::Driver;
use crate::marks::Marks;
use crate::osnode;
use crate::requests::{Refusal, say};

/// Core `core`, which runs `osnode`, has no kernel for `for_ns` ns of system time.
///
/// # Errors
/// Why not, and how it is now.
pub async fn pause<P: Platform>(
    driver: &Driver<P>,
    core: u32,
    osnode: u64,
    for_ns: u64,
    kernel: String,
) -> Result<Done, Refusal> {
    let start = time::system_ns();
    Marks::begin(true);
    let kcb = driver.holdings.borrow().kcbs.get(&osnode).map(|k| k.kcb);
    let mut running = Running::new(driver, core, kernel.clone(), 0, driver.groups.join(0));
    let mut outcome = operate(&mut running, Op::Stop, kcb.unwrap_or(0)).await;
    if let Ok(Success::Stopped { kcb }) = outcome {
        osnode::care(driver, Some(kcb));
        time::system_sleep_until(start.saturating_add(for_ns)).await;
        outcome = operate(&mut running, Op::Start, kcb).await;
        osnode::care(driver, running.left(&outcome));
    }
    let took_ns = time::system_ns() - start;
    say(driver, &running, outcome, core, &kernel, took_ns)
}

async fn operate<P: Platform>(running: &mut Running<'_, P>, op: Op, kcb: u64) -> Outcome {
    let wanted = Wanted {
        op,
        kcb: KcbSource::Kept(kcb),
    };
    let target = running.target();
    running
        .run(Sequence::new(target, wanted, Timing::DEFAULT))
        .await
}

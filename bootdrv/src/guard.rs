//! Looking after the core of the home OSnode.
//!
//! If its kernel crashes, nobody is left to say `core recover 0`: console, shell and device manager stand
//! still with it. So the boot drivers of all other OSnodes, which can drive that core, look at it now and
//! then, and the first that finds it crashed brings its OSnode back.

use alloc::rc::Rc;
use alloc::string::String;

use bootseq::{KcbSource, Op, Request as Wanted, Sequence, Success, Timing};
use capfmt::CoreStatus;
use rt::chan::Client;
use rt::{env, invoke, println, time};

use crate::actions::{Running, status};
use crate::cores::{CoreHandle, OP};
use crate::driver::{Driver, explain, target};
use crate::{Platform, survey};

/// How often a driver looks (ns of system time): seldom, for each look wakes its core.
const LOOK_NS: u64 = 1_000_000_000;
/// A kernel that crashes again and again is brought back so often.
const TRIES: u32 = 5;
/// So many looks in a row that find it well, and an earlier crash does not count any more.
const WELL: u32 = 30;

/// How often in a row a core was brought back.
#[derive(Default)]
struct Tries {
    made: u32,
    well: u32,
}

impl Tries {
    /// Whether one more is worth it.
    const fn may_try(&self) -> bool {
        self.made < TRIES
    }
    /// It is brought back now.
    const fn try_again(&mut self) {
        self.made += 1;
        self.well = 0;
    }
    /// It was found well.
    const fn is_well(&mut self) {
        self.well += 1;
        if self.well >= WELL {
            *self = Tries { made: 0, well: 0 };
        }
    }
}

/// Looks after the boot core, unless this driver runs on it; ends once that is in vain.
pub async fn watch<P: Platform>(driver: Rc<Driver<P>>) {
    let boot = {
        let h = driver.holdings.borrow();
        let mut all = h.cores.iter();
        all.find(|(core, c)| c.is_boot && **core != env::core())
            .map(|(core, c)| (*core, *c))
    };
    let Some((core, handle)) = boot else { return };
    // This driver was started before its OSnode had a console.
    if let Ok(console) = Client::lookup("console").await {
        rt::io::set_console(console);
    }
    let mut tries = Tries::default();
    while tries.may_try() {
        time::system_sleep_until(time::system_ns().saturating_add(LOOK_NS)).await;
        let Some((kcb, osnode)) = crashed(&driver, handle) else {
            tries.is_well();
            continue;
        };
        if invoke::core_hand_over(handle.control, env::osnode()).is_err() {
            // Another driver was quicker, or the core is operated on.
            continue;
        }
        tries.try_again();
        recover(&driver, core, kcb, osnode).await;
        if let Err(e) = invoke::core_hand_over(handle.control, osnode) {
            println!(
                "boot driver: core {core} is not handed back to o{osnode}: {}",
                e.message()
            );
        }
    }
}

/// The KCB that a crashed kernel left on a core with which nothing else is done, and its OSnode, if another kernel can
/// run it.
fn crashed<P: Platform>(driver: &Driver<P>, handle: CoreHandle) -> Option<(u64, u64)> {
    let info = invoke::core_info(handle.control).ok()?;
    let [op, ..] = invoke::core_read(handle.control, OP).ok()?;
    if status(info.status) != CoreStatus::Crashed || op != 0 {
        return None;
    }
    let h = driver.holdings.borrow();
    let left = h.kcbs.values().find(|k| k.kcb == info.kcb)?;
    if survey::has_ended(left) {
        return None;
    }
    Some((left.kcb, left.osnode))
}

async fn recover<P: Platform>(driver: &Driver<P>, core: u32, kcb: u64, osnode: u64) {
    let mut running = Running::new(driver, core, String::from("std"), 0, driver.groups.join(0));
    let wanted = Wanted {
        op: Op::Recover,
        kcb: KcbSource::Kept(kcb),
    };
    let sequence = Sequence::new(target(driver, core), wanted, Timing::DEFAULT);
    match running.run(sequence).await {
        Ok(Success::Running { .. }) => println!(
            "core {core} had crashed ({}): it runs o{osnode} again, with kernel std",
            running.epitaph
        ),
        Ok(_) => {}
        Err(failure) => {
            let (_, text) = explain(failure, &running, core);
            println!("core {core} has crashed, and o{osnode} does not come back: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_in_a_row_count_and_others_do_not() {
        let mut tries = Tries::default();
        for _ in 0..3 * TRIES {
            tries.try_again();
            assert!(tries.may_try());
            (0..WELL).for_each(|_| tries.is_well());
        }
        // Well for a moment only, each time.
        for _ in 0..TRIES {
            assert!(tries.may_try());
            tries.try_again();
            (1..WELL).for_each(|_| tries.is_well());
        }
        assert!(!tries.may_try());
    }
}

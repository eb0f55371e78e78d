//! Counts ticks for as long as it lives; `ticker check` asks whether all is well.
//!
//! Arguments: period in microseconds (10,000 when absent).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use core::cell::RefCell;

use rt::control::{self, Verdict};
use rt::{env, task, time};
use ticker::Ticks;

rt::entry!(main);

/// Period when none is given.
const PERIOD_US: u64 = 10_000;
/// A tick still missing after this long, while the process ran for another reason, was dropped.
/// Longer than any host lets a virtual core wait, shorter than people wait before they check.
const GRACE_NS: u64 = 500_000_000;

fn main() {
    rt::process::exit(start())
}

fn start() -> i32 {
    let period = env::args()
        .nth(1)
        .map_or(Some(PERIOD_US), |a| a.parse().ok());
    let Some(period) = period.filter(|p| (1..=60_000_000).contains(p)) else {
        rt::println!("ticker: the period is a number of microseconds, 1 to 60000000");
        return 1;
    };
    let t0 = time::now_ns() + period * 1000;
    let ticks = Rc::new(RefCell::new(Ticks::new(t0, period * 1000, GRACE_NS)));
    let books = ticks.clone();
    control::on_check(Box::new(move || {
        let mut t = books.borrow_mut();
        let now = time::now_ns();
        t.interrupted(now);
        let report = t.report(now);
        Verdict {
            ok: report.is_clean(),
            text: report.to_string(),
            ..Verdict::default()
        }
    }));
    control::ready();
    task::block_on(count(&ticks))
}

async fn count(ticks: &RefCell<Ticks>) -> ! {
    let mut early = 0;
    loop {
        let due = ticks.borrow().due();
        time::sleep_until(due).await;
        let sleep = time::last_sleep();
        let mut t = ticks.borrow_mut();
        if sleep.early != early {
            early = sleep.early;
            t.woken_early(sleep.ended_ns);
        }
        if sleep.until_ns == due && !sleep.by_time {
            t.woken(sleep.ended_ns);
        }
        t.timed_out(time::now_ns());
    }
}

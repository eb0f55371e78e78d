//! A rally over UMP inside the OSnode, between two processes that only notifications wake.
//!
//! The other rallies hide a notification that is lost: their processes wake for other reasons,
//! too, and look at every channel then. Here the peer waits for nothing but the ball, and this
//! side for nothing but its return; between two balls it rests, so that both have gone to sleep.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use core::cell::RefCell;

use churn::Rally;
use churn::wire::hit;
use rt::chan::Client;
use rt::control::{self, Verdict};
use rt::{env, time};

/// A ball that was away for longer than this was fetched by something else than a notification
/// (OSnode time; no other OSnode has a part in it).
const GRACE_NS: u64 = 2_000_000_000;
/// Rest between two balls (OSnode time): longer than the turns of the others on the core (10 ms
/// each) keep the peer from going to sleep after a ball, so that the next one has to wake it.
const REST_NS: u64 = 100_000_000;

/// Plays with the peer registered under `name` on this OSnode until something is wrong.
pub async fn run(name: &str) -> i32 {
    let peer = match Client::lookup_on(env::osnode(), name).await {
        Ok(peer) => peer,
        Err(e) => {
            rt::println!("churn: no channel inside the OSnode: {e}");
            return 1;
        }
    };
    let rally = Rc::new(RefCell::new(Rally::new()));
    let checked = rally.clone();
    control::on_check(Box::new(move || verdict(&mut checked.borrow_mut())));
    control::ready();
    loop {
        let ball = rally.borrow_mut().serve(time::now_ns());
        match hit(peer.unprobed(), ball).await {
            Ok(ball) => rally.borrow_mut().returned(ball, time::now_ns()),
            Err(e) => {
                rt::println!("churn: peer inside the OSnode: {e}");
                return 1;
            }
        }
        time::sleep(REST_NS).await;
    }
}

fn verdict(rally: &mut Rally) -> Verdict {
    let fault = rally.check(time::now_ns(), GRACE_NS);
    let (count, slowest) = (rally.count(), rally.slowest_ns());
    // A ball that came back late was fetched by what woke this process to be asked.
    let ok = fault.is_none() && slowest <= GRACE_NS;
    let text = match fault {
        Some(fault) => format!("notifications: {fault}"),
        None if !ok => format!("notifications: a ball was away for {slowest} ns"),
        None => format!(
            "{count} balls by notifications (slowest {} us)",
            slowest / 1000
        ),
    };
    Verdict {
        ok,
        text,
        ..Verdict::default()
    }
}

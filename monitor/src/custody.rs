//! What this OSnode inherited of one that is gone: its memory goes home.
//!
//! Who holds an object of the dead inherits it, but RAM is in the books of the servers at home. So an heir elsewhere
//! passes the family on to the home OSnode, which has nothing of it, and accounts for it from then on. The machine
//! keeps what is to be passed on (`agree/estate.rs`), also of what was being revoked when its owner died, and lets
//! nothing of it become free here meanwhile.

use alloc::vec::Vec;

use capfmt::OsnodeId;
use monitor::agree::{Object, Request};
use rt::{task, time};

use crate::agreement;
use crate::world::World;

/// First and longest pause between two attempts (ns of system time).
const FIRST_NS: u64 = 1_000_000;
const LAST_NS: u64 = 1_000_000_000;

/// Before an OSnode counts as gone: what is inherited of it will be passed on.
pub fn prepare(world: &World) {
    if world.home != 0 {
        let machine = &mut world.state.borrow_mut().agreement.machine;
        machine.pass_on_to(OsnodeId(world.home));
    }
}

/// Passes on what this OSnode inherited.
async fn pass_on(world: &World) {
    let mut pause = FIRST_NS;
    loop {
        let (inheriting, bequests) = {
            let s = world.state.borrow();
            let machine = &s.agreement.machine;
            let bequests: Vec<Object> = machine.bequests().copied().collect();
            (machine.is_inheriting(), bequests)
        };
        if !inheriting && bequests.is_empty() {
            return;
        }
        for object in bequests {
            let to = OsnodeId(world.home);
            // What is refused is tried again.
            let _ = agreement::run(world, Request::Transfer { object, to }).await;
        }
        time::system_sleep(pause).await;
        pause = (2 * pause).min(LAST_NS);
    }
}

/// After an OSnode counts as gone: passes on what this one inherits, in a task of its own.
pub fn pass_on_later(world: &World) {
    if world.home != 0 {
        let world = world.clone();
        task::spawn(async move { pass_on(&world).await });
    }
}

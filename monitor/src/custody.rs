//! What is held here of an OSnode that is gone: its memory goes home.
//!
//! Who holds an object of the dead inherits it, but RAM is in the books of the servers at home. So an heir elsewhere
//! passes the family on to the home OSnode, which has nothing of it, and accounts for it from then on. From the death
//! until then this monitor holds a copy of each object itself: whatever programs drop meanwhile does not become free
//! here.

use alloc::vec::Vec;

use abi::slots;
use capfmt::OsnodeId;
use monitor::agree::{Input, Kernel, Object, Request};
use rt::{Capability, cap, invoke, task, time};

use crate::agreement;
use crate::oskernel;
use crate::world::World;

/// First and longest pause between two looks at who owns what (ns of system time).
const FIRST_NS: u64 = 1_000_000;
const LAST_NS: u64 = 1_000_000_000;

/// Takes copies of all that is held here of `dead`, before it counts as gone.
pub fn take(world: &World, dead: u64) -> Vec<(Object, Capability)> {
    if world.home == 0 {
        return Vec::new();
    }
    let all = oskernel::everything().into_iter();
    let of = all.filter(|(_, owner)| *owner == OsnodeId(dead));
    let copied = of.filter_map(|(object, _)| {
        let words = object.cap().emit();
        let copy = cap::in_slot(|slot| invoke::cap_import(slots::KERNEL, words, dead, slot));
        // What the dead one was about to delete goes.
        copy.ok().map(|copy| (object, copy))
    });
    copied.collect()
}

/// Passes on what this OSnode inherited of it, and lets go of the copies.
pub async fn pass_on(world: &World, mut copies: Vec<(Object, Capability)>) {
    let mut pause = FIRST_NS;
    loop {
        let mut left = Vec::new();
        for (object, copy) in copies {
            if !is_settled(world, &object).await {
                left.push((object, copy));
            }
        }
        // Told before anything else is done.
        agreement::step(world, Input::Deleted);
        if left.is_empty() {
            return;
        }
        copies = left;
        time::system_sleep(pause).await;
        pause = (2 * pause).min(LAST_NS);
    }
}

/// Whether somebody else accounts for the object now, or nobody has it any more.
async fn is_settled(world: &World, object: &Object) -> bool {
    let home = OsnodeId(world.home);
    let owner = {
        let s = world.state.borrow();
        if s.agreement.machine.is_inheriting() {
            return false;
        }
        s.agreement.kernel.owner(object)
    };
    match owner {
        None => true,
        Some(owner) if owner == OsnodeId(world.osnode) => {
            let request = Request::Transfer {
                object: *object,
                to: home,
            };
            // What is derived from another object goes with that one; what is refused is tried again.
            agreement::run(world, request).await.is_ok()
        }
        Some(owner) => world.state.borrow().agreement.machine.lives(owner),
    }
}

/// As [`pass_on`], in a task of its own.
pub fn pass_on_later(world: &World, copies: Vec<(Object, Capability)>) {
    if copies.is_empty() {
        return;
    }
    let world = world.clone();
    task::spawn(async move { pass_on(&world, copies).await });
}

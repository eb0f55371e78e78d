//! The unmap machine of this OSnode, run: other OSnodes forget translations before an unmap returns.
//!
//! The kernel has cleared the entries when it asks. Who else can have loaded them are the
//! OSnodes that hold the table: the owner's directory knows them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::slots;
use capfmt::OsnodeId;
use monitor::agree::codec::Bytes;
use monitor::agree::unmap::{FlushMessage, FlushOutput, Pages, Translations, Unmapper};
use monitor::agree::{Object, OpId, Shipped};
use rt::invoke::{self, Answer};

use crate::links::{self, Kind};
use crate::placements;
use crate::world::World;

/// The machine, and the dispatchers whose calls wait for it.
pub struct Unmaps {
    machine: Unmapper,
    waiting: BTreeMap<OpId, u64>,
}

impl Unmaps {
    pub fn new() -> Unmaps {
        Unmaps {
            machine: Unmapper::new(Shipped),
            waiting: BTreeMap::new(),
        }
    }
    /// Whether the call of a dispatcher waits already.
    pub fn waits(&self, dispatcher: u64) -> bool {
        self.waiting.values().any(|d| *d == dispatcher)
    }
}

/// This OSnode's core.
struct Core;

impl Translations for Core {
    fn clear(&mut self, _: &Pages) {
        // The kernel did, before the call began to wait.
    }
    fn flush(&mut self, _: &Pages) {
        if let Err(e) = invoke::tlb_flush(slots::KERNEL) {
            let why = e.message();
            rt::println!("monitor: translations cannot be forgotten: {why}");
        }
    }
}

/// A call that unmapped from `table` waits until all who hold the table have flushed.
pub fn begin(world: &World, op: OpId, dispatcher: u64, table: Object) {
    let holders: Vec<OsnodeId> = {
        let s = world.state.borrow();
        let directory = s.agreement.machine.directory();
        directory.holders(&table).into_iter().collect()
    };
    let tree = placements::tree(world, &holders);
    let pages = Pages {
        domain: table.base(),
        base: 0,
        end: u64::MAX,
    };
    // The borrow ends with the block: what follows borrows again.
    let outputs = {
        let unmaps = &mut world.state.borrow_mut().unmaps;
        unmaps.waiting.insert(op, dispatcher);
        unmaps.machine.unmap(op, pages, &tree, &mut Core)
    };
    perform(world, outputs);
}

/// A message of another machine.
pub fn message(world: &World, from: u64, bytes: &[u8]) {
    let Some(message) = FlushMessage::from_bytes(bytes) else {
        return rt::println!("monitor: o{from} sent a flush that cannot be read");
    };
    // The borrow ends with the block: what follows borrows again.
    let outputs = {
        let machine = &mut world.state.borrow_mut().unmaps.machine;
        machine.take(OsnodeId(from), message, &mut Core)
    };
    perform(world, outputs);
}

/// An OSnode is gone: nobody waits for it.
pub fn gone(world: &World, osnode: OsnodeId) {
    let outputs = world.state.borrow_mut().unmaps.machine.gone(osnode);
    perform(world, outputs);
}

fn perform(world: &World, outputs: Vec<FlushOutput>) {
    for output in outputs {
        match output {
            FlushOutput::Send { to, message } => {
                rt::marker::<{ abi::marker::AGREE_SEND }>();
                links::say(world, to.0, Kind::Flush, message.to_bytes());
            }
            FlushOutput::Done { op } => {
                let waiting = world.state.borrow_mut().unmaps.waiting.remove(&op);
                if let Some(dispatcher) = waiting {
                    // A dispatcher that ended meanwhile needs no answer.
                    let _ = invoke::cap_answer(slots::KERNEL, dispatcher, Answer::Done);
                }
            }
        }
    }
}

//! The unmap machine of this OSnode, run: other OSnodes forget translations before an unmap returns, and before
//! anything follows from a removal that was no unmap.
//!
//! The kernel has cleared the entries when it asks. Who else can have loaded them are the
//! OSnodes that hold the table: the owner's directory knows them. What was removed otherwise
//! (`kernel/src/shootdown.rs`) may have stood in any table: then all who hold a table of this
//! OSnode are told.
//!
//! When an OSnode was fenced, all others take its tables out of theirs before it counts as gone here ([`bury`], decision
//! 32): so each monitor makes sure for itself, and needs to ask nobody what was made sure already.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::{Op, slots};
use capfmt::{CapType, OsnodeId};
use monitor::agree::codec::Bytes;
use monitor::agree::membership::Status;
use monitor::agree::unmap::{
    FlushMessage, FlushOutput, Pages, Scope, Translations, Tree, Unmapper,
};
use monitor::agree::{Kernel, Nodes, Object, OpId, Shipped};
use rt::invoke::{self, Answer, Pending};
use rt::{task, time};

use crate::links::{self, Kind};
use crate::soon::Soon;
use crate::world::{State, World};
use crate::{agreement, oskernel, peers, placements};

/// How often it is looked who has waited too long (ns of system time).
const TICK_NS: u64 = 1_000_000_000;
/// How often it is looked whether all have flushed, before something is given away (ns of system time).
const LOOK_NS: u64 = 100_000;

/// What goes on when all have flushed.
enum Waiting {
    /// The call of a dispatcher.
    Call(u64),
    /// What the kernel counted as this removal.
    Removal(u64),
    /// The burial of an OSnode.
    Burial(Soon<()>),
}

/// The machine, and what waits for it.
pub struct Unmaps {
    machine: Unmapper,
    waiting: BTreeMap<OpId, Waiting>,
    /// The last removal that others were told of.
    removal: u64,
    /// Dispatchers that wait for a removal, and until when.
    awaited: BTreeMap<u64, (u64, u64)>,
}

impl Unmaps {
    pub fn new() -> Unmaps {
        Unmaps {
            machine: Unmapper::new(Shipped),
            waiting: BTreeMap::new(),
            removal: 0,
            awaited: BTreeMap::new(),
        }
    }
    /// Whether the call of a dispatcher waits already.
    pub fn waits(&self, dispatcher: u64) -> bool {
        let is_its = |w: &Waiting| matches!(w, Waiting::Call(d) if *d == dispatcher);
        self.waiting.values().any(is_its)
    }
}

/// This OSnode's core.
struct Core;

impl Translations for Core {
    fn clear(&mut self, _: &Scope) {
        // The kernel did, before the call began to wait.
    }
    fn flush(&mut self, _: &Scope) {
        // Tables of a dead OSnode went before: see `take_tables_out`.
        if let Err(e) = invoke::tlb_flush(slots::KERNEL) {
            let why = e.message();
            rt::println!("monitor: translations cannot be forgotten: {why}");
        }
    }
}

/// A call that unmapped from `table` waits until all who hold the table have flushed.
pub fn begin(world: &World, op: OpId, dispatcher: u64, table: Object) {
    let holders = {
        let s = world.state.borrow();
        match s.agreement.kernel.owner(&table) {
            Some(owner) if owner.0 != world.osnode => everybody(&s, world.osnode),
            _ => s.agreement.machine.directory().holders(&table),
        }
    };
    shoot(world, op, Waiting::Call(dispatcher), table.base(), &holders);
}

/// Something was taken out of a table of this OSnode, removal `number` the last of it.
pub fn removed(world: &World, number: u64) {
    let (op, holders) = {
        let mut s = world.state.borrow_mut();
        if number <= s.unmaps.removal {
            return;
        }
        s.unmaps.removal = number;
        let holders = match s.agreement.kernel.gave_tables_away() {
            true => everybody(&s, world.osnode),
            false => {
                let tables = s.agreement.machine.directory().entries();
                let tables = tables.filter(|(o, _)| o.cap().kind == CapType::VNode);
                tables.map(|(_, n)| n).collect()
            }
        };
        (s.agreement.op(world.osnode), holders)
    };
    shoot(world, op, Waiting::Removal(number), 0, &holders);
}

/// All other OSnodes: who holds a table that belongs to another OSnode is in no directory here. What this OSnode
/// mapped in it before it gave it away, keeping a copy, is still its own to unmap.
fn everybody(s: &State, own: u64) -> Nodes {
    let known = s.members.machine.known().iter();
    let living = known.filter(|(id, f)| id.0 != own && f.status != Status::Gone);
    living.map(|(id, _)| *id).collect()
}

/// Has the holders of tables flush.
fn shoot(world: &World, op: OpId, waiting: Waiting, domain: u64, holders: &Nodes) {
    let tree = tree(world, holders);
    let scope = Scope::Pages(Pages {
        domain,
        base: 0,
        end: u64::MAX,
    });
    // The borrow ends with the block: what follows borrows again.
    let outputs = {
        let unmaps = &mut world.state.borrow_mut().unmaps;
        unmaps.waiting.insert(op, waiting);
        unmaps.machine.unmap(op, scope, &tree, &mut Core)
    };
    perform(world, outputs);
}

fn tree(world: &World, osnodes: &Nodes) -> Tree {
    let osnodes: Vec<OsnodeId> = osnodes.iter().copied().collect();
    placements::tree(world, &osnodes)
}

/// A dispatcher waits for a removal, at most until `deadline` (ns of system time): then it hears *try later*.
pub fn awaited(world: &World, call: &Pending, deadline: u64) {
    let first = {
        let awaited = &mut world.state.borrow_mut().unmaps.awaited;
        let first = awaited.is_empty();
        let known = awaited.get(&call.dispatcher).map(|(number, _)| *number);
        if known != Some(call.count) {
            awaited.insert(call.dispatcher, (call.count, deadline));
        }
        first
    };
    if first {
        let world = world.clone();
        task::spawn(async move { look_after(&world).await });
    }
}

async fn look_after(world: &World) {
    while !world.state.borrow().unmaps.awaited.is_empty() {
        time::system_sleep(TICK_NS).await;
        let now = time::system_ns();
        let late: Vec<(u64, u64)> = {
            let awaited = &mut world.state.borrow_mut().unmaps.awaited;
            let late = awaited.extract_if(.., |_, (_, deadline)| *deadline <= now);
            late.map(|(dispatcher, (number, _))| (dispatcher, number))
                .collect()
        };
        for (dispatcher, number) in late {
            let waits =
                |p: &Pending| (p.dispatcher, p.op, p.count) == (dispatcher, Op::Flushed, number);
            let call = invoke::cap_pending(slots::KERNEL, dispatcher - 1);
            if call.is_ok_and(|call| call.as_ref().is_some_and(waits)) {
                let answer = Answer::Late(agreement::view(world));
                // It may end meanwhile.
                let _ = invoke::cap_answer(slots::KERNEL, dispatcher, answer);
            }
        }
    }
}

/// A message of another machine.
pub fn message(world: &World, from: u64, bytes: &[u8]) {
    let Some(message) = FlushMessage::from_bytes(bytes) else {
        return rt::println!("monitor: o{from} sent a flush that cannot be read");
    };
    let FlushMessage::Flush {
        scope: Scope::TablesOf(dead),
        ..
    } = message
    else {
        return take(world, from, message);
    };
    if dead.0 == world.osnode {
        return rt::println!("monitor: o{from} says that this OSnode is gone");
    }
    let world = world.clone();
    task::spawn(async move {
        take_tables_out(&world, dead).await;
        take(&world, from, message);
    });
}

fn take(world: &World, from: u64, message: FlushMessage) {
    // The borrow ends with the block: what follows borrows again.
    let outputs = {
        let machine = &mut world.state.borrow_mut().unmaps.machine;
        machine.take(OsnodeId(from), message, &mut Core)
    };
    perform(world, outputs);
}

/// An OSnode was fenced. When this ends, nobody walks its page tables any more, wherever it is. One of which this OSnode
/// never heard before it was gone had no channels to it, and so nothing of it: those who knew it see to its tables.
pub async fn bury(world: &World, dead: OsnodeId) {
    take_tables_out(world, dead).await;
    if !world.state.borrow().members.met.contains(&dead.0) {
        return;
    }
    let mut told = Nodes::new();
    loop {
        let (op, living) = {
            let mut s = world.state.borrow_mut();
            let op = s.agreement.op(world.osnode);
            (op, everybody(&s, world.osnode))
        };
        // Who joined meanwhile may have got a table from somebody who was told later.
        let others: Nodes = living.difference(&told).copied().collect();
        if others.is_empty() && !told.is_empty() {
            return;
        }
        let tree = tree(world, &others);
        let ended = Soon::new();
        let outputs = {
            let unmaps = &mut world.state.borrow_mut().unmaps;
            unmaps.waiting.insert(op, Waiting::Burial(ended.clone()));
            unmaps.machine.bury(op, dead, &tree, &mut Core)
        };
        perform(world, outputs);
        ended.wait().await;
        told.extend(others);
        told.insert(dead);
    }
}

/// Takes all page tables of an OSnode that is fenced out of those of this one, with all copies, and has everybody flush
/// who used these. What it had marked or locked of them goes, too.
async fn take_tables_out(world: &World, dead: OsnodeId) {
    // Others may wait for it, in whose tables these stand.
    let outputs = {
        let s = &mut world.state.borrow_mut();
        s.agreement.kernel.fenced.insert(dead);
        s.unmaps.machine.gone(dead)
    };
    perform(world, outputs);
    peers::drain(world, dead).await;
    let tables = oskernel::everything().into_iter();
    for (table, owner) in tables.filter(|(o, _)| o.cap().kind == CapType::VNode) {
        if owner == dead {
            oskernel::delete(&table);
        }
    }
    all_flushed().await;
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
                match waiting {
                    // A dispatcher that ended meanwhile needs no answer.
                    Some(Waiting::Call(dispatcher)) => {
                        let _ = invoke::cap_answer(slots::KERNEL, dispatcher, Answer::Done);
                    }
                    Some(Waiting::Removal(number)) => settled(world, number),
                    Some(Waiting::Burial(ended)) => ended.tell(()),
                    None => {}
                }
            }
        }
    }
}

/// Everybody has flushed what was removed up to `number`.
fn settled(world: &World, number: u64) {
    if let Err(e) = invoke::flushed(slots::KERNEL, number) {
        let why = e.message();
        rt::println!("monitor: the kernel does not hear that all have flushed: {why}");
    }
    {
        let awaited = &mut world.state.borrow_mut().unmaps.awaited;
        awaited.retain(|_, (removal, _)| *removal > number);
    }
    agreement::flushed(world, number);
}

/// Waits until nobody can use any more what was taken away here.
pub async fn all_flushed() {
    while !invoke::flushed(slots::KERNEL, 0).is_ok_and(|f| f.is_settled()) {
        time::system_sleep(LOOK_NS).await;
    }
}

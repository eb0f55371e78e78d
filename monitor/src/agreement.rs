//! The agreement machine of this OSnode, run: its inputs, and what it wants to be done.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::{Op, slots};
use capfmt::{CapType, OsnodeId, PhysAddr, RawCap};
use monitor::agree::codec::Bytes;
use monitor::agree::{
    Agent, Gift, Input, Message, Object, OpId, Outcome, Output, Refusal, Request, Shipped,
};
use proto::ServiceError;
use proto::iface::monitor::unpack_region;
use rt::event::Notification;
use rt::invoke::{self, Answer, Pending};
use rt::{Capability, SysError, cap, task, time};

use crate::channels;
use crate::links::{self, Kind};
use crate::oskernel::{self, OsKernel};
use crate::soon::Soon;
use crate::world::World;
use crate::{parcels, unmaps};

/// How long a program's call waits before it hears *try later* (ns of system time).
const PATIENCE_NS: u64 = 30_000_000_000;
/// How often deadlines are looked at while operations are open (ns of system time).
const TICK_NS: u64 = 1_000_000_000;

/// Who waits for an operation.
enum Waiting {
    Call { dispatcher: u64, op: Op },
    Task(Soon<Outcome>),
}

/// The machine and its surroundings.
pub struct Agreement {
    pub machine: Agent,
    pub kernel: OsKernel,
    next: u64,
    waiting: BTreeMap<OpId, Waiting>,
    /// The kernel's count of deletions that was looked at last.
    deletions: u64,
    /// A task looks after deadlines.
    ticking: bool,
    /// Bytes that became free because nobody has them any more.
    freed: u64,
}

impl Agreement {
    /// Of an OSnode that knows nobody else.
    pub fn new(osnode: u64) -> Agreement {
        Agreement {
            machine: Agent::new(OsnodeId(osnode), &[], Shipped),
            kernel: OsKernel::default(),
            next: 1,
            waiting: BTreeMap::new(),
            deletions: 0,
            ticking: false,
            freed: 0,
        }
    }
    /// A new operation of this OSnode.
    pub fn op(&mut self, osnode: u64) -> OpId {
        self.next += 1;
        OpId {
            origin: OsnodeId(osnode),
            number: self.next - 1,
        }
    }
}

/// Lets the machine take an input; before it, what the kernel deleted.
pub fn step(world: &World, input: Input) {
    let outputs = {
        let mut s = world.state.borrow_mut();
        let a = &mut s.agreement;
        let now = time::system_ns();
        let mut outputs = Vec::new();
        let removals = invoke::cap_removals(slots::KERNEL).unwrap_or_default();
        let waited = core::mem::replace(&mut a.kernel.unflushed, !removals.flushes.is_settled());
        if removals.drops != a.deletions || waited && !a.kernel.unflushed {
            a.deletions = removals.drops;
            outputs = a.machine.step(now, Input::Deleted, &mut a.kernel);
        }
        if input != Input::Deleted {
            outputs.extend(a.machine.step(now, input, &mut a.kernel));
        }
        outputs
    };
    perform_all(world, outputs);
}

fn perform_all(world: &World, outputs: Vec<Output>) {
    for output in outputs {
        perform(world, output);
    }
    parcels::sort(world);
}

/// This OSnode will account for memory for which nobody does.
pub fn await_estate(world: &World, memory: Object) {
    let outputs = {
        let a = &mut world.state.borrow_mut().agreement;
        let now = time::system_ns();
        a.machine.await_estate(now, memory, &mut a.kernel)
    };
    perform_all(world, outputs);
}

/// This OSnode accounts for memory now for which nobody does; the bytes of it that became free at once.
pub fn reclaim(world: &World, memory: Object) -> u64 {
    step(world, Input::Deleted);
    let (before, outputs) = {
        let a = &mut world.state.borrow_mut().agreement;
        let now = time::system_ns();
        (a.freed, a.machine.reclaim(now, memory, &mut a.kernel))
    };
    perform_all(world, outputs);
    world.state.borrow().agreement.freed - before
}

fn perform(world: &World, output: Output) {
    match output {
        Output::Send { to, message } => {
            rt::marker::<{ abi::marker::AGREE_SEND }>();
            links::say(world, to.0, Kind::Agree, message.to_bytes());
        }
        Output::Answer { op, outcome } => answered(world, op, outcome),
        Output::Freed { object, base, end } => {
            world.state.borrow_mut().agreement.freed += end - base;
            freed(&object, base, end);
        }
        Output::Revoked { .. } | Output::Inherited { .. } => {}
        Output::Estate { dead, held } => crate::members::estate(&dead, &held),
    }
}

/// A message of another machine.
pub fn message(world: &World, from: u64, bytes: &[u8]) {
    let from = OsnodeId(from);
    match Message::from_bytes(bytes) {
        Some(message) => step(world, Input::Message { from, message }),
        None => rt::println!("monitor: o{} sent a message that cannot be read", from.0),
    }
}

/// Memory that nobody has any more becomes RAM again: made and deleted, the kernel gives it to the memory service.
fn freed(object: &Object, base: u64, end: u64) {
    if object.cap().kind.info().class != capfmt::schema::Class::Physical {
        return;
    }
    let ram = capfmt::Cap::region(CapType::Ram, PhysAddr(base), end - base);
    let words = ram.emit();
    let own = rt::env::osnode();
    let made = cap::in_slot(|slot| invoke::cap_import(slots::KERNEL, words, own, slot));
    // What is imported counts as shared: this is not.
    let private = |ram| {
        invoke::cap_set_remote(slots::KERNEL, words, capfmt::MdbFlags(0))?;
        Ok(ram)
    };
    if let Err(e) = made.and_then(private).and_then(Capability::delete) {
        let why = e.message();
        rt::println!("monitor: {} bytes at {base:#x} are lost: {why}", end - base);
    }
}

/// The view in which somebody is told to try later: a later one may be worth it.
pub fn view(world: &World) -> u64 {
    world.state.borrow().members.machine.view()
}

fn error(refusal: Refusal) -> SysError {
    match refusal {
        Refusal::NoSuch => SysError::NoCapability,
        Refusal::BadArgument => SysError::BadArgument,
        Refusal::Overlaps => SysError::Overlaps,
        Refusal::NotOwner | Refusal::NotRoot => SysError::SharedRemote,
        Refusal::TooLarge | Refusal::NoSpace => SysError::TableFull,
        Refusal::StillInUse => SysError::StillInUse,
        Refusal::Gone(_) => SysError::OsnodeGone,
        Refusal::TryLater => SysError::TryLater,
    }
}

/// What a refusal says to a client of the monitor.
pub fn service_error(world: &World, refusal: Refusal) -> ServiceError {
    match refusal {
        Refusal::TryLater => ServiceError::TryLater(view(world)),
        Refusal::Gone(_) => ServiceError::OsnodeGone,
        Refusal::NoSpace => ServiceError::TableFull,
        other => ServiceError::Sys(error(other)),
    }
}

fn answered(world: &World, op: OpId, outcome: Outcome) {
    let waiting = {
        let mut s = world.state.borrow_mut();
        s.agreement.kernel.calls.remove(&op);
        s.agreement.waiting.remove(&op)
    };
    match waiting {
        Some(Waiting::Call { dispatcher, op }) => {
            let answer = match (outcome, op) {
                // Carried out already.
                (Ok(()), Op::Retype) => return,
                (Ok(()), _) => Answer::Done,
                (Err(Refusal::TryLater), _) => Answer::Late(view(world)),
                (Err(r), _) => Answer::Refuse(error(r)),
            };
            // A dispatcher that ended meanwhile needs no answer.
            let _ = invoke::cap_answer(slots::KERNEL, dispatcher, answer);
        }
        Some(Waiting::Task(ended)) => ended.tell(outcome),
        None => {}
    }
}

fn begin(world: &World, op: OpId, request: Request, waiting: Waiting, patience_ns: u64) {
    world
        .state
        .borrow_mut()
        .agreement
        .waiting
        .insert(op, waiting);
    let deadline = time::system_ns().saturating_add(patience_ns);
    let input = Input::Client {
        op,
        request,
        deadline,
    };
    step(world, input);
    tick(world);
}

/// While operations are open, their deadlines are looked at.
fn tick(world: &World) {
    {
        let a = &mut world.state.borrow_mut().agreement;
        if a.waiting.is_empty() || core::mem::replace(&mut a.ticking, true) {
            return;
        }
    }
    let world = world.clone();
    task::spawn(async move {
        while !world.state.borrow().agreement.waiting.is_empty() {
            time::system_sleep(TICK_NS).await;
            step(&world, Input::Tick);
        }
        world.state.borrow_mut().agreement.ticking = false;
    });
}

/// Sends a copy of a capability to another OSnode, or gives it away; the operation's number.
///
/// # Errors
/// As the owner or receiver says.
pub async fn send(
    world: &World,
    to: u64,
    copy: Capability,
    channel: u64,
    give: bool,
) -> Result<u64, ServiceError> {
    carry(world, to, copy, channel, give, PATIENCE_NS).await
}

/// Sends a copy of a channel's Frame, which it also belongs to. What is said is how it ended, however long it took.
///
/// # Errors
/// As [`send`].
pub async fn lend(
    world: &World,
    to: u64,
    copy: Capability,
    region: u64,
) -> Result<(), ServiceError> {
    let lent = carry(world, to, copy, region, false, u64::MAX);
    lent.await.map(drop)
}

async fn carry(
    world: &World,
    to: u64,
    copy: Capability,
    channel: u64,
    give: bool,
    patience_ns: u64,
) -> Result<u64, ServiceError> {
    let id = invoke::identify(copy.addr())?;
    if !id.cap.kind.info().crosses {
        return Err(ServiceError::Sys(SysError::WrongType));
    }
    let object = Object::of(&id.cap);
    let gift = Gift {
        rights: id.cap.rights,
        channel,
    };
    let to = OsnodeId(to);
    let request = match give {
        true => Request::Move { object, to, gift },
        false => Request::Copy { object, to, gift },
    };
    if give {
        unmaps::all_flushed().await;
    }
    let op = {
        let a = &mut world.state.borrow_mut().agreement;
        let op = a.op(world.osnode);
        a.kernel.leaving.insert(op, copy);
        op
    };
    let outcome = end_of(world, op, request, patience_ns).await;
    let left = world
        .state
        .borrow_mut()
        .agreement
        .kernel
        .leaving
        .remove(&op);
    drop(left);
    step(world, Input::Deleted);
    outcome
        .map(|()| op.number)
        .map_err(|r| service_error(world, r))
}

/// Everybody has flushed what was removed here up to `number`: what waited for that goes on.
pub fn flushed(world: &World, number: u64) {
    let swept = {
        let sweeping = &mut world.state.borrow_mut().agreement.kernel.sweeping;
        let over = sweeping.extract_if(.., |_, removal| *removal <= number);
        over.map(|(op, _)| op).collect::<Vec<_>>()
    };
    for op in swept {
        step(world, Input::SweepDone { op });
    }
    step(world, Input::Deleted);
}

/// Carries out what the monitor itself asks of the machine.
pub async fn run(world: &World, request: Request) -> Outcome {
    let op = world.state.borrow_mut().agreement.op(world.osnode);
    end_of(world, op, request, PATIENCE_NS).await
}

async fn end_of(world: &World, op: OpId, request: Request, patience_ns: u64) -> Outcome {
    let ended = Soon::new();
    begin(
        world,
        op,
        request,
        Waiting::Task(ended.clone()),
        patience_ns,
    );
    ended.wait().await
}

/// A Frame of this OSnode went to `osnode` without the machine's help: to connect it.
pub fn lent(world: &World, osnode: u64, frame: &channels::ChannelFrame) {
    if let Ok(id) = invoke::identify(frame.cap.addr()) {
        let objects = Vec::from([Object::of(&id.cap)]);
        let message = Message::Holds { objects };
        let from = OsnodeId(osnode);
        step(world, Input::Message { from, message });
    }
}

/// A copy of such a Frame.
///
/// # Errors
/// Any of `Op::CapImport`.
pub fn borrowed(world: &World, owner: u64, region: u64) -> Result<Capability, SysError> {
    let (base, bytes) = unpack_region(region);
    let cap = channels::import_frame(owner, base, bytes)?;
    let object = Object::of(&invoke::identify(cap.addr())?.cap);
    let machine = &mut world.state.borrow_mut().agreement.machine;
    machine.know(object, OsnodeId(owner));
    Ok(cap)
}

/// What this OSnode was made with of `home`'s; the machine knows it from here on.
pub fn endowment(world: &World, home: u64) -> Message {
    let all = oskernel::everything();
    let machine = &mut world.state.borrow_mut().agreement.machine;
    let mut objects = Vec::new();
    for (object, owner) in all {
        if owner == OsnodeId(home) {
            machine.know(object, owner);
            objects.push(object);
        }
    }
    Message::Holds { objects }
}

fn object_of(words: RawCap) -> Option<Object> {
    words.parse().map(|cap| Object::of(&cap))
}

/// What a waiting call asks of the machine.
fn request_of(call: &Pending) -> Option<Request> {
    let object = object_of(call.words)?;
    match call.op {
        Op::Revoke => Some(Request::Revoke { object }),
        Op::Retype => {
            let child = invoke::cap_pending_child(slots::KERNEL, call.dispatcher).ok()??;
            Some(Request::Retype {
                object,
                child: object_of(child.words)?,
                count: u32::try_from(child.count).ok()?,
            })
        }
        _ => None,
    }
}

/// The table that a waiting call unmapped from.
fn table_of(call: &Pending) -> Option<Object> {
    if !matches!(call.op, Op::Unmap | Op::Protect) {
        return None;
    }
    let table = invoke::cap_pending_child(slots::KERNEL, call.dispatcher).ok()??;
    object_of(table.words)
}

fn begin_call(world: &World, call: &Pending) {
    let Pending { dispatcher, op, .. } = *call;
    if let Some(table) = table_of(call) {
        let id = world.state.borrow_mut().agreement.op(world.osnode);
        return unmaps::begin(world, id, dispatcher, table);
    }
    let Some(request) = request_of(call) else {
        let answer = Answer::Refuse(SysError::SharedRemote);
        let _ = invoke::cap_answer(slots::KERNEL, dispatcher, answer);
        return;
    };
    let id = {
        let a = &mut world.state.borrow_mut().agreement;
        let id = a.op(world.osnode);
        a.kernel.calls.insert(id, dispatcher);
        id
    };
    begin(
        world,
        id,
        request,
        Waiting::Call { dispatcher, op },
        PATIENCE_NS,
    );
}

/// Looks what the kernel wants: deletions, and calls that wait.
fn attend(world: &World) {
    step(world, Input::Deleted);
    let flushes = invoke::flushed(slots::KERNEL, 0).unwrap_or_default();
    if !flushes.is_settled() {
        unmaps::removed(world, flushes.owed);
    }
    let mut last = 0;
    while let Ok(Some(call)) = invoke::cap_pending(slots::KERNEL, last) {
        last = call.dispatcher;
        if call.op == Op::Flushed {
            unmaps::awaited(world, &call, time::system_ns() + PATIENCE_NS);
            continue;
        }
        let known = {
            let s = world.state.borrow();
            let of =
                |w: &Waiting| matches!(w, Waiting::Call { dispatcher, .. } if *dispatcher == last);
            s.agreement.waiting.values().any(of) || s.unmaps.waits(last)
        };
        if !known {
            begin_call(world, &call);
        }
    }
}

/// Has the kernel tell this monitor what it cannot decide.
///
/// # Errors
/// No notification channel is left, or the kernel refuses.
pub fn open(world: &World) -> Result<(), SysError> {
    let bell = Notification::new()?;
    invoke::monitor_bind(slots::KERNEL, bell.channel())?;
    let world = world.clone();
    task::spawn(async move {
        loop {
            attend(&world);
            bell.wait().await;
        }
    });
    Ok(())
}

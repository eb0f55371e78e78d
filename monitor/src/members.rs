//! The membership machine of this OSnode, run: who is there, and what follows from it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use abi::slots;
use capfmt::schema::Class;
use capfmt::{CapType, OsnodeId, PhysAddr};
use monitor::agree::codec::Bytes;
use monitor::agree::membership::{Fact, MemberInput, MemberMessage, MemberOutput, Members, Status};
use monitor::agree::{Input, Nodes, Object, Shipped};
use proto::iface::system::{Done, Member, MemberStatus, NOWHERE};
use proto::ump::Side;
use proto::{Later, ServiceError};
use rt::chan::Request;
use rt::event::{self, Event};
use rt::{invoke, task};

use crate::links::{self, Kind};
use crate::peers::{self, Peer};
use crate::world::World;
use crate::{agreement, channels, custody, oskernel, unmaps};

/// Who asked to hear of something.
pub type Asker = Later<Done, Request>;

/// The machine, and who waits for news.
pub struct Membership {
    pub machine: Members,
    /// Device managers that wait until an OSnode runs.
    awaited: Vec<(u64, Asker)>,
    /// Others of which this one heard before they were gone.
    pub met: BTreeSet<u64>,
    /// OSnodes that are gone, and of which nothing is left here but what programs hold.
    buried: BTreeSet<u64>,
    /// Device managers that wait until an OSnode is buried.
    mourners: Vec<(u64, Asker)>,
}

impl Membership {
    /// Of the first OSnode, which runs, or of a new one, which knows nobody.
    pub fn new(osnode: u64, first: bool) -> Membership {
        let me = OsnodeId(osnode);
        let running: &[OsnodeId] = if first { &[me] } else { &[] };
        Membership {
            machine: Members::new(me, running, Shipped),
            awaited: Vec::new(),
            met: BTreeSet::new(),
            buried: BTreeSet::new(),
            mourners: Vec::new(),
        }
    }
    /// The first OSnode with an id above this one, as it is told to others.
    pub fn next(&self, osnode: u64) -> Option<Member> {
        let above = OsnodeId(osnode.checked_add(1)?);
        let (id, fact) = self.machine.known().range(above..).next()?;
        let (status, caretaker) = match fact.status {
            Status::Joining => (MemberStatus::Joining, 0),
            Status::Running => (MemberStatus::Running, 0),
            Status::Stopped(by) => (MemberStatus::Stopped, by.0),
            Status::Moving(by) => (MemberStatus::Moving, by.0),
            Status::Gone => (MemberStatus::Gone, 0),
        };
        Some(Member {
            osnode: id.0,
            status,
            caretaker,
            count: fact.count,
            view: self.machine.view(),
        })
    }
    /// Whether nothing is left here of an OSnode that is gone but what programs hold. Of one that was never heard of
    /// nothing can be.
    pub fn has_buried(&self, osnode: u64) -> bool {
        self.status(osnode).is_none() || self.buried.contains(&osnode)
    }
    /// How an OSnode is, as far as is known here.
    pub fn status(&self, osnode: u64) -> Option<Status> {
        self.machine
            .known()
            .get(&OsnodeId(osnode))
            .map(|f| f.status)
    }
}

/// Lets the machine take an input.
pub fn step(world: &World, input: MemberInput) {
    let outputs = world.state.borrow_mut().members.machine.step(input);
    for output in outputs {
        match output {
            MemberOutput::Send(to, message) => {
                let keeps = world.state.borrow().members.machine.keeps(to, &message);
                let say = if keeps { links::leave } else { links::say };
                say(world, to.0, Kind::Member, message.to_bytes());
            }
            MemberOutput::News(fact) => news(world, fact),
        }
    }
}

/// A message of another machine.
pub fn message(world: &World, from: u64, bytes: &[u8]) {
    match MemberMessage::from_bytes(bytes) {
        Some(message) => {
            let own_stop =
                |f: &Fact| f.osnode.0 == world.osnode && matches!(f.status, Status::Stopped(_));
            if matches!(&message, MemberMessage::Fact(f) if own_stop(f)) {
                let world = world.clone();
                task::spawn(async move {
                    started().await;
                    step(&world, MemberInput::Message(OsnodeId(from), message));
                });
                return;
            }
            step(world, MemberInput::Message(OsnodeId(from), message));
        }
        None => rt::println!("monitor: o{from} sent membership news that cannot be read"),
    }
}

/// Waits until this OSnode has a core of its own: while it is stopped and another kernel only cares for it, its
/// monitor answers, but does not say that it is back.
async fn started() {
    loop {
        let seen = event::count(Event::KernelRestarted);
        let visited = invoke::osnode_info(slots::KERNEL).is_ok_and(|i| i.visited);
        if !visited {
            return;
        }
        event::after(Event::KernelRestarted, seen).await;
    }
}

/// A device manager waits until an OSnode runs.
pub fn when_running(world: &World, osnode: u64, asker: Asker) {
    let runs = matches!(
        world.state.borrow().members.status(osnode),
        Some(Status::Running)
    );
    match runs {
        true => drop(asker.answer(Ok(Done {}))),
        false => {
            let members = &mut world.state.borrow_mut().members;
            members.awaited.push((osnode, asker));
        }
    }
}

fn news(world: &World, fact: Fact) {
    if fact.osnode == OsnodeId(world.osnode) {
        return;
    }
    if fact.status != Status::Gone {
        let mut s = world.state.borrow_mut();
        s.members.met.insert(fact.osnode.0);
        // The first OSnode's monitor hears of all places from the device manager, before an OSnode says that it runs.
        if world.home != 0 {
            s.osnodes.told(fact.osnode.0, fact.status);
        }
    }
    match fact.status {
        Status::Joining => agreement::step(world, Input::Joined(fact.osnode)),
        Status::Running => {
            agreement::step(world, Input::Joined(fact.osnode));
            let told = {
                let mut s = world.state.borrow_mut();
                let runs = |(o, _): &mut (u64, Asker)| *o == fact.osnode.0;
                s.members.awaited.extract_if(.., runs).collect::<Vec<_>>()
            };
            for (_, asker) in told {
                asker.answer(Ok(Done {}));
            }
        }
        Status::Stopped(_) | Status::Moving(_) => {
            agreement::step(world, Input::Joined(fact.osnode))
        }
        Status::Gone => {
            let world = world.clone();
            task::spawn(async move { bury(&world, fact.osnode).await });
        }
    }
}

/// An OSnode was fenced. Nobody uses its page tables any more and its last messages are taken; then the machines hear
/// that it is gone.
async fn bury(world: &World, osnode: OsnodeId) {
    unmaps::bury(world, osnode).await;
    peers::drain(world, osnode).await;
    // Services here let go of the Frames below its clients' channels.
    crate::bind::gone(world, osnode);
    let peer = {
        let mut s = world.state.borrow_mut();
        s.osnodes.remove(osnode.0);
        s.peers.remove(&osnode.0)
    };
    if let Some(peer) = peer {
        leave_channels(world, peer);
        world.state.borrow_mut().pool.shrink(peers::STOCK);
    }
    custody::prepare(world);
    agreement::step(world, Input::Gone(osnode));
    custody::pass_on_later(world);
    forget_bells(osnode);
    links::forget(world, osnode.0);
    let (failed, told) = {
        let m = &mut world.state.borrow_mut().members;
        m.buried.insert(osnode.0);
        let of = |(o, _): &mut (u64, Asker)| *o == osnode.0;
        let failed = m.awaited.extract_if(.., of).collect::<Vec<_>>();
        (failed, m.mourners.extract_if(.., of).collect::<Vec<_>>())
    };
    for (_, asker) in failed {
        asker.answer(Err(ServiceError::OsnodeGone.into()));
    }
    for (_, asker) in told {
        asker.answer(Ok(Done {}));
    }
    // The memory of channels with it comes back; no request need come any more after which it would.
    unmaps::all_flushed().await;
    channels::trim(world);
}

/// The channels to a monitor that is gone, or never came, end; this side's Frames can be used again.
pub fn leave_channels(world: &World, mut peer: Peer) {
    let frames = core::mem::take(&mut peer.frames);
    let borrowed = core::mem::take(&mut peer.borrowed);
    let channels = [(&peer.asking, Side::B), (&peer.asked, Side::A)];
    let below = frames.iter().map(|f| &f.cap).chain(&borrowed);
    for ((channel, dead), frame) in channels.into_iter().zip(below) {
        if let Err(e) = channels::close_for_dead(channel.own_channel(), frame, dead) {
            rt::println!("monitor: a channel cannot be closed: {e}");
        }
    }
    peer.asking.leave_for_good();
    peer.asked.leave_for_good();
    drop((peer, borrowed));
    let pool = &mut world.state.borrow_mut().pool;
    frames.into_iter().for_each(|f| pool.put(f));
}

/// An OSnode was fenced: all are told, and who says so hears when it is gone here.
pub fn fenced(world: &World, osnode: u64, asker: Asker) {
    if osnode == world.osnode {
        asker.answer(Err(ServiceError::BadArgument.into()));
        return;
    }
    let known = world.state.borrow().members.status(osnode);
    if known.is_none() {
        // It never said hello: nobody knows it.
        let peer = {
            let mut s = world.state.borrow_mut();
            s.osnodes.remove(osnode);
            s.members.buried.insert(osnode);
            s.peers.remove(&osnode)
        };
        if let Some(peer) = peer {
            leave_channels(world, peer);
        }
    }
    {
        let members = &mut world.state.borrow_mut().members;
        if members.buried.contains(&osnode) {
            asker.answer(Ok(Done {}));
            return;
        }
        members.mourners.push((osnode, asker));
    }
    if known != Some(Status::Gone) {
        step(world, MemberInput::Fenced(OsnodeId(osnode)));
    }
}

/// Nobody may signal into the memory of an OSnode that is gone: every Notify for it is deleted.
fn forget_bells(osnode: OsnodeId) {
    let mut after = None;
    let mut doomed = Vec::new();
    let end = 1 << PhysAddr::BITS;
    while let Ok(Some(found)) =
        invoke::cap_next(slots::KERNEL, Class::Physical, 0, end, after.as_ref())
    {
        let cap = found.object;
        if cap.kind == CapType::Notify && cap.extra == osnode.0 {
            doomed.push(Object::of(&cap));
        }
        after = Some(found.cursor);
    }
    doomed.iter().for_each(oskernel::delete);
}

/// Where an OSnode runs, as its device manager says. One that runs again says so itself.
pub fn located(world: &World, osnode: u64, core: u32) {
    let status = world.state.borrow().members.status(osnode);
    let runs = matches!(status, Some(Status::Running | Status::Moving(_)));
    if runs && core == NOWHERE && osnode != world.osnode {
        step(world, MemberInput::Stopped(OsnodeId(osnode)));
    }
}

/// An OSnode left its core for another one. It says so itself when it runs there.
pub fn moving(world: &World, osnode: u64) {
    let status = world.state.borrow().members.status(osnode);
    let may = matches!(status, Some(Status::Running | Status::Stopped(_)));
    if may && osnode != world.osnode {
        let core = proto::iface::system::NOWHERE;
        world.state.borrow_mut().osnodes.locate(osnode, core);
        step(world, MemberInput::Moving(OsnodeId(osnode)));
    }
}

/// What OSnodes that are gone left and others still hold; the rest of their memory can be used again.
pub fn estate(dead: &Nodes, held: &[Object]) {
    for osnode in dead {
        rt::io::log(format_args!(
            "monitor: o{} is gone; others hold {} of its objects\n",
            osnode.0,
            held.len()
        ));
    }
}

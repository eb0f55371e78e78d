//! The interface language in the guest, within an OSnode and between two: stubs of both ends, a
//! program of another version, a server that never answers, a client that never reads, a peer
//! that ends.
//!
//! As in `t-ump`, the other OSnode is the one that made this one, or the first one itself.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::pending;

use abi::CapAddr;
use proto::iface::names::NamesClient;
use proto::iface::spawn::Place;
use proto::{CallError, PeerError, Refusal, ServiceError};
use rt::chan::{self, Answer, Attach, BindError, Client, Request, Server};
use rt::{Capability, env, invoke, mem, task, time};
use tests::{Child, Random, Suite};

#[path = "iface/flood.rs"]
mod flood;

rt::entry!(main);

const SELF: &str = "t-iface";
const NEXT: &str = "t-iface-next";

/// Longer than any answer takes (system time).
const LONG_NS: u64 = 20_000_000_000;

proto::interface! {
    /// Adds and keeps.
    pub interface Keeper = 103, version 1, errors ServiceError;
    messages KeeperRequest, KeeperReply;
    stubs KeeperClient, KeeperServer;
    replies {
        /// What it has now.
        Sum = 0x8001 {
            /// Sum.
            sum: u64,
        };
        /// A thing comes back.
        Back = 0x8002 {} blob text gives thing;
        /// A thing is lent.
        Lent = 0x8003 {} copies thing;
    }
    requests {
        /// Adds.
        Add = 1 add {
            /// This.
            amount: u64,
        } -> Sum;
        /// Gives a thing, which comes back.
        Give = 2 give {} blob text gives thing -> Back;
        /// Lends a thing, which is kept.
        Keep = 3 keep {} copies thing -> Sum;
        /// Lends what was kept.
        Lend = 4 lend {} -> Lent;
        /// Is never answered.
        Never = 5 never {} -> Sum;
        /// Ends the service.
        Die = 6 die {};
    }
}

#[derive(Default)]
struct Keep {
    sum: Cell<u64>,
    kept: Cell<Option<Capability>>,
}

impl KeeperServer<Request> for Keep {
    async fn add(&self, _: &Request, amount: u64) -> Result<Sum, Refusal> {
        let sum = self.sum.get().checked_add(amount);
        let sum = sum.ok_or_else(|| Refusal::new(ServiceError::BadArgument, "too much"))?;
        self.sum.set(sum);
        Ok(Sum { sum })
    }
    async fn give(
        &self,
        _: &Request,
        text: Vec<u8>,
        thing: Capability,
    ) -> Result<Back<Capability>, Refusal> {
        Ok(Back { text, thing })
    }
    async fn keep(&self, _: &Request, thing: Capability) -> Result<Sum, Refusal> {
        self.kept.set(Some(thing));
        Ok(Sum {
            sum: self.sum.get(),
        })
    }
    async fn lend(&self, _: &Request) -> Result<Lent<CapAddr>, Refusal> {
        let kept = self.kept.take().ok_or(ServiceError::NotFound)?;
        let thing = kept.addr();
        self.kept.set(Some(kept));
        Ok(Lent { thing })
    }
    async fn never(&self, _: &Request) -> Result<Sum, Refusal> {
        pending().await
    }
    fn die(&self, _: &Request) {
        rt::process::exit(0)
    }
}

type Keeping = KeeperClient<Client>;

fn main() -> i32 {
    let words: Vec<&str> = env::args().collect();
    match words[..] {
        [_, "serve", name] => task::block_on(serve(name)),
        [_, "flood", name] => task::block_on(flood::by_lmp(name)),
        [_, "flood-ump", name, osnode] => task::block_on(flood::by_ump(name, osnode)),
        [_, "capabilities"] => task::block_on(far_capabilities()),
        _ => task::block_on(run()),
    }
}

async fn serve(name: &str) -> i32 {
    let served = chan::serve_side_by_side::<Keeper, _>(name, Rc::new(Keep::default())).await;
    rt::println!("{SELF}: {served:?}");
    1
}

async fn run() -> i32 {
    let mut suite = Suite::new("iface");
    let here = format!("keep{}", env::pid());
    let done = lmp_all(&mut suite, &here).await;
    suite.report("lmp", done);
    suite.report("forgotten", forgotten(&here).await);
    let there = format!("ukeep{}", env::pid());
    let done = ump_all(&mut suite, &there).await;
    suite.report("ump", done);
    suite.report("nobody", nobody().await);
    suite.report("reserved", reserved().await);
    suite.failed()
}

/// Where a service was found, or how to find it.
enum Way {
    Here,
    On(u64),
}

async fn connect(way: &Way, name: &str) -> Result<Keeping, BindError> {
    match way {
        Way::Here => chan::connect::<Keeper>(name).await,
        Way::On(osnode) => chan::connect_on::<Keeper>(*osnode, name).await,
    }
}

async fn lmp_all(suite: &mut Suite, name: &str) -> Result<(), String> {
    let child = Child::start(&[SELF, "serve", name], Place::Here).await?;
    let keeper = connect(&Way::Here, name).await.map_err(|e| e.to_string())?;
    suite.report("lmp.capabilities", capabilities(&keeper).await);
    let flood = Child::start(&[SELF, "flood", name], Place::Here).await?;
    all(suite, "lmp", &keeper, &flood, child).await?;
    suite.report("lmp.versions", versions(&Way::Here).await);
    Ok(())
}

async fn ump_all(suite: &mut Suite, name: &str) -> Result<(), String> {
    let child = Child::start(&[SELF, "serve", name], Place::Home).await?;
    let osnode = child.pid.osnode;
    let way = Way::On(osnode);
    let keeper = connect(&way, name).await.map_err(|e| e.to_string())?;
    let words = [SELF, "flood-ump", name, &osnode.to_string()];
    let flood = Child::start(&words, Place::Here).await?;
    all(suite, "ump", &keeper, &flood, child).await?;
    suite.report("ump.versions", versions(&way).await);
    Ok(())
}

/// Capabilities that go between OSnodes, and one that may not, by the monitors.
async fn far_capabilities() -> i32 {
    let mut suite = Suite::new("iface");
    suite.report(
        "ump.capabilities",
        far(&format!("ckeep{}", env::pid())).await,
    );
    suite.failed()
}

async fn far(name: &str) -> Result<(), String> {
    let child = Child::start(&[SELF, "serve", name], Place::Home).await?;
    let way = Way::On(child.pid.osnode);
    let keeper = connect(&way, name).await.map_err(|e| e.to_string())?;
    capabilities(&keeper).await?;
    match keeper.keep(abi::slots::DISPATCHER).await {
        Err(CallError::Peer(PeerError::Refused(_))) => {}
        other => return Err(format!("a dispatcher on its way: {other:?}")),
    }
    // Nothing else ended with it.
    keeper.add(1).await.map_err(|e| e.to_string())?;
    child.kill().await.map(|_| ())
}

/// What is the same over both ways; ends the service, and who floods it.
async fn all(
    suite: &mut Suite,
    way: &str,
    keeper: &Keeping,
    flood: &Child,
    child: Child,
) -> Result<(), String> {
    suite.report(&format!("{way}.flood"), flooded(keeper).await);
    flood.kill().await?;
    suite.report(&format!("{way}.refusal"), refusal(keeper).await);
    suite.report(&format!("{way}.silence"), silence(keeper).await);
    suite.report(&format!("{way}.any-words"), any_words(keeper).await);
    suite.report(&format!("{way}.gone"), gone(keeper, child).await);
    Ok(())
}

/// Somebody floods the service and reads nothing; others are served.
async fn flooded(keeper: &Keeping) -> Result<(), String> {
    let soon = KeeperClient(keeper.0.until(time::system_ns() + LONG_NS));
    let mut last = 0;
    for n in 1..=20 {
        let done = soon.add(1).await;
        let sum = done
            .map_err(|e| format!("call {n}, under a flood: {e}"))?
            .sum;
        if sum <= last {
            return Err(format!("call {n}: {sum} after {last}"));
        }
        last = sum;
    }
    Ok(())
}

async fn refusal(keeper: &Keeping) -> Result<(), String> {
    let text = Refusal::new(ServiceError::BadArgument, "too much");
    match keeper.add(u64::MAX).await {
        Err(CallError::Refused(r)) if r == text => Ok(()),
        other => Err(format!("a refusal came back as {other:?}")),
    }
}

/// A server that never answers: the deadline does.
async fn silence(keeper: &Keeping) -> Result<(), String> {
    let soon = KeeperClient(keeper.0.until(time::system_ns() + 50_000_000));
    match soon.never().await {
        Err(CallError::Peer(PeerError::TimedOut)) => Ok(()),
        other => Err(format!("a call that is never answered: {other:?}")),
    }
}

proto::messages! {
    /// Anything.
    pub enum Anything: 103 (Keeper 1) {
        /// A request that there is not.
        Unknown = 77 {
            /// Any words.
            words: (u64, (u64, (u64, u64))),
        },
        /// One with a capability, without it.
        Give = 2 {},
        /// One that there is, with a field too many.
        Add = 1 {
            /// Any words.
            words: (u64, (u64, (u64, u64))),
        },
    }
}

/// Whatever is asked, something answers.
async fn any_words(keeper: &Keeping) -> Result<(), String> {
    let mut random = Random::new(5);
    for n in 0..300 {
        let words = (random.below(9), (random.next_u64(), (random.next_u64(), n)));
        let message = match n % 3 {
            0 => Anything::Unknown { words },
            1 => Anything::Give {},
            _ => Anything::Add { words },
        };
        let asked = keeper
            .0
            .request_until(&message, Attach::NONE, time::system_ns() + LONG_NS);
        let answer: Result<Answer<KeeperReply>, _> = asked.await;
        let expected = |m: &KeeperReply| match n % 3 {
            0 => {
                *m == KeeperReply::Refused {
                    error: ServiceError::BadOperation,
                }
            }
            1 => {
                *m == KeeperReply::Refused {
                    error: ServiceError::NoCapability,
                }
            }
            _ => matches!(m, KeeperReply::Sum { .. }),
        };
        match answer {
            Ok(a) if expected(&a.message) => {}
            other => return Err(format!("{message:?} brought {other:?}")),
        }
    }
    Ok(())
}

/// The service ends while a call waits: that call and later ones are told.
async fn gone(keeper: &Keeping, child: Child) -> Result<(), String> {
    let waits = async {
        let waiting = keeper.never().await;
        waiting == Err(CallError::Peer(PeerError::Gone))
    };
    let dies = async {
        time::sleep(1_000_000).await;
        keeper.die().map_err(|e| e.to_string())?;
        child.wait().await?.expect_success()
    };
    let mut waits = core::pin::pin!(waits);
    let mut dies = core::pin::pin!(dies);
    let told = match task::select(waits.as_mut(), dies.as_mut()).await {
        task::Either::Left(told) => {
            dies.await?;
            told
        }
        task::Either::Right(died) => {
            died?;
            let until = time::now_ns() + LONG_NS;
            time::timeout(until, waits)
                .await
                .ok_or("a call to a service that ended waits on")?
        }
    };
    if !told {
        return Err("a call to a service that ended was told something else".into());
    }
    match keeper.add(1).await {
        Err(CallError::Peer(PeerError::Gone)) => Ok(()),
        other => Err(format!("asking a service that ended: {other:?}")),
    }
}

fn base(thing: CapAddr) -> Result<u64, String> {
    let id = invoke::identify(thing).map_err(|e| e.message().to_string())?;
    Ok(id.cap.base.0)
}

/// What is given is gone here and there in turn; what is lent is in both places.
async fn capabilities(keeper: &Keeping) -> Result<(), String> {
    let lost = |e: CallError| e.to_string();
    let mut frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let at = base(frame.addr())?;
    for n in 0..50u32 {
        let slot = frame.addr();
        let text = n.to_le_bytes();
        let back = keeper.give(&text, frame).await.map_err(lost)?;
        if base(slot).is_ok() && slot != back.thing.addr() {
            return Err("what was given is still there".into());
        }
        if back.text != text || base(back.thing.addr())? != at {
            return Err(format!("turn {n}: something else came back"));
        }
        frame = back.thing;
    }
    keeper.keep(frame.addr()).await.map_err(lost)?;
    let lent = keeper.lend().await.map_err(lost)?;
    if base(lent.thing.addr())? != at || base(frame.addr())? != at {
        return Err("something else was lent".into());
    }
    mem::free_ram(frame).map_err(|e| e.to_string())
}

/// A service built from the next version refuses this program, and the other way round.
async fn versions(way: &Way) -> Result<(), String> {
    let name = format!("next{}", env::pid());
    let place = match way {
        Way::Here => Place::Here,
        Way::On(_) => Place::Home,
    };
    let child = Child::start(&[NEXT, "serve", &name], place).await?;
    let osnode = child.pid.osnode;
    let refused = match connect(way, &name).await {
        Err(e) => e.to_string(),
        Ok(_) => return Err("a service of another version was bound".into()),
    };
    let expected = format!(
        "service \"{name}\" of OSnode o{osnode} speaks version 2 of interface Keeper, \
         this program version 1: rebuild this program"
    );
    if refused != expected {
        return Err(format!("it says: {refused}"));
    }
    // A connection for any interface: each message of the wrong version is refused.
    let any = match way {
        Way::Here => Client::lookup(&name).await,
        Way::On(osnode) => Client::lookup_on(*osnode, &name).await,
    };
    let keeper = KeeperClient(any.map_err(|e| e.to_string())?);
    match keeper.add(1).await {
        Err(CallError::Peer(PeerError::Version(v))) if (v.service, v.program) == (2, 1) => {}
        other => return Err(format!("a message of another version brought {other:?}")),
    }
    // It is ended without a word of its own.
    child.kill().await?;
    let soon = KeeperClient(keeper.0.until(time::system_ns() + LONG_NS));
    match soon.add(1).await {
        Err(CallError::Peer(PeerError::Gone)) => Ok(()),
        other => Err(format!("asking a service that was ended: {other:?}")),
    }
}

/// Services and OSnodes that are not there are named.
async fn nobody() -> Result<(), String> {
    let expect = |done: Result<Keeping, BindError>, text: &str| match done {
        Err(e) if e.to_string() == text => Ok(()),
        other => Err(format!("not \"{text}\" but {other:?}")),
    };
    let here = env::osnode();
    let done = connect(&Way::On(987_654), "nobody").await;
    expect(
        done,
        "there is no OSnode o987654 to look for service \"nobody\" on",
    )?;
    let done = connect(&Way::On(here), "nobody").await;
    expect(done, &format!("OSnode o{here} has no service \"nobody\""))
}

/// The name of a program that ended is in nobody's way when another one comes.
async fn forgotten(ended: &str) -> Result<(), String> {
    let server = Server::open().map_err(|e| e.message())?;
    let done = server.register(&format!("fresh{}", env::pid())).await;
    done.map_err(|e| e.to_string())?;
    let names = NamesClient(Client::names().await.map_err(|e| e.to_string())?);
    let mut index = 0;
    while let Ok(service) = names.next(index).await {
        if service.name.as_str() == ended {
            return Err(format!("{ended} is still in the table"));
        }
        index += 1;
    }
    match index {
        0 => Err("there are no names".to_string()),
        _ => Ok(()),
    }
}

/// Names that somebody has are taken, and those that begin with a full stop are for services of the system.
async fn reserved() -> Result<(), String> {
    let server = Server::open().map_err(|e| e.message())?;
    for name in ["console", ".nobody"] {
        match server.register(name).await {
            Err(PeerError::Refused(ServiceError::Exists)) => {}
            other => return Err(format!("{name}: {other:?}")),
        }
    }
    Ok(())
}

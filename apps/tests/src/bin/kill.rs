//! A process, a kernel or an OSnode that goes away at every moment of a protocol between two real cores.
//!
//! Each protocol and each event (the partner on another core is killed, its kernel replaced, its OSnode stopped
//! and started, its kernel crashed and recovered, its OSnode destroyed) is first timed, then both happen at once, shifted
//! against each other in steps. After a death nothing of the partner's is left and what is here can be used whole; after
//! the others all is as if nothing had happened. Words after the name choose those whose names have one of them (without
//! any, all but crashes and destruction).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::Pin;

use capfmt::{CapType, MdbFlags};
use proto::iface::cores::{CoreOp, CoreState};
use proto::iface::spawn::Place;
use proto::{PeerError, ServiceError};
use rt::chan::{Attach, Client};
use rt::{Capability, SysError, env, invoke, mem, task, time};
use tests::cores::{begin, manager, operate, state};
use tests::partner::{PartnerRequest, SELF, done, done_with, is_gone, keep};
use tests::{Child, Suite};

rt::entry!(main);

const PAGE: u64 = 4096;
/// Core of the partner.
const CORE: u32 = 1;
/// Steps from an event that ends before the protocol begins to one that comes after it.
const MOMENTS: u64 = 12;
/// Steps where each takes a second and more.
const FEW: u64 = 4;
/// Further tries if none of the steps had both at once.
const AIMED: u64 = 8;
/// How long what is refused for now is tried again.
const PATIENCE_NS: u64 = 20_000_000_000;
/// Number that the partner has the object under.
const OBJECT: u64 = 1;
/// Number of what it makes of it.
const MADE: u64 = 2;

type Step<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// What goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    /// The partner gets a copy.
    Copy,
    /// The partner gets the object, with its ownership.
    Give,
    /// The partner, who has a copy, retypes it.
    Retype,
    /// The partner, who has a copy, revokes it: the one here goes.
    Revoke,
    /// The partner deletes its copy.
    Delete,
    /// A channel to the partner is bound, and a question asked on it.
    Bind,
}
const PROTOCOLS: [Protocol; 6] = [
    Protocol::Copy,
    Protocol::Give,
    Protocol::Retype,
    Protocol::Revoke,
    Protocol::Delete,
    Protocol::Bind,
];

/// What comes in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Nothing,
    /// The partner is killed.
    Kill,
    /// Its OSnode gets another kernel.
    Update,
    /// Its OSnode is stopped, and started again.
    Stop,
    /// Its kernel panics in the middle of an entry, and is recovered.
    Crash,
    /// Its OSnode is destroyed.
    Destroy,
}
const EVENTS: [Event; 5] = [
    Event::Kill,
    Event::Update,
    Event::Stop,
    Event::Crash,
    Event::Destroy,
];

impl Event {
    /// Whether the partner is dead afterwards.
    fn kills(self) -> bool {
        matches!(self, Event::Kill | Event::Destroy)
    }
    /// Whether it takes so little that `test all` has it.
    fn is_quick(self) -> bool {
        !matches!(self, Event::Crash | Event::Destroy)
    }
    /// Steps of it against `protocol`. A monitor waits for a name that nobody has: it may only be starting.
    fn moments(self, protocol: Protocol) -> u64 {
        let waits = protocol == Protocol::Bind && self.kills();
        if self.is_quick() && !waits {
            MOMENTS
        } else {
            FEW
        }
    }
}

/// A partner.
struct Partner {
    child: Child,
    client: Client,
    name: String,
}

impl Partner {
    async fn start(number: u64) -> Result<Partner, String> {
        let name = format!("kill{}.{number}", env::pid());
        let words: [&str; 2] = [SELF, &name];
        let child = Child::start_on(&words, Place::Core, CORE.into()).await?;
        let client = Client::lookup_on(child.pid.osnode, &name).await;
        let client = client.map_err(|e| e.to_string())?;
        Ok(Partner {
            child,
            client,
            name,
        })
    }
}

fn main() -> i32 {
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("kill");
    let begun = begin(CORE).await;
    let was_off = begun == Ok(true);
    suite.report("begin", begun.map(|_| ()));
    let mut number = 0;
    let wanted: Vec<String> = env::args().skip(1).map(|w| w.to_string()).collect();
    for protocol in PROTOCOLS {
        for event in EVENTS {
            let name = format!("{protocol:?}_{event:?}").to_lowercase();
            let chosen = if wanted.is_empty() {
                event.is_quick()
            } else {
                wanted.iter().any(|w| name.contains(w.as_str()))
            };
            if !chosen {
                continue;
            }
            let result = sweep(protocol, event, &mut number).await;
            suite.report(&name, result);
        }
    }
    if was_off {
        suite.report("end", operate(CORE, CoreOp::Stop, "").await.map(drop));
    }
    suite.failed()
}

/// When something began and ended (ns of system time).
#[derive(Clone, Copy, Default)]
struct Span {
    from: u64,
    to: u64,
    /// From when it was set off until it began (ns).
    lead: u64,
}

impl Span {
    fn ns(self) -> u64 {
        self.to - self.from
    }
    fn meets(self, other: Span) -> bool {
        self.from < other.to && other.from < self.to
    }
    /// How much later than the middle of `other` its own is (ns).
    fn later_than(self, other: Span) -> i64 {
        let middle = |s: Span| (s.from + s.ns() / 2) as i64;
        middle(self) - middle(other)
    }
}

/// The delays (ns) with which protocol and event would have met in their middles.
fn aimed(delays: [u64; 2], acted: Span, came: Span) -> [u64; 2] {
    let begins = delays[0] as i64 + came.later_than(acted);
    let comes = delays[1] as i64;
    let sooner = begins.min(comes);
    [begins - sooner, comes - sooner].map(|ns| ns as u64)
}

/// The protocol and the event one after the other, then at once: the event from before the protocol's beginning until
/// after its end.
async fn sweep(protocol: Protocol, event: Event, number: &mut u64) -> Result<(), String> {
    let mut partner = next(number).await?;
    let (usual, _) = once(protocol, Event::Nothing, [0, 0], &partner).await?;
    let (_, coming) = once(protocol, event, [0, 2 * usual.ns()], &partner).await?;
    let mut met = 0;
    let mut aim = [0, 0];
    let moments = event.moments(protocol);
    for moment in 0..moments + AIMED {
        // Cores in parallel take another time on a host that does more now than before: then it is aimed at the middle.
        let delays = match moment < moments {
            true => {
                let at = coming.lead + (usual.ns() + coming.ns()) * moment / (moments - 1);
                // Either the protocol begins later, or the event.
                [at.saturating_sub(usual.ns()), usual.ns().saturating_sub(at)]
            }
            false if met == 0 => aim,
            false => break,
        };
        if event.kills() {
            begin(CORE).await?;
            partner = next(number).await?;
        }
        let ended = once(protocol, event, delays, &partner).await;
        let (acted, came) = ended.map_err(|e| format!("delayed by {delays:?} ns: {e}"))?;
        met += u64::from(acted.meets(came));
        aim = aimed(delays, acted, came);
    }
    match event.kills() {
        true => begin(CORE).await.map(drop)?,
        false => partner.child.kill().await.map(drop)?,
    }
    match met {
        0 => Err("the event never met the protocol".into()),
        _ => Ok(()),
    }
}

async fn next(number: &mut u64) -> Result<Partner, String> {
    *number += 1;
    Partner::start(*number).await
}

/// One run with protocol and event delayed; when they took place.
async fn once(
    protocol: Protocol,
    event: Event,
    [before_act, before_event]: [u64; 2],
    partner: &Partner,
) -> Result<(Span, Span), String> {
    let object = prepare(protocol, &partner.client).await?;
    let (mut acted, mut came) = (Span::default(), Span::default());
    let acting = async {
        let acted = &mut acted;
        time::system_sleep(before_act).await;
        acted.from = time::system_ns();
        let result = act(protocol, partner, &object).await;
        acted.to = time::system_ns();
        result
    };
    let disturbing = async {
        let came = &mut came;
        time::system_sleep(before_event).await;
        came.from = time::system_ns();
        let set_off = came.from;
        let result = disturb(event, partner, came).await;
        came.lead = came.from - set_off;
        came.to = time::system_ns();
        result
    };
    let both: [Step<'_>; 2] = [Box::pin(acting), Box::pin(disturbing)];
    let mut ends = task::join(Vec::from(both)).await.into_iter();
    let (result, disturbed) = (ends.next(), ends.next());
    disturbed.ok_or("nothing came in between")??;
    match event.kills() {
        true => after_death(protocol, object).await?,
        false => {
            result.ok_or("nothing was done")??;
            as_ever(protocol, &partner.client, object).await?;
        }
    }
    Ok((acted, came))
}

/// Lets the event happen; what it takes to bring it about does not count in `came`.
async fn disturb(event: Event, partner: &Partner, came: &mut Span) -> Result<(), String> {
    match event {
        Event::Nothing => Ok(()),
        Event::Kill => partner.child.kill().await.map(|_| ()),
        Event::Update => {
            // Another kernel each time.
            let even = (time::system_ns() / 1000).is_multiple_of(2);
            operate(CORE, CoreOp::Update, if even { "trace" } else { "std" })
                .await
                .map(drop)
        }
        Event::Stop => {
            operate(CORE, CoreOp::Stop, "").await?;
            operate(CORE, CoreOp::Start, "").await.map(drop)
        }
        Event::Crash => {
            operate(CORE, CoreOp::Update, "t-late").await?;
            let until = time::system_ns() + PATIENCE_NS;
            while state(CORE).await? != CoreState::Crashed {
                if time::system_ns() > until {
                    return Err("its kernel does not crash".into());
                }
                came.from = time::system_ns();
                time::system_sleep(1_000_000).await;
            }
            operate(CORE, CoreOp::Recover, "").await.map(drop)
        }
        Event::Destroy => {
            let destroyed = manager().await?.destroy(CORE).await;
            destroyed.map(drop).map_err(|e| e.to_string())
        }
    }
}

/// The object, with the partner's copy where the protocol wants one.
async fn prepare(protocol: Protocol, client: &Client) -> Result<Capability, String> {
    let ram = matches!(protocol, Protocol::Give | Protocol::Retype);
    let object = match ram {
        true => mem::alloc_ram(4 * PAGE),
        false => mem::alloc_frame(2 * PAGE),
    };
    let object = object.map_err(|e| e.to_string())?;
    if !matches!(protocol, Protocol::Copy | Protocol::Give | Protocol::Bind) {
        keep(client, OBJECT, object.addr()).await?;
    }
    Ok(object)
}

async fn act(protocol: Protocol, partner: &Partner, object: &Capability) -> Result<(), String> {
    let (client, number) = (&partner.client, OBJECT);
    let request = match protocol {
        Protocol::Copy => return keep(client, OBJECT, object.addr()).await,
        Protocol::Give => {
            let with = Attach {
                give: true,
                ..Attach::cap(object.addr())
            };
            let request = PartnerRequest::Keep { number };
            return done_with(client, request, with).await.map(|_| ());
        }
        Protocol::Retype => PartnerRequest::Retype {
            number,
            part: 2 << 32,
            made: MADE,
            ram: 0,
        },
        Protocol::Revoke => PartnerRequest::Revoke { number },
        Protocol::Delete => PartnerRequest::Delete { number },
        Protocol::Bind => return bound(partner).await,
    };
    done(client, request).await.map(|_| ())
}

/// A channel of its own to the partner, over which it answers; again as long as its OSnode does not run.
async fn bound(partner: &Partner) -> Result<(), String> {
    let until = time::system_ns() + PATIENCE_NS;
    loop {
        match Client::lookup_on(partner.child.pid.osnode, &partner.name).await {
            Ok(client) => return is_gone(&client, OBJECT).await.or_else(no_capability),
            Err(e) => match e.cause {
                PeerError::Refused(ServiceError::TryLater(_)) if time::system_ns() < until => {
                    time::system_sleep(10_000_000).await;
                }
                _ => return Err(e.to_string()),
            },
        }
    }
}

/// The partner is dead: what is here, if it is, is nobody else's, and whole.
async fn after_death(protocol: Protocol, object: Capability) -> Result<(), String> {
    let gone = || invoke::identify(object.addr()).err() == Some(SysError::NoCapability);
    let may_be_gone = matches!(protocol, Protocol::Give | Protocol::Revoke);
    // A revoke that was under way ends one way or the other.
    until_private(&object, may_be_gone).await?;
    if gone() {
        drop(object);
        return match may_be_gone {
            true => Ok(()),
            false => Err("the object is gone".into()),
        };
    }
    usable(object)
}

/// Nobody else has anything of it: all of it can be retyped (Ram) or revoked.
fn usable(object: Capability) -> Result<(), String> {
    let text = |e: SysError| e.message().to_string();
    let kind = invoke::identify(object.addr()).map_err(text)?.cap.kind;
    if kind == CapType::Ram {
        let part = mem::retype_one(object.addr(), CapType::Frame, 0, 0, 4 * PAGE);
        part.map_err(text)?.delete().map_err(text)?;
    }
    invoke::revoke(object.addr()).map_err(text)?;
    object.delete().map_err(text)
}

async fn until_private(object: &Capability, may_be_gone: bool) -> Result<(), String> {
    let mut last = MdbFlags::default();
    for _ in 0..1000 {
        match invoke::identify(object.addr()) {
            Ok(id) if id.flags == MdbFlags::default() => return Ok(()),
            Ok(id) => last = id.flags,
            Err(SysError::NoCapability) if may_be_gone => return Ok(()),
            Err(SysError::InDelete) => {}
            Err(e) => return Err(e.message().to_string()),
        }
        time::system_sleep(2_000_000).await;
    }
    Err(format!("flags {last:?} stay"))
}

/// It happened as if nothing had come in between.
async fn as_ever(protocol: Protocol, client: &Client, object: Capability) -> Result<(), String> {
    let number = OBJECT;
    let delete = |number| PartnerRequest::Delete { number };
    match protocol {
        Protocol::Copy => {
            let sum = PartnerRequest::Sum { number, write: 3 };
            done(client, sum).await?;
            done(client, delete(OBJECT)).await?;
        }
        Protocol::Give => {
            let made = PartnerRequest::Retype {
                number,
                part: 4 << 32,
                made: MADE,
                ram: 0,
            };
            done(client, made).await?;
            done(client, delete(MADE)).await?;
            done(client, delete(OBJECT)).await?;
            drop(object);
            return Ok(());
        }
        Protocol::Retype => {
            done(client, delete(MADE)).await?;
            done(client, delete(OBJECT)).await?;
        }
        Protocol::Revoke => {
            if invoke::identify(object.addr()).err() != Some(SysError::NoCapability) {
                return Err("the copy here outlived its revoke".into());
            }
            drop(object);
            return done(client, delete(OBJECT)).await.map(|_| ());
        }
        Protocol::Delete => is_gone(client, OBJECT).await.or_else(no_capability)?,
        Protocol::Bind => {}
    }
    until_private(&object, false).await?;
    usable(object)
}

/// What was deleted is no capability: the partner says so.
fn no_capability(e: String) -> Result<(), String> {
    match e.contains(SysError::NoCapability.message()) {
        true => Ok(()),
        false => Err(e),
    }
}

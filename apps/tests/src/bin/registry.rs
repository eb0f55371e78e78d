//! The registry as its clients see it: here and from another OSnode, and when it dies.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::Pin;

use proto::iface::registry::{EventKind, RegistryReply, RegistryRequest, SetMode, WatchOn};
use proto::iface::spawn::{Place, Process, Spawn};
use proto::{PeerError, Pid, ServiceError};
use rt::chan::{Answer, Attach, Client, connect};
use rt::task::{Either, select};
use rt::{env, task, time};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-registry";
type Asked<'a> = Pin<Box<dyn Future<Output = Result<(RegistryReply, String), String>> + 'a>>;

/// How long anything here may take (ns of system time).
const PATIENCE_NS: u64 = 10_000_000_000;
/// Events that the registry keeps for one connection (`registry::CLIENT_EVENTS`).
const KEPT: u64 = 64;

fn main() -> i32 {
    let args: Vec<&str> = env::args().collect();
    match args.as_slice() {
        [_] => task::block_on(run()),
        [_, "hold"] => task::block_on(hold()),
        _ => 98,
    }
}

async fn run() -> i32 {
    let mut suite = Suite::new("registry");
    suite.report("records", records().await);
    suite.report("malformed", malformed().await);
    suite.report("watch", watch().await);
    suite.report("slow", slow().await);
    suite.report("lock", lock().await);
    suite.report("death_of_holder", death_of_holder().await);
    suite.report("wild", wild().await);
    suite.report("death_of_registry", death_of_registry().await);
    suite.failed()
}

/// All processes: id and name.
async fn processes() -> Result<Vec<(Pid, String)>, String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    let (mut found, mut after) = (Vec::new(), Pid::default());
    while let Ok(Process { pid, words, .. }) = spawn.next(after).await {
        let text = String::from_utf8_lossy(&words);
        let name = text.split('\0').next().unwrap_or_default();
        found.push((pid, name.to_string()));
        after = pid;
    }
    Ok(found)
}

/// A connection to the registry, which is on the first OSnode.
struct Desk {
    client: Client,
}

impl Desk {
    async fn open() -> Result<Desk, String> {
        let first = processes().await?.first().map_or(0, |(pid, _)| pid.osnode);
        let bound = async {
            match first == env::osnode() {
                true => Client::lookup("registry").await,
                false => Client::lookup_on(first, "registry").await,
            }
        };
        let until = time::system_ns() + PATIENCE_NS;
        let bound = time::system_timeout(until, bound).await;
        let bound = bound.ok_or("the registry does not answer")?;
        let client = bound.map_err(|e| format!("no registry at o{first}: {e}"))?;
        let desk = Desk { client };
        let pid = env::pid();
        desk.ask(RegistryRequest::Attach { pid }, "").await?;
        Ok(desk)
    }

    async fn raw(
        &self,
        request: RegistryRequest,
        text: &[u8],
    ) -> Result<Answer<RegistryReply>, PeerError> {
        let until = time::system_ns() + PATIENCE_NS;
        let with = Attach::blob(text);
        self.client.request_until(&request, with, until).await
    }

    /// Asks; what is refused is an error.
    async fn ask(
        &self,
        request: RegistryRequest,
        text: &str,
    ) -> Result<(RegistryReply, String), String> {
        let a = self.raw(request, text.as_bytes()).await;
        let a = a.map_err(|e| format!("{request:?} {text}: {e}"))?;
        let said = String::from_utf8_lossy(&a.blob).into_owned();
        match a.message {
            RegistryReply::Refused { error } => Err(format!("{request:?} {text}: {error}: {said}")),
            reply => Ok((reply, said)),
        }
    }

    /// Asks; must be refused so.
    async fn refused(
        &self,
        request: RegistryRequest,
        text: &str,
        wanted: ServiceError,
    ) -> Result<(), String> {
        match self.raw(request, text.as_bytes()).await {
            Ok(a) if a.message == (RegistryReply::Refused { error: wanted }) => Ok(()),
            other => Err(format!("{request:?} {text}: {other:?}, not {wanted:?}")),
        }
    }

    async fn set(&self, text: &str) -> Result<(), String> {
        self.ask(set(SetMode::Replace), text).await.map(|_| ())
    }

    async fn watch(&self, query: &str, on: WatchOn, once: bool) -> Result<u64, String> {
        let present = false;
        let request = RegistryRequest::Watch { on, once, present };
        match self.ask(request, query).await? {
            (RegistryReply::Watching { watch }, _) => Ok(watch),
            other => Err(format!("{other:?}")),
        }
    }

    /// The next event must be this.
    async fn expect(&self, kind: EventKind, text: &str) -> Result<(), String> {
        let next = RegistryRequest::Next { at_once: false };
        match self.ask(next, "").await? {
            (RegistryReply::Event { kind: k, .. }, t) if k == kind && t == text => Ok(()),
            other => Err(format!("{other:?}, not {kind:?} {text}")),
        }
    }
}

fn set(mode: SetMode) -> RegistryRequest {
    RegistryRequest::Set {
        mode,
        ephemeral: false,
        sequential: false,
        version: 0,
    }
}

/// Fails unless the two are equal.
fn same<T: PartialEq + core::fmt::Debug>(found: T, wanted: T) -> Result<(), String> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{found:?}, not {wanted:?}")),
    }
}

async fn records() -> Result<(), String> {
    let d = Desk::open().await?;
    d.set("t.a { size: 3, text: \"x y\" }").await?;
    d.refused(set(SetMode::Create), "t.a", ServiceError::Exists)
        .await?;
    d.ask(set(SetMode::Merge), "t.a { state: up }").await?;
    let (_, text) = d.ask(RegistryRequest::Get {}, "t.a").await?;
    same(text.as_str(), "t.a { size: 3, state: up, text: \"x y\" }")?;
    d.set("t.b { size: 5 }").await?;
    let (reply, text) = d
        .ask(RegistryRequest::Query {}, "t.* { size > 2, size != 4 }")
        .await?;
    let records = RegistryReply::Records {
        count: 2,
        more: false,
    };
    same(reply, records)?;
    same(text.lines().count(), 2)?;
    let (reply, _) = d.ask(RegistryRequest::Delete {}, "t.*").await?;
    same(reply, RegistryReply::Deleted { count: 2 })?;
    d.refused(RegistryRequest::Get {}, "t.a", ServiceError::NotFound)
        .await
}

async fn malformed() -> Result<(), String> {
    let d = Desk::open().await?;
    for text in ["", "{", "t { a }", "t { a: 1", "9", "t { a: \"x }"] {
        d.refused(set(SetMode::Replace), text, ServiceError::BadArgument)
            .await?;
    }
    d.refused(
        set(SetMode::Replace),
        "service.o1.ramfs { restarts: 99 }",
        ServiceError::BadOperation,
    )
    .await
}

async fn watch() -> Result<(), String> {
    let (d, other) = (Desk::open().await?, Desk::open().await?);
    let all = d.watch("t.w* { on: yes }", WatchOn::Both, false).await?;
    for text in [
        "t.w1 { on: yes }",
        "t.x",
        "t.w1 { on: no }",
        "t.w2 { on: yes }",
    ] {
        other.set(text).await?;
    }
    other.ask(RegistryRequest::Delete {}, "t.*").await?;
    d.expect(EventKind::Set, "t.w1 { on: yes }").await?;
    d.expect(EventKind::Leave, "t.w1 { on: no }").await?;
    d.expect(EventKind::Set, "t.w2 { on: yes }").await?;
    d.expect(EventKind::Delete, "t.w2 { on: yes }").await?;
    d.ask(RegistryRequest::Unwatch { watch: all }, "").await?;
    // One that waits is woken by another's change.
    d.watch("t.once", WatchOn::Set, true).await?;
    let next = d.expect(EventKind::Set, "t.once { n: 1 }");
    let change = async {
        time::sleep(1_000_000).await;
        other.set("t.once { n: 1 }").await?;
        other.set("t.once { n: 2 }").await?;
        core::future::pending::<Result<(), String>>().await
    };
    match select(next, change).await {
        Either::Left(done) => done?,
        Either::Right(failed) => failed?,
    }
    let next = RegistryRequest::Next { at_once: false };
    d.refused(next, "", ServiceError::End).await?;
    other.ask(RegistryRequest::Delete {}, "t.*").await?;
    Ok(())
}

/// A subscriber that takes nothing is told how much it missed, and costs nobody else anything.
async fn slow() -> Result<(), String> {
    let (d, other) = (Desk::open().await?, Desk::open().await?);
    d.watch("t.slow", WatchOn::Both, false).await?;
    for n in 0..KEPT + 9 {
        other.set(&format!("t.slow {{ n: {n} }}")).await?;
    }
    for n in 0..KEPT {
        d.expect(EventKind::Set, &format!("t.slow {{ n: {n} }}"))
            .await?;
    }
    let next = RegistryRequest::Next { at_once: true };
    let (lost, _) = d.ask(next, "").await?;
    let wanted = RegistryReply::Event {
        watch: 0,
        kind: EventKind::Lost,
        version: 9,
    };
    same(lost, wanted)?;
    other.ask(RegistryRequest::Delete {}, "t.slow").await?;
    Ok(())
}

const LOCK: RegistryRequest = RegistryRequest::Lock {
    places: 1,
    at_once: false,
};

async fn lock() -> Result<(), String> {
    let (a, b) = (Desk::open().await?, Desk::open().await?);
    a.ask(LOCK, "t.lock").await?;
    let at_once = RegistryRequest::Lock {
        places: 1,
        at_once: true,
    };
    b.refused(at_once, "t.lock", ServiceError::Busy).await?;
    let given_back = async {
        time::sleep(1_000_000).await;
        a.ask(RegistryRequest::Unlock {}, "t.lock").await?;
        core::future::pending::<Result<(RegistryReply, String), String>>().await
    };
    let (Either::Left(done) | Either::Right(done)) =
        select(b.ask(LOCK, "t.lock"), given_back).await;
    same(done?.0, RegistryReply::Locked {})?;
    // The end of a connection gives back, too.
    drop(b);
    a.ask(LOCK, "t.lock").await?;
    a.ask(RegistryRequest::Unlock {}, "t.lock").await?;
    let two = RegistryRequest::Barrier { parties: 2 };
    let c = Desk::open().await?;
    let both: [Asked<'_>; 2] = [
        Box::pin(a.ask(two, "t.barrier")),
        Box::pin(c.ask(two, "t.barrier")),
    ];
    let both = task::join(Vec::from(both)).await;
    for passed in both {
        same(passed?.0, RegistryReply::Passed {})?;
    }
    Ok(())
}

/// The child: takes the lock, says so in a record of its own, and never ends by itself.
async fn hold() -> i32 {
    let held = async {
        let d = Desk::open().await?;
        d.ask(LOCK, "t.held").await?;
        let own = RegistryRequest::Set {
            mode: SetMode::Create,
            ephemeral: true,
            sequential: false,
            version: 0,
        };
        d.ask(own, "t.holder").await?;
        Ok::<_, String>(d)
    };
    let held = held.await;
    time::sleep(3_600_000_000_000).await;
    i32::from(held.is_err())
}

async fn death_of_holder() -> Result<(), String> {
    let d = Desk::open().await?;
    let both = RegistryRequest::Watch {
        on: WatchOn::Both,
        once: false,
        present: true,
    };
    d.ask(both, "t.holder").await?;
    let child = Child::start(&[SELF, "hold"], Place::Here).await?;
    d.expect(EventKind::Set, "t.holder").await?;
    let kill = async {
        time::sleep(1_000_000).await;
        child.kill().await?;
        core::future::pending::<Result<(RegistryReply, String), String>>().await
    };
    let (Either::Left(done) | Either::Right(done)) = select(d.ask(LOCK, "t.held"), kill).await;
    same(done?.0, RegistryReply::Locked {})?;
    d.expect(EventKind::Delete, "t.holder").await
}

/// Requests made of random words and bytes: answered or refused, and it goes on serving.
async fn wild() -> Result<(), String> {
    let mut random = Random::new(env::seed());
    let d = Desk::open().await?;
    for _ in 0..300 {
        let alphabet = b"tab.{}:,\"~<>=!*? 01\\\n\0\xff";
        let len = random.below(40);
        let text: Vec<u8> = (0..len)
            .map(|_| alphabet[random.below(alphabet.len() as u64) as usize])
            .collect();
        let request = match random.below(8) {
            0 => set(SetMode::Replace),
            1 => RegistryRequest::Get {},
            2 => RegistryRequest::Query {},
            3 => RegistryRequest::Count {},
            4 => RegistryRequest::Unwatch {
                watch: random.next_u64(),
            },
            5 => RegistryRequest::Barrier { parties: 0 },
            6 => RegistryRequest::Lock {
                places: random.next_u64() as u32,
                at_once: true,
            },
            _ => RegistryRequest::Ended { pid: env::pid() },
        };
        d.raw(request, &text).await.map_err(|e| e.to_string())?;
    }
    d.set("t.alive").await?;
    d.ask(RegistryRequest::Delete {}, "t.alive").await?;
    Ok(())
}

async fn kill(pid: Pid) -> Result<(), String> {
    let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
    spawn.kill(pid).await.map(drop).map_err(|e| e.to_string())
}

/// Who waits for an event learns at once that the registry died; the one that takes its place
/// has its records, serves, and is told by the spawn services what they supervise.
async fn death_of_registry() -> Result<(), String> {
    let d = Desk::open().await?;
    d.set("t.kept").await?;
    d.watch("t.never", WatchOn::Both, false).await?;
    let all = processes().await?;
    let registry = all.iter().rfind(|(_, name)| name == "registry");
    let registry = registry.ok_or("no registry runs")?.0;
    let killed = async {
        time::sleep(1_000_000).await;
        kill(registry).await?;
        core::future::pending::<Result<(), String>>().await
    };
    let next = RegistryRequest::Next { at_once: false };
    match select(d.raw(next, b""), killed).await {
        Either::Left(Err(PeerError::Gone)) => {}
        Either::Left(other) => return Err(format!("{other:?}, not Gone")),
        Either::Right(failed) => return failed,
    }
    let d = Desk::open().await?;
    d.ask(RegistryRequest::Get {}, "t.kept").await?;
    d.ask(RegistryRequest::Delete {}, "t.kept").await?;
    let supervised = RegistryRequest::Watch {
        on: WatchOn::Set,
        once: true,
        present: true,
    };
    d.ask(
        supervised,
        "service.*.registry { restarts > 0, state: running }",
    )
    .await?;
    let (event, _) = d.ask(next, "").await?;
    match event {
        RegistryReply::Event { .. } => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

//! Any words at every service of the system: each is answered, and the service goes on.
//!
//! What is sent comes from the declarations of the interfaces (`proto::iface::ALL`): every request, each of its words in
//! turn with every value that may be an edge, with and without bytes and capabilities of any kind; then what no
//! declaration has: other operations, versions and interfaces, and words at random. Words after the name choose services.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use abi::{CapAddr, slots};
use proto::blob::MAX_BLOB;
use proto::iface::{ALL, console, cores, files, names::NamesClient, spawn};
use proto::{Answering, Header, InterfaceId, Operation, PeerError, Pid, Wire, WireError};
use rt::chan::{Attach, Client};
use rt::{Capability, cap, env, lmp, mem, task, time};
use tests::{Random, Suite};

rt::entry!(main);

/// Messages at random at each service.
const RANDOM: u64 = 200;
/// Longer than any answer takes (system time).
const LONG_NS: u64 = 20_000_000_000;
/// Long enough for what may be answered at any time later.
const SHORT_NS: u64 = 2_000_000;
/// The operation that refuses, of every interface (`proto::interface!`).
const REFUSED: u16 = 0x80ff;
/// Words of fields.
const FIELDS: usize = 5;
/// Lowest numbers of processes, cores and OSnodes, which may be there.
const THERE: u64 = 4096;

/// Words that are no message of any declaration.
struct Words([u64; 6]);

impl Wire for Words {
    const INTERFACE: u8 = 0xff;
    const VERSION: u8 = 0;
    const NAME: &'static str = "any";
    const OPS: &'static [u16] = &[];
    fn encode(&self) -> (u16, [u64; FIELDS]) {
        let [_, a, b, c, d, e] = self.0;
        (0, [a, b, c, d, e])
    }
    fn decode(_: u16, _: [u64; FIELDS]) -> Result<Self, WireError> {
        Err(WireError::UnknownOp)
    }
    fn to_words(&self, tag: u32) -> [u64; 6] {
        let mut words = self.0;
        words[0] = words[0] & 0xffff_ffff | u64::from(tag) << 32;
        words
    }
    fn from_words(words: [u64; 6]) -> Result<(u32, Self), WireError> {
        Ok(((words[0] >> 32) as u32, Words(words)))
    }
}

impl Words {
    /// Whether it is the answer that every interface has: the request is refused.
    fn is_refusal(&self) -> bool {
        Header::unpack(self.0[0]).op == REFUSED
    }
}

fn words(id: InterfaceId, op: u16, fields: [u64; FIELDS]) -> Words {
    let header = Header {
        version: id.version,
        interface: id.number,
        op,
        tag: 0,
    };
    let [a, b, c, d, e] = fields;
    Words([header.pack(), a, b, c, d, e])
}

/// A word's numbers at which something may change, if it may be `largest`: of ranges, signs, pages, handles, slots.
fn edges(largest: u64) -> Vec<u64> {
    let mut edges = vec![
        0, 1, 2, 4, 8, 16, 31, 32, 33, 64, 128, 255, 256, 0xfff, 0x1000, 0x1001,
    ];
    edges.extend([MAX_BLOB as u64, MAX_BLOB as u64 + 1]);
    edges.extend([slots::MEMORY, slots::PARENT, slots::VNODE_LEVEL0].map(|slot| u64::from(slot.0)));
    edges.extend([largest, largest.wrapping_add(1), largest.wrapping_sub(1)]);
    for bits in [31, 32, 48, 63] {
        edges.extend([(1 << bits) - 1, 1 << bits]);
    }
    edges.extend([u64::MAX - 1, u64::MAX]);
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// What goes along.
#[derive(Clone, Copy)]
enum Along {
    Nothing,
    Text,
    NoText,
    /// A copy of a Frame, and bytes.
    Frame,
    /// An endpoint of this process, given away.
    Endpoint,
}

const ALONG: [Along; 5] = [
    Along::Nothing,
    Along::Text,
    Along::NoText,
    Along::Frame,
    Along::Endpoint,
];

/// Where a service is reached.
#[derive(Clone)]
enum Way {
    Named(String),
    Slot(CapAddr),
}

impl Way {
    async fn connect(&self) -> Result<Client, PeerError> {
        match self {
            Way::Named(name) => Ok(Client::lookup(name).await?),
            Way::Slot(slot) => Client::bind(*slot).await,
        }
    }
}

/// One service under fire.
struct Target<'a> {
    way: Way,
    client: Client,
    frame: &'a Capability,
    endpoint: &'a Capability,
    sent: u64,
}

impl Target<'_> {
    /// Sends and wants a true answer.
    async fn send(
        &mut self,
        words: &Words,
        along: Along,
        answering: Answering,
    ) -> Result<(), String> {
        let failed = |e: PeerError| format!("{:x?}: {e}", words.0);
        self.sent += 1;
        let given = match along {
            Along::Endpoint => Some(cap::copy(self.endpoint.addr()).map_err(|e| failed(e.into()))?),
            _ => None,
        };
        let attach = match (along, &given) {
            (_, Some(given)) => Attach::give(given.addr()),
            (Along::Text, _) => Attach::blob(b"x"),
            (Along::NoText, _) => Attach::blob(&[0xff, 0, b'x']),
            (Along::Frame, _) => Attach::with(b"x\0", Some(self.frame.addr())),
            _ => Attach::NONE,
        };
        let patience = match answering {
            Answering::Soon => LONG_NS,
            Answering::Later | Answering::Never => SHORT_NS,
        };
        let until = time::system_ns() + patience;
        let asked = self.client.request_until::<_, Words>(words, attach, until);
        let answer = asked.await;
        match answer {
            Ok(_) | Err(PeerError::Refused(_) | PeerError::Version(_)) => Ok(()),
            // It is not over yet: another connection is not in its way.
            Err(PeerError::TimedOut) if answering != Answering::Soon => {
                self.client = self.way.connect().await.map_err(failed)?;
                Ok(())
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Every request of an interface.
    async fn declared(&mut self, id: InterfaceId, requests: &[Operation]) -> Result<(), String> {
        for request in requests {
            let sound: Vec<u64> = request.largest().collect();
            for word in 0..sound.len() {
                // All others 0, or the largest that they may be.
                for large in [false, true] {
                    let mut fields = [0; FIELDS];
                    if large {
                        fields[..sound.len()].copy_from_slice(&sound);
                    }
                    self.word(id, request, fields, (word, sound[word]), large)
                        .await?;
                }
            }
            for along in ALONG {
                self.one(id, request, [0; FIELDS], along).await?;
                // Words that it does not have.
                let mut fields = [u64::MAX; FIELDS];
                fields[..sound.len()].fill(0);
                self.one(id, request, fields, along).await?;
            }
            self.is_there(id)
                .await
                .map_err(|e| format!("after {}: {e}", request.name))?;
        }
        Ok(())
    }

    /// Every value of one word; with capabilities, too, unless the others are large.
    async fn word(
        &mut self,
        id: InterfaceId,
        request: &Operation,
        mut fields: [u64; FIELDS],
        (word, largest): (usize, u64),
        large: bool,
    ) -> Result<(), String> {
        for (n, value) in edges(largest).into_iter().enumerate() {
            fields[word] = value;
            self.one(id, request, fields, Along::Nothing).await?;
            let along = ALONG[1 + n % (ALONG.len() - 1)];
            if !large {
                self.one(id, request, fields, along).await?;
            }
        }
        Ok(())
    }

    async fn one(
        &mut self,
        id: InterfaceId,
        request: &Operation,
        fields: [u64; FIELDS],
        along: Along,
    ) -> Result<(), String> {
        let words = words(id, request.number, fields);
        if means_it(id, request, fields) {
            return Ok(());
        }
        let sent = self.send(&words, along, request.answering).await;
        sent.map_err(|e| format!("{} {}: {e}", id.name, request.name))
    }

    /// The service answers a good question.
    async fn is_there(&self, id: InterfaceId) -> Result<(), String> {
        let checked =
            time::system_timeout(time::system_ns() + LONG_NS, self.client.check(id)).await;
        let checked = checked.unwrap_or(Err(PeerError::TimedOut));
        checked.map_err(|e| e.to_string())
    }

    /// Operations, versions and interfaces that nobody declared, and the longest bytes with each.
    async fn undeclared(&mut self, id: InterfaceId, requests: &[Operation]) -> Result<(), String> {
        let long = vec![b'x'; MAX_BLOB];
        let bits = (0..16).map(|bit| 1 << bit);
        let replies = (0..16).map(|op| 0x8000 | op);
        for op in (0..64)
            .chain(bits)
            .chain(replies)
            .chain([0x7fff, 0x80ff, 0xffff])
        {
            if requests.iter().any(|request| request.number == op) {
                continue;
            }
            for fields in [[0; FIELDS], [1; FIELDS], [u64::MAX; FIELDS]] {
                self.send(&words(id, op, fields), Along::Nothing, Answering::Soon)
                    .await?;
            }
        }
        for number in 0..=u8::MAX {
            let other = InterfaceId {
                version: number,
                ..id
            };
            if number != id.version {
                self.send(&words(other, 1, [0; FIELDS]), Along::Text, Answering::Soon)
                    .await?;
            }
            // 0 is the channel's own: `Close` would close it.
            if number != 0 && number != id.number {
                let other = InterfaceId { number, ..id };
                self.send(&words(other, 1, [0; FIELDS]), Along::Frame, Answering::Soon)
                    .await?;
            }
        }
        let until = time::system_ns() + LONG_NS;
        let words = words(id, 0x7fff, [0; FIELDS]);
        let asked = self
            .client
            .request_until::<_, Words>(&words, Attach::blob(&long), until);
        match asked.await {
            Ok(a) if a.message.is_refusal() => self.is_there(id).await,
            Err(PeerError::Refused(_)) => self.is_there(id).await,
            other => Err(format!(
                "the longest bytes: {:?}",
                other.map(|a| a.message.0)
            )),
        }
    }

    /// Words at random, but no operation that is declared.
    async fn random(&mut self, random: &mut Random, id: InterfaceId) -> Result<(), String> {
        for n in 0..RANDOM {
            let fields = [(); FIELDS].map(|()| random.next_u64() | 1 << 63);
            let op = 0x100 | random.below(0x1_0000) as u16;
            let along = ALONG[n as usize % ALONG.len()];
            self.send(&words(id, op, fields), along, Answering::Soon)
                .await?;
        }
        self.is_there(id).await
    }
}

/// Whether the request may be a sound one that does what this test can do without: ends this program or others, takes
/// cores away, waits for a key or for an end, or writes anything at all to the console.
fn means_it(id: InterfaceId, request: &Operation, fields: [u64; FIELDS]) -> bool {
    let words = words(id, request.number, fields).0;
    if id.number == console::ConsoleRequest::INTERFACE {
        return console::ConsoleRequest::from_words(words).is_ok();
    }
    if id.number == spawn::SpawnRequest::INTERFACE {
        // OSnode 0 is the one that is asked.
        let own = [0, env::osnode()].contains(&fields[0]) && fields[1] < THERE;
        return own && ["Kill", "Wait", "Release"].contains(&request.name);
    }
    if id.number == cores::CoresRequest::INTERFACE {
        let all = request.name == "OperateAll";
        let some = ["Operate", "Move", "Destroy", "Pause"].contains(&request.name);
        // `Operate` has the operation before the core.
        let core = fields[usize::from(request.name == "Operate")];
        return (all || some && core < THERE) && cores::CoresRequest::from_words(words).is_ok();
    }
    false
}

fn main() -> i32 {
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("any-words");
    if let Err(e) = all(&mut suite).await {
        suite.report("services", Err(e));
    }
    suite.report("goes-on", goes_on().await);
    suite.failed()
}

async fn all(suite: &mut Suite) -> Result<(), String> {
    let frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let (_, endpoint) = lmp::open(1).map_err(|e| e.message().to_string())?;
    let names = Client::names().await.map_err(|e| e.to_string())?;
    let monitor = env::given("names").unwrap_or(slots::PARENT);
    let mut ways = vec![
        ("monitor".to_string(), Way::Slot(monitor)),
        ("memory".to_string(), Way::Slot(slots::MEMORY)),
    ];
    for index in 0.. {
        let Ok(service) = NamesClient(names.clone()).next(index).await else {
            break;
        };
        let name = service.name.to_string();
        // Those are for the system.
        if name.starts_with('.') {
            continue;
        }
        ways.push((name.clone(), Way::Named(name)));
    }
    let chosen: Vec<&str> = env::args().skip(1).collect();
    let mut met = Vec::new();
    for (name, way) in ways {
        if !chosen.is_empty() && !chosen.contains(&name.as_str()) {
            continue;
        }
        let client = way.connect().await.map_err(|e| format!("{name}: {e}"))?;
        let mut target = Target {
            way,
            client,
            frame: &frame,
            endpoint: &endpoint,
            sent: 0,
        };
        let result = storm(&mut target, &mut met).await;
        rt::println!("any-words: {} messages to {name}", target.sent);
        suite.report(&name, result);
    }
    for wanted in [
        "Names", "Memory", "Files", "Cores", "Spawn", "Registry", "Skb", "Console",
    ] {
        if chosen.is_empty() && !met.contains(&wanted) {
            return Err(format!("no service speaks {wanted}"));
        }
    }
    Ok(())
}

/// Everything at one service.
async fn storm(target: &mut Target<'_>, met: &mut Vec<&'static str>) -> Result<(), String> {
    let mut random = Random::new(11);
    let mut spoken = 0;
    for &(id, requests) in ALL {
        if target.is_there(id).await.is_err() {
            continue;
        }
        spoken += 1;
        met.push(id.name);
        target.declared(id, requests).await?;
        target.undeclared(id, requests).await?;
        target.random(&mut random, id).await?;
    }
    match spoken {
        0 => Err("it speaks no interface of the table".to_string()),
        _ => Ok(()),
    }
}

/// The services still do what they are for.
async fn goes_on() -> Result<(), String> {
    let files = rt::chan::connect::<files::Files>("files").await;
    let entry = files.map_err(|e| e.to_string())?.list(0, b"bin").await;
    entry.map_err(|e| e.to_string())?;
    let spawn = rt::chan::connect::<spawn::Spawn>("spawn").await;
    let first = spawn.map_err(|e| e.to_string())?.next(Pid::default()).await;
    first.map(drop).map_err(|e| e.to_string())
}

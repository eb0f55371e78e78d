//! Any words at every service of the system: each is answered, and the service goes on.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};

use abi::slots;
use proto::iface::monitor::MonitorRequest;
use proto::iface::names::NamesClient;
use proto::iface::{cores, files, memory, names, registry, skb, spawn, system};
use proto::{Name, PeerError, Pid, Wire, WireError};
use rt::chan::{Attach, Client};
use rt::{task, time};
use tests::{Random, Suite};

rt::entry!(main);

/// Messages at each service.
const EACH: u64 = 200;
/// Longer than any answer takes (system time).
const LONG_NS: u64 = 20_000_000_000;

/// Words that are no message of any declaration.
struct Words([u64; 6]);

impl Wire for Words {
    const INTERFACE: u8 = 0xff;
    const VERSION: u8 = 0;
    const NAME: &'static str = "any";
    const OPS: &'static [u16] = &[];
    fn encode(&self) -> (u16, [u64; 5]) {
        let [_, a, b, c, d, e] = self.0;
        (0, [a, b, c, d, e])
    }
    fn decode(_: u16, _: [u64; 5]) -> Result<Self, WireError> {
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

/// The interface of the service with this name, and its version. Not the console: it would wait
/// for keys.
fn interface(name: &str) -> Option<(u8, u8)> {
    fn of<M: Wire>() -> Option<(u8, u8)> {
        Some((M::INTERFACE, M::VERSION))
    }
    match name {
        "files" => of::<files::FilesRequest>(),
        "cores" => of::<cores::CoresRequest>(),
        "spawn" => of::<spawn::SpawnRequest>(),
        "registry" => of::<registry::RegistryRequest>(),
        "skb" => of::<skb::SkbRequest>(),
        _ => None,
    }
}

fn main() -> i32 {
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("any-words");
    let mut random = Random::new(11);
    let names = match Client::names().await {
        Ok(names) => names,
        Err(e) => {
            suite.report("names", Err(e.to_string()));
            return suite.failed();
        }
    };
    let mut found = 0;
    for index in 0.. {
        let Ok(service) = NamesClient(names.clone()).next(index).await else {
            break;
        };
        let name = service.name;
        if let Some(of) = interface(name.as_str()) {
            found += 1;
            suite.report(name.as_str(), named(&mut random, name, of).await);
        }
    }
    let all = match found {
        3.. => Ok(()),
        n => Err(format!("only {n} services were found")),
    };
    suite.report("services", all);
    let of = (names::NamesRequest::INTERFACE, 1);
    suite.report("monitor", storm(&mut random, &names, of).await);
    let of = (MonitorRequest::INTERFACE, MonitorRequest::VERSION);
    suite.report("monitors", storm(&mut random, &names, of).await);
    suite.report("system", system(&mut random, &names).await);
    suite.report("memory", memory(&mut random).await);
    suite.report("goes-on", goes_on().await);
    suite.failed()
}

async fn named(random: &mut Random, name: Name, of: (u8, u8)) -> Result<(), String> {
    let client = Client::lookup(name.as_str()).await;
    storm(random, &client.map_err(|e| e.to_string())?, of).await
}

/// The monitor's other interface, without its `Halt`.
async fn system(random: &mut Random, names: &Client) -> Result<(), String> {
    let of = (
        system::SystemRequest::INTERFACE,
        system::SystemRequest::VERSION,
    );
    storm(random, names, of).await
}

async fn memory(random: &mut Random) -> Result<(), String> {
    let client = Client::bind(slots::MEMORY)
        .await
        .map_err(|e| e.to_string())?;
    let of = (
        memory::MemoryRequest::INTERFACE,
        memory::MemoryRequest::VERSION,
    );
    storm(random, &client, of).await
}

/// A header near those of the interface, and fields that hardly any declaration takes.
fn words(random: &mut Random, (interface, version): (u8, u8), n: u64) -> [u64; 6] {
    let op = match n % 3 {
        0 => random.below(0x1_0000),
        1 => random.below(20) | 0x8000,
        // `Halt` of the monitor's interface halts.
        _ => match random.below(20) {
            7 if interface == system::SystemRequest::INTERFACE => 0,
            op => op,
        },
    };
    let version = match n % 7 {
        0 => random.below(256),
        _ => version.into(),
    };
    let interface = match n % 11 {
        // 0 is the channel's own: `Close` would close it.
        0 => 1 + random.below(255),
        _ => interface.into(),
    };
    let mut words = [version | interface << 8 | op << 16, 0, 0, 0, 0, 0];
    for w in &mut words[1..] {
        *w = random.next_u64() | 1 << 63;
    }
    words
}

async fn storm(random: &mut Random, client: &Client, of: (u8, u8)) -> Result<(), String> {
    for n in 0..EACH {
        let wild = Words(words(random, of, n));
        let blob = match n % 5 {
            0 => &[0xff, 0, b'x'][..],
            _ => &[],
        };
        let until = time::system_ns() + LONG_NS;
        let asked = client.request_until::<_, Words>(&wild, Attach::blob(blob), until);
        match asked.await {
            Ok(_) | Err(PeerError::Refused(_) | PeerError::Version(_)) => {}
            Err(e) => return Err(format!("{:x?}: {e}", wild.0)),
        }
    }
    Ok(())
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

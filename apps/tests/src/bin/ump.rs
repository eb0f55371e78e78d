//! Messages between OSnodes: order, contents, blobs, sleeping and waking, closing.
//!
//! With several OSnodes the peer runs on the one that made this one (or, from the first
//! OSnode, on the same); the way of the messages is the same.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::names::NamesClient;
use proto::iface::spawn::Place;
use proto::{Name, Refusal, ServiceError};
use rt::chan::{self, Client, Request};
use rt::vspace::{self, Access};
use rt::{Capability, cap, env, invoke, task, time};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-ump";

proto::interface! {
    /// What is sent comes back.
    pub interface Echo = 102, version 1, errors ServiceError;
    messages EchoRequest, EchoReply;
    stubs EchoClient, EchoServer;
    replies {
        /// What came.
        Back = 0x8001 {
            /// A word.
            a: u64,
        } blob bytes;
    }
    requests {
        /// Sends word and blob back, after so many nanoseconds.
        Echo = 1 echo {
            /// A word.
            a: u64,
            /// Delay.
            delay_ns: u64,
        } blob bytes -> Back;
    }
}

type Echoing = EchoClient<Client>;

struct Served;

impl EchoServer<Request> for Served {
    async fn echo(
        &self,
        _: &Request,
        a: u64,
        delay_ns: u64,
        bytes: Vec<u8>,
    ) -> Result<Back, Refusal> {
        if delay_ns > 0 {
            time::sleep(delay_ns).await;
        }
        Ok(Back { a, bytes })
    }
}

async fn echo(name: &str) -> i32 {
    match chan::serve::<Echo, _>(name, &Served).await {
        Ok(never) => match never {},
        Err(_) => 1,
    }
}

fn main() -> i32 {
    if let Some(name) = env::args().nth(1) {
        return task::block_on(echo(name));
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("ump");
    let name = format!("uecho{}", env::pid());
    let child = match Child::start(&[SELF, &name], Place::Home).await {
        Ok(c) => c,
        Err(e) => {
            suite.report("start", Err(e));
            return suite.failed();
        }
    };
    let client = match chan::connect_on::<Echo>(child.pid.osnode, &name).await {
        Ok(c) => c,
        Err(e) => {
            suite.report("bind", Err(e.to_string()));
            return suite.failed();
        }
    };
    suite.report("words", words(&client).await);
    suite.report("blobs", blobs(&client).await);
    suite.report("sleep", sleeps(&client).await);
    drop(client);
    suite.report("rebind", rebind(child.pid.osnode, &name).await);
    suite.report("kept", kept(child.pid.osnode, &name).await);
    suite.report("end", child.kill().await.map(|_| ()));
    suite.failed()
}

async fn ask(client: &Echoing, a: u64, delay_ns: u64, blob: &[u8]) -> Result<Vec<u8>, String> {
    let back = client.echo(a, delay_ns, blob).await;
    let back = back.map_err(|e| e.to_string())?;
    if back.a != a {
        return Err(format!("message {a} brought {back:?}"));
    }
    Ok(back.bytes)
}

async fn words(client: &Echoing) -> Result<(), String> {
    for n in 0..1000 {
        ask(client, n, 0, &[]).await?;
    }
    Ok(())
}

async fn blobs(client: &Echoing) -> Result<(), String> {
    let mut random = Random::new(3);
    for len in [0usize, 1, 32, 33, 4000, 8192] {
        let blob: Vec<u8> = (0..len).map(|_| random.next_u64() as u8).collect();
        if ask(client, 7, 0, &blob).await? != blob {
            return Err(format!("a blob of {len} bytes did not come back as it was"));
        }
    }
    Ok(())
}

/// Both sides sleep before each answer: only a notification wakes them.
async fn sleeps(client: &Echoing) -> Result<(), String> {
    for n in 0..20 {
        let asked = ask(client, n, 5_000_000, &[]);
        let until = time::now_ns() + 5_000_000_000;
        match time::timeout(until, asked).await {
            Some(result) => drop(result?),
            None => return Err(format!("answer {n} never came: a notification was lost")),
        }
    }
    Ok(())
}

async fn rebind(osnode: u64, name: &str) -> Result<(), String> {
    for n in 0..10 {
        let client = chan::connect_on::<Echo>(osnode, name).await;
        let client = client.map_err(|e| e.to_string())?;
        ask(&client, n, 0, b"again").await?;
    }
    Ok(())
}

/// Most channels that are bound until the memory of one that was closed is used again, or given back.
const CHANNELS: usize = 64;

/// Who keeps a copy of the Frame of a channel that it closed loses it before that is another channel's.
async fn kept(osnode: u64, name: &str) -> Result<(), String> {
    let failed = |what: &str, e: &dyn core::fmt::Display| format!("{what}: {e}");
    let name = Name::new(name).ok_or("too long a name")?;
    let names = NamesClient(Client::names().await.map_err(|e| failed("names", &e))?);
    let bind = async || {
        let bound = names.bind_ump(osnode, name, u64::MAX).await;
        bound.map_err(|e| failed("bind", &e))
    };
    let first = bind().await?;
    let base = base(&first.frame).ok_or("no Frame")?;
    let copy = cap::copy(first.frame.addr()).map_err(|e| failed("copy", &e.message()))?;
    let mapped = vspace::map(copy.addr(), 0, first.bytes, Access::ReadWrite);
    let mapped = mapped.map_err(|e| failed("map", &e.message()))?;
    let closed = names.ump_close(first.bind).await;
    closed.map_err(|e| failed("close", &e))?;
    let mut later = Vec::new();
    let mut reached = false;
    while self::base(&copy).is_some() && !reached && later.len() < CHANNELS {
        let bound = bind().await?;
        reached = self::base(&bound.frame) == Some(base) && self::base(&copy).is_some();
        later.push(bound);
    }
    let left = self::base(&copy).is_some();
    for bound in later {
        drop(bound.frame);
        let closed = names.ump_close(bound.bind).await;
        closed.map_err(|e| failed("close", &e))?;
    }
    drop(mapped);
    match (reached, left) {
        (true, _) => Err("the copy reaches a later channel".to_string()),
        (false, true) => Err(format!(
            "a copy is still there after {CHANNELS} other channels"
        )),
        (false, false) => Ok(()),
    }
}

fn base(frame: &Capability) -> Option<u64> {
    invoke::identify(frame.addr()).ok().map(|id| id.cap.base.0)
}

//! Messages within an OSnode: order, contents, blobs, capabilities, a peer that ends.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use capfmt::CapType;
use proto::iface::spawn::Place;
use proto::{CallError, PeerError, Refusal, ServiceError};
use rt::chan::{self, Client, Request};
use rt::{Capability, env, invoke, mem, process, task};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-lmp";

proto::interface! {
    /// What is sent comes back.
    pub interface Echo = 101, version 1, errors ServiceError;
    messages EchoRequest, EchoReply;
    stubs EchoClient, EchoServer;
    replies {
        /// What came.
        Words = 0x8001 {
            /// A word.
            a: u64,
            /// Another.
            b: u64,
        } blob bytes;
        /// The capability that came.
        Passed = 0x8002 {} gives cap;
    }
    requests {
        /// Sends words and blob back.
        Echo = 1 echo {
            /// A word.
            a: u64,
            /// Another.
            b: u64,
        } blob bytes -> Words;
        /// Sends a capability back.
        Pass = 3 pass {} copies cap -> Passed;
        /// Ends without answering.
        Die = 2 die {};
    }
}

type Echoing = EchoClient<Client>;

struct Served;

impl EchoServer<Request> for Served {
    async fn echo(&self, _: &Request, a: u64, b: u64, bytes: Vec<u8>) -> Result<Words, Refusal> {
        Ok(Words { a, b, bytes })
    }
    async fn pass(&self, _: &Request, cap: Capability) -> Result<Passed<Capability>, Refusal> {
        Ok(Passed { cap })
    }
    fn die(&self, _: &Request) {
        process::exit(0)
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
    let mut suite = Suite::new("lmp");
    let name = format!("echo{}", env::pid());
    let started = Child::start(&[SELF, &name], Place::Here).await;
    let child = match started {
        Ok(c) => c,
        Err(e) => {
            suite.report("start", Err(e));
            return suite.failed();
        }
    };
    let client = match chan::connect::<Echo>(&name).await {
        Ok(c) => c,
        Err(e) => {
            suite.report("lookup", Err(e.to_string()));
            return suite.failed();
        }
    };
    suite.report("words", words(&client).await);
    suite.report("blobs", blobs(&client).await);
    suite.report("capabilities", capabilities(&client).await);
    suite.report("peer-gone", peer_gone(&client, &child).await);
    suite.failed()
}

async fn words(client: &Echoing) -> Result<(), String> {
    let mut random = Random::new(1);
    for n in 0..1000 {
        let b = random.next_u64();
        let back = client.echo(n, b, &[]).await.map_err(|e| e.to_string())?;
        if (back.a, back.b) != (n, b) {
            return Err(format!("call {n} brought {back:?}"));
        }
    }
    Ok(())
}

async fn blobs(client: &Echoing) -> Result<(), String> {
    let mut random = Random::new(2);
    for len in [0usize, 1, 31, 32, 33, 1000, 8192] {
        let blob: Vec<u8> = (0..len).map(|_| random.next_u64() as u8).collect();
        let back = client.echo(0, 0, &blob).await.map_err(|e| e.to_string())?;
        if back.bytes != blob {
            let found = back.bytes.len();
            return Err(format!("a blob of {len} bytes came back as {found}"));
        }
    }
    let large = alloc::vec![0; 8193];
    match client.echo(0, 0, &large).await {
        Err(_) => Ok(()),
        Ok(_) => Err("a blob that is too long was sent".into()),
    }
}

async fn capabilities(client: &Echoing) -> Result<(), String> {
    let frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let base = invoke::identify(frame.addr())
        .map_err(|e| e.message().to_string())?
        .cap
        .base;
    for _ in 0..100 {
        let passed = client.pass(frame.addr()).await;
        let back = passed.map_err(|e| e.to_string())?.cap;
        let id = invoke::identify(back.addr()).map_err(|e| e.message().to_string())?;
        if id.cap.kind != CapType::Frame || id.cap.base != base {
            return Err(format!("{:?} came back", id.cap));
        }
    }
    mem::free_ram(frame).map_err(|e| e.to_string())
}

async fn peer_gone(client: &Echoing, child: &Child) -> Result<(), String> {
    client.die().map_err(|e| e.to_string())?;
    child.wait().await?.expect_success()?;
    match client.echo(1, 2, &[]).await {
        Err(CallError::Peer(PeerError::Gone)) => Ok(()),
        other => Err(format!("asking a process that ended: {other:?}")),
    }
}

//! Messages within an OSnode: order, contents, blobs, capabilities, a peer that ends.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use capfmt::CapType;
use proto::PeerError;
use proto::iface::spawn::Place;
use rt::chan::{Answer, Attach, Client, Server};
use rt::{env, invoke, mem, task};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-lmp";

proto::messages! {
    /// Requests of the echo.
    pub enum EchoRequest: 101 {
        /// Sends words, blob and capability back.
        Echo = 1 {
            /// A word.
            a: u64,
            /// Another.
            b: u64,
        },
        /// Ends without answering.
        Die = 2 {},
    }
}
proto::messages! {
    /// Replies of the echo.
    pub enum EchoReply: 101 {
        /// What came.
        Echo = 0x8001 {
            /// A word.
            a: u64,
            /// Another.
            b: u64,
        },
    }
}

async fn echo(name: &str) -> i32 {
    let Ok(server) = Server::open() else { return 1 };
    if server.register(name).await.is_err() {
        return 1;
    }
    loop {
        let request = server.next().await;
        match request.decode::<EchoRequest>() {
            Ok(EchoRequest::Echo { a, b }) => {
                let cap = request.cap.as_ref().map(rt::Capability::addr);
                let blob = request.blob.clone();
                let with = Attach::with(&blob, cap);
                if request.answer(&EchoReply::Echo { a, b }, with).is_err() {
                    return 2;
                }
            }
            Ok(EchoRequest::Die {}) => return 0,
            Err(_) => return 3,
        }
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
    let client = match Client::lookup(&name).await {
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

async fn ask(
    client: &Client,
    a: u64,
    b: u64,
    with: Attach<'_>,
) -> Result<Answer<EchoReply>, String> {
    let answer = client.request(&EchoRequest::Echo { a, b }, with).await;
    answer.map_err(|e| e.to_string())
}

async fn words(client: &Client) -> Result<(), String> {
    let mut random = Random::new(1);
    for n in 0..1000 {
        let b = random.next_u64();
        let answer = ask(client, n, b, Attach::NONE).await?;
        if answer.message != (EchoReply::Echo { a: n, b }) {
            return Err(format!("call {n} brought {:?}", answer.message));
        }
    }
    Ok(())
}

async fn blobs(client: &Client) -> Result<(), String> {
    let mut random = Random::new(2);
    for len in [0usize, 1, 31, 32, 33, 1000, 8192] {
        let blob: Vec<u8> = (0..len).map(|_| random.next_u64() as u8).collect();
        let answer = ask(client, 0, 0, Attach::blob(&blob)).await?;
        if answer.blob != blob {
            return Err(format!(
                "a blob of {len} bytes came back as {}",
                answer.blob.len()
            ));
        }
    }
    let large = alloc::vec![0; 8193];
    match ask(client, 0, 0, Attach::blob(&large)).await {
        Err(_) => Ok(()),
        Ok(_) => Err("a blob that is too long was sent".into()),
    }
}

async fn capabilities(client: &Client) -> Result<(), String> {
    let frame = mem::alloc_frame(4096).map_err(|e| e.to_string())?;
    let base = invoke::identify(frame.addr())
        .map_err(|e| e.message().to_string())?
        .cap
        .base;
    for n in 0..100 {
        let answer = ask(client, n, 0, Attach::cap(frame.addr())).await?;
        let back = answer.cap.ok_or("no capability came back")?;
        let id = invoke::identify(back.addr()).map_err(|e| e.message().to_string())?;
        if id.cap.kind != CapType::Frame || id.cap.base != base {
            return Err(format!("{:?} came back", id.cap));
        }
    }
    mem::free_ram(frame).map_err(|e| e.to_string())
}

async fn peer_gone(client: &Client, child: &Child) -> Result<(), String> {
    let sent = client.notice(&EchoRequest::Die {}, Attach::NONE).await;
    sent.map_err(|e| e.to_string())?;
    child.wait().await?.expect_success()?;
    let answer: Result<Answer<EchoReply>, _> = client
        .request(&EchoRequest::Echo { a: 1, b: 2 }, Attach::NONE)
        .await;
    match answer {
        Err(PeerError::Gone) => Ok(()),
        other => Err(format!("asking a process that ended: {other:?}")),
    }
}

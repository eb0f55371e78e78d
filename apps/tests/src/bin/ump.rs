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

use proto::iface::spawn::Place;
use rt::chan::{Answer, Attach, Client, Server};
use rt::{env, task, time};
use tests::{Child, Random, Suite};

rt::entry!(main);

const SELF: &str = "t-ump";

proto::messages! {
    /// Requests of the echo.
    pub enum EchoRequest: 102 {
        /// Sends word and blob back, after so many nanoseconds.
        Echo = 1 {
            /// A word.
            a: u64,
            /// Delay.
            delay_ns: u64,
        },
    }
}
proto::messages! {
    /// Replies of the echo.
    pub enum EchoReply: 102 {
        /// What came.
        Echo = 0x8001 {
            /// A word.
            a: u64,
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
        let Ok(EchoRequest::Echo { a, delay_ns }) = request.decode() else {
            return 3;
        };
        if delay_ns > 0 {
            time::sleep(delay_ns).await;
        }
        let blob = request.blob.clone();
        // A client that closed its channel needs no answer.
        let _ = request.answer(&EchoReply::Echo { a }, Attach::blob(&blob));
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
    let client = match Client::lookup_on(child.pid.osnode, &name).await {
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
    suite.report("end", child.kill().await.map(|_| ()));
    suite.failed()
}

async fn ask(client: &Client, a: u64, delay_ns: u64, blob: &[u8]) -> Result<Vec<u8>, String> {
    let request = EchoRequest::Echo { a, delay_ns };
    let answer = client.request(&request, Attach::blob(blob)).await;
    let answer: Answer<EchoReply> = answer.map_err(|e| e.to_string())?;
    if answer.message != (EchoReply::Echo { a }) {
        return Err(format!("message {a} brought {:?}", answer.message));
    }
    Ok(answer.blob)
}

async fn words(client: &Client) -> Result<(), String> {
    for n in 0..1000 {
        ask(client, n, 0, &[]).await?;
    }
    Ok(())
}

async fn blobs(client: &Client) -> Result<(), String> {
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
async fn sleeps(client: &Client) -> Result<(), String> {
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
        let client = Client::lookup_on(osnode, name)
            .await
            .map_err(|e| e.to_string())?;
        ask(&client, n, 0, b"again").await?;
    }
    Ok(())
}

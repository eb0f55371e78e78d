//! The console of an OSnode without one: what its processes print goes to another OSnode's.
//!
//! Argument: the OSnode whose console it is (a number).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};

use proto::iface::console::{ConsoleReply, ConsoleRequest};
use proto::{PeerError, ServiceError};
use rt::chan::{Attach, Client, Request, Server};
use rt::{env, task};

rt::entry!(main);

fn main() -> i32 {
    let home = env::args().nth(1).and_then(|a| a.parse().ok());
    let Some(home) = home else {
        rt::println!("console-relay: give the number of the OSnode with the console");
        return 1;
    };
    match task::block_on(run(home)) {
        Ok(()) => 0,
        Err(e) => {
            rt::println!("console-relay: no console at o{home}: {e}");
            1
        }
    }
}

async fn run(home: u64) -> Result<(), String> {
    let text = |e: PeerError| e.to_string();
    let console = Client::lookup_on(home, "console").await;
    let console = console.map_err(|e| e.to_string())?;
    let server = Server::open().map_err(|e| e.message().to_string())?;
    server.register("console").await.map_err(text)?;
    loop {
        let request = server.next().await;
        pass_on(&console, &request).await.map_err(text)?;
    }
}

/// Only output goes on: keys belong to whoever is at the console itself.
async fn pass_on(console: &Client, request: &Request) -> Result<(), PeerError> {
    match request.decode::<ConsoleRequest>() {
        Ok(m @ (ConsoleRequest::Write { .. } | ConsoleRequest::WriteBlob {})) => {
            console.notice(&m, Attach::blob(&request.blob)).await
        }
        _ => {
            let error = ServiceError::BadOperation;
            // An asker that is gone needs no answer.
            let _ = request.answer(&ConsoleReply::Refused { error }, Attach::NONE);
            Ok(())
        }
    }
}

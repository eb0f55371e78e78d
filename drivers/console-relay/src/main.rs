//! The console of an OSnode without one: what its processes print goes to another OSnode's.
//!
//! Argument: the OSnode whose console it is (a number).

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::console::{
    Console, ConsoleReply, ConsoleRequest, ConsoleServer, Interrupted, Key, Line, Written,
};
use proto::stub::Answered;
use proto::{Later, PeerError, ServiceError};
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
    server.offer::<Console>();
    server.register("console").await.map_err(text)?;
    match server.serve::<Console, _>(&Relay(console)).await {}
}

/// Only output goes on: keys belong to whoever is at the console itself.
struct Relay(Client);

type Writer = Later<Written, Request>;

impl Relay {
    /// Without the console this process has no use; who printed need not hear of it.
    fn pass_on(&self, message: &ConsoleRequest, text: &[u8]) {
        if let Err(e) = self.0.post(message, Attach::blob(text)) {
            rt::println!("console-relay: {e}");
            rt::process::exit(1);
        }
    }
}

fn refuse<A: Answered<Reply = ConsoleReply>>(asker: Later<A, Request>) {
    asker.answer(Err(ServiceError::BadOperation.into()));
}

impl ConsoleServer<Request> for Relay {
    fn write(&self, asker: Writer, len: u8, low: (u64, u64), high: (u64, u64)) {
        self.pass_on(&ConsoleRequest::Write { len, low, high }, &[]);
        asker.answer(Ok(Written {}));
    }
    fn write_text(&self, asker: Writer, text: Vec<u8>) {
        self.pass_on(&ConsoleRequest::WriteBlob {}, &text);
        asker.answer(Ok(Written {}));
    }
    fn read_line(&self, asker: Later<Line, Request>, _: Vec<u8>) {
        refuse(asker);
    }
    fn read_key(&self, asker: Later<Key, Request>) {
        refuse(asker);
    }
    fn flush(&self, asker: Writer) {
        refuse(asker);
    }
    fn await_interrupt(&self, asker: Later<Interrupted, Request>) {
        refuse(asker);
    }
}

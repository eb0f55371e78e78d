//! The spawn service: builds processes, watches their ends, gives their memory back, and starts
//! those again that are supervised.
//!
//! Requests about another OSnode go to its spawn service over a UMP channel that the
//! monitors bind. Given by the monitor: `names` (system), `names-apps` (what
//! ordinary programs get), the archive.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod build;
mod domain;
mod ending;
mod estate;
mod ledger;
mod memory;
mod news;
mod peers;
mod requests;
mod service;
mod supervision;
mod takeover;

use proto::iface::spawn::Spawn;
use rt::chan::Server;
use rt::{env, task};

use service::Service;

rt::entry!(main);

fn main() {
    rt::process::exit(task::block_on(serve()))
}

async fn serve() -> i32 {
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("spawn: no endpoint for the service: {}", e.message());
            return 1;
        }
    };
    let (service, left) = match Service::open(server.clone()).await {
        Ok(opened) => opened,
        Err(e) => {
            rt::println!("spawn: cannot start: {e}");
            return 1;
        }
    };
    let closings = server.closings();
    if env::is_again() {
        takeover::take_over(&service, left).await;
    }
    server.offer::<Spawn>();
    if let Err(e) = server.register("spawn").await {
        rt::println!("spawn: cannot register the service: {e}");
        return 1;
    }
    task::spawn(news::publish(service.clone()));
    task::spawn(service.clone().forget_ended(closings));
    loop {
        let request = server.next().await;
        requests::take(&service, request);
    }
}

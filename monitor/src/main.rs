//! The monitor: the first process of an OSnode.
//!
//! It makes the OSnode's memory service and spawn service and, in the first OSnode,
//! has the others started; it serves names, joins OSnodes into one system by UMP
//! channels, and binds channels between their services. The same program on both
//! instruction sets; what it is given says where it is.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod agreement;
mod bind;
mod channels;
mod custody;
mod estates;
mod founding;
mod links;
mod members;
mod memory;
mod names_service;
mod next_life;
mod oskernel;
mod parcels;
mod peers;
mod placements;
mod services;
mod soon;
mod system;
mod unmaps;
mod world;

use abi::slots;
use proto::iface::monitor::Monitor;
use proto::iface::names::Names;
use proto::iface::process::Process;
use proto::iface::system::System;
use proto::{Interface, InterfaceId};
use rt::chan::{Request, Server};
use rt::{env, invoke, task};

use world::World;

rt::entry!(main);

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    let Some(boot) = env::boot_info() else {
        rt::println!("monitor: started without boot information");
        return 1;
    };
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("monitor: no endpoint for its services: {}", e.message());
            return 1;
        }
    };
    let world = World::new(server.clone(), boot);
    if let Err(e) = agreement::open(&world) {
        rt::println!(
            "monitor: the kernel cannot ask it about shared capabilities: {}",
            e.message()
        );
    }
    let started = world.clone();
    task::spawn(async move {
        if let Err(e) = founding::found(&started).await {
            let osnode = env::osnode();
            rt::println!("monitor: OSnode o{osnode} cannot be set up: {e}");
            if started.home == 0 {
                // Without its services nobody can use the machine, or read this: its end shows the kernel's log.
                let _ = invoke::kernel_halt(slots::KERNEL, 1);
            }
        }
    });
    let (closing, mut closings) = (world.clone(), server.closings());
    task::spawn(async move {
        loop {
            let (connection, _) = closings.next().await;
            bind::client_ended(&closing, connection);
            closing.waits_no_more(connection);
        }
    });
    loop {
        let request = server.next().await;
        dispatch(&world, request);
        memory::replenish(&world);
        channels::trim(&world);
    }
}

fn dispatch(world: &World, request: Request) {
    let is = |id: InterfaceId| request.interface() == id.number;
    match () {
        () if is(Names::ID) => names_service::take(world, request),
        () if is(System::ID) => system::take(world, request),
        () if is(Monitor::ID) => peers::take(world, request),
        () if is(Process::ID) => founding::noticed(world, request),
        () => {}
    }
}

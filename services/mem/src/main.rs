//! A memory server: carries out what the books say, and asks other servers.
//!
//! A client's badge is its account; account 0 is the OSnode's own (monitor, spawn service, and who finds the
//! server by its private name), which alone may donate memory and open accounts.
//! Arguments: none in the first OSnode; `home O` in any other, whose nodes' servers are in OSnode O; `node N` as
//! the server of a NUMA node.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod estates;
mod gifts;
mod knowledge;
mod requests;
mod servers;
mod service;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use mem::{Allocator, BLOCK, Promise};
use proto::iface::memory::Memory;
use rt::chan::Server;
use rt::returns::Returns;
use rt::{SysError, env, task};

use service::{OWN, Role, SYSTEM, Service, State};

rt::entry!(main);

/// What monitor and spawn service can always have beyond what they hold.
const FOR_SYSTEM: u64 = 2 * BLOCK;
/// What the server itself can always have: its heap's reserve.
const FOR_ITSELF: u64 = 4 * BLOCK;

/// Where RAM is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Where {
    /// On this node or not at all.
    Only(u8),
    /// On this node, or as near to it as there is.
    Near(u8),
    /// Whatever is at hand.
    Anywhere,
}

fn main() {
    rt::process::exit(task::block_on(serve()))
}

fn role() -> Option<Role> {
    let mut args = env::args().skip(1);
    match (args.next(), args.next()) {
        (None, _) => Some(Role::Front(None)),
        (Some("home"), Some(osnode)) => Some(Role::Front(Some(osnode.parse().ok()?))),
        (Some("node"), Some(node)) => Some(Role::Node(node.parse().ok()?)),
        _ => None,
    }
}

async fn serve() -> i32 {
    let Some(role) = role() else {
        rt::println!("mem: arguments are: nothing, home OSNODE, node NUMBER");
        return 1;
    };
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("mem: no endpoint for the service: {}", e.message());
            return 1;
        }
    };
    let returns = match collecting(role) {
        Ok(returns) => returns,
        Err(e) => {
            rt::println!("mem: memory cannot come back: {}", e.message());
            return 1;
        }
    };
    let service = open(role, server, returns);
    let own = service.clone();
    rt::mem::set_source(Box::new(move |bytes| own.own_ram(bytes)));
    let name = match role {
        Role::Front(_) => ".memory".into(),
        Role::Node(node) => servers::name_of(node),
    };
    service.server.offer::<Memory>();
    if let Err(e) = service.server.register(&name).await {
        rt::println!("mem: cannot register the service: {e}");
        return 1;
    }
    look_after_returns(&service);
    let beginning = service.clone();
    task::spawn(async move {
        match role {
            Role::Front(None) => {}
            Role::Front(Some(home)) => beginning.find_home(home).await,
            Role::Node(node) => beginning.join(node).await,
        }
    });
    loop {
        let request = service.server.next().await;
        requests::take(&service, request);
    }
}

/// What nobody has any more comes to the front: node servers give RAM to other servers only.
fn collecting(role: Role) -> Result<Option<Rc<Returns>>, SysError> {
    if matches!(role, Role::Node(_)) {
        return Ok(None);
    }
    let kernel = env::given("kernel").ok_or(SysError::NoCapability)?;
    Ok(Some(Rc::new(Returns::open(kernel)?)))
}

fn look_after_returns(service: &Service) {
    let Some(returns) = service.returns.clone() else {
        return;
    };
    let service = service.clone();
    task::spawn(async move {
        loop {
            returns.wait().await;
            service.collect();
            service.give_surplus();
        }
    });
}

fn open(role: Role, server: Server, returns: Option<Rc<Returns>>) -> Service {
    let mut books = Allocator::new();
    books.promise(OWN, Promise::Beyond(FOR_ITSELF));
    if matches!(role, Role::Front(_)) {
        books.promise(SYSTEM, Promise::Beyond(FOR_SYSTEM));
    }
    let state = State {
        books,
        role,
        first_node: 0,
        settled: !matches!(role, Role::Front(Some(_))),
        named: false,
        servers: BTreeMap::new(),
        last_account: 0,
        refilling: false,
        refill_from_ns: 0,
        last_ticket: 0,
        on_the_way: BTreeMap::new(),
        estates: Vec::new(),
        giving: false,
        link: knowledge::Link::default(),
    };
    Service {
        state: Rc::new(RefCell::new(state)),
        server,
        returns,
    }
}

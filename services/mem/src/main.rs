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
mod keeper;
mod knowledge;
mod requests;
mod servers;
mod service;

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::RefCell;

use proto::iface::memory::{Memory, NEXT_LIFE};
use rt::chan::Server;
use rt::returns::Returns;
use rt::{SysError, env, task};

use keeper::Keeper;
use service::{OWN, Role, Service, State};

rt::entry!(main);

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
    let again = matches!(role, Role::Front(_)) && env::is_again();
    let service = open(role, server, returns, !again);
    let own = service.clone();
    rt::mem::set_source(Box::new(move |bytes| own.own_ram(bytes)));
    service.server.offer::<Memory>();
    let begun = match again {
        // For the monitor alone, which has what its earlier life had.
        true => service.server.register(NEXT_LIFE).await,
        false => service.begin().await,
    };
    if let Err(e) = begun {
        rt::println!("mem: cannot register the service: {e}");
        return 1;
    }
    look_after_returns(&service);
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

fn open(role: Role, server: Server, returns: Option<Rc<Returns>>, whole: bool) -> Service {
    let (keeper, left) = Keeper::open();
    let mut state = State::new(role, whole, &left);
    if matches!(role, Role::Node(_)) {
        // What that life had for itself came back to the front, but for the books.
        state.books.forget(OWN, keeper.range());
    }
    Service {
        state: Rc::new(RefCell::new(state)),
        server,
        returns,
        keeper: Rc::new(RefCell::new(keeper)),
    }
}

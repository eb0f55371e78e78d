//! The knowledge base as a process: it answers questions, and is told facts and rules.
//!
//! It asks nobody but once: whoever knows the machine (the device manager, if it is there
//! already) is asked to tell everything. Questions that come before that wait a while.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::iface::cores::{CoresReply, CoresRequest};
use proto::iface::names::{NamesReply, NamesRequest};
use proto::iface::skb::{SkbReply, SkbRequest};
use proto::{Name, PeerError, ServiceError};
use rt::chan::{Answer, Attach, Client, Request, Server};
use rt::{task, time};
use skb::service::Service;

rt::entry!(main);

/// How long questions wait for the first facts (ns of system time).
const PATIENCE_NS: u64 = 1_000_000_000;
/// Most questions that wait; later ones are answered at once.
const MAX_HELD: usize = 64;

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    match serve().await {
        Ok(never) => match never {},
        Err(e) => {
            rt::println!("skb: {e}");
            1
        }
    }
}

async fn serve() -> Result<core::convert::Infallible, String> {
    let service = Service::new().map_err(|e| format!("its rules: {e}"))?;
    let service = Rc::new(RefCell::new(service));
    let server = Server::open().map_err(|e| e.message().to_string())?;
    let registered = server.register(rt::skb::NAME).await;
    registered.map_err(|e| e.to_string())?;
    task::spawn(async {
        if let Err(e) = ask_to_be_told().await {
            rt::println!("skb: the device manager tells nothing: {e}");
        }
    });
    task::spawn(forget_closed(service.clone(), server.clone()));
    hold_back(&service, &server).await;
    loop {
        let request = server.next().await;
        answer(&service, &request);
    }
}

/// Until the first facts are there, only what brings facts is served; what asks for them waits.
async fn hold_back(service: &RefCell<Service>, server: &Server) {
    let until = time::system_ns().saturating_add(PATIENCE_NS);
    let mut held: Vec<Request> = Vec::new();
    while !service.borrow().is_filled() && held.len() < MAX_HELD {
        match time::system_timeout(until, server.next()).await {
            Some(request) if is_question(&request) => held.push(request),
            Some(request) => answer(service, &request),
            None => break,
        }
    }
    for request in held {
        answer(service, &request);
    }
}

fn is_question(request: &Request) -> bool {
    matches!(
        request.decode(),
        Ok(SkbRequest::Ask { .. }
            | SkbRequest::PlaceOf { .. }
            | SkbRequest::Distance { .. }
            | SkbRequest::Memories { .. }
            | SkbRequest::Tree { .. })
    )
}

fn answer(service: &RefCell<Service>, request: &Request) {
    let (reply, blob) = match request.decode::<SkbRequest>() {
        Err(_) => {
            let error = ServiceError::BadMessage;
            (SkbReply::Refused { error }, Vec::new())
        }
        Ok(message) => {
            let mut service = service.borrow_mut();
            service.take(request.connection(), message, &request.blob)
        }
    };
    // An asker that is gone needs no answer.
    let _ = request.answer(&reply, Attach::blob(&blob));
}

async fn forget_closed(service: Rc<RefCell<Service>>, server: Server) {
    loop {
        let (connection, _) = server.next_closed().await;
        service.borrow_mut().closed(connection);
    }
}

/// If the device manager is there already, this is not the machine's first knowledge base: it
/// must tell everything again. Else it comes and tells by itself.
async fn ask_to_be_told() -> Result<(), PeerError> {
    let name = Name::truncated("cores");
    let names = Client::names().await?;
    let lookup = NamesRequest::Lookup { name, wait: false };
    let found: Answer<NamesReply> = names.request(&lookup, Attach::NONE).await?;
    let Some(endpoint) = found.cap else {
        return Ok(());
    };
    let manager = Client::bind(endpoint.addr()).await?;
    let told: Answer<CoresReply> = manager
        .request(&CoresRequest::Tell {}, Attach::NONE)
        .await?;
    drop(told);
    Ok(())
}

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

use proto::iface::cores::CoresClient;
use proto::iface::names::NamesClient;
use proto::iface::skb::{SkbReply, SkbRequest};
use proto::{CallError, Name, PeerError, ServiceError};
use rt::chan::{Attach, Client, Request, Server};
use rt::{task, time};
use skb::news::News;
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

/// The knowledge base, and who waits for news.
struct Known {
    service: RefCell<Service>,
    news: RefCell<News<Request>>,
}

async fn serve() -> Result<core::convert::Infallible, String> {
    let service = Service::new().map_err(|e| format!("its rules: {e}"))?;
    let known = Rc::new(Known {
        service: RefCell::new(service),
        news: RefCell::default(),
    });
    let server = Server::open().map_err(|e| e.message().to_string())?;
    let registered = server.register(rt::skb::NAME).await;
    registered.map_err(|e| e.to_string())?;
    task::spawn(async {
        if let Err(e) = ask_to_be_told().await {
            rt::println!("skb: the device manager tells nothing: {e}");
        }
    });
    task::spawn(forget_closed(known.clone(), server.clone()));
    hold_back(&known, &server).await;
    loop {
        let request = server.next().await;
        answer(&known, request);
    }
}

/// Until the first facts are there, only what brings facts is served; what asks for them waits.
async fn hold_back(known: &Known, server: &Server) {
    let until = time::system_ns().saturating_add(PATIENCE_NS);
    let mut held: Vec<Request> = Vec::new();
    while !known.service.borrow().is_filled() && held.len() < MAX_HELD {
        match time::system_timeout(until, server.next()).await {
            Some(request) if is_question(&request) => held.push(request),
            Some(request) => answer(known, request),
            None => break,
        }
    }
    for request in held {
        answer(known, request);
    }
}

fn is_question(request: &Request) -> bool {
    matches!(
        request.decode(),
        Ok(SkbRequest::Ask { .. }
            | SkbRequest::PlaceOf { .. }
            | SkbRequest::Distance { .. }
            | SkbRequest::Memories { .. }
            | SkbRequest::Tree { .. }
            | SkbRequest::News { .. })
    )
}

fn answer(known: &Known, request: Request) {
    let message = request.decode::<SkbRequest>();
    if let Ok(wanted @ SkbRequest::News { .. }) = message {
        let now = {
            let service = known.service.borrow();
            known.news.borrow_mut().take(&service, request, &wanted)
        };
        now.iter().for_each(|(request, reply)| say(request, reply));
        return;
    }
    let reply = match message {
        Err(_) => {
            let error = ServiceError::BadMessage;
            (SkbReply::Refused { error }, Vec::new())
        }
        Ok(message) => {
            let mut service = known.service.borrow_mut();
            service.take(request.connection(), message, &request.blob)
        }
    };
    say(&request, &reply);
    let due = known.news.borrow_mut().due(&known.service.borrow());
    due.iter().for_each(|(request, reply)| say(request, reply));
}

/// An asker that is gone needs no answer.
fn say(request: &Request, (reply, blob): &(SkbReply, Vec<u8>)) {
    let _ = request.answer(reply, Attach::blob(blob));
}

async fn forget_closed(known: Rc<Known>, server: Server) {
    loop {
        let (connection, _) = server.next_closed().await;
        known.service.borrow_mut().closed(connection);
        let mut news = known.news.borrow_mut();
        news.forget(|request| request.connection() == connection);
    }
}

/// If the device manager is there already, this is not the machine's first knowledge base: it
/// must tell everything again. Else it comes and tells by itself.
async fn ask_to_be_told() -> Result<(), PeerError> {
    let names = NamesClient(Client::names().await?);
    let endpoint = match names.lookup(Name::truncated("cores"), false).await {
        Ok(found) => found.cap,
        Err(CallError::Refused(_)) => return Ok(()),
        Err(CallError::Peer(e)) => return Err(e),
    };
    let manager = CoresClient(Client::bind(endpoint.addr()).await?);
    manager.tell_everything().await?;
    Ok(())
}

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
use core::cell::{Ref, RefCell};
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use proto::iface::cores::CoresClient;
use proto::iface::names::NamesClient;
use proto::iface::skb::{
    Answer, Changed, Distance, Listed, Place, Skb, SkbServer, Subject, Topic, Version,
};
use proto::{CallError, Later, Name, PeerError, Refusal};
use rt::chan::{Client, Closings, Request, Server};
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

/// The knowledge base, and who waits.
struct Known {
    service: RefCell<Service>,
    news: RefCell<News<Later<Version, Request>>>,
    /// Questions that wait for the first facts.
    held: RefCell<Vec<Waker>>,
    /// System time until which they do.
    until: u64,
}

/// The knowledge base as it is asked.
#[derive(Clone)]
struct Served(Rc<Known>);

async fn serve() -> Result<Infallible, String> {
    let service = Service::new().map_err(|e| format!("its rules: {e}"))?;
    let served = Served(Rc::new(Known {
        service: RefCell::new(service),
        news: RefCell::default(),
        held: RefCell::default(),
        until: time::system_ns().saturating_add(PATIENCE_NS),
    }));
    let server = Server::open().map_err(|e| e.message().to_string())?;
    let closings = server.closings();
    server.offer::<Skb>();
    let registered = server.register(rt::skb::NAME).await;
    registered.map_err(|e| e.to_string())?;
    task::spawn(async {
        if let Err(e) = ask_to_be_told().await {
            rt::println!("skb: the device manager tells nothing: {e}");
        }
    });
    task::spawn(forget_closed(served.0.clone(), closings));
    Ok(server.serve_side_by_side::<Skb, _>(Rc::new(served)).await)
}

impl Known {
    /// Waits for the first facts, a while: what asks for them before would be answered wrongly.
    async fn filled(&self) {
        let filled = poll_fn(|cx| {
            let mut held = self.held.borrow_mut();
            if self.service.borrow().is_filled() || held.len() >= MAX_HELD {
                return Poll::Ready(());
            }
            held.push(cx.waker().clone());
            Poll::Pending
        });
        // Those that waited for nothing are answered by what there is.
        let _ = time::system_timeout(self.until, filled).await;
    }

    /// The service, to be asked.
    async fn asked(&self) -> Ref<'_, Service> {
        self.filled().await;
        self.service.borrow()
    }

    /// Changes something; who waits for it hears of it.
    fn change(
        &self,
        change: impl FnOnce(&mut Service) -> Result<Changed, Refusal>,
    ) -> Result<Changed, Refusal> {
        let changed = change(&mut self.service.borrow_mut());
        for note in self.service.borrow_mut().notes() {
            rt::println!("skb: {note}");
        }
        if self.service.borrow().is_filled() {
            self.held.take().into_iter().for_each(Waker::wake);
        }
        let due = self.news.borrow_mut().due(&self.service.borrow());
        for (asker, version) in due {
            asker.answer(Ok(version));
        }
        changed
    }
}

impl SkbServer<Request> for Served {
    async fn ask(&self, _: &Request, offset: u64, question: Vec<u8>) -> Result<Answer, Refusal> {
        self.0.asked().await.ask(&question, offset)
    }
    async fn assert(&self, _: &Request, facts: Vec<u8>) -> Result<Changed, Refusal> {
        self.0.change(|s| s.assert(&facts))
    }
    async fn withdraw(&self, _: &Request, atom: Vec<u8>) -> Result<Changed, Refusal> {
        self.0.change(|s| s.withdraw(&atom))
    }
    async fn load(&self, _: &Request, rules: Vec<u8>) -> Result<Changed, Refusal> {
        self.0.change(|s| s.load(&rules))
    }
    async fn change(
        &self,
        request: &Request,
        more: bool,
        changes: Vec<u8>,
    ) -> Result<Changed, Refusal> {
        let connection = request.connection();
        self.0.change(|s| s.change(connection, &changes, more))
    }
    async fn place_of(&self, _: &Request, of: Subject, number: u64) -> Result<Place, Refusal> {
        self.0.asked().await.place_of(of, number)
    }
    async fn distance(&self, _: &Request, from: u32, to: u32) -> Result<Distance, Refusal> {
        self.0.asked().await.distance(from, to)
    }
    async fn memories(&self, _: &Request, of: Subject, number: u64) -> Result<Listed, Refusal> {
        self.0.asked().await.memories(of, number)
    }
    async fn tree(
        &self,
        _: &Request,
        root: Subject,
        number: u64,
        first: u64,
    ) -> Result<Listed, Refusal> {
        self.0.asked().await.tree(root, number, first)
    }
    fn news(&self, asker: Later<Version, Request>, topic: Topic, known: u64) {
        let base = self.0.clone();
        task::spawn(async move {
            let service = base.asked().await;
            let now = base.news.borrow_mut().take(&service, asker, topic, known);
            if let Some((asker, said)) = now {
                asker.answer(said);
            }
        });
    }
}

async fn forget_closed(known: Rc<Known>, mut closings: Closings) {
    loop {
        let (connection, _) = closings.next().await;
        known.service.borrow_mut().closed(connection);
        let mut news = known.news.borrow_mut();
        news.forget(|asker| asker.call().connection() == connection);
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

//! The registry as a process: `registry` for everybody, `.registry` for the spawn services.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;

use proto::iface::registry::{self as declared, RegistryReply, RegistryRequest};
use proto::{Call, stub};
use registry::{Answer, ClientId, Registry, Ticket};
use rt::chan::{Closings, Request, Server};
use rt::keeper::Keeper;
use rt::{task, time};

rt::entry!(main);

/// While somebody waits for a lock: how often it is looked whether its holder is still there (ns).
const LOOK_NS: u64 = 200_000_000;

/// The registry, and who waits for an answer.
#[derive(Default)]
struct Desk {
    registry: Registry,
    keeper: Keeper,
    waiting: BTreeMap<Ticket, (ClientId, Request)>,
    last: u64,
    /// A task looks after lock holders.
    looking: bool,
}

/// One of the two endpoints.
#[derive(Clone)]
struct Counter {
    desk: Rc<RefCell<Desk>>,
    server: Server,
    id: fn(u32) -> ClientId,
}

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    match serve().await {
        Ok(never) => match never {},
        Err(e) => {
            rt::println!("registry: {e}");
            1
        }
    }
}

async fn serve() -> Result<Infallible, String> {
    let (keeper, left) = Keeper::open();
    let registry = left.map_or_else(Registry::new, |(notes, counters)| {
        Registry::restore(&notes, counters)
    });
    let desk = Rc::new(RefCell::new(Desk {
        registry,
        keeper,
        ..Desk::default()
    }));
    let open = |id| {
        let server = Server::open().map_err(|e| e.message().to_string())?;
        server.offer::<declared::Registry>();
        let desk = desk.clone();
        Ok::<_, String>(Counter { desk, server, id })
    };
    let programs = open(ClientId::program)?;
    let system = open(ClientId::system)?;
    for (counter, name) in [(&system, ".registry"), (&programs, "registry")] {
        task::spawn(watch_ends(counter.clone(), counter.server.closings()));
        let registered = counter.server.register(name).await;
        registered.map_err(|e| e.to_string())?;
    }
    let beside = programs.clone();
    task::spawn(async move {
        loop {
            let asked = system.take(system.server.next().await);
            if matches!(asked, Some(RegistryRequest::Ended { .. })) {
                // Connections inside this OSnode are not named after processes: each is asked.
                beside.server.sweep();
            }
        }
    });
    loop {
        programs.take(programs.server.next().await);
    }
}

/// Tells the registry which connections end.
async fn watch_ends(counter: Counter, mut closings: Closings) {
    loop {
        let (connection, _) = closings.next().await;
        counter.closed((counter.id)(connection));
    }
}

impl Counter {
    /// Takes a request: the registry takes it as the interface declares it, and says who is answered, now or later.
    fn take(&self, mut request: Request) -> Option<RegistryRequest> {
        let client = (self.id)(request.connection());
        let opened = stub::open::<RegistryRequest, RegistryReply, _>(&mut request);
        let (message, blob, _) = opened?;
        let text = String::from_utf8_lossy(&blob);
        let answers = {
            let mut d = self.desk.borrow_mut();
            d.last += 1;
            let ticket = Ticket(d.last);
            d.waiting.insert(ticket, (client, request));
            let answers = d.registry.ask(client, ticket, &message, &text);
            d.keep();
            answers
        };
        self.send(answers);
        self.look_after_holders();
        Some(message)
    }

    fn closed(&self, client: ClientId) {
        let answers = self.desk.borrow_mut().closed(client);
        self.send(answers);
    }

    /// Sends answers. A client that takes none is gone: what it held goes to others, who may hear
    /// of it, too.
    fn send(&self, answers: Vec<Answer>) {
        let mut answers = VecDeque::from(answers);
        while let Some(answer) = answers.pop_front() {
            let waiting = self.desk.borrow_mut().waiting.remove(&answer.ticket);
            let Some((client, request)) = waiting else {
                continue;
            };
            if !Call::answer(&request, &answer.reply, answer.text.as_bytes(), None) {
                answers.extend(self.desk.borrow_mut().closed(client));
            }
        }
    }

    /// A holder that ends without a word is found by asking, as long as somebody waits for it.
    fn look_after_holders(&self) {
        let mut d = self.desk.borrow_mut();
        if d.looking || !d.registry.is_contended() {
            return;
        }
        d.looking = true;
        let counter = self.clone();
        task::spawn(async move {
            while counter.desk.borrow().registry.is_contended() {
                time::sleep(LOOK_NS).await;
                counter.server.sweep();
            }
            counter.desk.borrow_mut().looking = false;
        });
    }
}

impl Desk {
    fn closed(&mut self, client: ClientId) -> Vec<Answer> {
        self.waiting.retain(|_, (c, _)| *c != client);
        let answers = self.registry.closed(client);
        self.keep();
        answers
    }

    /// Before anybody hears of it, what happened stands where it outlives this process.
    fn keep(&mut self) {
        let notes = self.registry.take_notes();
        if !notes.is_empty() {
            let registry = &self.registry;
            self.keeper
                .add(&notes, registry.counters(), || registry.lasting());
        }
    }
}

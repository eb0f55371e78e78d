//! What the registry is told: a record for each supervised process, and which processes ended.
//!
//! The registry is one of the supervised itself: everything is told anew to one that was started
//! again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use proto::iface::registry::{Registry, RegistryClient, SetMode, WatchOn};
use proto::iface::spawn::ServiceState;
use proto::{CallError, PeerError, Pid};
use rt::chan::{self, Client};
use rt::task::{Either, select};
use rt::{env, time};

use crate::peers;
use crate::service::Service;
use crate::supervision::{restart_word, state_word};

/// Most ends that wait to be told; the registry finds out about others when it asks.
const MAX_ENDED: usize = 64;
/// First and longest pause before the registry is looked for again (ns of system time).
const AGAIN_NS: u64 = 100_000_000;
const LONGEST_NS: u64 = 60_000_000_000;

#[derive(Default)]
struct Inner {
    /// Names of records, by service.
    names: BTreeMap<u64, String>,
    changed: BTreeSet<u64>,
    /// Records to delete.
    gone: VecDeque<String>,
    /// Processes that ended.
    ended: VecDeque<u64>,
    /// There is a connection: ends are worth telling.
    connected: bool,
    waker: Option<Waker>,
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty() && self.ended.is_empty()
    }
    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// What is still to be told.
#[derive(Clone, Default)]
pub struct News(Rc<RefCell<Inner>>);

impl News {
    /// A service came: its record gets a name that no other has. `is_over` tells services whose
    /// names may be taken.
    pub fn entered(&self, id: u64, program: &str, is_over: impl Fn(u64) -> bool) {
        let mut n = self.0.borrow_mut();
        n.names.retain(|id, _| !is_over(*id));
        let osnode = env::osnode();
        let mut name = format!("service.o{osnode}.{program}");
        if n.names.values().any(|other| *other == name) {
            name = format!("{name}.{id}");
        }
        n.names.insert(id, name);
        n.changed.insert(id);
        n.wake();
    }
    /// What the registry calls a service.
    pub fn title(&self, id: u64) -> Option<String> {
        self.0.borrow().names.get(&id).cloned()
    }
    /// A service that a former life knew.
    pub fn restore(&self, id: u64, title: String) {
        let mut n = self.0.borrow_mut();
        n.names.insert(id, title);
        n.changed.insert(id);
        n.wake();
    }
    /// A service changed.
    pub fn changed(&self, id: u64) {
        let mut n = self.0.borrow_mut();
        n.changed.insert(id);
        n.wake();
    }
    /// A service is none any more.
    pub fn gone(&self, id: u64) {
        let mut n = self.0.borrow_mut();
        n.changed.remove(&id);
        if let Some(name) = n.names.remove(&id) {
            n.gone.push_back(name);
        }
        n.wake();
    }
    /// A process ended.
    pub fn ended(&self, number: u64) {
        let mut n = self.0.borrow_mut();
        if n.connected && n.ended.len() < MAX_ENDED {
            n.ended.push_back(number);
            n.wake();
        }
    }

    /// Ends when there is something to tell.
    async fn some(&self) {
        poll_fn(|cx| {
            let mut n = self.0.borrow_mut();
            if !n.is_empty() {
                return Poll::Ready(());
            }
            n.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Everything is to be told, and ends are worth it or not.
    fn all_changed(&self, connected: bool) {
        let mut n = self.0.borrow_mut();
        let all: BTreeSet<u64> = n.names.keys().copied().collect();
        n.changed = all;
        n.connected = connected;
        if !connected {
            n.ended.clear();
        }
    }
}

/// Tells the registry, for ever. Nothing is told, and nobody connected to, before there is news.
pub async fn publish(service: Service) {
    let mut pause = AGAIN_NS;
    loop {
        service.news.some().await;
        if let Ok(registry) = connect(&service).await {
            pause = AGAIN_NS;
            service.news.all_changed(true);
            // Why it ended does not matter: it is begun anew.
            let _ = tell(&service, &registry).await;
            service.news.all_changed(false);
        }
        time::system_sleep_until(time::system_ns().saturating_add(pause)).await;
        pause = (pause * 2).min(LONGEST_NS);
    }
}

/// The registry is on the first OSnode, which made the others.
async fn connect(service: &Service) -> Result<RegistryClient<Client>, PeerError> {
    let first = peers::next_osnode(service, 0).await;
    let first = first.map_err(PeerError::Refused)?.osnode;
    let bound = match first == env::osnode() {
        true => chan::connect::<Registry>(".registry").await,
        false => chan::connect_on::<Registry>(first, ".registry").await,
    };
    Ok(bound?)
}

/// Tells what is new until the registry ends.
async fn tell(service: &Service, registry: &RegistryClient<Client>) -> Result<(), PeerError> {
    let mut end = Box::pin(end_of(registry));
    loop {
        while let Some(news) = next(service) {
            let told = match news {
                Item::Ended(pid) => registry.ended(pid).await.map(drop),
                Item::Gone(name) => registry.delete(name.as_bytes()).await.map(drop),
                Item::Record(record) => {
                    let set = registry.set(SetMode::Replace, false, false, 0, record.as_bytes());
                    set.await.map(drop)
                }
            };
            // What it refuses is not told again.
            if let Err(CallError::Peer(gone)) = told {
                return Err(gone);
            }
        }
        if let Either::Right(gone) = select(service.news.some(), &mut end).await {
            return Err(gone);
        }
    }
}

/// Ends with the registry: a question for an event that never comes.
async fn end_of(registry: &RegistryClient<Client>) -> PeerError {
    let watch = registry.watch(WatchOn::Delete, true, false, b"no-such-record");
    if let Err(CallError::Peer(gone)) = watch.await {
        return gone;
    }
    let waits = RegistryClient(registry.0.unprobed());
    let end = waits.next(false).await;
    end.err().map_or(PeerError::Gone, PeerError::from)
}

/// What the registry is told.
enum Item {
    /// A process ended.
    Ended(Pid),
    /// There is no such record any more.
    Gone(String),
    /// A record.
    Record(String),
}

/// What is to be told next.
fn next(service: &Service) -> Option<Item> {
    let mut n = service.news.0.borrow_mut();
    let osnode = env::osnode();
    if let Some(number) = n.ended.pop_front() {
        let pid = Pid { osnode, number };
        return Some(Item::Ended(pid));
    }
    if let Some(name) = n.gone.pop_front() {
        return Some(Item::Gone(name));
    }
    while let Some(id) = n.changed.pop_first() {
        let s = service.state.borrow();
        let (Some(name), Some(of)) = (n.names.get(&id), s.supervisor.get(id)) else {
            continue;
        };
        let pid = match of.state {
            ServiceState::Running => Pid {
                osnode,
                number: of.number,
            }
            .to_string(),
            ServiceState::Restarting | ServiceState::Finished | ServiceState::GivenUp => {
                String::new()
            }
        };
        let record = format!(
            "{name} {{ pid: \"{pid}\", restart: {}, restarts: {}, state: {} }}",
            restart_word(of.rules.restart),
            of.restarts,
            state_word(of.state)
        );
        return Some(Item::Record(record));
    }
    None
}

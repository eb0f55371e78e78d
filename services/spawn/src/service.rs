//! State of the spawn service.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::MessageTag;
use archive::Archive;
use proto::iface::names::NamesClient;
use proto::iface::process::{ProcessClient, ProcessRequest};
use proto::iface::spawn::{Ended, ProcessState};
use proto::iface::system::SystemClient;
use proto::{Name, PeerError, Pid, Wire};
use rt::chan::{Client, Closings, Server, Until};
use rt::spawn::Process;
use rt::{CapAddr, Capability, SysError, env, invoke, lmp, time};
use spawn::{Books, Entry, Key, Left, Slots, Supervisor, Table};

use crate::build::Kept;
use crate::ending::Ending;
use crate::ledger::Ledger;
use crate::memory::MemoryService;
use crate::news::News;
use crate::peers::Peer;
use crate::supervision::Supervised;

/// How long a process may take to end by itself when it is asked to (ns of system time).
pub const STOP_NS: u64 = 1_000_000_000;
/// How long a process may take for a check (ns of system time).
pub const CHECK_NS: u64 = 15_000_000_000;

/// How long a console that ended may take until it is there again (ns of system time).
const CONSOLE_NS: u64 = 2_000_000_000;

/// Whether a process needs a console.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// If there is one.
    Maybe,
    /// The one that is there, or will be soon.
    Soon,
    /// As it had when it was started before.
    Had(bool),
}

/// A process's account at the memory service.
pub struct Account {
    /// Its number.
    pub number: u32,
    /// What the process asks on, unless that went with the memory service's former life.
    pub endpoint: Option<Capability>,
}

/// A running process.
pub struct Live {
    pub process: Process,
    pub account: Account,
    /// Where the ledger has its capabilities.
    pub slots: Slots,
    /// Its further dispatchers.
    pub members: Vec<Pid>,
    /// The process that this is a further dispatcher of.
    pub of: Option<Pid>,
    /// Connection to its endpoint 0, once somebody asked it something.
    pub control: Option<Client>,
}

/// The service's state; never borrowed across an `await`.
pub struct State {
    pub table: Table,
    pub live: BTreeMap<u64, Live>,
    /// Processes that are being taken apart.
    pub ending: BTreeMap<u64, Ending>,
    /// Processes that were asked to end: an exit of theirs is no end of their own.
    pub killing: BTreeSet<u64>,
    /// Processes that said that they end.
    pub told: BTreeSet<u64>,
    /// Accounts of processes that are being built or taken apart.
    pub opening: BTreeSet<u32>,
    /// Capabilities kept for the next spawn of a connection.
    pub kept: BTreeMap<u32, Vec<Kept>>,
    /// Spawn services of other OSnodes.
    pub peers: BTreeMap<u64, Peer>,
    /// The console service's endpoint, as it was found last.
    console: Option<Capability>,
    /// Who is started again when it ends.
    pub supervisor: Supervisor,
    /// What the supervised are made from, by service.
    pub specs: BTreeMap<u64, Rc<Supervised>>,
    /// Who waits for the end of which process.
    pub waiting: Vec<(u64, Waker)>,
}

/// The service.
#[derive(Clone)]
pub struct Service {
    pub state: Rc<RefCell<State>>,
    /// What outlives the service.
    pub books: Rc<RefCell<Books<Ledger>>>,
    pub server: Server,
    /// The memory service: [`Service::ask_memory`].
    pub memory: MemoryService,
    /// The monitor's system interface.
    pub system: SystemClient<Client>,
    pub archive: Archive<'static>,
    /// Names for ordinary programs.
    pub names: CapAddr,
    /// What the registry is to be told.
    pub news: News,
}

impl Service {
    /// Connects to memory service and monitor, with what a former life left.
    ///
    /// # Errors
    /// What is missing, as a sentence.
    pub async fn open(server: Server) -> Result<(Service, Left), String> {
        let bytes = env::archive().ok_or("the boot archive was not given")?;
        let archive =
            Archive::open(bytes).map_err(|e| format!("the boot archive is damaged: {e}"))?;
        let names = env::given("names").ok_or("names was not given")?;
        let for_apps = env::given("names-apps").ok_or("names-apps was not given")?;
        let text = |e: PeerError| e.to_string();
        let (ledger, slots, left) = Ledger::open().map_err(|e| text(e.into()))?;
        let left = left.map_or_else(Left::default, |(notes, counters)| {
            Left::read(&notes, counters)
        });
        let service = Service {
            state: Rc::new(RefCell::new(State {
                table: Table::new(),
                live: BTreeMap::new(),
                ending: BTreeMap::new(),
                killing: BTreeSet::new(),
                told: BTreeSet::new(),
                opening: BTreeSet::new(),
                kept: BTreeMap::new(),
                peers: BTreeMap::new(),
                console: None,
                supervisor: Supervisor::new(),
                specs: BTreeMap::new(),
                waiting: Vec::new(),
            })),
            books: Rc::new(RefCell::new(Books::open(ledger, slots, &left))),
            news: News::default(),
            server,
            memory: MemoryService::bind().await.map_err(text)?,
            system: SystemClient(Client::bind(names).await.map_err(text)?),
            archive,
            names: for_apps,
        };
        Ok((service, left))
    }

    /// What ordinary programs print to: an endpoint of the console service, if there is one by now.
    /// One that ended is waited for a while.
    pub async fn console(&self, needed: Console) -> Option<CapAddr> {
        let known = self.state.borrow().console.is_some();
        let wait = match needed {
            Console::Had(false) => return None,
            Console::Had(true) => true,
            Console::Maybe => known,
            Console::Soon => true,
        };
        let name = Name::truncated("console");
        let until = time::system_ns().saturating_add(CONSOLE_NS);
        let names = NamesClient(self.system.0.until(until));
        let found = names.lookup(name, wait).await.ok()?.cap;
        let addr = found.addr();
        let old = self.state.borrow_mut().console.replace(found);
        drop(old);
        Some(addr)
    }

    /// Enters a started process, or a further dispatcher of one.
    pub fn enter(&self, number: u64, live: Live) {
        let mut s = self.state.borrow_mut();
        s.table.started(number, live.process.memory());
        s.live.insert(number, live);
        self.change(Key::Process(number));
    }

    /// Whether a process, or a further dispatcher of one, runs.
    pub fn is_live(&self, number: u64) -> bool {
        self.state.borrow().live.contains_key(&number)
    }

    /// Core time of a process so far.
    pub fn used_ns(&self, number: u64) -> u64 {
        let s = self.state.borrow();
        match s.live.get(&number) {
            Some(l) => invoke::disp_info(l.process.dispatcher()).map_or(0, |i| i.used_ns),
            None => s.table.get(number).map_or(0, |e| e.used_ns),
        }
    }

    /// Waits until the process has ended and its memory is back: how it ended.
    pub async fn ended(&self, number: u64) -> Ended {
        poll_fn(|cx| {
            let mut s = self.state.borrow_mut();
            if s.table.get(number).is_some_and(Entry::is_live) {
                s.waiting.push((number, cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(match s.table.get(number) {
                Some(e) => Ended {
                    state: e.state,
                    status: e.status,
                    report: e.report.clone().into_bytes(),
                },
                None => Ended {
                    state: ProcessState::Exited,
                    status: 0,
                    report: Vec::new(),
                },
            })
        })
        .await
    }

    /// Has what clients gave for a new process and are gone without starting it looked through: it may be memory of theirs.
    pub fn forget_given(&self) {
        let any = !self.state.borrow().kept.is_empty();
        if any {
            self.server.sweep();
        }
    }

    /// Lets go of what a connection gave for a new process, once it has ended.
    pub async fn forget_ended(self, mut closings: Closings) {
        loop {
            let (connection, _) = closings.next().await;
            let given = self.state.borrow_mut().kept.remove(&connection);
            drop(given);
        }
    }

    /// Has every process look whether the services that it waits for are still there.
    pub fn tell_to_look(&self) {
        let all: Vec<u64> = self.state.borrow().live.keys().copied().collect();
        for number in all {
            // One that has no room for it finds out a little later by itself.
            let _ = self.tell(number, &ProcessRequest::Look {});
        }
    }

    /// Tells a process something that it does not answer.
    ///
    /// # Errors
    /// `EndpointFull` when it has no room; `EndpointClosed` or `NoCapability` when it is gone.
    pub fn tell(&self, number: u64, what: &ProcessRequest) -> Result<(), SysError> {
        let s = self.state.borrow();
        let live = s.live.get(&number).ok_or(SysError::NoCapability)?;
        let words = what.to_words(0);
        lmp::send(live.process.endpoint(), MessageTag::default(), words)
    }

    /// The memory account of a live process.
    pub fn account_of(&self, number: u64) -> Option<u32> {
        let s = self.state.borrow();
        s.live.get(&number).map(|l| l.account.number)
    }

    /// The memory accounts of all processes that live, are being built, or will be started again.
    pub fn accounts(&self) -> Vec<u32> {
        let s = self.state.borrow();
        let live = s.live.values().map(|l| l.account.number);
        let left = s.specs.values().filter_map(|made| {
            let left = made.spec.account.borrow();
            left.as_ref().map(|a| a.number)
        });
        live.chain(left).chain(s.opening.iter().copied()).collect()
    }

    /// Gives every process's account, and every one that was left, the Endpoint that it has at the memory service now.
    pub fn renew_accounts(&self, endpoints: &mut BTreeMap<u32, Capability>) {
        let mut s = self.state.borrow_mut();
        for live in s.live.values_mut() {
            let account = &mut live.account;
            account.endpoint = endpoints.remove(&account.number);
        }
        for made in s.specs.values() {
            if let Some(left) = made.spec.account.borrow_mut().as_mut() {
                left.endpoint = endpoints.remove(&left.number);
            }
        }
    }

    /// A process, to be asked something; it may take so long to answer.
    ///
    /// # Errors
    /// What the channel says.
    pub async fn process(
        &self,
        number: u64,
        within_ns: u64,
    ) -> Result<ProcessClient<Until>, PeerError> {
        let until = time::system_ns() + within_ns;
        let client = self.control_of(number, until).await?;
        Ok(ProcessClient(client.until(until)))
    }

    async fn control_of(&self, number: u64, until: u64) -> Result<Client, PeerError> {
        let endpoint = {
            let s = self.state.borrow();
            let live = s.live.get(&number).ok_or(PeerError::Gone)?;
            if let Some(c) = &live.control {
                return Ok(c.clone());
            }
            live.process.endpoint()
        };
        let bound = time::system_timeout(until, Client::bind(endpoint)).await;
        let client = bound.ok_or(PeerError::TimedOut)??;
        let mut s = self.state.borrow_mut();
        let live = s.live.get_mut(&number).ok_or(PeerError::Gone)?;
        live.control = Some(client.clone());
        Ok(client)
    }
}

//! Memory accounts of processes, and questions about memory that are asked of the memory servers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use abi::slots;
use proto::iface::memory::MemoryClient;
use proto::iface::names::NamesClient;
use proto::iface::spawn::{Memory, MemoryChecked, Usage};
use proto::{CallError, Name, PeerError, Pid, Refusal, ServiceError};
use rt::chan::Client;
use rt::{Capability, env, invoke, time};
use spawn::{Misfit, fit_together};

use crate::service::{Account, Service};

/// What a process can always have beyond the block that it begins with.
const SHARE: u64 = 256 << 10;
/// Accounts from here on are the memory server's own.
const NOT_OPENED: u32 = 0x1_0000;

/// How long the next memory service may take when one has ended, and the pause between two looks (ns of system time).
const NEXT_NS: u64 = 10_000_000_000;
const LOOK_NS: u64 = 1_000_000;
/// How often one question may find that the memory service has ended.
const LIVES: u32 = 4;

/// The connection to the memory service: another one when that was started again.
#[derive(Clone)]
pub struct MemoryService(Rc<Connection>);

struct Connection {
    client: RefCell<MemoryClient<Client>>,
    /// The next one is looked for.
    renewing: Cell<bool>,
}

impl MemoryService {
    /// Binds to it.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn bind() -> Result<MemoryService, PeerError> {
        let client = MemoryClient(Client::bind(slots::MEMORY).await?);
        Ok(MemoryService(Rc::new(Connection {
            client: RefCell::new(client),
            renewing: Cell::new(false),
        })))
    }

    fn now(&self) -> MemoryClient<Client> {
        self.0.client.borrow().clone()
    }
}

impl Account {
    /// Whether its Endpoint is there: it goes with the memory service's process.
    fn is_open(&self) -> bool {
        let endpoint = self.endpoint.as_ref();
        endpoint.is_some_and(|e| invoke::identify(e.addr()).is_ok())
    }
}

impl Service {
    /// Asks the memory service, and once more if it ended meanwhile and was started again: what a former one was asked and
    /// did not answer has not happened, or comes back.
    ///
    /// # Errors
    /// What it says; `Gone` when no other comes.
    pub async fn ask_memory<T>(
        &self,
        ask: impl AsyncFn(MemoryClient<Client>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut lives = LIVES;
        loop {
            let service = self.memory.now();
            match ask(service.clone()).await {
                Err(CallError::Peer(PeerError::Gone)) if lives > 0 => {
                    self.renew_memory().await?;
                    lives -= 1;
                }
                done => return done,
            }
        }
    }

    /// Waits for the memory service that is started again.
    async fn renew_memory(&self) -> Result<(), PeerError> {
        let until = time::system_ns().saturating_add(NEXT_NS);
        while self.memory.0.renewing.get() {
            if time::system_ns() > until {
                return Err(PeerError::Gone);
            }
            time::sleep(LOOK_NS).await;
        }
        if !self.memory.now().0.is_gone() && self.memory.now().0.ping().is_ok() {
            return Ok(());
        }
        self.memory.0.renewing.set(true);
        let renewed = time::system_timeout(until, self.next_memory()).await;
        self.memory.0.renewing.set(false);
        renewed.unwrap_or(Err(PeerError::Gone))?;
        // Whoever waits for the former one.
        self.tell_to_look();
        Ok(())
    }

    /// Finds the memory service that there is now, and every account at it.
    ///
    /// # Errors
    /// It ended, too.
    pub async fn next_memory(&self) -> Result<(), PeerError> {
        let names = NamesClient(self.system.0.clone());
        let found = names.lookup(Name::truncated(".memory"), true).await?.cap;
        let client = MemoryClient(Client::bind(found.addr()).await?);
        let mut endpoints = BTreeMap::new();
        for account in self.accounts() {
            match client.reopen(account).await {
                Ok(opened) => drop(endpoints.insert(account, opened.endpoint)),
                // A former life had closed that of a process whose end it did not complete.
                Err(CallError::Refused(_)) if self.state.borrow().opening.contains(&account) => {}
                Err(CallError::Refused(why)) => {
                    rt::println!("spawn: memory account {account} was lost: {why}");
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.renew_accounts(&mut endpoints);
        close_strange(self, &client).await?;
        self.memory.0.client.replace(client);
        Ok(())
    }

    /// Gets an account's Endpoint anew if the memory service was started again since: with its process the former one went.
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn refresh(&self, account: &mut Account) -> Result<(), PeerError> {
        while !account.is_open() {
            let number = account.number;
            let opened = self.ask_memory(async |memory| memory.reopen(number).await);
            account.endpoint = Some(opened.await?.endpoint);
        }
        Ok(())
    }

    /// The Endpoint of a process's account at the memory service that there is now.
    ///
    /// # Errors
    /// It does not run, or what the memory service says.
    pub async fn own_memory(&self, number: u64) -> Result<Capability, Refusal> {
        let account = self.account_of(number);
        let account = account.ok_or(ServiceError::ProcessGone)?;
        let opened = self
            .ask_memory(async |memory| memory.reopen(account).await)
            .await;
        Ok(said(opened)?.endpoint)
    }

    /// Opens a memory account for a process that begins with a block of `bytes`, of at most `limit` bytes in all (0 = no
    /// limit).
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn open_account(&self, limit: u64, bytes: u64) -> Result<Account, PeerError> {
        let share = bytes.saturating_add(SHARE);
        let opened = self
            .ask_memory(async |memory| memory.open_account(limit, share).await)
            .await?;
        Ok(Account {
            number: opened.account,
            endpoint: Some(opened.endpoint),
        })
    }

    /// RAM on a process's account.
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn allocate_for(&self, account: u32, bytes: u64) -> Result<Capability, PeerError> {
        let allocated = self
            .ask_memory(async |memory| memory.allocate_for(account, bytes).await)
            .await?;
        Ok(allocated.ram)
    }

    /// Closes a memory account. What others got of the memory on it stays theirs, and counts until they give it up.
    pub async fn close_account(&self, account: Account) {
        let account = account.number;
        let closed = self
            .ask_memory(async |memory| memory.close_account(account).await)
            .await;
        match closed {
            // A former life had done so.
            Err(e) if e.is(ServiceError::NotFound) && env::is_again() => {}
            Err(e) => rt::println!("spawn: memory account {account} cannot be closed: {e}"),
            Ok(_) => {}
        }
    }
}

fn said<A>(answer: Result<A, CallError>) -> Result<A, Refusal> {
    answer.map_err(|e| match e {
        CallError::Refused(refusal) => refusal,
        CallError::Peer(_) => {
            let text = "the memory service does not answer";
            Refusal::new(ServiceError::NoAnswer, text)
        }
    })
}

/// What a memory server has.
///
/// # Errors
/// There is no such server, or it does not answer.
pub async fn figures(service: &Service, server: u32) -> Result<Memory, Refusal> {
    let s = service.ask_memory(async |memory| memory.stats(server).await);
    let s = said(s.await)?;
    Ok(Memory {
        total: s.total,
        free: s.free,
        largest: s.largest,
        blocks: s.blocks,
        node: s.node,
    })
}

/// What is on a process's account.
///
/// # Errors
/// It does not run, or the memory service does not answer.
pub async fn usage(service: &Service, pid: Pid) -> Result<Usage, Refusal> {
    let account = service.account_of(pid.number);
    let account = account.ok_or_else(|| {
        Refusal::new(ServiceError::NotFound, format!("there is no process {pid}"))
    })?;
    let a = service.ask_memory(async |memory| memory.account(account).await);
    let a = said(a.await)?;
    Ok(Usage {
        held: a.held,
        limit: a.limit,
        share: a.share,
    })
}

/// Checks every memory server of this OSnode, then that only live processes hold memory, and that the next life would find
/// them all.
///
/// # Errors
/// What is wrong.
pub async fn check(service: &Service) -> Result<MemoryChecked, Refusal> {
    let mut sums = MemoryChecked {
        donated: 0,
        got: 0,
        sent: 0,
        free: 0,
        used: 0,
    };
    for server in 0.. {
        let checked = service.ask_memory(async |memory| memory.check(server).await);
        match checked.await {
            Ok(c) => {
                // What came back from a node's server that ended is new to one server, and missing at another.
                sums.donated = sums.donated.wrapping_add(c.donated);
                sums.got += c.got;
                sums.sent += c.sent;
                sums.free += c.free;
                sums.used += c.used;
            }
            Err(e) if e.is(ServiceError::End) => break,
            Err(CallError::Refused(r)) => {
                let text = format!("memory server {server}: {}: {}", r.error, r.text);
                return Err(Refusal::new(r.error, text));
            }
            Err(e) => said(Err(e))?,
        }
    }
    check_accounts(service).await?;
    service.check_books()?;
    Ok(sums)
}

/// Whether each account is some live process's, and each live process has one.
async fn check_accounts(service: &Service) -> Result<(), Refusal> {
    let before: BTreeSet<u32> = service.accounts().into_iter().collect();
    let held = service.ask_memory(async |memory| accounts(&memory).await);
    let held = said(held.await)?;
    let after: BTreeSet<u32> = service.accounts().into_iter().collect();
    let text = match fit_together(&before, &held, &after) {
        Ok(()) => return Ok(()),
        Err(Misfit::NoProcess(bytes, account)) => {
            format!("{bytes} bytes of account {account} are still held, but its process has ended")
        }
        Err(Misfit::NoAccount(account)) => {
            format!("the memory server knows no account {account}")
        }
    };
    Err(Refusal::new(ServiceError::BadBooks, text))
}

/// The accounts of processes at the memory server, and what is on them.
async fn accounts(memory: &MemoryClient<Client>) -> Result<BTreeMap<u32, u64>, CallError> {
    let mut found = BTreeMap::new();
    let mut from = 1;
    loop {
        match memory.accounts(from).await {
            Ok(a) if a.account < NOT_OPENED => {
                found.insert(a.account, a.held);
                from = a.account + 1;
            }
            Ok(_) => return Ok(found),
            Err(e) if e.is(ServiceError::End) => return Ok(found),
            Err(e) => return Err(e),
        }
    }
}

/// Closes the accounts that the former memory service opened, and whose opener did not hear of it.
async fn close_strange(service: &Service, memory: &MemoryClient<Client>) -> Result<(), PeerError> {
    let held = accounts(memory).await?;
    let own = service.accounts();
    for account in held.into_keys().filter(|a| !own.contains(a)) {
        match memory.close_account(account).await {
            Ok(_) | Err(CallError::Refused(_)) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

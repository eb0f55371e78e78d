//! Memory accounts of processes, and questions about memory that are asked of the memory servers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

use proto::iface::spawn::{Memory, MemoryChecked, Usage};
use proto::{CallError, PeerError, Pid, Refusal, ServiceError};
use rt::Capability;
use spawn::{Misfit, fit_together};

use crate::service::{Account, Service};

/// What a process can always have beyond the block that it begins with.
const SHARE: u64 = 256 << 10;
/// Accounts from here on are the memory server's own.
const NOT_OPENED: u32 = 0x1_0000;

impl Service {
    /// Opens a memory account for a process that begins with a block of `bytes`, of at most `limit` bytes in all (0 = no
    /// limit).
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn open_account(&self, limit: u64, bytes: u64) -> Result<Account, PeerError> {
        let share = bytes.saturating_add(SHARE);
        let opened = self.memory.open_account(limit, share).await?;
        Ok(Account {
            number: opened.account,
            endpoint: opened.endpoint,
        })
    }

    /// RAM on a process's account.
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn allocate_for(&self, account: u32, bytes: u64) -> Result<Capability, PeerError> {
        Ok(self.memory.allocate_for(account, bytes).await?.ram)
    }

    /// Closes a memory account. What others got of the memory on it stays theirs, and counts until they give it up.
    pub async fn close_account(&self, account: Account) {
        let account = account.number;
        if let Err(e) = self.memory.close_account(account).await {
            rt::println!("spawn: memory account {account} cannot be closed: {e}");
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
    let s = said(service.memory.stats(server).await)?;
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
    let a = said(service.memory.account(account).await)?;
    Ok(Usage {
        held: a.held,
        limit: a.limit,
        share: a.share,
    })
}

/// Checks every memory server of this OSnode, then that only live processes hold memory.
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
        match service.memory.check(server).await {
            Ok(c) => {
                sums.donated += c.donated;
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
    Ok(sums)
}

/// Whether each account is some live process's, and each live process has one.
async fn check_accounts(service: &Service) -> Result<(), Refusal> {
    let before: BTreeSet<u32> = service.accounts().into_iter().collect();
    let held = accounts(service).await?;
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
async fn accounts(service: &Service) -> Result<BTreeMap<u32, u64>, Refusal> {
    let mut found = BTreeMap::new();
    let mut from = 1;
    loop {
        match service.memory.accounts(from).await {
            Ok(a) if a.account < NOT_OPENED => {
                found.insert(a.account, a.held);
                from = a.account + 1;
            }
            Ok(_) => return Ok(found),
            Err(e) if e.is(ServiceError::End) => return Ok(found),
            Err(e) => said(Err(e))?,
        }
    }
}

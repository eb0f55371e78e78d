//! Memory accounts of processes, and questions about memory that are asked of the memory servers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use proto::iface::memory::{MemoryReply, MemoryRequest};
use proto::iface::spawn::{Memory, MemoryChecked, Usage};
use proto::{PeerError, Pid, Refusal, ServiceError};
use rt::Capability;
use rt::chan::{Answer, Attach};
use spawn::{Misfit, fit_together};

use crate::service::{Account, Service};

/// What a process can always have beyond the block that it begins with.
const SHARE: u64 = 256 << 10;
/// Accounts from here on are the memory server's own.
const NOT_OPENED: u32 = 0x1_0000;

async fn ask(service: &Service, request: MemoryRequest) -> Result<Answer<MemoryReply>, PeerError> {
    service.memory.request(&request, Attach::NONE).await
}

impl Service {
    /// Opens a memory account for a process that begins with a block of `bytes`, of at most `limit` bytes in all (0 = no
    /// limit).
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn open_account(&self, limit: u64, bytes: u64) -> Result<Account, PeerError> {
        let share = bytes.saturating_add(SHARE);
        let a = ask(self, MemoryRequest::OpenAccount { limit, share }).await?;
        match (a.message, a.cap) {
            (MemoryReply::Account { account, .. }, Some(endpoint)) => Ok(Account {
                number: account,
                endpoint,
            }),
            (MemoryReply::Refused { error }, _) => Err(PeerError::Refused(error)),
            _ => Err(PeerError::Gone),
        }
    }

    /// RAM on a process's account.
    ///
    /// # Errors
    /// What the memory service says.
    pub async fn allocate_for(&self, account: u32, bytes: u64) -> Result<Capability, PeerError> {
        let a = ask(self, MemoryRequest::AllocateFor { account, bytes }).await?;
        match (a.message, a.cap) {
            (MemoryReply::Allocated { .. }, Some(ram)) => Ok(ram),
            (MemoryReply::Refused { error }, _) => Err(PeerError::Refused(error)),
            _ => Err(PeerError::Gone),
        }
    }

    /// Closes a memory account. What others got of the memory on it stays theirs, and counts until they give it up.
    pub async fn close_account(&self, account: Account) {
        let account = account.number;
        let closed = ask(self, MemoryRequest::CloseAccount { account }).await;
        match closed.map(|a| a.message) {
            Ok(MemoryReply::Closed { .. }) => {}
            Ok(MemoryReply::Refused { error }) => {
                rt::println!("spawn: memory account {account} cannot be closed: {error}");
            }
            _ => rt::println!("spawn: the memory service does not answer"),
        }
    }
}

fn no_answer() -> Refusal {
    let text = "the memory service does not answer";
    Refusal::new(ServiceError::NoAnswer, text)
}

/// What a memory server has.
///
/// # Errors
/// There is no such server, or it does not answer.
pub async fn figures(service: &Service, server: u32) -> Result<Memory, Refusal> {
    let a = ask(service, MemoryRequest::Stats { server }).await;
    match a.map(|a| a.message) {
        Ok(MemoryReply::Stats {
            total,
            free,
            largest,
            blocks,
            node,
        }) => Ok(Memory {
            total,
            free,
            largest,
            blocks,
            node,
        }),
        Ok(MemoryReply::Refused { error }) => Err(error.into()),
        _ => Err(no_answer()),
    }
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
    let a = ask(service, MemoryRequest::Account { account }).await;
    match a.map(|a| a.message) {
        Ok(MemoryReply::Account {
            held, limit, share, ..
        }) => Ok(Usage { held, limit, share }),
        Ok(MemoryReply::Refused { error }) => Err(error.into()),
        _ => Err(no_answer()),
    }
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
        let a = ask(service, MemoryRequest::Check { server }).await;
        let a = a.map_err(|_| no_answer())?;
        match a.message {
            MemoryReply::Checked {
                donated,
                got,
                sent,
                free,
                used,
            } => {
                sums.donated += donated;
                sums.got += got;
                sums.sent += sent;
                sums.free += free;
                sums.used += used;
            }
            MemoryReply::Refused {
                error: ServiceError::End,
            } => break,
            MemoryReply::Refused { error } => {
                let text = String::from_utf8_lossy(&a.blob).into_owned();
                let text = format!("memory server {server}: {error}: {text}");
                return Err(Refusal::new(error, text));
            }
            _ => return Err(no_answer()),
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
        let a = ask(service, MemoryRequest::Accounts { from }).await;
        match a.map(|a| a.message) {
            Ok(MemoryReply::Account { account, held, .. }) if account < NOT_OPENED => {
                found.insert(account, held);
                from = account + 1;
            }
            Ok(
                MemoryReply::Account { .. }
                | MemoryReply::Refused {
                    error: ServiceError::End,
                },
            ) => return Ok(found),
            _ => return Err(no_answer()),
        }
    }
}

//! What a former life of the service left is this one's from now on.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use capfmt::DcbState;
use proto::Pid;
use proto::iface::process::ProcessRequest;
use proto::iface::spawn::{ProcessState, ServiceState};
use rt::spawn::Process;
use rt::{SysError, cap, env, task, time};
use spawn::{Entry, KeptRecord, Left, ProcessRecord, Service as Supervision, ServiceRecord};

use crate::build::{Kept, Spec};
use crate::domain;
use crate::ending::{Ending, How};
use crate::service::{Account, Live, Service};
use crate::supervision::{self, Supervised};

/// How often it is tried to find the memory service, which may end meanwhile.
const TRIES: u32 = 4;
/// How often a process whose ring is full is told who its starter is, and the pause between two tries (ns of OSnode time).
const ADOPTED_TRIES: u32 = 1000;
const ADOPTED_PAUSE_NS: u64 = 10_000_000;

/// Takes over what a former life left: processes go on, what had begun to end ends, services are started again.
pub async fn take_over(service: &Service, left: Left) {
    let [processes, services] = left.counters;
    {
        let mut s = service.state.borrow_mut();
        s.table.begin_after(processes);
        s.supervisor.begin_after(services);
    }
    for (id, record) in left.services {
        restore_service(service, id, record);
    }
    let mut over = Vec::new();
    for (number, record) in left.processes {
        over.extend(restore_process(service, number, record));
    }
    for _ in 0..TRIES {
        if service.next_memory().await.is_ok() {
            break;
        }
    }
    over.into_iter().for_each(|over| over.begin(service));
    tell_adopted(service);
    watch(service);
    resume(service);
    supervision::tell_clients(service);
}

fn restore_service(service: &Service, id: u64, record: ServiceRecord) {
    let of = Supervision {
        rules: record.rules,
        state: record.state,
        restarts: record.restarts,
        number: record.number,
        recent: record.recent.into_iter().collect(),
    };
    let kept = record.kept.into_iter();
    let kept: Vec<Kept> = kept.filter_map(|kept| find(service, kept)).collect();
    let spec = Spec {
        words: record.words,
        memory: record.memory,
        kept: RefCell::new(kept),
        keeps: Cell::new(record.keeps),
        account: RefCell::new((record.left != 0).then_some(Account {
            number: record.left,
            endpoint: None,
        })),
    };
    let mut s = service.state.borrow_mut();
    s.supervisor.restore(id, of);
    // Of one that is over only its rules are known.
    if spec.words.is_empty() {
        return;
    }
    let has_console = record.has_console;
    let made = Rc::new(Supervised { spec, has_console });
    s.specs.insert(id, made);
    service.news.restore(id, record.title);
}

fn find(service: &Service, kept: KeptRecord) -> Option<Kept> {
    let KeptRecord { name, slot } = kept;
    let at = service.books.borrow().custody().at(slot);
    match cap::copy(at) {
        Ok(cap) => Some(Kept {
            name,
            cap,
            slot: Some(slot),
        }),
        // It was revoked meanwhile.
        Err(_) => {
            service.unkeep(slot);
            None
        }
    }
}

/// A process that does not go on.
enum Over {
    /// Its end had begun.
    Ending(u64, Account),
    /// It has stopped, and must be taken apart.
    Stopped(u64, How),
}

impl Over {
    fn begin(self, service: &Service) {
        match self {
            Over::Stopped(number, how) => service.end_soon(number, how),
            Over::Ending(number, account) => {
                let service = service.clone();
                task::spawn(async move {
                    service.end_members(number).await;
                    service.finish_end(number, account).await;
                });
            }
        }
    }
}

fn restore_process(service: &Service, number: u64, record: ProcessRecord) -> Option<Over> {
    let account = Account {
        number: record.account,
        endpoint: None,
    };
    let is_over = account.number == 0;
    let found = record.slots.map(|slots| {
        let ledger = service.books.borrow();
        let caps = [slots.block, slots.parts[0], slots.parts[1], slots.parts[2]];
        let process = Process::found(caps.map(|slot| ledger.custody().at(slot)));
        process.map(|process| (slots, process))
    });
    let mut entry = record.entry;
    let how = How::of(&entry);
    let used_ns = entry.used_ns;
    if !is_over {
        // Until its end is complete it lives, for whoever waits for that.
        entry = Entry {
            state: ProcessState::Running,
            ..entry
        };
    }
    service.state.borrow_mut().table.restore(number, entry);
    let ending = |how| Ending {
        how,
        used_ns,
        account: record.account,
        of: record.of,
        members: record.members.clone(),
    };
    match found {
        Some(Ok((slots, process))) => {
            let how = adopt(service, number, &process);
            let live = Live {
                process,
                account,
                slots,
                members: record.members,
                of: record.of,
                control: None,
            };
            service.enter(number, live);
            how.map(|how| Over::Stopped(number, how))
        }
        Some(Err(e)) => {
            let text = format!("what is left of it: {}", e.message());
            record.slots?.all().for_each(|slot| service.unkeep(slot));
            service.begin_end(number, ending(How::fault(text)));
            Some(Over::Ending(number, account))
        }
        None if is_over => None,
        None => {
            service.begin_end(number, ending(how));
            Some(Over::Ending(number, account))
        }
    }
}

/// Becomes a process's starter; how it ended, if it does not run any more.
fn adopt(service: &Service, number: u64, process: &Process) -> Option<How> {
    let lost = |e: SysError| How::fault(format!("it cannot be adopted: {}", e.message()));
    let introduced = introduce(service, number, process);
    if let Err(e) = introduced {
        return Some(lost(e));
    }
    let state = match process.info() {
        Ok(info) => info.state,
        Err(e) => return Some(lost(e)),
    };
    let is = |of: DcbState| state == of as u64;
    // Who faulted had nobody to tell; who exits says so again.
    match () {
        () if is(DcbState::Faulted) => Some(How::fault(String::from(
            "it faulted while no spawn service ran",
        ))),
        () if is(DcbState::Stopped) => Some(How::fault(String::from(
            "it stopped while no spawn service ran",
        ))),
        () => None,
    }
}

fn introduce(service: &Service, number: u64, process: &Process) -> Result<(), SysError> {
    let badge = u32::try_from(number).map_err(|_| SysError::BadArgument)?;
    let parent = service.server.introduction(badge)?;
    let fault = service.server.fault_introduction(badge)?;
    process.adopt(parent.addr(), fault.addr())
}

/// Has processes say again what is to be kept: the former life may not have read it.
fn tell_adopted(service: &Service) {
    let all: Vec<u64> = service.state.borrow().live.keys().copied().collect();
    for number in all {
        let service = service.clone();
        task::spawn(async move {
            for _ in 0..ADOPTED_TRIES {
                if service.tell(number, &ProcessRequest::Adopted {}) != Err(SysError::EndpointFull)
                {
                    return;
                }
                time::sleep(ADOPTED_PAUSE_NS).await;
            }
        });
    }
}

/// Looks after processes with several dispatchers again.
fn watch(service: &Service) {
    let several: Vec<_> = {
        let s = service.state.borrow();
        let of = |(n, live): (&u64, &Live)| (*n, live.of, live.members.clone());
        s.live.iter().map(of).collect()
    };
    let here = env::osnode();
    for (number, of, members) in several {
        for pid in members {
            match pid.osnode == here && is_over(service, pid.number) {
                true => service.end_whole(
                    pid.number,
                    Some(Pid {
                        osnode: here,
                        number,
                    }),
                ),
                false => domain::watch_member(service, number, pid),
            }
        }
        match of {
            Some(of) if of.osnode == here && is_over(service, of.number) => {
                service.end_soon(number, How::killed());
            }
            Some(of) => domain::watch_process(service, number, of),
            None => {}
        }
    }
}

/// Whether a process has ended, with all that follows from that.
fn is_over(service: &Service, number: u64) -> bool {
    let s = service.state.borrow();
    !s.live.contains_key(&number) && !s.ending.contains_key(&number)
}

/// Starts the services again that do not run.
fn resume(service: &Service) {
    let waiting: Vec<(u64, u64, bool)> = {
        let s = service.state.borrow();
        let all = s.supervisor.all().filter_map(|(id, of)| match of.state {
            ServiceState::Restarting => Some((id, of.number, true)),
            // Its end was written down, but not what was to follow from that.
            ServiceState::Running if is_over(service, of.number) => Some((id, of.number, false)),
            ServiceState::Running | ServiceState::Finished | ServiceState::GivenUp => None,
        });
        all.collect()
    };
    for (id, number, decided) in waiting {
        let end = service.ended_how(number).end();
        if decided {
            let service = service.clone();
            task::spawn(async move { supervision::again(&service, id, number, end, 0).await });
        } else {
            supervision::ended(service, number, end);
        }
    }
}

//! Processes with dispatchers on several OSnodes.
//!
//! The spawn service of the process's own OSnode knows all of its dispatchers; each further one
//! is an entry in the table of the OSnode that it runs on. If one ends, for whatever reason, all end. When the OSnode of
//! the first is gone, so is the memory of all: those that use it fault, and those that wait are ended here.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::spawn::{Spawned, join_words, split_words};
use proto::{Pid, Refusal, ServiceError};
use rt::spawn::{Context, Member};
use rt::{Capability, env, task, time};
use spawn::Key;

use crate::build;
use crate::ending::How;
use crate::peers::{self, Peer};
use crate::service::Service;

/// Pause before it is tried again to reach the OSnode of a first dispatcher (ns of OSnode time).
const LOOK_NS: u64 = 500_000_000;

/// Most further dispatchers of a process: its record must find room in the journal.
const MAX_MEMBERS: usize = 128;

/// Bytes of a context in a blob.
const CONTEXT: usize = 32;

fn context(blob: &[u8]) -> Option<(Context, &[u8])> {
    let (words, rest) = blob.split_at_checked(CONTEXT)?;
    let (words, _) = words.as_chunks::<8>();
    let [entry, stack, tls, argument] = words else {
        return None;
    };
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let context = Context {
        entry: word(entry),
        stack: word(stack),
        tls: word(tls),
        argument: word(argument),
    };
    Some((context, rest))
}

fn malformed() -> Refusal {
    let text = "a request for a further dispatcher is malformed";
    Refusal::new(ServiceError::BadMessage, text)
}

/// `Span`: process `number` of this OSnode wants a further dispatcher.
///
/// # Errors
/// The reason, with a sentence.
pub async fn span(
    service: &Service,
    number: u64,
    osnode: u64,
    blob: &[u8],
    shared: &Capability,
) -> Result<Spawned, Refusal> {
    let of = Pid {
        osnode: env::osnode(),
        number,
    };
    let words = {
        let s = service.state.borrow();
        let live = s.live.contains_key(&number);
        let entry = s.table.get(number).filter(|_| live);
        entry.map(|e| e.words.clone())
    };
    let words = words.ok_or_else(|| {
        let text = "only a running process, over its PARENT, can have dispatchers";
        Refusal::new(ServiceError::NotFound, text)
    })?;
    let (start, _) = context(blob).ok_or_else(malformed)?;
    let members = service
        .state
        .borrow()
        .live
        .get(&number)
        .map_or(0, |l| l.members.len());
    if members >= MAX_MEMBERS {
        let text = format!("a process has {MAX_MEMBERS} further dispatchers at most");
        return Err(Refusal::new(ServiceError::TableFull, text));
    }
    let spawned = if osnode == env::osnode() {
        let shared = shared.addr();
        member_here(service, of, words, Member { shared, start }).await?
    } else {
        let mut blob = blob[..CONTEXT].to_vec();
        blob.extend(join_words(&words));
        let asked = async |at: Peer| at.member(of, &blob, shared.addr()).await;
        peers::ask_once(service, osnode, asked).await?
    };
    let pid = spawned.pid;
    let known = {
        let mut s = service.state.borrow_mut();
        let live = s.live.get_mut(&number);
        live.map(|l| l.members.push(pid)).is_some()
    };
    if !known {
        end_member(service, pid).await;
        let text = format!("{of} has ended");
        return Err(Refusal::new(ServiceError::ProcessGone, text));
    }
    service.change(Key::Process(number));
    service.write();
    watch_member(service, number, pid);
    Ok(spawned)
}

/// Has the end of a further dispatcher on another OSnode noticed.
pub fn watch_member(service: &Service, number: u64, pid: Pid) {
    if pid.osnode != env::osnode() {
        let service = service.clone();
        task::spawn(async move { watch(&service, number, pid).await });
    }
}

/// `Member`: a process of another OSnode gets a dispatcher here.
///
/// # Errors
/// The reason, with a sentence.
pub async fn member(
    service: &Service,
    of: Pid,
    blob: &[u8],
    shared: &Capability,
) -> Result<Spawned, Refusal> {
    let (start, rest) = context(blob).ok_or_else(malformed)?;
    let words = split_words(rest).ok_or_else(malformed)?;
    let shared = shared.addr();
    member_here(service, of, words, Member { shared, start }).await
}

async fn member_here(
    service: &Service,
    of: Pid,
    mut words: Vec<String>,
    member: Member,
) -> Result<Spawned, Refusal> {
    // Found by its process's name, the process is meant.
    words[0] = format!("{}/{of}", words[0]);
    let number = build::start_member(service, &words, member, of).await?;
    service.write();
    watch_process(service, number, of);
    let osnode = env::osnode();
    let pid = Pid { osnode, number };
    let core = env::core();
    Ok(Spawned { pid, core })
}

/// Ends the process when its dispatcher on another OSnode ends.
async fn watch(service: &Service, number: u64, pid: Pid) {
    let how = loop {
        let asked = async |at: Peer| at.wait(pid).await;
        match peers::ask_patiently(service, pid.osnode, asked).await {
            Ok(end) => {
                break How {
                    state: end.state,
                    status: end.status,
                    report: String::from_utf8_lossy(&end.report).into_owned(),
                };
            }
            // The spawn service there ended, and perhaps is started again.
            Err(why) if why.error == ServiceError::NoAnswer && service.is_live(number) => {
                time::sleep(LOOK_NS).await;
            }
            Err(why) => {
                break How {
                    report: why.to_string(),
                    ..How::killed()
                };
            }
        }
    };
    service.end(number, how).await;
}

/// Has it noticed that the OSnode of the process is gone that `number` is a further dispatcher of.
pub fn watch_process(service: &Service, number: u64, of: Pid) {
    if of.osnode != env::osnode() {
        let service = service.clone();
        task::spawn(async move { watch_first(&service, number, of).await });
    }
}

/// Ends a further dispatcher of this OSnode when that of the process is gone; as long as that is there, its spawn
/// service does.
async fn watch_first(service: &Service, number: u64, of: Pid) {
    while service.is_live(number) {
        let asked = async |at: Peer| at.wait(of).await;
        if peers::ask_patiently(service, of.osnode, asked)
            .await
            .is_ok()
        {
            return;
        }
        if let Some(why) = orphaned(service, of).await {
            return service.end(number, How::fault(why)).await;
        }
        time::sleep(LOOK_NS).await;
    }
}

/// Why a further dispatcher of `of` cannot go on, if the OSnode of that process is gone.
pub async fn orphaned(service: &Service, of: Pid) -> Option<String> {
    let gone = of.osnode != env::osnode() && peers::is_gone(service, of.osnode).await;
    gone.then(|| format!("o{} is gone, and with it the memory of {of}", of.osnode))
}

/// Ends a dispatcher, here or elsewhere.
pub async fn end_member(service: &Service, pid: Pid) {
    if pid.osnode == env::osnode() {
        let end = service.end(pid.number, How::killed());
        return alloc::boxed::Box::pin(end).await;
    }
    let asked = async |at: Peer| at.kill(pid).await;
    match peers::ask(service, pid.osnode, asked).await {
        // It has ended by itself.
        Err(why) if why.error == ServiceError::NotFound => {}
        Err(why) => rt::println!("spawn: the dispatcher {pid} may still run: {why}"),
        Ok(_) => {}
    }
}

//! Processes with dispatchers on several OSnodes.
//!
//! The spawn service of the process's own OSnode knows all of its dispatchers; each further one
//! is an entry in the table of the OSnode that it runs on. If one ends, for whatever reason, all end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proto::iface::spawn::{ProcessState, SpawnReply, SpawnRequest};
use proto::{Pid, ServiceError};
use rt::chan::{Answer, Attach, Request};
use rt::spawn::{Context, Member};
use rt::{Capability, env, task};
use spawn::{join_words, split_words};

use crate::build::{self, Failure};
use crate::peers;
use crate::service::Service;

type Reply = (SpawnReply, Vec<u8>);

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

fn malformed() -> Failure {
    let text = String::from("a request for a further dispatcher is malformed");
    (ServiceError::BadMessage, text)
}

/// `Span`: a process of this OSnode wants a further dispatcher.
///
/// # Errors
/// The reason, with a sentence.
pub async fn span(service: &Service, request: &mut Request, osnode: u64) -> Result<Reply, Failure> {
    let number = u64::from(request.introducer());
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
        let text = String::from("only a running process, over its PARENT, can have dispatchers");
        (ServiceError::NotFound, text)
    })?;
    let shared = request.cap.take().ok_or_else(malformed)?;
    let (start, _) = context(&request.blob).ok_or_else(malformed)?;
    let (pid, core) = if osnode == env::osnode() {
        let member = Member {
            shared: shared.addr(),
            start,
        };
        (member_here(service, of, words, member).await?, env::core())
    } else {
        let mut blob = request.blob[..CONTEXT].to_vec();
        blob.extend(join_words(&words));
        elsewhere(service, osnode, of, &blob, &shared).await?
    };
    let known = {
        let mut s = service.state.borrow_mut();
        let live = s.live.get_mut(&number);
        live.map(|l| l.members.push(pid)).is_some()
    };
    if !known {
        end_member(service, pid).await;
        return Err((ServiceError::ProcessGone, format!("{of} has ended")));
    }
    if pid.osnode != env::osnode() {
        let service = service.clone();
        task::spawn(async move { watch(&service, number, pid).await });
    }
    Ok((SpawnReply::Spawned { pid, core }, Vec::new()))
}

async fn elsewhere(
    service: &Service,
    osnode: u64,
    of: Pid,
    blob: &[u8],
    shared: &Capability,
) -> Result<(Pid, u32), Failure> {
    let with = Attach {
        blob,
        cap: Some(shared.addr()),
        ..Attach::NONE
    };
    let answer =
        peers::ask_peer_with(service, osnode, &SpawnRequest::Member { of }, with, false).await?;
    match answer.message {
        SpawnReply::Spawned { pid, core } => Ok((pid, core)),
        SpawnReply::Refused { error } => {
            Err((error, String::from_utf8_lossy(&answer.blob).into_owned()))
        }
        _ => Err((ServiceError::BadMessage, String::new())),
    }
}

/// `Member`: a process of another OSnode gets a dispatcher here.
///
/// # Errors
/// The reason, with a sentence.
pub async fn member(service: &Service, request: &mut Request, of: Pid) -> Result<Reply, Failure> {
    let shared = request.cap.take().ok_or_else(malformed)?;
    let (start, rest) = context(&request.blob).ok_or_else(malformed)?;
    let words = split_words(rest).ok_or_else(malformed)?;
    let member = Member {
        shared: shared.addr(),
        start,
    };
    let pid = member_here(service, of, words, member).await?;
    let core = env::core();
    Ok((SpawnReply::Spawned { pid, core }, Vec::new()))
}

async fn member_here(
    service: &Service,
    of: Pid,
    mut words: Vec<String>,
    member: Member,
) -> Result<Pid, Failure> {
    // Found by its process's name, the process is meant.
    words[0] = format!("{}/{of}", words[0]);
    let number = build::start_member(service, &words, member, of).await?;
    Ok(Pid {
        osnode: env::osnode(),
        number,
    })
}

/// Ends the process when its dispatcher on another OSnode ends.
async fn watch(service: &Service, number: u64, pid: Pid) {
    let asked = SpawnRequest::Wait { pid };
    let answer: Result<Answer<SpawnReply>, Failure> =
        peers::ask_peer_with(service, pid.osnode, &asked, Attach::NONE, true).await;
    let (state, status, report) = match answer {
        Ok(a) => match a.message {
            SpawnReply::Ended { state, status } => {
                let report = String::from_utf8_lossy(&a.blob).into_owned();
                (state, status, report)
            }
            _ => (ProcessState::Killed, 0, format!("{pid} is not known")),
        },
        Err((_, text)) => (ProcessState::Killed, 0, text),
    };
    service.end(number, state, status, report).await;
}

/// Ends a dispatcher, here or elsewhere.
pub async fn end_member(service: &Service, pid: Pid) {
    if pid.osnode == env::osnode() {
        let end = service.end(pid.number, ProcessState::Killed, 0, String::new());
        return alloc::boxed::Box::pin(end).await;
    }
    let kill = SpawnRequest::Kill { pid };
    if let Err((error, text)) =
        peers::ask_peer_with(service, pid.osnode, &kill, Attach::NONE, false).await
    {
        rt::println!("spawn: the dispatcher {pid} may still run: {error} {text}");
    }
}

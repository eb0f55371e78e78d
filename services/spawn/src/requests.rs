//! What the spawn service is asked.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use abi::slots;
use proto::iface::process::{ProcessNotice, ProcessRequest};
use proto::iface::spawn::{Place, ProcessState, SpawnReply, SpawnRequest, unpack_limit};
use proto::{Pid, ServiceError, Wire};
use rt::chan::{Attach, Request};
use rt::{env, invoke, task, time};
use spawn::{NameError, Rules, join_words, split_words};

use crate::build::{self, Failure, Spec};
use crate::service::{CHECK_NS, Console, STOP_NS, Service};
use crate::{domain, memory, peers, supervision};

/// How long a process may take until it can be checked, and the pause between two looks (ns of system time).
const BEGIN_NS: u64 = 2_000_000_000;
const BEGIN_LOOK_NS: u64 = 20_000_000;

pub type Reply = (SpawnReply, Vec<u8>);

/// Takes one request or notice; it is answered now or later.
pub fn take(service: &Service, mut request: Request) {
    if request.interface() == ProcessNotice::INTERFACE {
        let number = request.introducer().into();
        if let (Ok(ProcessNotice::Keep { name }), Some(cap)) =
            (request.decode(), request.cap.take())
        {
            return supervision::keep(service, number, name, cap);
        }
        return service.noticed(number, &request);
    }
    let Ok(message) = request.decode::<SpawnRequest>() else {
        return refuse(&request, ServiceError::BadMessage, "");
    };
    if let SpawnRequest::Give { name } = message {
        return match request.cap.take() {
            Some(cap) => {
                let mut s = service.state.borrow_mut();
                s.kept
                    .entry(request.connection())
                    .or_default()
                    .push((name, cap));
                drop(s);
                answer(&request, &(SpawnReply::Kept {}, Vec::new()));
            }
            None => refuse(&request, ServiceError::NoCapability, ""),
        };
    }
    let service = service.clone();
    task::spawn(async move {
        if let Some(osnode) = elsewhere(&service, message).await {
            return match osnode {
                Ok(o) => peers::forward(service, o, local_form(message, o), request).await,
                Err((error, text)) => refuse(&request, error, &text),
            };
        }
        here(&service, message, request).await;
    });
}

fn answer(request: &Request, (reply, blob): &Reply) {
    // An asker that is gone needs no answer.
    let _ = request.answer(reply, Attach::blob(blob));
}

fn refuse(request: &Request, error: ServiceError, text: &str) {
    let blob = text.as_bytes().to_vec();
    answer(request, &(SpawnReply::Refused { error }, blob));
}

/// The other OSnode that a message is about.
async fn elsewhere(service: &Service, message: SpawnRequest) -> Option<Result<u64, Failure>> {
    let osnode = match message {
        SpawnRequest::Spawn { place, number, .. }
        | SpawnRequest::SpawnSupervised { place, number, .. } => {
            match peers::resolve(service, place, number).await {
                Ok(o) => o,
                Err(e) => return Some(Err(e)),
            }
        }
        SpawnRequest::Check { pid }
        | SpawnRequest::Kill { pid }
        | SpawnRequest::Wait { pid }
        | SpawnRequest::Tell { pid }
        | SpawnRequest::Release { pid }
        | SpawnRequest::Supervision { pid }
        | SpawnRequest::Usage { pid } => pid.osnode,
        SpawnRequest::Memory { osnode, .. }
        | SpawnRequest::CheckMemory { osnode }
        | SpawnRequest::Kernel { osnode } => osnode,
        SpawnRequest::Next { .. }
        | SpawnRequest::NextHere { .. }
        | SpawnRequest::Give { .. }
        | SpawnRequest::Span { .. }
        | SpawnRequest::Member { .. } => {
            return None;
        }
    };
    let own = osnode == env::osnode() || osnode == 0;
    (!own).then_some(Ok(osnode))
}

/// The message as the OSnode that it is about gets it.
fn local_form(message: SpawnRequest, osnode: u64) -> SpawnRequest {
    match message {
        SpawnRequest::Spawn { memory, .. } => SpawnRequest::Spawn {
            place: Place::Osnode,
            number: osnode,
            memory,
        },
        SpawnRequest::SpawnSupervised {
            memory,
            restart,
            limit,
            ..
        } => SpawnRequest::SpawnSupervised {
            place: Place::Osnode,
            number: osnode,
            memory,
            restart,
            limit,
        },
        other => other,
    }
}

async fn here(service: &Service, message: SpawnRequest, mut request: Request) {
    let result = match message {
        SpawnRequest::Spawn { memory, .. } => start(service, &request, memory, None).await,
        SpawnRequest::SpawnSupervised {
            memory,
            restart,
            limit,
            ..
        } => {
            let (most, within_ms) = unpack_limit(limit);
            let rules = Rules {
                restart,
                most,
                within_ns: u64::from(within_ms) * 1_000_000,
            };
            start(service, &request, memory, Some(rules)).await
        }
        SpawnRequest::Release { pid } => supervision::release(service, pid.number)
            .map(|()| (SpawnReply::Kept {}, Vec::new()))
            .ok_or_else(|| unsupervised(pid)),
        SpawnRequest::Supervision { pid } => supervision::describe(service, pid.number)
            .map(|reply| (reply, Vec::new()))
            .ok_or_else(|| unsupervised(pid)),
        SpawnRequest::Span { osnode } => domain::span(service, &mut request, osnode).await,
        SpawnRequest::Member { of } => domain::member(service, &mut request, of).await,
        SpawnRequest::Next { after } => next(service, after).await,
        SpawnRequest::NextHere { number } => {
            next_here(service, number).ok_or((ServiceError::End, String::new()))
        }
        SpawnRequest::Check { pid } => {
            let name = request.text();
            check(service, pid, &name).await
        }
        SpawnRequest::Tell { pid } => tell(service, pid, &request).await,
        SpawnRequest::Kill { pid } => {
            let result = kill(service, pid).await;
            match result {
                Ok(number) => return service.wait(number, request),
                Err(e) => Err(e),
            }
        }
        SpawnRequest::Wait { pid } => {
            let known = service.state.borrow().table.get(pid.number).is_some();
            if known {
                return service.wait(pid.number, request);
            }
            Err(unknown(pid))
        }
        SpawnRequest::Memory { server, .. } => memory::figures(service, server).await,
        SpawnRequest::Usage { pid } => memory::usage(service, pid).await,
        SpawnRequest::CheckMemory { .. } => memory::check(service).await,
        SpawnRequest::Kernel { .. } => kernel(),
        SpawnRequest::Give { .. } => Err((ServiceError::BadOperation, String::new())),
    };
    match result {
        Ok(reply) => answer(&request, &reply),
        Err((error, text)) => refuse(&request, error, &text),
    }
}

fn unknown(pid: Pid) -> Failure {
    (ServiceError::NotFound, format!("there is no process {pid}"))
}

fn unsupervised(pid: Pid) -> Failure {
    let text = format!("process {pid} is not supervised");
    (ServiceError::NotFound, text)
}

async fn start(
    service: &Service,
    request: &Request,
    memory: u64,
    rules: Option<Rules>,
) -> Result<Reply, Failure> {
    let kept = service
        .state
        .borrow_mut()
        .kept
        .remove(&request.connection());
    let words = split_words(&request.blob).ok_or_else(|| {
        let text = String::from("the program's name and arguments are malformed");
        (ServiceError::BadMessage, text)
    })?;
    let spec = Spec {
        words,
        memory,
        kept: RefCell::new(kept.unwrap_or_default()),
        keeps: Cell::new(false),
        account: RefCell::new(None),
    };
    // Who asks here may be what the console needs; who asks from another OSnode finds this one running, but
    // perhaps for so short a time that its console is not there yet.
    let console = match request.is_from_afar() {
        true => Console::Soon,
        false => Console::Maybe,
    };
    let (number, has_console) = build::start(service, &spec, console).await?;
    if let Some(rules) = rules {
        supervision::enter(service, number, rules, spec, has_console);
    }
    let pid = Pid {
        osnode: env::osnode(),
        number,
    };
    let core = env::core();
    Ok((SpawnReply::Spawned { pid, core }, Vec::new()))
}

/// The next process in the order OSnode, number.
async fn next(service: &Service, after: Pid) -> Result<Reply, Failure> {
    let end = || (ServiceError::End, String::new());
    let mut at = after;
    loop {
        if at.osnode == env::osnode() {
            if let Some(reply) = next_here(service, at.number) {
                return Ok(reply);
            }
        } else if at.osnode != 0 {
            match peers::ask_peer(
                service,
                at.osnode,
                &SpawnRequest::NextHere { number: at.number },
                &[],
                false,
            )
            .await
            {
                Ok(a) if matches!(a.message, SpawnReply::Process { .. }) => {
                    return Ok((a.message, a.blob));
                }
                Ok(_) | Err((ServiceError::OsnodeGone, _)) => {}
                Err(e) => return Err(e),
            }
        }
        let osnode = peers::next_osnode(service, at.osnode).await;
        let osnode = osnode.map_err(|_| end())?.osnode;
        at = Pid { osnode, number: 0 };
    }
}

/// The next process of this OSnode.
fn next_here(service: &Service, number: u64) -> Option<Reply> {
    let (number, state, memory, blob) = {
        let s = service.state.borrow();
        let (n, e) = s.table.next(number)?;
        (n, e.state, e.memory, join_words(&e.words))
    };
    let pid = Pid {
        osnode: env::osnode(),
        number,
    };
    let used_ns = service.used_ns(number);
    let reply = SpawnReply::Process {
        pid,
        state,
        memory,
        used_ns,
    };
    Some((reply, blob))
}

/// The process that a request means: by number, or by name.
fn find(service: &Service, pid: Pid, name: &str) -> Result<u64, Failure> {
    let s = service.state.borrow();
    if pid.number != 0 {
        let live = s.live.contains_key(&pid.number);
        return live.then_some(pid.number).ok_or_else(|| unknown(pid));
    }
    s.table.named(name).map_err(|e| match e {
        NameError::Unknown => (
            ServiceError::NotFound,
            format!("no process \"{name}\" runs"),
        ),
        NameError::Several(n) => (
            ServiceError::Ambiguous,
            format!("{n} processes are called {name}"),
        ),
    })
}

async fn ask(
    service: &Service,
    pid: Pid,
    name: &str,
    request: &ProcessRequest,
    text: &[u8],
) -> Result<Reply, Failure> {
    let number = find(service, pid, name)?;
    match service.ask_process(number, request, text, CHECK_NS).await {
        Ok(a) => match a.message {
            ProcessNotice::Checked { ok, inside } => {
                Ok((SpawnReply::Checked { ok, inside }, a.blob))
            }
            _ => Err((
                ServiceError::Unsupported,
                String::from("the program cannot check itself"),
            )),
        },
        Err(e) => Err((
            ServiceError::NoAnswer,
            format!("the process does not answer: {e}"),
        )),
    }
}

/// Asks a process whether all is well; one that has just begun may first have to get that far.
async fn check(service: &Service, pid: Pid, name: &str) -> Result<Reply, Failure> {
    let until = time::system_ns().saturating_add(BEGIN_NS);
    loop {
        match ask(service, pid, name, &ProcessRequest::Check {}, &[]).await {
            Err((ServiceError::Unsupported, _)) if time::system_ns() < until => {
                time::sleep(BEGIN_LOOK_NS).await;
            }
            done => return done,
        }
    }
}

async fn tell(service: &Service, pid: Pid, request: &Request) -> Result<Reply, Failure> {
    let text = request.text();
    let (name, text) = match pid.number {
        0 => text.split_once('\0').unwrap_or((&text, "")),
        _ => ("", text.as_str()),
    };
    ask(
        service,
        pid,
        name,
        &ProcessRequest::Tell {},
        text.as_bytes(),
    )
    .await
}

/// Asks a process to end, and ends it if it does not.
async fn kill(service: &Service, pid: Pid) -> Result<u64, Failure> {
    let number = find(service, pid, "")?;
    service.state.borrow_mut().killing.insert(number);
    // Whatever it answers: it is ended now.
    let _ = service
        .ask_process(number, &ProcessRequest::Stop {}, &[], STOP_NS)
        .await;
    service
        .end(number, ProcessState::Killed, 0, String::new())
        .await;
    Ok(number)
}

/// The kernel that runs this OSnode, asked here and now.
fn kernel() -> Result<Reply, Failure> {
    let asked = invoke::kernel_identify(slots::KERNEL);
    let id = asked.map_err(|e| (ServiceError::Sys(e), String::from(e.message())))?;
    let bytes: Vec<u8> = id.build_id.iter().flat_map(|w| w.to_le_bytes()).collect();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    let hex: String = bytes[..end].iter().map(|b| format!("{b:02x}")).collect();
    let reply = SpawnReply::Kernel {
        name: id.name,
        core: id.core as u32,
        epoch: env::epoch(),
    };
    Ok((reply, hex.into_bytes()))
}

//! What the spawn service is asked.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use abi::slots;
use proto::iface::process::{self, ProcessNotice};
use proto::iface::spawn::{
    Checked, Ended, Kept, Kernel, Memory, MemoryChecked, OwnMemory, Place, Process, Restart, Spawn,
    SpawnServer, Spawned, Supervised, Usage, join_words, split_words, unpack_limit,
};
use proto::{CallError, Dispatch, Name, Pid, Refusal, ServiceError, Wire};
use rt::chan::Request;
use rt::{Capability, env, invoke, task, time};
use spawn::{NameError, Rules};

use crate::build::{self, Spec};
use crate::ending::How;
use crate::peers::Peer;
use crate::service::{CHECK_NS, Console, STOP_NS, Service};
use crate::{domain, memory, peers, supervision};

/// How long a process may take until it can be checked, and the pause between two looks (ns of system time).
const BEGIN_NS: u64 = 2_000_000_000;
const BEGIN_LOOK_NS: u64 = 20_000_000;

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
    let service = service.clone();
    task::spawn(async move { Spawn::dispatch(&service, request).await });
}

/// Whether an OSnode has no more processes to list, or none that can be asked for now.
const fn is_over(why: ServiceError) -> bool {
    use ServiceError::{End, OsnodeGone, TryLater};
    matches!(why, End | OsnodeGone | TryLater(_))
}

/// Requests about another OSnode go to its spawn service.
impl SpawnServer<Request> for Service {
    async fn give(&self, request: &Request, name: Name, cap: Capability) -> Result<Kept, Refusal> {
        let mut s = self.state.borrow_mut();
        let kept = s.kept.entry(request.connection()).or_default();
        // The one with the same name is the better one; nobody would ever see the former.
        kept.retain(|k| k.name != name);
        if kept.len() >= supervision::MAX_KEPT {
            let text = format!(
                "a process is given {} capabilities at most",
                supervision::MAX_KEPT
            );
            return Err(Refusal::new(ServiceError::TableFull, text));
        }
        kept.push(build::Kept::once(name, cap));
        Ok(Kept {})
    }

    async fn spawn(
        &self,
        request: &Request,
        place: Place,
        number: u64,
        memory: u64,
        words: Vec<u8>,
    ) -> Result<Spawned, Refusal> {
        match peers::other(peers::resolve(self, place, number).await?) {
            Some(o) => {
                let asked = async |at: Peer| at.spawn(Place::Osnode, o, memory, &words).await;
                peers::ask_once(self, o, asked).await
            }
            None => start(self, request, memory, None, &words).await,
        }
    }

    async fn spawn_supervised(
        &self,
        request: &Request,
        place: Place,
        number: u64,
        memory: u64,
        restart: Restart,
        limit: u64,
        words: Vec<u8>,
    ) -> Result<Spawned, Refusal> {
        if let Some(o) = peers::other(peers::resolve(self, place, number).await?) {
            let place = Place::Osnode;
            let asked = async |at: Peer| {
                at.spawn_supervised(place, o, memory, restart, limit, &words)
                    .await
            };
            return peers::ask_once(self, o, asked).await;
        }
        let (most, within_ms) = unpack_limit(limit);
        let rules = Rules {
            restart,
            most,
            within_ns: u64::from(within_ms) * 1_000_000,
        };
        start(self, request, memory, Some(rules), &words).await
    }

    async fn next(&self, _: &Request, after: Pid) -> Result<Process, Refusal> {
        let mut at = after;
        loop {
            let found = match at.osnode {
                0 => Err(ServiceError::End.into()),
                o if o == env::osnode() => next_here(self, at.number),
                o => {
                    peers::ask(self, o, async |there: Peer| {
                        there.next_here(at.number).await
                    })
                    .await
                }
            };
            match found {
                Err(r) if is_over(r.error) => {}
                done => return done,
            }
            let next = peers::next_osnode(self, at.osnode).await;
            let osnode = next.map_err(|_| ServiceError::End)?.osnode;
            at = Pid { osnode, number: 0 };
        }
    }

    async fn next_here(&self, _: &Request, number: u64) -> Result<Process, Refusal> {
        next_here(self, number)
    }

    async fn check(&self, _: &Request, pid: Pid, name: Vec<u8>) -> Result<Checked, Refusal> {
        match peers::other(pid.osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.check(pid, &name).await).await,
            None => check(self, pid, &String::from_utf8_lossy(&name)).await,
        }
    }

    async fn tell(&self, _: &Request, pid: Pid, text: Vec<u8>) -> Result<Checked, Refusal> {
        match peers::other(pid.osnode) {
            Some(o) => peers::ask_once(self, o, async |at: Peer| at.tell(pid, &text).await).await,
            None => tell(self, pid, &String::from_utf8_lossy(&text)).await,
        }
    }

    async fn kill(&self, _: &Request, pid: Pid) -> Result<Ended, Refusal> {
        match peers::other(pid.osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.kill(pid).await).await,
            None => {
                let number = kill(self, pid).await?;
                Ok(self.ended(number).await)
            }
        }
    }

    async fn wait(&self, _: &Request, pid: Pid) -> Result<Ended, Refusal> {
        if let Some(o) = peers::other(pid.osnode) {
            return peers::ask_patiently(self, o, async |at: Peer| at.wait(pid).await).await;
        }
        if self.state.borrow().table.get(pid.number).is_none() {
            return Err(unknown(pid));
        }
        Ok(self.ended(pid.number).await)
    }

    async fn kernel(&self, _: &Request, osnode: u64) -> Result<Kernel, Refusal> {
        match peers::other(osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.kernel(osnode).await).await,
            None => kernel(),
        }
    }

    async fn span(
        &self,
        request: &Request,
        osnode: u64,
        start: Vec<u8>,
        shared: Capability,
    ) -> Result<Spawned, Refusal> {
        domain::span(self, request.introducer().into(), osnode, &start, &shared).await
    }

    async fn member(
        &self,
        _: &Request,
        of: Pid,
        start_and_words: Vec<u8>,
        shared: Capability,
    ) -> Result<Spawned, Refusal> {
        domain::member(self, of, &start_and_words, &shared).await
    }

    async fn own_memory(&self, request: &Request) -> Result<OwnMemory<Capability>, Refusal> {
        let endpoint = self.own_memory(request.introducer().into()).await?;
        Ok(OwnMemory { endpoint })
    }

    async fn memory(&self, _: &Request, osnode: u64, server: u32) -> Result<Memory, Refusal> {
        match peers::other(osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.memory(osnode, server).await).await,
            None => memory::figures(self, server).await,
        }
    }

    async fn usage(&self, _: &Request, pid: Pid) -> Result<Usage, Refusal> {
        match peers::other(pid.osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.usage(pid).await).await,
            None => memory::usage(self, pid).await,
        }
    }

    async fn check_memory(&self, _: &Request, osnode: u64) -> Result<MemoryChecked, Refusal> {
        match peers::other(osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.check_memory(osnode).await).await,
            None => memory::check(self).await,
        }
    }

    async fn release(&self, _: &Request, pid: Pid) -> Result<Kept, Refusal> {
        if let Some(o) = peers::other(pid.osnode) {
            return peers::ask(self, o, async |at: Peer| at.release(pid).await).await;
        }
        spared(self, pid.number)?;
        let released = supervision::release(self, pid.number);
        released.map(|()| Kept {}).ok_or_else(|| unsupervised(pid))
    }

    async fn supervision(&self, _: &Request, pid: Pid) -> Result<Supervised, Refusal> {
        match peers::other(pid.osnode) {
            Some(o) => peers::ask(self, o, async |at: Peer| at.supervision(pid).await).await,
            None => supervision::describe(self, pid.number).ok_or_else(|| unsupervised(pid)),
        }
    }
}

fn unknown(pid: Pid) -> Refusal {
    Refusal::new(ServiceError::NotFound, format!("there is no process {pid}"))
}

fn unsupervised(pid: Pid) -> Refusal {
    let text = format!("process {pid} is not supervised");
    Refusal::new(ServiceError::NotFound, text)
}

async fn start(
    service: &Service,
    request: &Request,
    memory: u64,
    rules: Option<Rules>,
    words: &[u8],
) -> Result<Spawned, Refusal> {
    let kept = service
        .state
        .borrow_mut()
        .kept
        .remove(&request.connection());
    let words = split_words(words).ok_or_else(|| {
        let text = "the program's name and arguments are malformed";
        Refusal::new(ServiceError::BadMessage, text)
    })?;
    // What was given up with all that it had begins anew with that.
    if let (None, [name]) = (rules, &words[..])
        && let Some(revived) = supervision::revive(service, name).await
    {
        return Ok(spawned(revived?));
    }
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
    service.write();
    Ok(spawned(number))
}

fn spawned(number: u64) -> Spawned {
    let osnode = env::osnode();
    Spawned {
        pid: Pid { osnode, number },
        core: env::core(),
    }
}

/// The next process of this OSnode.
fn next_here(service: &Service, number: u64) -> Result<Process, Refusal> {
    let (number, state, memory, words) = {
        let s = service.state.borrow();
        let (n, e) = s.table.next(number).ok_or(ServiceError::End)?;
        (n, e.state, e.memory, join_words(&e.words))
    };
    let pid = Pid {
        osnode: env::osnode(),
        number,
    };
    Ok(Process {
        pid,
        state,
        memory,
        used_ns: service.used_ns(number),
        words,
    })
}

/// The process that a request means: by number, or by name.
fn find(service: &Service, pid: Pid, name: &str) -> Result<u64, Refusal> {
    let s = service.state.borrow();
    if pid.number != 0 {
        let live = s.live.contains_key(&pid.number);
        return live.then_some(pid.number).ok_or_else(|| unknown(pid));
    }
    s.table.named(name).map_err(|e| match e {
        NameError::Unknown => {
            let text = format!("no process \"{name}\" runs");
            Refusal::new(ServiceError::NotFound, text)
        }
        NameError::Several(n) => {
            let text = format!("{n} processes are called {name}");
            Refusal::new(ServiceError::Ambiguous, text)
        }
    })
}

/// What a process said of itself.
fn said(checked: Result<process::Checked, CallError>) -> Result<Checked, Refusal> {
    match checked {
        Ok(c) => Ok(Checked {
            ok: c.ok,
            inside: c.inside,
            text: c.text,
        }),
        Err(e) if e.is(ServiceError::Unsupported) => {
            let text = "the program cannot check itself";
            Err(Refusal::new(ServiceError::Unsupported, text))
        }
        Err(e) => {
            let text = format!("the process does not answer: {e}");
            Err(Refusal::new(ServiceError::NoAnswer, text))
        }
    }
}

/// Asks a process whether all is well; one that has just begun may first have to get that far.
async fn check(service: &Service, pid: Pid, name: &str) -> Result<Checked, Refusal> {
    let until = time::system_ns().saturating_add(BEGIN_NS);
    loop {
        let number = find(service, pid, name)?;
        let checked = match service.process(number, CHECK_NS).await {
            Ok(process) => process.check().await,
            Err(e) => Err(e.into()),
        };
        match said(checked) {
            Err(r) if r.error == ServiceError::Unsupported && time::system_ns() < until => {
                time::sleep(BEGIN_LOOK_NS).await;
            }
            done => return done,
        }
    }
}

async fn tell(service: &Service, pid: Pid, text: &str) -> Result<Checked, Refusal> {
    let (name, text) = match pid.number {
        0 => text.split_once('\0').unwrap_or((text, "")),
        _ => ("", text),
    };
    let number = find(service, pid, name)?;
    said(match service.process(number, CHECK_NS).await {
        Ok(process) => process.command(text.as_bytes()).await,
        Err(e) => Err(e.into()),
    })
}

/// Whether a process may be ended by others.
fn spared(service: &Service, number: u64) -> Result<(), Refusal> {
    if !service.state.borrow().supervisor.is_vital(number) {
        return Ok(());
    }
    let osnode = env::osnode();
    let why = format!(
        "o{osnode}.{number} is vital: o{osnode} would end with it (core destroy ends an OSnode, halt the machine)"
    );
    Err(Refusal::new(ServiceError::Unsupported, why))
}

/// Asks a process to end, and ends it if it does not.
async fn kill(service: &Service, pid: Pid) -> Result<u64, Refusal> {
    let number = find(service, pid, "")?;
    spared(service, number)?;
    service.state.borrow_mut().killing.insert(number);
    // Whatever it answers: it is ended now.
    if let Ok(process) = service.process(number, STOP_NS).await {
        let _ = process.stop().await;
    }
    service.end(number, How::killed()).await;
    Ok(number)
}

/// The kernel that runs this OSnode, asked here and now.
fn kernel() -> Result<Kernel, Refusal> {
    let asked = invoke::kernel_identify(slots::KERNEL);
    let id = asked.map_err(|e| Refusal::new(ServiceError::Sys(e), e.message()))?;
    let bytes: Vec<u8> = id.build_id.iter().flat_map(|w| w.to_le_bytes()).collect();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    let hex: String = bytes[..end].iter().map(|b| format!("{b:02x}")).collect();
    Ok(Kernel {
        name: id.name,
        core: id.core as u32,
        epoch: env::epoch(),
        build: hex.into_bytes(),
    })
}

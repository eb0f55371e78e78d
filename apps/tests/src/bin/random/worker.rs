//! A worker: it does what it is told with what it holds.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::SysError;
use capfmt::CapType;
use proto::{PeerError, ServiceError};
use rt::chan::{Attach, Client, Request, Server};
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, Capability, cap, invoke, mem, task, time};
use tests::pool::{Number, Step, WORDS, Who};

use super::wire::{
    self, ENTRY, FRAME, MAPPING, OTHER, RAM, WorkerReply, WorkerRequest, reply, step,
};
use super::{LONG_NS, PAGE};

/// Why a step was not done.
enum Why {
    Sys(SysError),
    Other(String),
}

impl From<SysError> for Why {
    fn from(e: SysError) -> Why {
        Why::Sys(e)
    }
}

impl From<PeerError> for Why {
    fn from(e: PeerError) -> Why {
        match e {
            PeerError::Sys(e) | PeerError::Refused(ServiceError::Sys(e)) => Why::Sys(e),
            PeerError::Refused(ServiceError::NoCapability) => Why::Sys(SysError::NoCapability),
            e => Why::Other(e.to_string()),
        }
    }
}

type Done = Result<[u64; WORDS], Why>;
const DONE: Done = Ok([0; WORDS]);

#[derive(Default)]
struct Worker {
    caps: RefCell<BTreeMap<Number, Capability>>,
    maps: RefCell<BTreeMap<Number, Mapped>>,
    peers: RefCell<BTreeMap<Who, Client>>,
}

impl Worker {
    fn cap(&self, number: Number) -> Result<CapAddr, SysError> {
        let caps = self.caps.borrow();
        let cap = caps.get(&number).ok_or(SysError::NoCapability)?;
        Ok(cap.addr())
    }

    fn keep(&self, number: Number, cap: Capability) -> Done {
        self.caps.borrow_mut().insert(number, cap);
        DONE
    }

    async fn act(&self, who: Who, step: Step) -> Done {
        match step {
            Step::Alloc { to, pages } => self.alloc(to, pages),
            Step::Copy { from, to } => self.keep(to, cap::copy(self.cap(from)?)?),
            Step::Send { from, peer, to } => self.send(from, peer, to, false).await,
            Step::Give { from, peer, to } => self.send(from, peer, to, true).await,
            Step::Retype {
                from,
                to,
                ram,
                first,
                pages,
            } => {
                let kind = if ram { CapType::Ram } else { CapType::Frame };
                let from = self.cap(from)?;
                let made = mem::retype_one(from, kind, 0, first * PAGE, pages * PAGE)?;
                self.keep(to, made)
            }
            Step::Delete { from } => {
                // Not `Capability::delete`: what is gone already is an error here.
                invoke::delete(self.cap(from)?)?;
                self.caps.borrow_mut().remove(&from);
                DONE
            }
            Step::Revoke { from } => {
                invoke::revoke(self.cap(from)?)?;
                DONE
            }
            Step::Map { from } => {
                let frame = self.cap(from)?;
                let bytes = invoke::identify(frame)?.cap.size;
                let mapped = vspace::map(frame, 0, bytes, Access::ReadWrite)?;
                self.maps.borrow_mut().insert(from, mapped);
                DONE
            }
            Step::Unmap { from } => {
                let mapped = self.maps.borrow_mut().remove(&from);
                mapped.ok_or(SysError::NotMapped)?.unmap()?;
                DONE
            }
            Step::Write { from, page, value } => {
                let maps = self.maps.borrow();
                let mapped = maps.get(&from).ok_or(SysError::NotMapped)?;
                mapped.store(page * PAGE + 8 * who as u64, value);
                DONE
            }
            Step::Read { from, page } => {
                let maps = self.maps.borrow();
                let mapped = maps.get(&from).ok_or(SysError::NotMapped)?;
                let word = |k: usize| mapped.load(page * PAGE + 8 * k as u64);
                Ok(core::array::from_fn(word))
            }
        }
    }

    fn alloc(&self, to: Number, pages: u64) -> Done {
        let ram = mem::alloc_ram(pages * PAGE)?;
        let base = invoke::identify(ram.addr())?.cap.base.0;
        self.caps.borrow_mut().insert(to, ram);
        let mut words = [0; WORDS];
        words[0] = base / PAGE;
        Ok(words)
    }

    async fn send(&self, from: Number, peer: Who, to: Number, give: bool) -> Done {
        let addr = self.cap(from)?;
        let client = self.peers.borrow().get(&peer).cloned();
        let client = client.ok_or_else(|| Why::Other(format!("{peer} is no peer")))?;
        let request = WorkerRequest::Take { number: to.into() };
        let with = Attach {
            give,
            ..Attach::cap(addr)
        };
        let until = time::system_ns() + LONG_NS / 2;
        // What is not there any more is no end of the channel.
        invoke::identify(addr)?;
        let answer = client.request_until(&request, with, until).await?;
        match wire::outcome(&answer.message) {
            Some(tests::pool::Outcome::Done(_)) => {}
            Some(tests::pool::Outcome::Refused(why)) => return Err(why.into()),
            None => return Err(Why::Other(String::from("the peer took nothing"))),
        }
        if give {
            self.caps.borrow_mut().remove(&from);
        }
        DONE
    }

    async fn meet(&self, peer: u64, osnode: u64, name: &str) -> Done {
        let client = Client::lookup_on(osnode, name).await;
        let client = client.map_err(|e| Why::Other(e.to_string()))?;
        self.peers.borrow_mut().insert(peer as Who, client);
        DONE
    }

    /// What is there, as bytes; what is gone is forgotten.
    fn report(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut entry = |number: Number, kind: u64, base: u64, bytes: u64| {
            for word in [u64::from(number) | kind << 32, base, bytes] {
                all.extend(word.to_le_bytes());
            }
        };
        self.caps.borrow_mut().retain(|number, cap| {
            match invoke::identify(cap.addr()) {
                Ok(id) => {
                    let kind = match id.cap.kind {
                        CapType::Ram => RAM,
                        CapType::Frame => FRAME,
                        _ => OTHER,
                    };
                    entry(*number, kind, id.cap.base.0, id.cap.size);
                }
                Err(SysError::NoCapability) => return false,
                Err(e) => entry(*number, OTHER, e as u64, 0),
            }
            true
        });
        self.maps.borrow_mut().retain(|number, mapped| {
            match mapped.protect(Access::ReadWrite) {
                Ok(()) => entry(*number, MAPPING, 0, mapped.bytes()),
                Err(SysError::NoCapability) => return false,
                Err(e) => entry(*number, OTHER, e as u64, 1),
            }
            true
        });
        all
    }

    fn clear(&self) -> Done {
        self.maps.borrow_mut().clear();
        let mut caps = self.caps.borrow_mut();
        while let Some((number, cap)) = caps.pop_first() {
            match invoke::revoke(cap.addr()).and_then(|()| invoke::delete(cap.addr())) {
                Ok(()) | Err(SysError::NoCapability) => {}
                Err(e) => {
                    caps.insert(number, cap);
                    return Err(e.into());
                }
            }
        }
        DONE
    }

    async fn answer(&self, mut request: Request) {
        let mut blob = Vec::new();
        let done = match request.decode() {
            Ok(WorkerRequest::Meet { peer, osnode }) => {
                self.meet(peer, osnode, &request.text()).await
            }
            Ok(WorkerRequest::Act {
                what,
                numbers,
                page,
                value,
                who,
            }) => match step(what, numbers, page, value) {
                Some(step) => self.act(who as Who, step).await,
                None => Err(SysError::BadCall.into()),
            },
            Ok(WorkerRequest::Take { number }) => match request.cap.take() {
                Some(cap) => self.keep(number as Number, cap),
                None => Err(SysError::NoCapability.into()),
            },
            Ok(WorkerRequest::Report {}) => {
                blob = self.report();
                DONE
            }
            Ok(WorkerRequest::Clear {}) => self.clear(),
            Err(e) => Err(Why::Other(e.to_string())),
        };
        let message = match done {
            Ok(words) => reply(Ok(words)),
            Err(Why::Sys(e)) => reply(Err(e)),
            Err(Why::Other(text)) => {
                blob = text.into_bytes();
                WorkerReply::Refused { error: 0 }
            }
        };
        debug_assert!(
            blob.len().is_multiple_of(ENTRY) || matches!(message, WorkerReply::Refused { .. })
        );
        // Who asked and is gone needs no answer.
        let _ = request.answer(&message, Attach::blob(&blob));
    }
}

/// Serves under this name for ever.
pub async fn run(name: &str) -> i32 {
    let Ok(server) = Server::open() else { return 1 };
    if server.register(name).await.is_err() {
        return 1;
    }
    let worker = Rc::new(Worker::default());
    loop {
        let request = server.next().await;
        let worker = worker.clone();
        // One that waits for another worker still takes what comes.
        task::spawn(async move { worker.answer(request).await });
    }
}

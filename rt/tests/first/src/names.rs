//! Names and UMP bindings inside one OSnode, as a monitor serves them.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use abi::slots;
use capfmt::CapType;
use proto::iface::names::{AcceptReply, AcceptRequest, NamesReply, NamesRequest};
use proto::{Name, PeerError, ServiceError};
use rt::cap::{self, Capability};
use rt::chan::{Attach, Client, Request};
use rt::{invoke, mem, time};

use crate::starter::Pool;

/// Bytes of a UMP channel.
const CHANNEL: u64 = 4096;

/// What was registered, and bindings in the making.
#[derive(Default)]
pub struct Names {
    services: RefCell<BTreeMap<Name, Capability>>,
    clients: RefCell<BTreeMap<Name, Client>>,
    /// Notify capabilities for the asker of a binding, and the frames' RAM.
    bindings: RefCell<BTreeMap<u64, Capability>>,
    ram: RefCell<Vec<Capability>>,
    /// Capabilities on their way, by number.
    passing: RefCell<BTreeMap<u64, Capability>>,
    last: Cell<u64>,
}

/// Answers one request.
pub async fn answer(names: Rc<Names>, pool: Rc<RefCell<Pool>>, mut request: Request) {
    let cap = request.cap.take();
    let done = match request.decode::<NamesRequest>() {
        Ok(NamesRequest::Register { name }) => names.register(name, cap),
        Ok(NamesRequest::Lookup { name, wait }) => names.lookup(name, wait).await,
        Ok(NamesRequest::BindUmp { name, channel, .. }) => names.bind(&pool, name, channel).await,
        Ok(NamesRequest::UmpNotify { bind }) => {
            let notify = names.bindings.borrow_mut().remove(&bind);
            Ok((NamesReply::UmpNotify { given: notify.is_some() }, notify))
        }
        Ok(NamesRequest::UmpClose { .. }) => Ok((NamesReply::Done {}, None)),
        Ok(NamesRequest::SendCap { .. }) => names.pass(cap),
        Ok(NamesRequest::TakeCap { number, .. }) => {
            let cap = names.passing.borrow_mut().remove(&number);
            cap.map(|c| (NamesReply::Found {}, Some(c))).ok_or(ServiceError::NotFound)
        }
        _ => Err(ServiceError::BadOperation),
    };
    let (reply, cap) = done.unwrap_or_else(|error| (NamesReply::Refused { error }, None));
    let with = Attach::with(&[], cap.as_ref().map(Capability::addr));
    if let Err(e) = request.answer(&reply, with) {
        rt::println!("names: {e}");
    }
}

type Done = Result<(NamesReply, Option<Capability>), ServiceError>;

impl Names {
    /// Takes all channels' memory back; their processes are gone.
    pub fn free_channels(&self, pool: &RefCell<Pool>) {
        for ram in self.ram.take() {
            if let Err(e) = invoke::revoke(ram.addr()) {
                rt::println!("names: revoke: {}", e.message());
            }
            pool.borrow_mut().give_back(ram);
        }
    }

    fn register(&self, name: Name, cap: Option<Capability>) -> Done {
        let cap = cap.ok_or(ServiceError::NoCapability)?;
        self.clients.borrow_mut().remove(&name);
        self.services.borrow_mut().insert(name, cap);
        Ok((NamesReply::Done {}, None))
    }

    /// Keeps a capability for the other side of a channel; both are in this OSnode. A dispatcher goes
    /// nowhere.
    fn pass(&self, cap: Option<Capability>) -> Done {
        let cap = cap.ok_or(ServiceError::NoCapability)?;
        if invoke::identify(cap.addr())?.cap.kind == CapType::Dispatcher {
            return Err(ServiceError::BadArgument);
        }
        self.last.set(self.last.get() + 1);
        let number = self.last.get();
        self.passing.borrow_mut().insert(number, cap);
        Ok((NamesReply::CapSent { number }, None))
    }

    async fn lookup(&self, name: Name, wait: bool) -> Done {
        loop {
            let copy = self.services.borrow().get(&name).map(|s| cap::copy(s.addr()));
            match copy {
                Some(Ok(service)) => return Ok((NamesReply::Found {}, Some(service))),
                // The service ended: its capability went with it.
                Some(Err(_)) => drop(self.services.borrow_mut().remove(&name)),
                None => {}
            }
            if !wait {
                return Err(ServiceError::NotFound);
            }
            time::sleep(1_000_000).await;
        }
    }

    async fn service(&self, name: Name) -> Result<Client, ServiceError> {
        if let Some(client) = self.clients.borrow().get(&name) {
            return Ok(client.clone());
        }
        let (_, cap) = self.lookup(name, true).await?;
        let cap = cap.ok_or(ServiceError::NotFound)?;
        let client = Client::bind(cap.addr()).await.map_err(|_| ServiceError::ProcessGone)?;
        self.clients.borrow_mut().insert(name, client.clone());
        Ok(client)
    }

    async fn bind(&self, pool: &RefCell<Pool>, name: Name, channel: u64) -> Done {
        let service = self.service(name).await?;
        let ram = pool.borrow_mut().take(CHANNEL).ok_or(ServiceError::OutOfMemory)?;
        let frame = mem::retype_one(ram.addr(), CapType::Frame, 0, 0, CHANNEL)?;
        self.ram.borrow_mut().push(ram);
        self.last.set(self.last.get() + 1);
        let bind = self.last.get();
        let ask = |m: AcceptRequest, cap: Capability| {
            let service = service.clone();
            async move {
                let answer = service.request::<_, AcceptReply>(&m, Attach::cap(cap.addr())).await?;
                match answer.message {
                    AcceptReply::Accepted { channel } => Ok(channel),
                    AcceptReply::Refused { error } => Err(PeerError::Refused(error)),
                }
            }
        };
        let gone = |e| {
            rt::println!("names: {e}");
            ServiceError::ProcessGone
        };
        let theirs = ask(AcceptRequest::Ump { bind, osnode: 1 }, cap::copy(frame.addr())?);
        let theirs = theirs.await.map_err(gone)?;
        let mint = |channel| {
            cap::in_slot(|slot| invoke::notify_mint(slots::NOTIFICATION, channel, slot))
        };
        ask(AcceptRequest::Notify { bind }, mint(channel)?).await.map_err(gone)?;
        self.bindings.borrow_mut().insert(bind, mint(theirs)?);
        Ok((NamesReply::UmpFrame { bind, bytes: CHANNEL }, Some(frame)))
    }
}

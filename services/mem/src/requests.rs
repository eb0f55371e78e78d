//! What a memory server is asked.

use capfmt::CapType;
use mem::{ALIGN, Change, Entry, Grant, Origin, PAGE, Promise};
use proto::iface::memory::{
    self as said, Allocated, Bequest, Checked, Closed, Freed, Memory, MemoryClient, MemoryFact,
    MemoryPlace, MemoryReply, MemoryRequest, MemoryServer, Opened, Stats,
};
use proto::{CallError, Dispatch, Refusal, ServiceError, WireError, stub};
use rt::chan::{Client, Request};
use rt::{Capability, invoke, task};

use crate::Where;
use crate::gifts::is_private;
use crate::servers::from_fact;
use crate::service::{Role, SYSTEM, Service, refusal};

/// Asked for beyond what is to be promised: whole blocks fit only where they are aligned.
const MORE: u64 = 2 << 20;

/// RAM that somebody wants.
#[derive(Clone, Copy)]
struct Wanted {
    account: u32,
    bytes: u64,
    align: u64,
    place: Where,
    /// The asker waits without its other tasks going on, and other servers may need it to answer.
    at_once: bool,
}

type Granted = Result<Allocated<Capability>, Refusal>;

/// Whether the request is one that any process may make; what does not decode is refused anyway.
fn is_for_all(request: &Request) -> bool {
    matches!(
        request.decode(),
        Ok(MemoryRequest::Allocate { .. }
            | MemoryRequest::AllocateAt { .. }
            | MemoryRequest::Stats { .. })
            | Err(_)
    )
}

/// Takes one request; it is answered now or later.
pub fn take(service: &Service, request: Request) {
    if request.introducer() != SYSTEM && !is_for_all(&request) {
        return stub::refuse::<MemoryReply, _>(&request, WireError::UnknownOp);
    }
    let service = service.clone();
    task::spawn(async move {
        // What was given up before it was made counts.
        service.collect();
        Memory::dispatch(&service, request).await;
        service.make_room();
        service.look_ahead();
        service.give_surplus();
    });
}

impl MemoryServer<Request> for Service {
    async fn allocate(&self, request: &Request, bytes: u64) -> Granted {
        let account = request.introducer();
        let bytes = bytes.checked_next_power_of_two().filter(|_| bytes > 0);
        let bytes = bytes.ok_or(ServiceError::BadArgument)?;
        allocate_block(self, account, bytes, account == SYSTEM).await
    }

    async fn allocate_for(&self, _: &Request, account: u32, bytes: u64) -> Granted {
        allocate_block(self, account, bytes, false).await
    }

    async fn allocate_at(
        &self,
        request: &Request,
        bytes: u64,
        align: u64,
        place: MemoryPlace,
        number: u32,
    ) -> Granted {
        let place = place_of(self, place, number)?;
        if !matches!(place, Where::Only(_)) {
            self.consult();
        }
        let wanted = Wanted {
            account: request.introducer(),
            bytes,
            align,
            place,
            at_once: false,
        };
        allocate(self, wanted).await
    }

    async fn refill(
        &self,
        request: &Request,
        bytes: u64,
        align: u64,
        node: u32,
        ticket: u64,
        osnode: u64,
    ) -> Granted {
        Ok(self.give_whole(request, bytes, align, node, (ticket, osnode))?)
    }

    async fn bequest(&self, _: &Request, osnode: u64) -> Result<Bequest, Refusal> {
        let left = self.next_bequest(osnode).await;
        let (base, bytes) = left.ok_or(ServiceError::End)?;
        Ok(Bequest { base, bytes })
    }

    fn receipt(&self, request: &Request, ticket: u64, arrived: bool) {
        self.take_receipt(request.connection(), ticket, arrived);
    }

    async fn give_back(&self, _: &Request, ram: Capability) -> Result<Freed, Refusal> {
        let cap = invoke::identify(ram.addr())?.cap;
        if cap.kind != CapType::Ram {
            return Err(ServiceError::NoCapability.into());
        }
        if is_private(&ram) {
            self.take_in(ram, Origin::Server)?;
        } else {
            // The giver's copy goes when it has the answer.
            let service = self.clone();
            task::spawn(async move {
                service.enter_gift(ram).await;
            });
        }
        Ok(Freed { bytes: cap.size })
    }

    async fn donate(
        &self,
        _: &Request,
        node: u8,
        fixed: bool,
        ram: Capability,
    ) -> Result<Freed, Refusal> {
        let origin = if fixed {
            Origin::Fixed
        } else {
            Origin::Donated
        };
        {
            let mut s = self.state.borrow_mut();
            if s.books.totals().donated == 0 {
                s.first_node = node;
            }
        }
        let bytes = self.take_in(ram, origin)?;
        self.make_room();
        self.note(Change::Put(Entry::Node(self.state.borrow().first_node)));
        Ok(Freed { bytes })
    }

    async fn restore(&self, _: &Request, ram: Capability) -> Result<Freed, Refusal> {
        let bytes = self.take_back(ram)?;
        Ok(Freed { bytes })
    }

    async fn restored(&self, _: &Request) -> Result<Freed, Refusal> {
        let before = core::mem::replace(&mut self.state.borrow_mut().whole, true);
        if !before {
            let begun = self.begin().await;
            begun.map_err(|_| ServiceError::NoAnswer)?;
        }
        Ok(Freed { bytes: 0 })
    }

    async fn reopen(&self, _: &Request, account: u32) -> Result<Opened<Capability>, Refusal> {
        if !is_opened(self, account) {
            return Err(ServiceError::NotFound.into());
        }
        let endpoint = self.server.introduction(account)?;
        Ok(Opened { account, endpoint })
    }

    async fn stats(&self, _: &Request, server: u32) -> Result<Stats, Refusal> {
        if server > 0 {
            return other_said(other(self, server)?.stats(0).await);
        }
        let s = self.state.borrow();
        let t = s.books.totals();
        Ok(Stats {
            total: t.total,
            free: t.free,
            largest: t.largest,
            blocks: t.grants,
            node: s.own_node().into(),
        })
    }

    async fn check(&self, _: &Request, server: u32) -> Result<Checked, Refusal> {
        if server > 0 {
            return other_said(other(self, server)?.check(0).await);
        }
        let checked = Service::check(self);
        checked.map_err(|text| Refusal::new(ServiceError::BadBooks, text))?;
        let t = self.state.borrow().books.totals();
        Ok(Checked {
            donated: t.donated.wrapping_add(t.found),
            got: t.got,
            sent: t.sent,
            free: t.free,
            used: t.total - t.free,
        })
    }

    async fn learn(
        &self,
        _: &Request,
        about: MemoryFact,
        a: u64,
        b: u64,
        c: u64,
    ) -> Result<Freed, Refusal> {
        Service::learn(self, about, a, b, c)?;
        Ok(Freed { bytes: 0 })
    }

    async fn fact(&self, _: &Request, index: u32) -> Result<said::Fact, Refusal> {
        let fact = self.state.borrow().books.topology.fact(index);
        Ok(from_fact(fact.ok_or(ServiceError::End)?))
    }

    async fn join(&self, _: &Request, node: u8, endpoint: Capability) -> Result<Freed, Refusal> {
        let bound = Client::bind(endpoint.addr()).await;
        let client = bound.map_err(|_| ServiceError::NoAnswer)?;
        let mut s = self.state.borrow_mut();
        s.servers.insert(node, MemoryClient(client));
        Ok(Freed { bytes: 0 })
    }

    async fn open_account(
        &self,
        _: &Request,
        limit: u64,
        share: u64,
    ) -> Result<Opened<Capability>, Refusal> {
        match try_to_open(self, limit, share) {
            Err(ServiceError::OutOfMemory) => {}
            done => return Ok(done?),
        }
        // What is to be promised may have to come from other servers first.
        self.settled().await;
        self.consult();
        let order = self.order(Where::Near(self.state.borrow().own_node()));
        for node in order.into_iter().flatten() {
            let bytes = share.saturating_add(MORE);
            if Service::refill(self, node, bytes, ALIGN).await {
                break;
            }
        }
        Ok(try_to_open(self, limit, share)?)
    }

    async fn close_account(&self, _: &Request, account: u32) -> Result<Closed, Refusal> {
        if !is_opened(self, account) {
            return Err(ServiceError::NotFound.into());
        }
        let bytes = self.state.borrow_mut().books.close(account);
        self.save();
        Ok(Closed { bytes })
    }

    async fn account(&self, _: &Request, account: u32) -> Result<said::Account, Refusal> {
        match self.state.borrow().books.has_account(account) {
            true => Ok(account_of(self, account)),
            false => Err(ServiceError::NotFound.into()),
        }
    }

    async fn accounts(&self, _: &Request, from: u32) -> Result<said::Account, Refusal> {
        let before = from.checked_sub(1);
        let next = self.state.borrow().books.next_account(before);
        let (number, _) = next.ok_or(ServiceError::End)?;
        Ok(account_of(self, number))
    }
}

/// Whether this is the account of a process.
fn is_opened(service: &Service, account: u32) -> bool {
    let of_a_process = account != SYSTEM && account <= 0xffff;
    of_a_process && service.state.borrow().books.has_account(account)
}

fn place_of(service: &Service, place: MemoryPlace, number: u32) -> Result<Where, ServiceError> {
    let state = service.state.borrow();
    let node = || u8::try_from(number).map_err(|_| ServiceError::BadArgument);
    Ok(match place {
        MemoryPlace::Own => Where::Near(state.own_node()),
        MemoryPlace::Local => Where::Only(state.own_node()),
        MemoryPlace::OnNode => Where::Only(node()?),
        MemoryPlace::NearNode => Where::Near(node()?),
        MemoryPlace::NearCore => {
            let of = state.books.topology.node_of_core(number);
            // Without a table of nodes all memory is equally near to every core.
            Where::Near(of.unwrap_or(state.own_node()))
        }
        MemoryPlace::Anywhere => Where::Anywhere,
    })
}

async fn allocate_block(service: &Service, account: u32, bytes: u64, at_once: bool) -> Granted {
    let align = bytes.checked_next_power_of_two().unwrap_or(ALIGN);
    let wanted = Wanted {
        account,
        bytes,
        align: align.clamp(PAGE, ALIGN),
        place: Where::Near(service.state.borrow().own_node()),
        at_once,
    };
    allocate(service, wanted).await
}

/// Grants RAM of this server's own if it comes first in the asker's order, else asks others. The RAM itself goes:
/// the server has no capability of it any more. If the asker is gone, it comes back.
async fn allocate(service: &Service, wanted: Wanted) -> Granted {
    let (grant, ram) = find(service, wanted).await?;
    Ok(Allocated {
        base: grant.base,
        bytes: grant.size,
        ram,
    })
}

async fn find(service: &Service, wanted: Wanted) -> Result<(Grant, Capability), ServiceError> {
    for node in service.order(wanted.place) {
        match service.grant(wanted.account, wanted.bytes, wanted.align, node) {
            Err(ServiceError::OutOfMemory) => {}
            done => return done,
        }
        if node.is_some_and(|n| service.can_ask(n)) && !wanted.at_once {
            break;
        }
    }
    if wanted.at_once {
        service.merge_all();
        return service.grant(wanted.account, wanted.bytes, wanted.align, None);
    }
    service.settled().await;
    service.consult();
    search(service, wanted).await
}

/// Tries all nodes in the asker's order, with the help of their servers.
async fn search(service: &Service, wanted: Wanted) -> Result<(Grant, Capability), ServiceError> {
    service.merge_all();
    for node in service.order(wanted.place) {
        let grant = || service.grant(wanted.account, wanted.bytes, wanted.align, node);
        match grant() {
            Err(ServiceError::OutOfMemory) => {}
            done => return done,
        }
        if let Some(n) = node
            && service.refill(n, wanted.bytes, wanted.align).await
        {
            match grant() {
                Err(ServiceError::OutOfMemory) => {}
                done => return done,
            }
        }
    }
    Err(ServiceError::OutOfMemory)
}

/// Another server of this OSnode, to pass a question on to.
fn other(service: &Service, server: u32) -> Result<MemoryClient<Client>, ServiceError> {
    let s = service.state.borrow();
    // The servers of a further OSnode's nodes are the first OSnode's.
    if s.role != Role::Front(None) {
        return Err(ServiceError::End);
    }
    let other = s.servers.values().nth(server as usize - 1).cloned();
    other.ok_or(ServiceError::End)
}

fn other_said<A>(answer: Result<A, CallError>) -> Result<A, Refusal> {
    answer.map_err(|e| match e {
        CallError::Refused(refusal) => refusal,
        CallError::Peer(_) => ServiceError::NoAnswer.into(),
    })
}

fn account_of(service: &Service, number: u32) -> said::Account {
    let account = service.state.borrow().books.account(number);
    said::Account {
        account: number,
        held: account.held,
        limit: account.limit.unwrap_or(0),
        share: match account.promise {
            Promise::Share(bytes) => bytes,
            Promise::Beyond(bytes) => account.held + bytes,
        },
        closed: account.closed,
    }
}

fn try_to_open(
    service: &Service,
    limit: u64,
    share: u64,
) -> Result<Opened<Capability>, ServiceError> {
    let account = {
        let mut s = service.state.borrow_mut();
        let unused = (1..=s.last_account).find(|n| !s.books.has_account(*n));
        let number = unused.unwrap_or(s.last_account + 1);
        if number > 0xffff {
            return Err(ServiceError::TableFull);
        }
        let limit = (limit > 0).then_some(limit);
        let opened = s.books.open(number, limit, Promise::Share(share));
        opened.map_err(refusal)?;
        s.last_account = s.last_account.max(number);
        number
    };
    service.save();
    let endpoint = service.server.introduction(account)?;
    Ok(Opened { account, endpoint })
}

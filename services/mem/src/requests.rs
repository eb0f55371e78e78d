//! What a memory server is asked.

use alloc::vec::Vec;

use capfmt::CapType;
use mem::{ALIGN, Grant, Origin, PAGE, Promise};
use proto::ServiceError;
use proto::iface::memory::{MemoryPlace, MemoryReply, MemoryRequest};
use rt::chan::{Answer, Attach, Client, Request};
use rt::{Capability, invoke, task};

use crate::Where;
use crate::gifts::{gone, is_private, whole};
use crate::servers::from_fact;
use crate::service::{SYSTEM, Service, refusal};

/// Asked for beyond what is to be promised: whole blocks fit only where they are aligned.
const MORE: u64 = 2 << 20;

type Outcome = Result<(MemoryReply, Option<Capability>), ServiceError>;

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

fn answer(request: &Request, outcome: Outcome) {
    let (reply, cap) = outcome.unwrap_or_else(|error| (MemoryReply::Refused { error }, None));
    let with = cap.as_ref().map_or(Attach::NONE, |c| Attach::cap(c.addr()));
    // A client that is gone gets no answer; its account is closed by who opened it.
    let _ = request.answer(&reply, with);
}

fn is_for_system(message: &MemoryRequest) -> bool {
    !matches!(
        message,
        MemoryRequest::Allocate { .. }
            | MemoryRequest::AllocateAt { .. }
            | MemoryRequest::Stats { .. }
    )
}

/// Takes one request; it is answered now or later.
pub fn take(service: &Service, request: Request) {
    // What was given up before it was made counts.
    service.collect();
    handle(service, request);
    service.look_ahead();
    service.give_surplus();
}

fn handle(service: &Service, mut request: Request) {
    let account = request.introducer();
    let Ok(message) = request.decode::<MemoryRequest>() else {
        return answer(&request, Err(ServiceError::BadMessage));
    };
    if is_for_system(&message) && account != SYSTEM {
        return answer(&request, Err(ServiceError::BadOperation));
    }
    let done = |bytes| Ok((MemoryReply::Freed { bytes }, None));
    let outcome = match message {
        MemoryRequest::Allocate { bytes } => {
            let bytes = bytes.checked_next_power_of_two().filter(|_| bytes > 0);
            return allocate_block(service, request, account, bytes, account == SYSTEM);
        }
        MemoryRequest::AllocateFor { account, bytes } => {
            return allocate_block(service, request, account, Some(bytes), false);
        }
        MemoryRequest::AllocateAt {
            bytes,
            align,
            place,
            number,
        } => match place_of(service, place, number) {
            Ok(place) => {
                let wanted = Wanted {
                    account,
                    bytes,
                    align,
                    place,
                    at_once: false,
                };
                return allocate(service, request, wanted);
            }
            Err(e) => Err(e),
        },
        MemoryRequest::Stats { server } | MemoryRequest::Check { server } if server > 0 => {
            return ask_other(service, request, server, message);
        }
        MemoryRequest::Refill {
            bytes,
            align,
            node,
            ticket,
        } => {
            return service.give_whole(&request, bytes, align, node, ticket);
        }
        MemoryRequest::Receipt { ticket, arrived } => {
            return service.take_receipt(request.connection(), ticket, arrived);
        }
        MemoryRequest::Join { node } => return join(service, request, node),
        MemoryRequest::Check { .. } => return check(service, &request),
        MemoryRequest::Stats { .. } => Ok((stats(service), None)),
        MemoryRequest::OpenAccount { limit, share } => {
            return open_account(service, request, limit, share);
        }
        MemoryRequest::CloseAccount { account } => close_account(service, account),
        MemoryRequest::Donate { node, fixed } => donate(service, &mut request, node, fixed),
        MemoryRequest::GiveBack {} => take_gift(service, &mut request),
        MemoryRequest::Learn { about, a, b, c } => {
            service.learn(about, a, b, c).and_then(|()| done(0))
        }
        MemoryRequest::Fact { index } => {
            let fact = service.state.borrow().books.topology.fact(index);
            fact.map(|f| (from_fact(f), None)).ok_or(ServiceError::End)
        }
        MemoryRequest::Account { account } => {
            match service.state.borrow().books.has_account(account) {
                true => Ok((account_reply(service, account), None)),
                false => Err(ServiceError::NotFound),
            }
        }
        MemoryRequest::Accounts { from } => {
            let next = service
                .state
                .borrow()
                .books
                .next_account(from.checked_sub(1));
            let next = next.ok_or(ServiceError::End);
            next.map(|(number, _)| (account_reply(service, number), None))
        }
    };
    answer(&request, outcome);
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

fn allocate_block(
    service: &Service,
    request: Request,
    account: u32,
    bytes: Option<u64>,
    at_once: bool,
) {
    let Some(bytes) = bytes else {
        return answer(&request, Err(ServiceError::BadArgument));
    };
    let align = bytes.checked_next_power_of_two().unwrap_or(ALIGN);
    let wanted = Wanted {
        account,
        bytes,
        align: align.clamp(PAGE, ALIGN),
        place: Where::Near(service.state.borrow().own_node()),
        at_once,
    };
    allocate(service, request, wanted);
}

/// Grants RAM of this server's own if it comes first in the asker's order, else asks others.
fn allocate(service: &Service, request: Request, wanted: Wanted) {
    for node in service.order(wanted.place) {
        match service.grant(wanted.account, wanted.bytes, wanted.align, node) {
            Err(ServiceError::OutOfMemory) => {}
            done => return answer_grant(&request, done),
        }
        if node.is_some_and(|n| service.can_ask(n)) && !wanted.at_once {
            break;
        }
    }
    if wanted.at_once {
        service.merge_all();
        let last = service.grant(wanted.account, wanted.bytes, wanted.align, None);
        return answer_grant(&request, last);
    }
    let service = service.clone();
    task::spawn(async move {
        service.settled().await;
        let found = search(&service, wanted).await;
        answer_grant(&request, found);
    });
}

/// Answers with the RAM itself: the server has no capability of it any more.
fn answer_grant(request: &Request, granted: Result<(Grant, Capability), ServiceError>) {
    let (grant, ram) = match granted {
        Ok(granted) => granted,
        Err(error) => return answer(request, Err(error)),
    };
    let reply = MemoryReply::Allocated {
        base: grant.base,
        bytes: grant.size,
    };
    match request.answer(&reply, whole(&ram)) {
        Ok(()) => gone(ram),
        // The asker is gone: deleted, it comes back.
        Err(_) => drop(ram),
    }
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

/// Passes a question on to another server of this OSnode.
fn ask_other(service: &Service, request: Request, server: u32, message: MemoryRequest) {
    let known = {
        let s = service.state.borrow();
        s.servers.values().nth(server as usize - 1).cloned()
    };
    // The servers of a further OSnode's nodes are the first OSnode's.
    let own = matches!(
        service.state.borrow().role,
        crate::service::Role::Front(None)
    );
    let Some(other) = known.filter(|_| own) else {
        return answer(&request, Err(ServiceError::End));
    };
    let message = match message {
        MemoryRequest::Check { .. } => MemoryRequest::Check { server: 0 },
        _ => MemoryRequest::Stats { server: 0 },
    };
    task::spawn(async move {
        let asked: Result<Answer<MemoryReply>, _> = other.request(&message, Attach::NONE).await;
        let (reply, blob) = match asked {
            Ok(a) => (a.message, a.blob),
            Err(_) => {
                let error = ServiceError::NoAnswer;
                (MemoryReply::Refused { error }, Vec::new())
            }
        };
        // Whoever is gone needs no answer.
        let _ = request.answer(&reply, Attach::blob(&blob));
    });
}

fn join(service: &Service, mut request: Request, node: u8) {
    let Some(endpoint) = request.cap.take() else {
        return answer(&request, Err(ServiceError::NoCapability));
    };
    let service = service.clone();
    task::spawn(async move {
        let bound = Client::bind(endpoint.addr()).await;
        let outcome = match bound {
            Ok(client) => {
                service.state.borrow_mut().servers.insert(node, client);
                Ok((MemoryReply::Freed { bytes: 0 }, None))
            }
            Err(_) => Err(ServiceError::NoAnswer),
        };
        answer(&request, outcome);
    });
}

fn stats(service: &Service) -> MemoryReply {
    let s = service.state.borrow();
    let t = s.books.totals();
    MemoryReply::Stats {
        total: t.total,
        free: t.free,
        largest: t.largest,
        blocks: t.grants,
        node: s.own_node().into(),
    }
}

fn check(service: &Service, request: &Request) {
    let wrong = service.check().err();
    let t = service.state.borrow().books.totals();
    let (reply, text) = match wrong {
        None => (
            MemoryReply::Checked {
                donated: t.donated + t.found,
                got: t.got,
                sent: t.sent,
                free: t.free,
                used: t.total - t.free,
            },
            "",
        ),
        Some(text) => {
            let error = ServiceError::BadBooks;
            (MemoryReply::Refused { error }, text)
        }
    };
    // Whoever is gone needs no answer.
    let _ = request.answer(&reply, Attach::blob(text.as_bytes()));
}

fn account_reply(service: &Service, number: u32) -> MemoryReply {
    let account = service.state.borrow().books.account(number);
    MemoryReply::Account {
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

/// Opens an account; what is to be promised may have to come from other servers first.
fn open_account(service: &Service, request: Request, limit: u64, share: u64) {
    match try_to_open(service, limit, share) {
        Err(ServiceError::OutOfMemory) => {}
        done => return answer(&request, done),
    }
    let service = service.clone();
    task::spawn(async move {
        service.settled().await;
        let order = service.order(Where::Near(service.state.borrow().own_node()));
        for node in order.into_iter().flatten() {
            if service
                .refill(node, share.saturating_add(MORE), ALIGN)
                .await
            {
                break;
            }
        }
        answer(&request, try_to_open(&service, limit, share));
    });
}

fn try_to_open(service: &Service, limit: u64, share: u64) -> Outcome {
    let number = {
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
    let endpoint = service.server.introduction(number)?;
    Ok((account_reply(service, number), Some(endpoint)))
}

fn close_account(service: &Service, account: u32) -> Outcome {
    let known = account != SYSTEM && account <= 0xffff;
    if !known || !service.state.borrow().books.has_account(account) {
        return Err(ServiceError::NotFound);
    }
    let bytes = service.state.borrow_mut().books.close(account);
    Ok((MemoryReply::Closed { bytes }, None))
}

fn donate(service: &Service, request: &mut Request, node: u8, fixed: bool) -> Outcome {
    let given = request.cap.take().ok_or(ServiceError::NoCapability)?;
    let origin = if fixed {
        Origin::Fixed
    } else {
        Origin::Donated
    };
    {
        let mut s = service.state.borrow_mut();
        if s.books.totals().donated == 0 {
            s.first_node = node;
        }
    }
    let bytes = service.take_in(given, origin)?;
    Ok((MemoryReply::Freed { bytes }, None))
}

fn take_gift(service: &Service, request: &mut Request) -> Outcome {
    let given = request.cap.take().ok_or(ServiceError::NoCapability)?;
    let cap = invoke::identify(given.addr())?.cap;
    if cap.kind != CapType::Ram {
        return Err(ServiceError::NoCapability);
    }
    let bytes = cap.size;
    if is_private(&given) {
        service.take_in(given, Origin::Server)?;
    } else {
        // The giver's copy goes when it has the answer.
        let service = service.clone();
        task::spawn(async move {
            service.enter_gift(given).await;
        });
    }
    Ok((MemoryReply::Freed { bytes }, None))
}

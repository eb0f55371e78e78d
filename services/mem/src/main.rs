//! The memory service: carries out what the books say, by retype, copy, revoke.
//!
//! A client's badge is its account; account 0 is the OSnode's own (monitor and
//! spawn service), which alone may donate memory and open accounts. The service
//! keeps a copy of each RAM capability that it gave: revoking that copy takes
//! back whatever became of the memory.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::{CapAddr, SysError, slots};
use capfmt::CapType;
use mem::{AllocError, Allocator, FreeError, Grant};
use proto::ServiceError;
use proto::iface::memory::{MemoryReply, MemoryRequest};
use rt::chan::{Attach, Request, Server};
use rt::{Capability, cap, invoke, task};

rt::entry!(main);

/// Account of the OSnode's monitor and spawn service.
const SYSTEM: u32 = 0;
/// Account of this service itself.
const OWN: u32 = u32::MAX;

/// What the service holds.
struct Service {
    books: Allocator,
    /// RAM capabilities, by source index.
    sources: Vec<Capability>,
    accounts: u32,
    /// Numbers of closed accounts.
    closed: Vec<u32>,
}

type Shared = Rc<RefCell<Service>>;

fn main() {
    rt::process::exit(task::block_on(serve()))
}

async fn serve() -> i32 {
    let service: Shared = Rc::new(RefCell::new(Service {
        books: Allocator::new(),
        sources: Vec::new(),
        accounts: 0,
        closed: Vec::new(),
    }));
    let own = service.clone();
    rt::mem::set_source(Box::new(move |bytes| own_ram(&own, bytes)));
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("mem: no endpoint for the service: {}", e.message());
            return 1;
        }
    };
    if let Err(e) = server.register(".memory").await {
        rt::println!("mem: cannot register the service: {e}");
        return 1;
    }
    loop {
        let request = server.next().await;
        let (reply, cap) = answer(&service, &server, &request);
        let with = cap.as_ref().map_or(Attach::NONE, |c| Attach::cap(c.addr()));
        // A client that is gone gets no answer; its account is closed by who opened it.
        let _ = request.answer(&reply, with);
        // A granted capability stays with the service; others were made for the answer only.
        if matches!(reply, MemoryReply::Allocated { .. }) {
            cap.map(Capability::leak);
        }
    }
}

fn refused(error: ServiceError) -> (MemoryReply, Option<Capability>) {
    (MemoryReply::Refused { error }, None)
}

fn answer(
    service: &Shared,
    server: &Server,
    request: &Request,
) -> (MemoryReply, Option<Capability>) {
    let client = request.introducer();
    let Ok(message) = request.decode::<MemoryRequest>() else {
        return refused(ServiceError::BadMessage);
    };
    let system_only = matches!(
        message,
        MemoryRequest::OpenAccount { .. }
            | MemoryRequest::CloseAccount { .. }
            | MemoryRequest::Donate { .. }
            | MemoryRequest::NodeRange { .. }
    );
    if system_only && client != SYSTEM {
        return refused(ServiceError::BadOperation);
    }
    let result = match message {
        MemoryRequest::Allocate { bytes } => match bytes.checked_next_power_of_two() {
            Some(b) => allocate(service, client, b, b, None),
            None => Err(ServiceError::BadArgument),
        },
        MemoryRequest::AllocateOn { bytes, align, node } => {
            allocate(service, client, bytes, align, Some(node))
        }
        MemoryRequest::Free { base } => free(service, client, base),
        MemoryRequest::Stats {} => Ok((stats(service), None)),
        MemoryRequest::OpenAccount { limit } => open_account(service, server, limit),
        MemoryRequest::CloseAccount { account } => close_account(service, account),
        MemoryRequest::Donate { node } => donate(service, request, node),
        MemoryRequest::NodeRange { base, bytes, node } => {
            service.borrow_mut().books.set_node(base, bytes, node);
            Ok((MemoryReply::Freed { bytes: 0 }, None))
        }
    };
    result.unwrap_or_else(refused)
}

type Outcome = Result<(MemoryReply, Option<Capability>), ServiceError>;

fn stats(service: &Shared) -> MemoryReply {
    let t = service.borrow().books.totals();
    MemoryReply::Stats {
        total: t.total,
        free: t.free,
        largest: t.largest,
        blocks: t.grants,
    }
}

/// Books a grant and makes its capability.
fn grant(
    service: &Shared,
    client: u32,
    bytes: u64,
    align: u64,
    node: Option<u8>,
) -> Result<(Grant, CapAddr), ServiceError> {
    let slot = cap::alloc_slot()?;
    let booked = service.borrow_mut().books.alloc(client, bytes, align, node);
    let grant = match booked {
        Ok(g) => g,
        Err(e) => {
            cap::free_slot(slot);
            return Err(match e {
                AllocError::BadSize => ServiceError::BadArgument,
                AllocError::Quota(_) | AllocError::OutOfMemory(_) => ServiceError::OutOfMemory,
            });
        }
    };
    let made = cut(service, &grant, slot);
    let books = &mut service.borrow_mut().books;
    match made {
        Ok(()) => {
            books.set_slot(grant.base, slot.0);
            Ok((grant, slot))
        }
        Err(e) => {
            // Booked a moment ago, so the books take it back.
            let _ = books.free(client, grant.base);
            cap::free_slot(slot);
            Err(e.into())
        }
    }
}

/// Cuts a grant out of its source.
fn cut(service: &Shared, grant: &Grant, slot: CapAddr) -> Result<(), SysError> {
    let (source, offset) = {
        let s = service.borrow();
        let source = s.sources.get(usize::from(grant.source));
        let source = source.ok_or(SysError::NoCapability)?.addr();
        (source, s.books.offset(grant))
    };
    let what = invoke::Retype {
        offset,
        kind: CapType::Ram,
        param: 0,
        bytes: grant.size,
        count: 1,
    };
    invoke::retype(source, what, slots::ROOT_CNODE, slot)?;
    Ok(())
}

fn allocate(service: &Shared, client: u32, bytes: u64, align: u64, node: Option<u8>) -> Outcome {
    let (grant, slot) = grant(service, client, bytes, align, node)?;
    let reply = MemoryReply::Allocated {
        base: grant.base,
        bytes: grant.size,
    };
    Ok((reply, Some(Capability::from_slot(slot))))
}

/// RAM for this service's own objects. `None` also while the books are in use: whoever
/// needed a slot then gets an error, nothing worse.
fn own_ram(service: &Shared, bytes: u64) -> Option<Capability> {
    let bytes = bytes.checked_next_power_of_two()?;
    let grant = {
        let mut s = service.try_borrow_mut().ok()?;
        s.books.alloc(OWN, bytes, bytes, None).ok()?
    };
    let slot = cap::alloc_slot().ok()?;
    match cut(service, &grant, slot) {
        Ok(()) => Some(Capability::from_slot(slot)),
        Err(_) => {
            cap::free_slot(slot);
            let mut s = service.try_borrow_mut().ok()?;
            s.books.free(OWN, grant.base).ok()?;
            None
        }
    }
}

/// Takes back whatever became of a grant, and gives its region back to the books.
///
/// A client that revoked its own copy revoked the service's as well. Then the region is cut
/// out once more: the kernel refuses that while anything made of it is left anywhere.
fn take_back(service: &Shared, grant: &Grant) -> Result<u64, ServiceError> {
    let slot = CapAddr(grant.slot);
    match retry(|| invoke::revoke(slot)) {
        Ok(()) => {}
        Err(SysError::NoCapability) => retry(|| cut(service, grant, slot))?,
        Err(e) => return Err(e.into()),
    }
    retry(|| invoke::delete(slot))?;
    cap::free_slot(slot);
    let books = &mut service.borrow_mut().books;
    match books.free(grant.client, grant.base) {
        Ok(g) => Ok(g.size),
        Err(FreeError::NotGranted | FreeError::NotYours) => Err(ServiceError::NotFound),
    }
}

/// Repeats what a kernel replacement interrupted.
fn retry(mut f: impl FnMut() -> Result<(), SysError>) -> Result<(), SysError> {
    loop {
        match f() {
            Err(SysError::KernelRestarted) => {}
            r => return r,
        }
    }
}

fn free(service: &Shared, client: u32, base: u64) -> Outcome {
    let found = service.borrow().books.grant(client, base);
    let grant = found.map_err(|_| ServiceError::NotFound)?;
    let bytes = take_back(service, &grant)?;
    Ok((MemoryReply::Freed { bytes }, None))
}

fn open_account(service: &Shared, server: &Server, limit: u64) -> Outcome {
    let account = {
        let mut s = service.borrow_mut();
        let number = s.closed.pop().unwrap_or(s.accounts + 1);
        if number > 0xffff {
            return Err(ServiceError::TableFull);
        }
        s.accounts = s.accounts.max(number);
        s.books.set_quota(number, (limit > 0).then_some(limit));
        number
    };
    let endpoint = server.introduction(account)?;
    Ok((MemoryReply::Account { account }, Some(endpoint)))
}

fn close_account(service: &Shared, account: u32) -> Outcome {
    let grants = service.borrow().books.grants_of(account);
    let known = account != SYSTEM && account <= service.borrow().accounts;
    if !known || service.borrow().closed.contains(&account) {
        return Err(ServiceError::NotFound);
    }
    let mut bytes = 0;
    for g in &grants {
        bytes += take_back(service, g)?;
    }
    let mut s = service.borrow_mut();
    s.books.close(account);
    s.closed.push(account);
    Ok((MemoryReply::Freed { bytes }, None))
}

fn donate(service: &Shared, request: &Request, node: u8) -> Outcome {
    let given = request.cap.as_ref().ok_or(ServiceError::NoCapability)?;
    let id = invoke::identify(given.addr())?;
    if id.cap.kind != CapType::Ram {
        return Err(ServiceError::NoCapability);
    }
    let kept = cap::copy(given.addr())?;
    let mut s = service.borrow_mut();
    let added = s.books.add(id.cap.base.0, id.cap.size, node);
    added.map_err(|_| ServiceError::BadArgument)?;
    s.sources.push(kept);
    let bytes = id.cap.size;
    Ok((MemoryReply::Freed { bytes }, None))
}

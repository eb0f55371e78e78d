//! Names and bindings, for the processes of this OSnode.

use monitor::is_private;
use proto::iface::names::{NamesReply, NamesRequest};
use proto::{Name, ServiceError};
use rt::chan::{Attach, Request};
use rt::{CapAddr, SysError, cap, lmp, task};

use crate::world::{World, introducer};
use crate::{bind, channels};

/// Answers; an asker that is gone needs no answer.
pub fn answer(request: &Request, reply: &NamesReply, cap: Option<CapAddr>) {
    let _ = request.answer(reply, Attach::with(&[], cap));
}

pub fn refuse(request: &Request, error: ServiceError) {
    answer(request, &NamesReply::Refused { error }, None);
}

/// Takes one request.
pub fn take(world: &World, request: Request) {
    let Ok(message) = request.decode::<NamesRequest>() else {
        return refuse(&request, ServiceError::BadMessage);
    };
    match message {
        NamesRequest::Register { name } => register(world, request, name),
        NamesRequest::Lookup { name, wait } => lookup(world, request, name, wait),
        NamesRequest::Next { index } => {
            let name = world.state.borrow().names.nth(index);
            match name {
                Some(name) => answer(&request, &NamesReply::Service { name }, None),
                None => refuse(&request, ServiceError::End),
            }
        }
        NamesRequest::MintNotify { channel } => match channels::mint_notify(channel) {
            Ok(notify) => answer(&request, &NamesReply::Found {}, Some(notify.addr())),
            Err(e) => refuse(&request, e.into()),
        },
        NamesRequest::NotifyOf { osnode, channel } => {
            match channels::notify_of(world, osnode, channel) {
                Ok(notify) => answer(&request, &NamesReply::Found {}, Some(notify.addr())),
                Err(e) => refuse(&request, e),
            }
        }
        NamesRequest::BindUmp {
            osnode,
            name,
            channel,
        } => {
            if is_private(&name) && request.introducer() != introducer::SYSTEM {
                return refuse(&request, ServiceError::NotFound);
            }
            let world = world.clone();
            task::spawn(async move {
                bind::from_here(&world, &request, osnode, name, channel).await;
            });
        }
        NamesRequest::SendCap { bind, give } => {
            // What programs give stays this OSnode's to account for: here it comes back to.
            let give = give && request.introducer() == introducer::SYSTEM;
            let world = world.clone();
            task::spawn(async move { bind::send_cap(&world, request, bind, give).await });
        }
        NamesRequest::TakeCap { bind, number } => bind::take_cap(world, &request, bind, number),
        NamesRequest::UmpNotify { bind } => bind::notify(world, &request, bind),
        NamesRequest::UmpClose { bind } => {
            let world = world.clone();
            task::spawn(async move { bind::close(&world, &request, bind).await });
        }
    }
}

/// Whether somebody still listens behind an endpoint.
pub fn is_alive(endpoint: CapAddr) -> bool {
    use proto::Wire;
    let ping = proto::iface::transport::Transport::Ping {}.to_words(0);
    !matches!(
        lmp::send(endpoint, abi::MessageTag::default(), ping),
        Err(SysError::EndpointClosed | SysError::NoCapability)
    )
}

fn register(world: &World, mut request: Request, name: Name) {
    let Some(endpoint) = request.cap.take() else {
        return refuse(&request, ServiceError::NoCapability);
    };
    let taken = {
        let s = world.state.borrow();
        let old = s.names.get(&name).map(rt::Capability::addr);
        old.is_some_and(is_alive)
    };
    if taken {
        return refuse(&request, ServiceError::Exists);
    }
    let addr = endpoint.addr();
    let (waiting, before, wakers) = {
        let mut s = world.state.borrow_mut();
        s.services.remove(&name);
        s.registrars.insert(name, request.connection());
        let (waiting, before) = s.names.register(name, endpoint);
        (waiting, before, core::mem::take(&mut s.name_wakers))
    };
    drop(before);
    wakers.into_iter().for_each(core::task::Waker::wake);
    answer(&request, &NamesReply::Done {}, None);
    for asker in waiting {
        answer(&asker, &NamesReply::Found {}, Some(addr));
    }
}

fn lookup(world: &World, request: Request, name: Name, wait: bool) {
    if is_private(&name) && request.introducer() != introducer::SYSTEM {
        return refuse(&request, ServiceError::NotFound);
    }
    let found = {
        let s = world.state.borrow();
        // One that died is not there until it, or another, registers again.
        let found = s.names.get(&name).filter(|c| is_alive(c.addr()));
        found.map(|c| cap::copy(c.addr()))
    };
    match found {
        Some(Ok(copy)) => answer(&request, &NamesReply::Found {}, Some(copy.addr())),
        Some(Err(e)) => refuse(&request, e.into()),
        None if wait => world.state.borrow_mut().names.wait(name, request),
        None => refuse(&request, ServiceError::NotFound),
    }
}

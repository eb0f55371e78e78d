//! Names and bindings, for the processes of this OSnode.

use alloc::format;

use capfmt::CapType;
use monitor::is_private;
use proto::iface::names::{CapSent, Done, Found, Names, NamesServer, Service, UmpFrame, UmpNotify};
use proto::{Dispatch, Later, Name, Refusal, ServiceError};
use rt::chan::{Request, introduction_to};
use rt::{CapAddr, Capability, SysError, invoke, lmp, task};

use crate::world::{World, introducer};
use crate::{bind, channels, parcels};

/// Takes one request.
pub fn take(world: &World, request: Request) {
    if let Some(request) = Names::notice(world, request) {
        let world = world.clone();
        task::spawn(async move { Names::dispatch(&world, request).await });
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

/// Whether the asker may know of a service with this name, or have it.
fn may_find(asker: &Request, name: &Name) -> bool {
    !is_private(name) || asker.introducer() == introducer::SYSTEM
}

fn found(endpoint: Result<Capability, SysError>) -> Result<Found<Capability>, Refusal> {
    Ok(Found { cap: endpoint? })
}

impl World {
    /// Who waits for a name over a connection that ended, waits no more.
    pub fn waits_no_more(&self, connection: u32) {
        let names = &mut self.state.borrow_mut().names;
        names.give_up(|asker| asker.call().connection() == connection);
    }
}

impl NamesServer<Request> for World {
    async fn register(
        &self,
        request: &Request,
        name: Name,
        endpoint: Capability,
    ) -> Result<Done, Refusal> {
        if !may_find(request, &name) {
            let text = format!("\"{name}\" belongs to a service of the system");
            return Err(Refusal::new(ServiceError::Exists, text));
        }
        if self.live(&name).is_some() {
            return Err(ServiceError::Exists.into());
        }
        // Anything else would keep the name for good: nothing tells that its process ended.
        let given = invoke::identify(endpoint.addr())?;
        if given.cap.kind != CapType::Endpoint {
            let text = format!("\"{name}\" is registered with a capability to an endpoint only");
            return Err(Refusal::new(ServiceError::NoCapability, text));
        }
        let addr = endpoint.addr();
        let (waiting, before, dead, wakers) = {
            let mut s = self.state.borrow_mut();
            // Nothing but new names makes the table grow: those of programs that ended go now.
            let dead = s.names.forget(|e| !is_alive(e.addr()));
            for (name, _) in &dead {
                s.registrars.remove(name);
            }
            s.registrars.insert(name, request.connection());
            let (waiting, before) = s.names.register(name, endpoint);
            (waiting, before, dead, core::mem::take(&mut s.name_wakers))
        };
        drop(before);
        bind::replaced(self, name);
        dead.iter()
            .for_each(|(name, _)| bind::replaced(self, *name));
        wakers.into_iter().for_each(core::task::Waker::wake);
        for asker in waiting {
            asker.answer(found(introduction_to(addr, false)));
        }
        Ok(Done {})
    }

    fn lookup(&self, asker: Later<Found, Request>, name: Name, wait: bool) {
        let may_find = may_find(asker.call(), &name);
        match self.live(&name).filter(|_| may_find) {
            Some(endpoint) => {
                asker.answer(found(endpoint));
            }
            None if wait && may_find => self.state.borrow_mut().names.wait(name, asker),
            None => {
                asker.answer(Err(ServiceError::NotFound.into()));
            }
        }
    }

    async fn bind_ump(
        &self,
        request: &Request,
        osnode: u64,
        name: Name,
        channel: u64,
    ) -> Result<UmpFrame<Capability>, Refusal> {
        if !may_find(request, &name) {
            return Err(ServiceError::NotFound.into());
        }
        Ok(bind::from_here(self, request, osnode, name, channel).await?)
    }

    async fn ump_notify(
        &self,
        request: &Request,
        bind: u64,
    ) -> Result<UmpNotify<Option<Capability>>, Refusal> {
        let notify =
            bind::notify(self, request.connection(), bind).ok_or(ServiceError::NotFound)?;
        let given = notify.is_some();
        Ok(UmpNotify { given, notify })
    }

    async fn ump_close(&self, request: &Request, bind: u64) -> Result<Done, Refusal> {
        bind::close(self, request.connection(), bind)?;
        Ok(Done {})
    }

    async fn mint_notify(&self, _: &Request, channel: u64) -> Result<Found<Capability>, Refusal> {
        found(channels::mint_notify(channel))
    }

    async fn notify_of(
        &self,
        _: &Request,
        osnode: u64,
        channel: u64,
    ) -> Result<Found<Capability>, Refusal> {
        let cap = channels::notify_of(self, osnode, channel)?;
        Ok(Found { cap })
    }

    async fn next(&self, _: &Request, index: u32) -> Result<Service, Refusal> {
        let name = self.state.borrow().names.nth(index);
        let name = name.ok_or(ServiceError::End)?;
        Ok(Service { name })
    }

    async fn send_cap(
        &self,
        request: &Request,
        bind: u64,
        give: bool,
        cap: Capability,
    ) -> Result<CapSent, Refusal> {
        // What programs give stays this OSnode's to account for: here it comes back to.
        let give = give && request.introducer() == introducer::SYSTEM;
        let number = parcels::send(self, request.connection(), bind, cap, give).await?;
        Ok(CapSent { number })
    }

    async fn take_cap(
        &self,
        request: &Request,
        bind: u64,
        number: u64,
    ) -> Result<Found<Capability>, Refusal> {
        let cap = parcels::fetch(self, request.connection(), bind, number);
        let cap = cap.ok_or(ServiceError::NotFound)?;
        Ok(Found { cap })
    }
}

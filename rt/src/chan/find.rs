//! Finding services: by name in this OSnode (LMP), by OSnode and name in any (UMP).

use core::fmt;

use alloc::rc::Rc;

use abi::slots;
use proto::iface::names::NamesClient;
use proto::stub::InterfaceId;
use proto::ump::Side;
use proto::{Interface, Name, PeerError, ServiceError};

use super::Client;
use super::outbox::Outbox;
use crate::event::Notification;
use crate::single::Single;
use crate::ump::UmpChannel;
use crate::{env, time};

/// How long (system time) a service of another OSnode may take to register, and the pause between tries.
const REGISTER_NS: u64 = 5_000_000_000;
const REGISTER_RETRY_NS: u64 = 10_000_000;

/// The connection to the monitor's name service.
#[cfg_attr(nekton_user, thread_local)]
static NAMES: Single<Option<Client>> = Single::new(None);

/// Why there is no connection to a service: says which service, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BindError {
    /// Name that was looked for (cut to [`Name::BYTES`]).
    pub service: Name,
    /// OSnode that was asked; `None` = one's own.
    pub osnode: Option<u64>,
    /// Why.
    pub cause: PeerError,
}

impl From<BindError> for PeerError {
    fn from(e: BindError) -> PeerError {
        e.cause
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let osnode = self.osnode.unwrap_or_else(env::osnode);
        let name = self.service;
        match self.cause {
            PeerError::Refused(ServiceError::NotFound) => {
                write!(f, "OSnode o{osnode} has no service \"{name}\"")
            }
            PeerError::Refused(ServiceError::NoOsnode) => {
                write!(
                    f,
                    "there is no OSnode o{osnode} to look for service \"{name}\" on"
                )
            }
            PeerError::Refused(ServiceError::OsnodeGone) => {
                write!(
                    f,
                    "OSnode o{osnode} is gone, and service \"{name}\" with it"
                )
            }
            PeerError::Refused(ServiceError::TryLater(view)) => {
                write!(
                    f,
                    "OSnode o{osnode} with service \"{name}\" does not run now: try again later (view {view})"
                )
            }
            PeerError::Version(v) => write!(f, "service \"{name}\" of OSnode o{osnode} {v}"),
            cause => write!(f, "service \"{name}\" of OSnode o{osnode}: {cause}"),
        }
    }
}

/// Connects to a service of this OSnode, once it is registered: the interface's stub.
///
/// # Errors
/// [`BindError`]; its cause is `Version` when the service was built from another version.
pub async fn connect<I: Interface>(name: &str) -> Result<I::Client<Client>, BindError> {
    Client::lookup_for(name, Some(I::ID)).await.map(I::client)
}

/// As [`connect`], to one that is registered now.
///
/// # Errors
/// [`BindError`]; its cause is `Refused(NotFound)` when none is.
pub async fn connect_now<I: Interface>(name: &str) -> Result<I::Client<Client>, BindError> {
    let found = find(name, Some(I::ID), false).await;
    let client = found.map_err(|cause| failed(name, None, cause))?;
    Ok(I::client(client))
}

/// Connects to a service of any OSnode, as [`Client::lookup_on`]: the interface's stub.
///
/// # Errors
/// [`BindError`]; its cause is `Version` when the service was built from another version.
pub async fn connect_on<I: Interface>(
    osnode: u64,
    name: &str,
) -> Result<I::Client<Client>, BindError> {
    let client = Client::lookup_on(osnode, name).await?;
    let checked = client.check(I::ID).await;
    checked.map_err(|cause| failed(name, Some(osnode), cause))?;
    Ok(I::client(client))
}

fn failed(name: &str, osnode: Option<u64>, cause: PeerError) -> BindError {
    BindError {
        service: Name::truncated(name),
        osnode,
        cause,
    }
}

const NOT_FOUND: PeerError = PeerError::Refused(ServiceError::NotFound);

impl Client {
    /// The connection to the monitor's name service.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn names() -> Result<Client, PeerError> {
        if let Some(names) = NAMES.with(|n| n.clone()) {
            return Ok(names);
        }
        let names = Client::bind(env::given("names").unwrap_or(slots::PARENT)).await?;
        NAMES.with(|n| *n = Some(names.clone()));
        Ok(names)
    }

    /// Binds to a service of this OSnode by name, waiting until it is registered.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn lookup(name: &str) -> Result<Client, BindError> {
        Client::lookup_for(name, None).await
    }

    /// As [`Client::lookup`], for this interface only.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn lookup_for(name: &str, wanted: Option<InterfaceId>) -> Result<Client, BindError> {
        let found = find(name, wanted, true).await;
        found.map_err(|cause| failed(name, None, cause))
    }

    /// Binds over UMP to a service of any OSnode (this one, too), through the monitors, waiting a
    /// while for it to be registered.
    ///
    /// # Errors
    /// [`BindError`]; its cause is `Refused(NotFound)` when it is still not registered after some
    /// seconds.
    pub async fn lookup_on(osnode: u64, name: &str) -> Result<Client, BindError> {
        let until = time::system_ns().saturating_add(REGISTER_NS);
        loop {
            match bind_on(osnode, name).await {
                Err(e) if e == NOT_FOUND && time::system_ns() < until => {
                    time::sleep(REGISTER_RETRY_NS).await;
                }
                done => return done.map_err(|cause| failed(name, Some(osnode), cause)),
            }
        }
    }
}

async fn find(name: &str, wanted: Option<InterfaceId>, wait: bool) -> Result<Client, PeerError> {
    let name = Name::new(name).ok_or(NOT_FOUND)?;
    let names = NamesClient(Client::names().await?);
    let endpoint = names.lookup(name, wait).await?.cap;
    Client::bind_for(endpoint.addr(), wanted).await
}

async fn bind_on(osnode: u64, name: &str) -> Result<Client, PeerError> {
    let name = Name::new(name).ok_or(NOT_FOUND)?;
    let own = Notification::new()?;
    let names = NamesClient(Client::names().await?);
    let bound = names.bind_ump(osnode, name, own.channel()).await?;
    let channel = UmpChannel::open(bound.frame, bound.bytes, Side::A, Some(own))?;
    let client = Client::over_ump(channel.clone());
    client.outbox().set_binding(bound.bind);
    if let Some(notify) = names.ump_notify(bound.bind).await?.notify {
        channel.set_notify(notify);
    }
    Ok(client)
}

/// Gives a binding up once nothing is queued for it any more.
pub async fn close(outbox: Rc<Outbox>, bind: u64) {
    outbox.drained().await;
    // The monitor gives the Frame to others.
    if let Some(channel) = outbox.channel() {
        channel.leave_for_good();
    }
    drop(outbox);
    if let Ok(names) = Client::names().await {
        // The monitor notices the closed channel anyway.
        let _ = NamesClient(names).ump_close(bind).await;
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proto::Versions;

    use super::*;

    #[test]
    fn errors_name_the_service_and_the_osnode() {
        let text = |cause| failed("tally", Some(7), cause).to_string();
        let refused = |e| text(PeerError::Refused(e));
        assert_eq!(
            refused(ServiceError::NotFound),
            "OSnode o7 has no service \"tally\""
        );
        assert_eq!(
            refused(ServiceError::OsnodeGone),
            "OSnode o7 is gone, and service \"tally\" with it"
        );
        assert_eq!(
            refused(ServiceError::TryLater(12)),
            "OSnode o7 with service \"tally\" does not run now: try again later (view 12)"
        );
        assert_eq!(
            refused(ServiceError::TableFull),
            "service \"tally\" of OSnode o7: a table of the service is full"
        );
        let versions = Versions {
            interface: "Tally",
            service: 1,
            program: 2,
        };
        assert_eq!(
            text(PeerError::Version(versions)),
            "service \"tally\" of OSnode o7 speaks version 1 of interface Tally, \
             this program version 2: rebuild the service, and start it again"
        );
        assert_eq!(
            failed("a name that is far too long", Some(7), PeerError::Gone).to_string(),
            "service \"a name that is f\" of OSnode o7: the service is gone"
        );
    }
}

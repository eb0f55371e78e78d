//! Services that outlive their processes.

use core::cell::RefCell;
use core::marker::PhantomData;

use proto::{CallError, Interface, PeerError};

use super::Client;
use crate::time;

/// How long a service that ended may take until it is there again (ns of system time).
const AGAIN_NS: u64 = 5_000_000_000;
/// How often a question may be asked that ends the service: one that always does is not to be the end of its OSnode, too.
const LIVES: u32 = 3;
/// Who was served for so long did not end by the question (ns of system time).
const LONG_NS: u64 = 1_000_000_000;

/// A service of the interface `I` by its name: bound to when it is needed, and anew when it ended.
#[derive(Debug)]
pub struct Lasting<I> {
    name: &'static str,
    /// Told of each new connection.
    told: fn(&Client),
    bound: RefCell<Option<Client>>,
    interface: PhantomData<I>,
}

impl<I: Interface> Lasting<I> {
    /// The service with this name, which may not be there yet. `told` hears of each new connection.
    #[must_use]
    pub const fn new(name: &'static str, told: fn(&Client)) -> Lasting<I> {
        Lasting {
            name,
            told,
            bound: RefCell::new(None),
            interface: PhantomData,
        }
    }

    /// As [`Lasting::new`]; waits until it is there.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn open(name: &'static str, told: fn(&Client)) -> Result<Lasting<I>, PeerError> {
        let service = Lasting::new(name, told);
        service.bind(service.lookup().await?);
        Ok(service)
    }

    async fn lookup(&self) -> Result<Client, PeerError> {
        Ok(Client::lookup_for(self.name, Some(I::ID)).await?)
    }

    fn bind(&self, client: Client) {
        (self.told)(&client);
        let old = self.bound.replace(Some(client));
        drop(old);
    }

    /// A connection; one that ended is made anew, which may take a while.
    ///
    /// # Errors
    /// [`PeerError`]; `TimedOut` when nobody takes the name.
    pub async fn client(&self) -> Result<I::Client<Client>, PeerError> {
        let known = self.bound.borrow().clone();
        if let Some(client) = known.filter(|c| c.ping().is_ok()) {
            return Ok(I::client(client));
        }
        let until = time::system_ns().saturating_add(AGAIN_NS);
        let found = time::system_timeout(until, self.lookup()).await;
        let client = found.ok_or(PeerError::TimedOut)??;
        self.bind(client.clone());
        Ok(I::client(client))
    }

    /// Asks something that may be asked twice: the next one, when the service ends before it answers.
    ///
    /// # Errors
    /// What it says; as [`Lasting::client`].
    pub async fn ask<T>(
        &self,
        ask: impl AsyncFn(I::Client<Client>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut again = Again::new();
        loop {
            match ask(self.client().await?).await {
                Err(CallError::Peer(PeerError::Gone)) if again.may() => {}
                done => return done,
            }
        }
    }
}

/// Whether a question may be asked again that a service ended with.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    lives: u32,
    since_ns: u64,
}

impl Again {
    /// It is asked for the first time.
    #[must_use]
    pub fn new() -> Again {
        Again {
            lives: LIVES,
            since_ns: time::system_ns(),
        }
    }

    /// The service ended before it answered.
    pub fn may(&mut self) -> bool {
        let now = time::system_ns();
        if now.saturating_sub(self.since_ns) > LONG_NS {
            self.lives = LIVES;
        }
        self.since_ns = now;
        self.lives -= 1;
        self.lives > 0
    }
}

impl Default for Again {
    fn default() -> Again {
        Again::new()
    }
}

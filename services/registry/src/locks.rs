//! Locks, semaphores and barriers: who holds, who waits, in the order in which they came.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::ServiceError;

use crate::{ClientId, Refusal, Ticket};

/// Most locks and barriers that one connection holds or waits for.
pub const CLIENT_LOCKS: usize = 32;
/// Most holders of a semaphore and parties of a barrier.
pub const MAX_PARTIES: u32 = 1024;

/// A lock that somebody holds; a free one is not kept.
#[derive(Debug)]
struct Lock {
    places: u32,
    holders: Vec<ClientId>,
    waiting: VecDeque<(ClientId, Ticket)>,
}

impl Lock {
    fn concerns(&self, client: ClientId) -> bool {
        self.holders.contains(&client) || self.waiting.iter().any(|(c, _)| *c == client)
    }

    /// Gives free places to who waits longest.
    fn grant(&mut self, granted: &mut Vec<Ticket>) {
        while self.holders.len() < self.places as usize {
            let Some((client, ticket)) = self.waiting.pop_front() else {
                return;
            };
            self.holders.push(client);
            granted.push(ticket);
        }
    }
}

#[derive(Debug)]
struct Barrier {
    parties: u32,
    waiting: Vec<(ClientId, Ticket)>,
}

/// What giving back leads to.
#[derive(PartialEq, Eq, Default, Debug)]
pub struct Released {
    /// Whose turn it is now.
    pub granted: Vec<Ticket>,
    /// A request of the same client that is waited for no longer.
    pub withdrawn: Option<Ticket>,
}

/// All locks and barriers that somebody holds or waits for.
#[derive(Default, Debug)]
pub struct Locks {
    locks: BTreeMap<String, Lock>,
    barriers: BTreeMap<String, Barrier>,
}

fn refusal<T>(error: ServiceError, text: String) -> Result<T, Refusal> {
    Err((error, text))
}

impl Locks {
    fn ensure_room(&self, client: ClientId) -> Result<(), Refusal> {
        let locks = self.locks.values().filter(|l| l.concerns(client)).count();
        let at = |b: &&Barrier| b.waiting.iter().any(|(c, _)| *c == client);
        let barriers = self.barriers.values().filter(at).count();
        if locks + barriers >= CLIENT_LOCKS {
            let text =
                format!("a connection may hold {CLIENT_LOCKS} locks and barriers: give one back");
            return refusal(ServiceError::TableFull, text);
        }
        Ok(())
    }

    /// Takes a place of a lock: true = now, false = `ticket` is granted later.
    ///
    /// # Errors
    /// The client holds it or waits for it already, others count its places otherwise, or it
    /// would have to wait and does not want to.
    pub fn acquire(
        &mut self,
        client: ClientId,
        name: &str,
        places: u32,
        at_once: bool,
        ticket: Ticket,
    ) -> Result<bool, Refusal> {
        ensure_number(places, "places")?;
        if let Some(lock) = self.locks.get(name) {
            if lock.concerns(client) {
                let text = format!("this connection holds lock {name} already, or waits for it");
                return refusal(ServiceError::Exists, text);
            }
            if lock.places != places {
                let text = format!("lock {name} has {} places, not {places}", lock.places);
                return refusal(ServiceError::BadArgument, text);
            }
        }
        self.ensure_room(client)?;
        let lock = self.locks.entry(name.to_string()).or_insert_with(|| Lock {
            places,
            holders: Vec::new(),
            waiting: VecDeque::new(),
        });
        if lock.holders.len() < places as usize {
            lock.holders.push(client);
            return Ok(true);
        }
        if at_once {
            return refusal(ServiceError::Busy, format!("lock {name} is held"));
        }
        lock.waiting.push_back((client, ticket));
        Ok(false)
    }

    /// Gives a place back, or waits for it no longer.
    ///
    /// # Errors
    /// The client has nothing to do with that lock.
    pub fn release(&mut self, client: ClientId, name: &str) -> Result<Released, Refusal> {
        let concerned = self.locks.get_mut(name).filter(|l| l.concerns(client));
        let Some(lock) = concerned else {
            let text = format!("this connection does not hold lock {name}");
            return refusal(ServiceError::NotFound, text);
        };
        let mut released = Released::default();
        lock.holders.retain(|c| *c != client);
        let place = lock.waiting.iter().position(|(c, _)| *c == client);
        let withdrawn = place.and_then(|p| lock.waiting.remove(p));
        released.withdrawn = withdrawn.map(|(_, ticket)| ticket);
        lock.grant(&mut released.granted);
        if lock.holders.is_empty() {
            self.locks.remove(name);
        }
        Ok(released)
    }

    /// Comes to a barrier: everybody who may pass now.
    ///
    /// # Errors
    /// The client waits there already, or others count the parties otherwise.
    pub fn arrive(
        &mut self,
        client: ClientId,
        name: &str,
        parties: u32,
        ticket: Ticket,
    ) -> Result<Vec<Ticket>, Refusal> {
        ensure_number(parties, "parties")?;
        if let Some(barrier) = self.barriers.get(name) {
            if barrier.waiting.iter().any(|(c, _)| *c == client) {
                let text = format!("this connection waits at barrier {name} already");
                return refusal(ServiceError::Exists, text);
            }
            if barrier.parties != parties {
                let text = format!(
                    "barrier {name} is for {} parties, not {parties}",
                    barrier.parties
                );
                return refusal(ServiceError::BadArgument, text);
            }
        }
        self.ensure_room(client)?;
        let barrier = self.barriers.entry(name.to_string());
        let barrier = barrier.or_insert_with(|| Barrier {
            parties,
            waiting: Vec::new(),
        });
        barrier.waiting.push((client, ticket));
        if barrier.waiting.len() < parties as usize {
            return Ok(Vec::new());
        }
        let all = self.barriers.remove(name).map(|b| b.waiting);
        let all = all.unwrap_or_default();
        Ok(all.into_iter().map(|(_, ticket)| ticket).collect())
    }

    /// A connection ended: whose turn it is now.
    pub fn closed(&mut self, client: ClientId) -> Vec<Ticket> {
        let mut granted = Vec::new();
        for lock in self.locks.values_mut() {
            lock.holders.retain(|c| *c != client);
            lock.waiting.retain(|(c, _)| *c != client);
            lock.grant(&mut granted);
        }
        self.locks.retain(|_, l| !l.holders.is_empty());
        for barrier in self.barriers.values_mut() {
            barrier.waiting.retain(|(c, _)| *c != client);
        }
        self.barriers.retain(|_, b| !b.waiting.is_empty());
        granted
    }

    /// Whether somebody waits for what another connection holds.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        self.locks.values().any(|l| !l.waiting.is_empty())
    }

    /// Names an invariant that does not hold, if one does not.
    ///
    /// # Errors
    /// Its name.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        for lock in self.locks.values() {
            if lock.holders.is_empty() || lock.holders.len() > lock.places as usize {
                return Err("LOCK-HOLDERS");
            }
            if !lock.waiting.is_empty() && lock.holders.len() < lock.places as usize {
                return Err("LOCK-IDLE-PLACE");
            }
        }
        let full = |b: &Barrier| b.waiting.len() >= b.parties as usize;
        match self.barriers.values().any(full) {
            true => Err("BARRIER-FULL"),
            false => Ok(()),
        }
    }
}

fn ensure_number(n: u32, what: &str) -> Result<(), Refusal> {
    if n == 0 || n > MAX_PARTIES {
        let text = format!("{n} {what} are not 1 to {MAX_PARTIES}");
        return refusal(ServiceError::BadArgument, text);
    }
    Ok(())
}

//! Who is told what: watches, and a bounded queue of events for each client.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use proto::ServiceError;
use proto::iface::registry::{EventKind, WatchOn};

use crate::language::{Query, Record};
use crate::store::Change;
use crate::{ClientId, Refusal, Ticket};

/// Most watches of one connection.
pub const CLIENT_WATCHES: usize = 16;
/// Most events that wait for one connection to take them.
pub const CLIENT_EVENTS: usize = 64;

/// An event for a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Whose; 0: of all watches of the client.
    pub watch: u64,
    /// What.
    pub kind: EventKind,
    /// Version of the change, or how many events were lost.
    pub version: u64,
    /// The record.
    pub record: Option<Rc<Record>>,
}

#[derive(Debug)]
struct Watch {
    client: ClientId,
    query: Query,
    on: WatchOn,
    once: bool,
}

/// What a client has not taken yet, and its question for the next event.
#[derive(Default, Debug)]
struct Queue {
    events: VecDeque<Event>,
    asking: Option<Ticket>,
}

impl Queue {
    /// Enters an event, or counts it as lost; who asks gets it at once.
    fn push(&mut self, event: Event, told: &mut Vec<(Ticket, Event)>) {
        if let Some(ticket) = self.asking.take() {
            // Nobody asks while an event waits.
            told.push((ticket, event));
            return;
        }
        if self.events.len() < CLIENT_EVENTS {
            return self.events.push_back(event);
        }
        match self.events.back_mut() {
            Some(last) if last.kind == EventKind::Lost => last.version += 1,
            _ => self.events.push_back(Event {
                watch: 0,
                kind: EventKind::Lost,
                version: 1,
                record: None,
            }),
        }
    }
}

/// All watches.
#[derive(Default, Debug)]
pub struct Watches {
    watches: BTreeMap<u64, Watch>,
    queues: BTreeMap<ClientId, Queue>,
    last: u64,
}

impl Watches {
    /// Sets a watch; its number.
    ///
    /// # Errors
    /// The client has too many.
    pub fn add(
        &mut self,
        client: ClientId,
        query: Query,
        on: WatchOn,
        once: bool,
    ) -> Result<u64, Refusal> {
        let own = self.watches.values().filter(|w| w.client == client);
        if own.count() >= CLIENT_WATCHES {
            let text = format!("a connection may have {CLIENT_WATCHES} watches: end one");
            return Err((ServiceError::TableFull, text));
        }
        self.last += 1;
        let watch = Watch {
            client,
            query,
            on,
            once,
        };
        self.watches.insert(self.last, watch);
        Ok(self.last)
    }

    /// Ends a watch and drops its events.
    ///
    /// # Errors
    /// The client has no such watch.
    pub fn remove(&mut self, client: ClientId, watch: u64) -> Result<(), Refusal> {
        let queue = self.queues.entry(client).or_default();
        let queued = queue.events.len();
        queue.events.retain(|e| e.watch != watch);
        let own = self.watches.get(&watch).is_some_and(|w| w.client == client);
        if own {
            self.watches.remove(&watch);
        }
        // One that was to tell once is gone already when its event waits.
        if own || queued != queue.events.len() {
            return Ok(());
        }
        let text = format!("this connection has no watch {watch}");
        Err((ServiceError::NotFound, text))
    }

    /// Tells one watch of a record that is there already.
    pub fn present(
        &mut self,
        watch: u64,
        record: &Rc<Record>,
        version: u64,
    ) -> Vec<(Ticket, Event)> {
        let kind = EventKind::Set;
        self.deliver(&[(watch, kind)], record, version)
    }

    /// Whether a watch is still there: one that tells once goes with its event.
    #[must_use]
    pub fn is_set(&self, watch: u64) -> bool {
        self.watches.contains_key(&watch)
    }

    /// Tells of a change; events for clients that ask are returned.
    pub fn tell(&mut self, change: &Change) -> Vec<(Ticket, Event)> {
        let fits = |r: &Option<Rc<Record>>, q: &Query| r.as_ref().is_some_and(|r| q.is_match(r));
        let mut concerned = Vec::new();
        for (number, w) in &self.watches {
            let after = fits(&change.new, &w.query);
            let kind = match (after, change.new.is_some()) {
                (true, _) => EventKind::Set,
                (false, _) if !fits(&change.old, &w.query) => continue,
                (false, true) => EventKind::Leave,
                (false, false) => EventKind::Delete,
            };
            let wanted = match w.on {
                WatchOn::Both => true,
                WatchOn::Set => kind == EventKind::Set,
                WatchOn::Delete => kind != EventKind::Set,
            };
            if wanted {
                concerned.push((*number, kind));
            }
        }
        match change.new.as_ref().or(change.old.as_ref()) {
            Some(record) => self.deliver(&concerned, record, change.version),
            None => Vec::new(),
        }
    }

    fn deliver(
        &mut self,
        concerned: &[(u64, EventKind)],
        record: &Rc<Record>,
        version: u64,
    ) -> Vec<(Ticket, Event)> {
        let mut told = Vec::new();
        for (watch, kind) in concerned {
            let Some(w) = self.watches.get(watch) else {
                continue;
            };
            let (client, once) = (w.client, w.once);
            if once {
                self.watches.remove(watch);
            }
            let event = Event {
                watch: *watch,
                kind: *kind,
                version,
                record: Some(record.clone()),
            };
            let queue = self.queues.entry(client).or_default();
            queue.push(event, &mut told);
        }
        told
    }

    /// The next event of a client, now or when there is one.
    ///
    /// # Errors
    /// The client asked already, does not want to wait, or has nothing that it could be told of.
    pub fn next(
        &mut self,
        client: ClientId,
        at_once: bool,
        ticket: Ticket,
    ) -> Result<Option<Event>, Refusal> {
        let watches = self.watches.values().any(|w| w.client == client);
        let queue = self.queues.entry(client).or_default();
        if let Some(event) = queue.events.pop_front() {
            return Ok(Some(event));
        }
        if !watches {
            let text = String::from("this connection has no watch");
            return Err((ServiceError::End, text));
        }
        if at_once {
            return Err((ServiceError::NotFound, String::from("no event waits")));
        }
        if queue.asking.is_some() {
            let text = String::from("this connection waits for its next event already");
            return Err((ServiceError::Busy, text));
        }
        queue.asking = Some(ticket);
        Ok(None)
    }

    /// A question for the next event that can get none any more.
    pub fn stranded(&mut self, client: ClientId) -> Option<Ticket> {
        let watches = self.watches.values().any(|w| w.client == client);
        let queue = self.queues.get_mut(&client)?;
        queue.asking.take_if(|_| !watches)
    }

    /// A connection ended.
    pub fn closed(&mut self, client: ClientId) {
        self.queues.remove(&client);
        self.watches.retain(|_, w| w.client != client);
    }
}

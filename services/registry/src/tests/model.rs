//! The registry as simply as it can be said: lists, searched from the front.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proto::iface::registry::{EventKind, WatchOn};

use crate::language::{Query, Record, query, record};
use crate::{CLIENT_EVENTS, ClientId, Ticket};

/// What a client hears: of its own request, or of an earlier one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// These records, as text.
    Records(Vec<String>),
    /// So many.
    Count(u64),
    /// An event: what, and the record or how many.
    Event(EventKind, String),
}

struct Row {
    record: Record,
    ephemeral_of: Option<ClientId>,
}

struct Watch {
    client: ClientId,
    query: Query,
    on: WatchOn,
    once: bool,
}

/// See the module's text.
#[derive(Default)]
pub struct Model {
    rows: Vec<Row>,
    watches: Vec<Watch>,
    /// Every event not taken yet, of all clients; a lost one stands as none.
    events: Vec<(ClientId, Option<(EventKind, String)>)>,
    asking: Vec<(ClientId, Ticket)>,
    /// Every client at a lock: the first are its holders.
    locks: Vec<(String, ClientId, Ticket)>,
    barriers: Vec<(String, ClientId, Ticket)>,
    sequence: u64,
}

/// Places of every lock and parties of every barrier here.
pub const NUMBER: u32 = 2;

type Out = Vec<(Ticket, Heard)>;

impl Model {
    fn tell(&mut self, old: Option<&Record>, new: Option<&Record>, out: &mut Out) {
        let mut i = 0;
        while i < self.watches.len() {
            let w = &self.watches[i];
            let was = old.is_some_and(|r| w.query.is_match(r));
            let is = new.is_some_and(|r| w.query.is_match(r));
            let kind = match (was, is) {
                (_, true) => EventKind::Set,
                (true, false) if new.is_some() => EventKind::Leave,
                (true, false) => EventKind::Delete,
                (false, false) => {
                    i += 1;
                    continue;
                }
            };
            let (set, both) = (kind == EventKind::Set, w.on == WatchOn::Both);
            if !both && set != (w.on == WatchOn::Set) {
                i += 1;
                continue;
            }
            let (client, once) = (w.client, w.once);
            if once {
                self.watches.remove(i);
            } else {
                i += 1;
            }
            let text = new.or(old).map(ToString::to_string).unwrap_or_default();
            self.event(client, (kind, text), out);
        }
    }

    fn event(&mut self, client: ClientId, event: (EventKind, String), out: &mut Out) {
        if let Some(at) = self.asking.iter().position(|(c, _)| *c == client) {
            let (_, ticket) = self.asking.remove(at);
            out.push((ticket, Heard::Event(event.0, event.1)));
            return;
        }
        let own = || self.events.iter().filter(|(c, _)| *c == client);
        // A run of lost events takes the place of one.
        let mut places = own().filter(|(_, e)| e.is_some()).count();
        let all: Vec<bool> = own().map(|(_, e)| e.is_none()).collect();
        places += all
            .iter()
            .enumerate()
            .filter(|(i, l)| **l && (*i == 0 || !all[i - 1]))
            .count();
        let full = places >= CLIENT_EVENTS;
        self.events.push((client, (!full).then_some(event)));
    }

    /// Sets a record.
    pub fn set(
        &mut self,
        client: ClientId,
        ticket: Ticket,
        text: &str,
        ephemeral: bool,
        sequential: bool,
    ) -> Out {
        let Ok(mut new) = record(text) else {
            return [(ticket, Heard::Refused)].into();
        };
        if sequential {
            self.sequence += 1;
            new.name = format!("{}{:010}", new.name, self.sequence);
        }
        let mut out = [(ticket, Heard::Done)].into();
        let at = self.rows.iter().position(|r| r.record.name == new.name);
        let old = at.map(|at| self.rows.remove(at).record);
        self.tell(old.as_ref(), Some(&new), &mut out);
        let ephemeral_of = ephemeral.then_some(client);
        self.rows.push(Row {
            record: new,
            ephemeral_of,
        });
        self.rows.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        out
    }

    /// Deletes.
    pub fn delete(&mut self, ticket: Ticket, text: &str) -> Out {
        let Ok(q) = query(text) else {
            return [(ticket, Heard::Refused)].into();
        };
        let gone: Vec<Record> = self
            .rows
            .iter()
            .map(|r| r.record.clone())
            .filter(|r| q.is_match(r))
            .collect();
        self.rows.retain(|r| !q.is_match(&r.record));
        let mut out = [(ticket, Heard::Count(gone.len() as u64))].into();
        for r in &gone {
            self.tell(Some(r), None, &mut out);
        }
        out
    }

    /// Finds.
    pub fn query(&self, ticket: Ticket, text: &str) -> Out {
        let Ok(q) = query(text) else {
            return [(ticket, Heard::Refused)].into();
        };
        let found = self.rows.iter().filter(|r| q.is_match(&r.record));
        let found = found.map(|r| r.record.to_string()).collect();
        [(ticket, Heard::Records(found))].into()
    }

    /// Watches.
    pub fn watch(
        &mut self,
        client: ClientId,
        ticket: Ticket,
        text: &str,
        on: WatchOn,
        once: bool,
        present: bool,
    ) -> Out {
        let Ok(q) = query(text) else {
            return [(ticket, Heard::Refused)].into();
        };
        let mut out = [(ticket, Heard::Done)].into();
        let fits = self.rows.iter().filter(|r| q.is_match(&r.record));
        let there: Vec<String> = fits.map(|r| r.record.to_string()).collect();
        let told = match present && on != WatchOn::Delete {
            false => 0,
            true if once => there.len().min(1),
            true => there.len(),
        };
        for text in &there[..told] {
            self.event(client, (EventKind::Set, text.clone()), &mut out);
        }
        if !(once && told > 0) {
            self.watches.push(Watch {
                client,
                query: q,
                on,
                once,
            });
        }
        out
    }

    /// The next event.
    pub fn next(&mut self, client: ClientId, ticket: Ticket, at_once: bool) -> Out {
        if let Some(at) = self.events.iter().position(|(c, _)| *c == client) {
            if let (_, Some((kind, text))) = self.events.remove(at) {
                return [(ticket, Heard::Event(kind, text))].into();
            }
            // Lost events are told of together.
            let mut lost = 1u64;
            while let Some(at) = self.events.iter().position(|(c, _)| *c == client)
                && self.events[at].1.is_none()
            {
                self.events.remove(at);
                lost += 1;
            }
            return [(ticket, Heard::Event(EventKind::Lost, lost.to_string()))].into();
        }
        let watches = self.watches.iter().any(|w| w.client == client);
        let asks = self.asking.iter().any(|(c, _)| *c == client);
        if !watches || asks || at_once {
            return [(ticket, Heard::Refused)].into();
        }
        self.asking.push((client, ticket));
        Vec::new()
    }

    fn holders(&self, name: &str) -> Vec<Ticket> {
        let at = self.locks.iter().filter(|(n, ..)| n == name);
        at.take(NUMBER as usize).map(|(_, _, t)| *t).collect()
    }

    /// Comes to a lock.
    pub fn lock(&mut self, client: ClientId, ticket: Ticket, name: &str, at_once: bool) -> Out {
        let there = self.locks.iter().any(|(n, c, _)| n == name && *c == client);
        let full = self.holders(name).len() >= NUMBER as usize;
        if there || (full && at_once) {
            return [(ticket, Heard::Refused)].into();
        }
        self.locks.push((name.into(), client, ticket));
        match full {
            true => Vec::new(),
            false => [(ticket, Heard::Done)].into(),
        }
    }

    /// Leaves a lock.
    pub fn unlock(&mut self, client: ClientId, ticket: Ticket, name: &str) -> Out {
        let before = self.holders(name);
        let Some(at) = self
            .locks
            .iter()
            .position(|(n, c, _)| n == name && *c == client)
        else {
            return [(ticket, Heard::Refused)].into();
        };
        let (_, _, own) = self.locks.remove(at);
        let mut out: Out = [(ticket, Heard::Done)].into();
        let now = self
            .holders(name)
            .into_iter()
            .filter(|t| !before.contains(t));
        out.extend(now.map(|t| (t, Heard::Done)));
        if !before.contains(&own) {
            out.push((own, Heard::Refused));
        }
        out
    }

    /// Comes to a barrier.
    pub fn barrier(&mut self, client: ClientId, ticket: Ticket, name: &str) -> Out {
        if self
            .barriers
            .iter()
            .any(|(n, c, _)| n == name && *c == client)
        {
            return [(ticket, Heard::Refused)].into();
        }
        self.barriers.push((name.into(), client, ticket));
        let there = self.barriers.iter().filter(|(n, ..)| n == name);
        let all: Vec<Ticket> = there.map(|(_, _, t)| *t).collect();
        if all.len() < NUMBER as usize {
            return Vec::new();
        }
        self.barriers.retain(|(n, ..)| n != name);
        all.into_iter().map(|t| (t, Heard::Done)).collect()
    }

    /// A client is gone.
    pub fn closed(&mut self, client: ClientId) -> Out {
        let mut out = Vec::new();
        let names: Vec<String> = self.locks.iter().map(|(n, ..)| n.clone()).collect();
        let before: Vec<Ticket> = names.iter().flat_map(|n| self.holders(n)).collect();
        self.locks.retain(|(_, c, _)| *c != client);
        for name in names {
            let now = self.holders(&name).into_iter();
            for t in now.filter(|t| !before.contains(t)) {
                if !out.contains(&(t, Heard::Done)) {
                    out.push((t, Heard::Done));
                }
            }
        }
        self.barriers.retain(|(_, c, _)| *c != client);
        self.watches.retain(|w| w.client != client);
        self.events.retain(|(c, _)| *c != client);
        self.asking.retain(|(c, _)| *c != client);
        let own = |r: &Row| r.ephemeral_of == Some(client);
        let gone: Vec<Record> = self
            .rows
            .iter()
            .filter(|r| own(r))
            .map(|r| r.record.clone())
            .collect();
        self.rows.retain(|r| !own(r));
        for r in &gone {
            self.tell(Some(r), None, &mut out);
        }
        out
    }
}

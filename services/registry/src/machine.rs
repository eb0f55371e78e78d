//! Requests in, answers out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use journal::{Counters, Note};
use proto::iface::registry::{RegistryReply, RegistryRequest, WatchOn};
use proto::{Pid, ServiceError};

use crate::language::{self, ParseError};
use crate::locks::Locks;
use crate::store::{Change, How, Store, missing};
use crate::watches::{Event, Watches};
use crate::{ClientId, Refusal, Ticket};

/// Most connections that are served at a time.
pub const MAX_CLIENTS: usize = 128;
/// Most bytes of records in one answer.
const MAX_PAGE: usize = 6 * 1024;

/// An answer to a request, at once or later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// To which.
    pub ticket: Ticket,
    /// The message.
    pub reply: RegistryReply,
    /// Its blob.
    pub text: String,
}

/// What a request leads to: an answer to itself, unless that comes later, and answers to others.
struct Done {
    reply: Option<(RegistryReply, String)>,
    others: Vec<Answer>,
}

impl Done {
    fn reply(reply: RegistryReply, text: String) -> Done {
        Done {
            reply: Some((reply, text)),
            others: Vec::new(),
        }
    }
    fn plain(reply: RegistryReply) -> Done {
        Done::reply(reply, String::new())
    }
    fn later() -> Done {
        Done {
            reply: None,
            others: Vec::new(),
        }
    }
    fn with(mut self, others: Vec<Answer>) -> Done {
        self.others = others;
        self
    }
}

/// The registry.
#[derive(Default, Debug)]
pub struct Registry {
    store: Store,
    watches: Watches,
    locks: Locks,
    clients: BTreeSet<ClientId>,
    attached: BTreeMap<ClientId, Pid>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// What a journal says; nobody watches, and no lock is held.
    #[must_use]
    pub fn restore(notes: &[Note], counters: Counters) -> Registry {
        Registry {
            store: Store::restore(notes, counters),
            ..Registry::default()
        }
    }

    /// What happened to records since the last call, for the journal.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.store.take_notes()
    }

    /// How far versions and sequential names have come.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.store.counters()
    }

    /// Every record that outlives the process.
    #[must_use]
    pub fn lasting(&self) -> Vec<Note> {
        self.store.lasting()
    }

    /// Takes a request with its blob; every answer that is due now.
    pub fn ask(
        &mut self,
        client: ClientId,
        ticket: Ticket,
        request: &RegistryRequest,
        text: &str,
    ) -> Vec<Answer> {
        let known = self.clients.contains(&client);
        let done = if !known && !client.is_system() && self.clients.len() >= MAX_CLIENTS {
            let text = format!("the registry serves {MAX_CLIENTS} connections: try again later");
            Err((ServiceError::TableFull, text))
        } else {
            self.clients.insert(client);
            self.serve(client, ticket, request, text)
        };
        let done = done.unwrap_or_else(|(error, text)| {
            let reply = RegistryReply::Refused { error };
            Done::reply(reply, text)
        });
        let mut answers = done.others;
        if let Some((reply, text)) = done.reply {
            let own = Answer {
                ticket,
                reply,
                text,
            };
            // Who asked is answered before others hear what came of it.
            answers.insert(0, own);
        }
        answers
    }

    fn serve(
        &mut self,
        client: ClientId,
        ticket: Ticket,
        request: &RegistryRequest,
        text: &str,
    ) -> Result<Done, Refusal> {
        match *request {
            RegistryRequest::Set {
                mode,
                ephemeral,
                sequential,
                version,
            } => {
                let how = How {
                    mode,
                    ephemeral,
                    sequential,
                    version,
                };
                self.set(client, how, text)
            }
            RegistryRequest::Get {} => self.get(text),
            RegistryRequest::Delete {} => self.delete(client, text),
            RegistryRequest::Query {} => self.query(text),
            RegistryRequest::Count {} => {
                let query = language::query(text).map_err(malformed)?;
                let count = self.store.find(&query, None).count() as u64;
                Ok(Done::plain(RegistryReply::Counted { count }))
            }
            RegistryRequest::Watch { on, once, present } => {
                self.watch(client, on, once, present, text)
            }
            RegistryRequest::Unwatch { watch } => self.unwatch(client, watch),
            RegistryRequest::Next { at_once } => {
                Ok(match self.watches.next(client, at_once, ticket)? {
                    Some(event) => event_reply(event),
                    None => Done::later(),
                })
            }
            RegistryRequest::Lock { places, at_once } => {
                let name = language::name(text).map_err(malformed)?;
                let now = self.locks.acquire(client, &name, places, at_once, ticket)?;
                Ok(match now {
                    true => Done::plain(RegistryReply::Locked {}),
                    false => Done::later(),
                })
            }
            RegistryRequest::Unlock {} => self.unlock(client, text),
            RegistryRequest::Barrier { parties } => {
                let name = language::name(text).map_err(malformed)?;
                let passed = self.locks.arrive(client, &name, parties, ticket)?;
                let passed = passed.into_iter();
                let passed = passed.map(|t| plain(t, RegistryReply::Passed {}));
                Ok(Done::later().with(passed.collect()))
            }
            RegistryRequest::Attach { pid } => {
                self.attached.insert(client, pid);
                Ok(Done::plain(RegistryReply::Done {}))
            }
            RegistryRequest::Ended { pid } if client.is_system() => {
                let others = self.ended(pid);
                Ok(Done::plain(RegistryReply::Done {}).with(others))
            }
            RegistryRequest::Ended { .. } => {
                let text = String::from("only spawn services know who ended");
                Err((ServiceError::BadOperation, text))
            }
        }
    }

    fn set(&mut self, client: ClientId, how: How, text: &str) -> Result<Done, Refusal> {
        let record = language::record(text).map_err(malformed)?;
        let change = self.store.set(client, how, record)?;
        let name = change.new.as_ref().map(|r| r.name.clone());
        let version = change.version;
        let others = self.tell(&[change]);
        let reply = RegistryReply::Stored { version };
        Ok(Done::reply(reply, name.unwrap_or_default()).with(others))
    }

    fn get(&self, text: &str) -> Result<Done, Refusal> {
        let name = language::name(text).map_err(malformed)?;
        let found = self.store.get(&name).ok_or_else(|| missing(&name))?;
        let version = found.version;
        let reply = RegistryReply::Record { version };
        Ok(Done::reply(reply, found.record.to_string()))
    }

    fn delete(&mut self, client: ClientId, text: &str) -> Result<Done, Refusal> {
        let query = language::query(text).map_err(malformed)?;
        let changes = self.store.delete(client, &query)?;
        let count = changes.len() as u64;
        let others = self.tell(&changes);
        Ok(Done::plain(RegistryReply::Deleted { count }).with(others))
    }

    fn query(&self, text: &str) -> Result<Done, Refusal> {
        let (query, after) = match text.split_once('\0') {
            Some((query, after)) => (query, Some(after)),
            None => (text, None),
        };
        let query = language::query(query).map_err(malformed)?;
        let (mut page, mut count, mut more) = (String::new(), 0, false);
        for found in self.store.find(&query, after) {
            let line = found.record.to_string();
            if page.len() + line.len() >= MAX_PAGE {
                more = true;
                break;
            }
            page.push_str(&line);
            page.push('\n');
            count += 1;
        }
        Ok(Done::reply(RegistryReply::Records { count, more }, page))
    }

    fn watch(
        &mut self,
        client: ClientId,
        on: WatchOn,
        once: bool,
        present: bool,
        text: &str,
    ) -> Result<Done, Refusal> {
        let query = language::query(text).map_err(malformed)?;
        let there: Vec<_> = match present && on != WatchOn::Delete {
            true => self.store.find(&query, None).cloned().collect(),
            false => Vec::new(),
        };
        let watch = self.watches.add(client, query, on, once)?;
        let mut told = Vec::new();
        for found in there {
            if self.watches.is_set(watch) {
                let events = self.watches.present(watch, &found.record, found.version);
                told.extend(events);
            }
        }
        let others = events(told);
        Ok(Done::plain(RegistryReply::Watching { watch }).with(others))
    }

    fn unwatch(&mut self, client: ClientId, watch: u64) -> Result<Done, Refusal> {
        self.watches.remove(client, watch)?;
        let stranded = self.watches.stranded(client).map(|ticket| Answer {
            ticket,
            reply: RegistryReply::Refused {
                error: ServiceError::End,
            },
            text: String::from("its last watch ended"),
        });
        let others = stranded.into_iter().collect();
        Ok(Done::plain(RegistryReply::Done {}).with(others))
    }

    fn unlock(&mut self, client: ClientId, text: &str) -> Result<Done, Refusal> {
        let name = language::name(text).map_err(malformed)?;
        let released = self.locks.release(client, &name)?;
        let mut others = granted(released.granted);
        others.extend(released.withdrawn.map(|ticket| Answer {
            ticket,
            reply: RegistryReply::Refused {
                error: ServiceError::Undone,
            },
            text: format!("lock {name} is waited for no longer"),
        }));
        Ok(Done::plain(RegistryReply::Done {}).with(others))
    }

    fn tell(&mut self, changes: &[Change]) -> Vec<Answer> {
        let told = changes.iter().flat_map(|c| self.watches.tell(c));
        events(told.collect())
    }

    /// A process ended: its connections that said so do.
    fn ended(&mut self, pid: Pid) -> Vec<Answer> {
        let of = self.attached.iter().filter(|(_, p)| **p == pid);
        let of: Vec<ClientId> = of.map(|(c, _)| *c).collect();
        of.into_iter().flat_map(|c| self.closed(c)).collect()
    }

    /// A connection ended: what it held is given on, what was its own goes.
    pub fn closed(&mut self, client: ClientId) -> Vec<Answer> {
        self.clients.remove(&client);
        self.attached.remove(&client);
        self.watches.closed(client);
        let changes = self.store.closed(client);
        let mut answers = granted(self.locks.closed(client));
        answers.extend(self.tell(&changes));
        answers
    }

    /// Whether somebody waits for what another connection holds: then it is worth looking whether
    /// that one is still there.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        self.locks.is_contended()
    }

    /// Names an invariant that does not hold, if one does not.
    ///
    /// # Errors
    /// Its name.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.store.check_invariants()?;
        self.locks.check_invariants()
    }
}

fn malformed(e: ParseError) -> Refusal {
    (ServiceError::BadArgument, e.to_string())
}

fn plain(ticket: Ticket, reply: RegistryReply) -> Answer {
    Answer {
        ticket,
        reply,
        text: String::new(),
    }
}

fn granted(tickets: Vec<Ticket>) -> Vec<Answer> {
    let tickets = tickets.into_iter();
    tickets
        .map(|t| plain(t, RegistryReply::Locked {}))
        .collect()
}

fn event_parts(event: Event) -> (RegistryReply, String) {
    let text = event.record.map_or_else(String::new, |r| r.to_string());
    let reply = RegistryReply::Event {
        watch: event.watch,
        kind: event.kind,
        version: event.version,
    };
    (reply, text)
}

fn event_reply(event: Event) -> Done {
    let (reply, text) = event_parts(event);
    Done::reply(reply, text)
}

fn events(told: Vec<(Ticket, Event)>) -> Vec<Answer> {
    let told = told.into_iter();
    told.map(|(ticket, event)| {
        let (reply, text) = event_parts(event);
        Answer {
            ticket,
            reply,
            text,
        }
    })
    .collect()
}

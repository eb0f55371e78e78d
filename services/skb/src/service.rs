//! What the knowledge base answers, apart from how messages come and go.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::ServiceError;
use proto::iface::skb::{MAX_CHUNK, Record, SkbReply, SkbRequest, Subject};

use crate::datalog::{Applied, Base, Changes, Error, Limits};
use crate::typed;

/// Most facts and patterns of a change that comes in parts.
const MAX_KEPT: usize = 65_536;
/// Most connections with an unfinished change.
const MAX_UNFINISHED: usize = 16;

/// A reply with its blob.
pub type Reply = (SkbReply, Vec<u8>);

/// Why not, with a sentence.
type Refusal = (ServiceError, String);

/// The knowledge base and the changes that it was told in part.
pub struct Service {
    base: Base,
    /// By connection.
    unfinished: BTreeMap<u32, Changes>,
    filled: bool,
    changes: u64,
}

impl Service {
    /// One that has the rules about machines, and no facts.
    ///
    /// # Errors
    /// The rules are wrong.
    pub fn new() -> Result<Self, Error> {
        let mut base = Base::new(Limits::default());
        base.load(crate::RULES)?;
        Ok(Self {
            base,
            unfinished: BTreeMap::new(),
            filled: false,
            changes: 0,
        })
    }

    /// Takes what was found out about the machine, all or nothing.
    ///
    /// # Errors
    /// See [`Base::apply`].
    pub fn apply(&mut self, changes: &Changes) -> Result<Applied, Error> {
        self.changes += 1;
        self.base.apply(changes)
    }

    /// How often it was told something: what follows may be another thing since.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The facts and rules.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Whether somebody told about this machine yet: questions before that would be answered
    /// wrongly.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.filled
    }

    /// A connection ended: what it told in part is dropped.
    pub fn closed(&mut self, connection: u32) {
        self.unfinished.remove(&connection);
    }

    /// Answers one request.
    pub fn take(&mut self, connection: u32, request: SkbRequest, blob: &[u8]) -> Reply {
        self.answer(connection, request, blob)
            .unwrap_or_else(|(error, why)| (SkbReply::Refused { error }, why.into_bytes()))
    }

    fn answer(
        &mut self,
        connection: u32,
        request: SkbRequest,
        blob: &[u8],
    ) -> Result<Reply, Refusal> {
        let text = || {
            let text = core::str::from_utf8(blob);
            text.map_err(|_| (ServiceError::BadMessage, "the text is not UTF-8".into()))
        };
        match request {
            SkbRequest::Ask { offset } => self.ask(text()?, offset),
            SkbRequest::Assert {} => {
                let mut changes = Changes::default();
                changes.assert_text(text()?).map_err(bad)?;
                self.apply(&changes).map(done).map_err(bad)
            }
            SkbRequest::Withdraw {} => {
                let mut changes = Changes::default();
                changes.withdraw_text(text()?).map_err(bad)?;
                self.apply(&changes).map(done).map_err(bad)
            }
            SkbRequest::Load {} => {
                self.changes += 1;
                self.base.load(text()?).map_err(bad)?;
                Ok(changed(0, 0))
            }
            SkbRequest::Change { more } => self.change(connection, text()?, more),
            SkbRequest::PlaceOf { subject, number } => {
                let found = typed::place_of(&self.base, subject, number);
                let place = found.ok_or_else(|| unknown(subject, number))?;
                let reply = SkbReply::Place {
                    node: place.node,
                    core: place.core,
                    osnode: place.osnode,
                };
                Ok((reply, Vec::new()))
            }
            SkbRequest::Distance { from, to } => {
                let found = typed::distance(&self.base, from, to);
                let distance = found.ok_or_else(|| {
                    let why = alloc::format!("node {from} cannot reach node {to}, or is not known");
                    (ServiceError::NotFound, why)
                })?;
                Ok((SkbReply::Distance { distance }, Vec::new()))
            }
            SkbRequest::Memories { subject, number } => {
                let found = typed::memories(&self.base, subject, number);
                let all = found.ok_or_else(|| unknown(subject, number))?;
                Ok(listed(&all, 0))
            }
            SkbRequest::Tree {
                subject,
                number,
                first,
            } => {
                let found = typed::tree(&self.base, subject, number);
                let all = found.ok_or_else(|| unknown(subject, number))?;
                Ok(listed(&all, first))
            }
            // Who may be kept waiting for it asks through [`crate::news::News`].
            SkbRequest::News { topic, .. } => {
                let version = typed::version(&self.base, topic);
                Ok((SkbReply::Version { version }, Vec::new()))
            }
        }
    }

    fn ask(&self, question: &str, offset: u64) -> Result<Reply, Refusal> {
        let found = self.base.ask(question).map_err(bad)?;
        let whole = found.to_string();
        let from = whole
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        let to = whole.len().min(from.saturating_add(MAX_CHUNK));
        let reply = SkbReply::Answer {
            rows: found.rows.len() as u64,
            bytes: whole.len() as u64,
        };
        Ok((reply, whole.as_bytes()[from..to].to_vec()))
    }

    /// A change, or a part of one. A part that is wrong takes those before it along.
    fn change(&mut self, connection: u32, text: &str, more: bool) -> Result<Reply, Refusal> {
        let mut changes = self.unfinished.remove(&connection).unwrap_or_default();
        let (withdrawn, asserted) = text.split_once('\0').unwrap_or((text, ""));
        for atom in withdrawn.lines().filter(|l| !l.trim().is_empty()) {
            changes.withdraw_text(atom).map_err(bad)?;
        }
        changes.assert_text(asserted).map_err(bad)?;
        if !more {
            let reply = self.apply(&changes).map(done).map_err(bad)?;
            self.filled = true;
            return Ok(reply);
        }
        if changes.withdrawn.len() + changes.asserted.len() > MAX_KEPT {
            let why = alloc::format!("a change of more than {MAX_KEPT} facts");
            return Err((ServiceError::BadArgument, why));
        }
        if self.unfinished.len() >= MAX_UNFINISHED {
            let why = "too many others have begun a change";
            return Err((ServiceError::Busy, why.into()));
        }
        self.unfinished.insert(connection, changes);
        Ok(changed(0, 0))
    }
}

fn bad(e: Error) -> Refusal {
    (ServiceError::BadArgument, e.to_string())
}

fn done(applied: Applied) -> Reply {
    changed(applied.asserted, applied.withdrawn)
}

fn changed(asserted: usize, withdrawn: usize) -> Reply {
    let reply = SkbReply::Changed {
        asserted: asserted as u64,
        withdrawn: withdrawn as u64,
    };
    (reply, Vec::new())
}

fn unknown(subject: Subject, number: u64) -> Refusal {
    let why = match subject {
        Subject::Core => alloc::format!("there is no core {number}, or nothing runs on it"),
        Subject::Osnode => alloc::format!("o{number} does not run"),
        Subject::Node => alloc::format!("there is no node {number}"),
    };
    (ServiceError::NotFound, why)
}

/// As many records from the `first` on as go in one answer.
fn listed<R: Record>(all: &[R], first: u64) -> Reply {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let mut blob = Vec::new();
    for record in all.iter().skip(first).take(MAX_CHUNK / R::BYTES) {
        record.write(&mut blob);
    }
    let count = all.len() as u64;
    (SkbReply::Listed { count }, blob)
}

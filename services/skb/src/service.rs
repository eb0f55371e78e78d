//! What the knowledge base answers, apart from how messages come and go.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::skb::{Answer, Changed, Distance, Listed, MAX_CHUNK, Place, Record, Subject};
use proto::{Refusal, ServiceError};

use crate::datalog::{Applied, Base, Changes, Error, Fact, Limits, Pattern};
use crate::{collect, typed};

/// Most facts and patterns of a change that comes in parts.
const MAX_KEPT: usize = 65_536;
/// Most connections with an unfinished change.
const MAX_UNFINISHED: usize = 16;

/// The knowledge base and the changes that it was told in part.
pub struct Service {
    base: Base,
    /// By connection.
    unfinished: BTreeMap<u32, Changes>,
    /// What was told in changes of how the machine is: nobody else withdraws it.
    told: BTreeSet<Fact>,
    /// Number of the rules about machines, which stay.
    own_rules: usize,
    /// What the log is to say.
    notes: Vec<String>,
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
        let own_rules = base.rules();
        Ok(Self {
            base,
            told: BTreeSet::new(),
            own_rules,
            notes: Vec::new(),
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

    /// Takes what the system tells. Loaded rules give way: one whose consequences do not fit is
    /// taken out, and a note says so.
    fn take(&mut self, changes: &Changes) -> Result<Applied, Error> {
        self.changes += 1;
        let (applied, out) = self.base.apply_before_rules(changes, self.own_rules)?;
        for (rule, why) in out {
            let note = alloc::format!(
                "the loaded rules of {rule} are taken out, since what the system tells would not fit: {why}"
            );
            self.notes.push(note);
        }
        self.told
            .retain(|f| !changes.withdrawn.iter().any(|p| fits(p, f)));
        let asserted = changes.asserted.iter();
        let of_system = asserted.filter(|f| collect::is_of_the_system(&f.name));
        self.told.extend(of_system.cloned());
        Ok(applied)
    }

    /// What the log is to say since the last time.
    pub fn notes(&mut self) -> Vec<String> {
        core::mem::take(&mut self.notes)
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

    /// Answers a question: text from byte `offset` on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn ask(&self, question: &[u8], offset: u64) -> Result<Answer, Refusal> {
        let found = self.base.ask(text(question)?).map_err(bad)?;
        let whole = found.to_string();
        let from = whole
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        let to = whole.len().min(from.saturating_add(MAX_CHUNK));
        Ok(Answer {
            rows: found.rows.len() as u64,
            bytes: whole.len() as u64,
            text: whole.as_bytes()[from..to].to_vec(),
        })
    }

    /// Asserts facts.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn assert(&mut self, facts: &[u8]) -> Result<Changed, Refusal> {
        let mut changes = Changes::default();
        changes.assert_text(text(facts)?).map_err(bad)?;
        self.apply(&changes).map(done).map_err(bad)
    }

    /// Withdraws the facts that fit an atom, but for what only the device manager knows.
    ///
    /// # Errors
    /// What is wrong with it; the fact that must stay.
    pub fn withdraw(&mut self, atom: &[u8]) -> Result<Changed, Refusal> {
        let mut changes = Changes::default();
        changes.withdraw_text(text(atom)?).map_err(bad)?;
        let stays = |f: &&Fact| changes.withdrawn.iter().any(|p| fits(p, f));
        if let Some(fact) = self.told.iter().find(stays) {
            let why = alloc::format!(
                "{fact} was told by the device manager, which alone withdraws it: name facts that were asserted by hand"
            );
            return Err(Refusal::new(ServiceError::BadArgument, why));
        }
        self.apply(&changes).map(done).map_err(bad)
    }

    /// Adds rules.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(&mut self, rules: &[u8]) -> Result<Changed, Refusal> {
        self.changes += 1;
        self.base.load(text(rules)?).map_err(bad)?;
        Ok(changed(0, 0))
    }

    /// Where a core or OSnode is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn place_of(&self, subject: Subject, number: u64) -> Result<Place, Refusal> {
        let found = typed::place_of(&self.base, subject, number);
        found.ok_or_else(|| unknown(subject, number))
    }

    /// The distance between two nodes.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn distance(&self, from: u32, to: u32) -> Result<Distance, Refusal> {
        let found = typed::distance(&self.base, from, to);
        let distance = found.ok_or_else(|| {
            let why = alloc::format!("node {from} cannot reach node {to}, or is not known");
            Refusal::new(ServiceError::NotFound, why)
        })?;
        Ok(Distance { distance })
    }

    /// The nodes with memory, nearest first.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn memories(&self, subject: Subject, number: u64) -> Result<Listed, Refusal> {
        let found = typed::memories(&self.base, subject, number);
        let all = found.ok_or_else(|| unknown(subject, number))?;
        Ok(listed(&all, 0))
    }

    /// The multicast tree, from its edge `first` on.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn tree(&self, subject: Subject, number: u64, first: u64) -> Result<Listed, Refusal> {
        let found = typed::tree(&self.base, subject, number);
        let all = found.ok_or_else(|| unknown(subject, number))?;
        Ok(listed(&all, first))
    }

    /// A change, or a part of one. A part that is wrong takes those before it along.
    ///
    /// # Errors
    /// What is wrong with it; `Busy`.
    pub fn change(&mut self, connection: u32, blob: &[u8], more: bool) -> Result<Changed, Refusal> {
        let mut changes = self.unfinished.remove(&connection).unwrap_or_default();
        let text = text(blob)?;
        let (withdrawn, asserted) = text.split_once('\0').unwrap_or((text, ""));
        for atom in withdrawn.lines().filter(|l| !l.trim().is_empty()) {
            changes.withdraw_text(atom).map_err(bad)?;
        }
        changes.assert_text(asserted).map_err(bad)?;
        if !more {
            let reply = self.take(&changes).map(done).map_err(bad)?;
            self.filled = true;
            return Ok(reply);
        }
        if changes.withdrawn.len() + changes.asserted.len() > MAX_KEPT {
            let why = alloc::format!("a change of more than {MAX_KEPT} facts");
            return Err(Refusal::new(ServiceError::BadArgument, why));
        }
        if self.unfinished.len() >= MAX_UNFINISHED {
            let why = "too many others have begun a change";
            return Err(Refusal::new(ServiceError::Busy, why));
        }
        self.unfinished.insert(connection, changes);
        Ok(changed(0, 0))
    }
}

fn text(blob: &[u8]) -> Result<&str, Refusal> {
    let text = core::str::from_utf8(blob);
    text.map_err(|_| Refusal::new(ServiceError::BadMessage, "the text is not UTF-8"))
}

fn fits(pattern: &Pattern, fact: &Fact) -> bool {
    let mut pairs = pattern.values.iter().zip(&fact.values);
    let same = pattern.name == fact.name && pattern.values.len() == fact.values.len();
    same && pairs.all(|(wanted, value)| wanted.as_ref().is_none_or(|w| w == value))
}

fn bad(e: Error) -> Refusal {
    Refusal::new(ServiceError::BadArgument, e.to_string())
}

fn done(applied: Applied) -> Changed {
    changed(applied.asserted, applied.withdrawn)
}

fn changed(asserted: usize, withdrawn: usize) -> Changed {
    Changed {
        asserted: asserted as u64,
        withdrawn: withdrawn as u64,
    }
}

fn unknown(subject: Subject, number: u64) -> Refusal {
    let why = match subject {
        Subject::Core => alloc::format!("there is no core {number}, or nothing runs on it"),
        Subject::Osnode => alloc::format!("o{number} does not run"),
        Subject::Node => alloc::format!("there is no node {number}"),
    };
    Refusal::new(ServiceError::NotFound, why)
}

/// As many records from the `first` on as go in one answer.
fn listed<R: Record>(all: &[R], first: u64) -> Listed {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    for record in all.iter().skip(first).take(MAX_CHUNK / R::BYTES) {
        record.write(&mut records);
    }
    let count = all.len() as u64;
    Listed { count, records }
}

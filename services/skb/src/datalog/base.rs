//! The facts, what follows from them, and what may be done to them.

use super::ast::Clause;
use super::changes::{Applied, Changes, Fact, Pattern, check};
use super::error::Error;
use super::eval::{self, Plans};
use super::head::row_bytes;
use super::meter::{Limits, Meter, Work};
use super::parser::{parse, parse_question};
use super::plan::{Span, plan};
use super::relation::{Relation, Row};
use super::schema::Schema;
use super::value::Value;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most rules of a base, and most literals in all their bodies: planning is not metered.
const MAX_RULES: usize = 1024;
const MAX_ALL_LITERALS: usize = 4096;

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Names of the columns: the question's variables in order of appearance, or the terms of its
    /// head by number.
    pub columns: Vec<String>,
    /// Distinct rows, sorted.
    pub rows: Vec<Vec<Value>>,
    /// What it took.
    pub work: Work,
}

impl core::fmt::Display for Answer {
    /// A line with the columns' names, then a line for each row; values separated by tabs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, column) in self.columns.iter().enumerate() {
            let tab = if i == 0 { "" } else { "\t" };
            write!(f, "{tab}{column}")?;
        }
        f.write_str("\n")?;
        for row in &self.rows {
            for (i, value) in row.iter().enumerate() {
                let tab = if i == 0 { "" } else { "\t" };
                write!(f, "{tab}{value}")?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// What is known of a predicate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PredicateInfo {
    /// Its name.
    pub name: Rc<str>,
    /// Number of its arguments.
    pub arity: usize,
    /// Their names, if it is an input.
    pub arguments: Vec<String>,
    /// Whether rules define it.
    pub derived: bool,
    /// How many facts there are now, derived ones included.
    pub rows: usize,
}

/// Rows with the numbers of their predicates.
type Rows = BTreeSet<(usize, Row)>;

/// Heads of rules that were taken out, and why each was.
pub type TakenOut = Vec<(Rc<str>, Error)>;

/// A knowledge base.
pub struct Base {
    limits: Limits,
    schema: Schema,
    /// By predicate: what was asserted.
    facts: Vec<BTreeSet<Row>>,
    /// By predicate: all that holds.
    relations: Vec<Relation>,
}

impl Base {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            schema: Schema::default(),
            facts: Vec::new(),
            relations: Vec::new(),
        }
    }

    /// Adds the clauses of a program.
    ///
    /// # Errors
    /// A program that is wrong, or that derives more than the limits allow; nothing has changed.
    pub fn load(&mut self, text: &str) -> Result<Work, Error> {
        let clauses = parse(text)?;
        let mut schema = self.schema.clone();
        schema.names.define_all(&clauses)?;
        let mut changes = Changes::default();
        let mut literals: usize = schema.rules.iter().map(|r| r.body.len()).sum();
        for clause in clauses {
            let Clause::Rule(rule) = clause else { continue };
            match rule.as_fact() {
                Some(values) => changes.asserted.push(Fact {
                    name: rule.name,
                    values,
                }),
                None => {
                    literals += rule.body.len();
                    if schema.rules.len() == MAX_RULES || literals > MAX_ALL_LITERALS {
                        let why = format!(
                            "the base would have more than {MAX_RULES} rules or \
                             {MAX_ALL_LITERALS} literals in them"
                        );
                        return Err(Error::Meaning(rule.at, why));
                    }
                    schema.rules.push(rule);
                }
            }
        }
        schema.complete()?;
        self.change(&changes, Some(schema)).map(|done| done.work)
    }

    /// Applies changes, all or none.
    ///
    /// # Errors
    /// A fact or pattern that does not fit its predicate, or more work than the limits allow;
    /// nothing has changed.
    pub fn apply(&mut self, changes: &Changes) -> Result<Applied, Error> {
        let new = changes
            .asserted
            .iter()
            .filter(|f| self.schema.names.find(&f.name).is_none());
        let mut names = None;
        for fact in new {
            let names = names.get_or_insert_with(|| self.schema.names.clone());
            names
                .define(&fact.name, fact.values.len(), None)
                .map_err(|e| Error::Fact(format!("{fact}: {e}")))?;
        }
        let schema = match names {
            None => None,
            Some(names) => {
                let mut schema = self.schema.clone();
                schema.names = names;
                schema.complete()?;
                Some(schema)
            }
        };
        self.change(changes, schema)
    }

    /// Number of rules.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.schema.rules.len()
    }

    /// Applies changes like [`Base::apply`], but rather takes rules out than refuse the changes:
    /// those behind the first `keep` rules that want more than the limits allow. The heads of
    /// what was taken out, and why each was.
    ///
    /// # Errors
    /// As for [`Base::apply`]. Rules that were taken out stay out.
    pub fn apply_before_rules(
        &mut self,
        changes: &Changes,
        keep: usize,
    ) -> Result<(Applied, TakenOut), Error> {
        let mut out = Vec::new();
        loop {
            let error = match self.apply(changes) {
                Ok(applied) => return Ok((applied, out)),
                Err(error) => error,
            };
            let Some(head) = self.excessive(&error, keep) else {
                return Err(error);
            };
            self.take_out(&head, keep)?;
            out.push((head, error));
        }
    }

    /// The head of a rule behind the first `keep` to be taken out so that this error goes: the one
    /// it names, or else, since others took their part of what is allowed, of the last one.
    fn excessive(&self, error: &Error, keep: usize) -> Option<Rc<str>> {
        let (Error::Steps(_, what) | Error::Bytes(_, what)) = error else {
            return None;
        };
        let rules = self.schema.rules.iter().zip(&self.schema.plans);
        let named = |p: &Plans| p.full.name == *what || p.rounds.iter().any(|r| r.name == *what);
        // Facts alone are too much, or the rule is none of the base's.
        rules.clone().find(|(_, plans)| named(plans))?;
        let mut loaded = rules.skip(keep);
        let found = loaded.clone().find(|(_, plans)| named(plans));
        found
            .or_else(|| loaded.next_back())
            .map(|(r, _)| r.name.clone())
    }

    /// Takes out all rules with this head behind the first `keep`.
    fn take_out(&mut self, head: &str, keep: usize) -> Result<(), Error> {
        let mut schema = self.schema.clone();
        let mut number = 0;
        schema.rules.retain(|rule| {
            number += 1;
            number <= keep || *rule.name != *head
        });
        schema.complete()?;
        self.change(&Changes::default(), Some(schema)).map(drop)
    }

    /// Patterns of all input facts that are about `value` as a thing of kind `kind`: those with an
    /// argument whose name ends with `kind`. So `about("Core", 3)` is what must be withdrawn when
    /// core 3 goes.
    #[must_use]
    pub fn about(&self, kind: &str, value: &Value) -> Vec<Pattern> {
        let mut all = Vec::new();
        for predicate in &self.schema.names.predicates {
            for (column, argument) in predicate.arguments.iter().enumerate() {
                if argument.ends_with(kind) {
                    let mut values = alloc::vec![None; predicate.arity];
                    values[column] = Some(value.clone());
                    all.push(Pattern {
                        name: predicate.name.clone(),
                        values,
                    });
                }
            }
        }
        all
    }

    /// Answers a question (see [`parse_question`]).
    ///
    /// # Errors
    /// A question that is wrong, or that takes more than the limits allow.
    pub fn ask(&self, text: &str) -> Result<Answer, Error> {
        let question = parse_question(text)?;
        let plan = plan(&question, 0, &self.schema.names, None, &|_| Span::All)?;
        let mut meter = Meter::new(self.limits, self.bytes());
        let rows = eval::answer(&plan, &self.relations, &mut meter)?;
        let rows: BTreeSet<Vec<Value>> = rows.into_iter().map(Vec::from).collect();
        let columns = if &*question.name == "?" {
            question.variables
        } else {
            (1..=question.head.len()).map(|n| n.to_string()).collect()
        };
        Ok(Answer {
            columns,
            rows: rows.into_iter().collect(),
            work: meter.work(),
        })
    }

    /// All predicates, in the order in which they came.
    #[must_use]
    pub fn predicates(&self) -> Vec<PredicateInfo> {
        let names = self.schema.names.predicates.iter();
        let info = |(n, p): (usize, &super::check::Predicate)| PredicateInfo {
            name: p.name.clone(),
            arity: p.arity,
            arguments: p.arguments.clone(),
            derived: self.schema.rules.iter().any(|r| r.name == p.name),
            rows: self.relations[n].len() as usize,
        };
        names.enumerate().map(info).collect()
    }

    /// All that holds of a predicate, in no particular order.
    pub fn rows(&self, name: &str) -> impl Iterator<Item = &[Value]> {
        let relation = self.schema.names.find(name).map(|p| &self.relations[p]);
        relation.into_iter().flat_map(Relation::rows)
    }

    /// Bytes that facts and derived facts take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let relations: usize = self.relations.iter().map(Relation::bytes).sum();
        let facts = self.facts.iter().flatten().map(|row| row_bytes(row));
        relations + facts.sum::<usize>()
    }

    /// Carries out checked changes under the schema given or the one there is.
    fn change(&mut self, changes: &Changes, schema: Option<Schema>) -> Result<Applied, Error> {
        check(changes, schema.as_ref().unwrap_or(&self.schema))?;
        let mut meter = Meter::new(self.limits, self.bytes());
        let all = schema.is_some();
        let before = schema.map(|s| core::mem::replace(&mut self.schema, s));
        let predicates = self.schema.names.predicates.len();
        self.facts.resize_with(predicates, BTreeSet::new);
        for n in self.relations.len()..predicates {
            let arity = self.schema.names.predicates[n].arity;
            self.relations.push(Relation::new(arity, &[]));
        }
        let (removed, added) = self.change_facts(changes);
        let applied = (added.len(), removed.len());
        let mut affected: BTreeSet<usize> = BTreeSet::new();
        if all {
            affected.extend(0..predicates);
        }
        for (p, _) in removed.iter().chain(&added) {
            affected.extend(&self.schema.strata.dependents[*p]);
        }
        let held: usize = added.iter().map(|(_, row)| row_bytes(row)).sum();
        meter.what = "the facts".to_string();
        let done = meter
            .hold(held)
            .and_then(|()| self.derive(&affected, &mut meter));
        if let Err(error) = done {
            self.undo(removed, added, before);
            return Err(error);
        }
        Ok(Applied {
            asserted: applied.0,
            withdrawn: applied.1,
            work: meter.work(),
        })
    }

    /// Changes the asserted facts; which went and which came.
    fn change_facts(&mut self, changes: &Changes) -> (Rows, Rows) {
        let (mut removed, mut added) = (Rows::new(), Rows::new());
        for pattern in &changes.withdrawn {
            let Some(p) = self.schema.names.find(&pattern.name) else {
                continue;
            };
            let fits = |row: &&Row| {
                let mut pairs = pattern.values.iter().zip(row.iter());
                pairs.all(|(wanted, value)| wanted.as_ref().is_none_or(|w| w == value))
            };
            let gone: Vec<Row> = self.facts[p].iter().filter(fits).cloned().collect();
            for row in gone {
                self.facts[p].remove(&row);
                removed.insert((p, row));
            }
        }
        for fact in &changes.asserted {
            let Some(p) = self.schema.names.find(&fact.name) else {
                continue;
            };
            let row: Row = fact.values.as_slice().into();
            if self.facts[p].insert(row.clone()) {
                added.insert((p, row));
            }
        }
        // What went and came again has not changed.
        let both: Rows = removed.intersection(&added).cloned().collect();
        removed.retain(|r| !both.contains(r));
        added.retain(|r| !both.contains(r));
        (removed, added)
    }

    fn undo(&mut self, removed: Rows, added: Rows, schema: Option<Schema>) {
        for (p, row) in added {
            self.facts[p].remove(&row);
        }
        for (p, row) in removed {
            self.facts[p].insert(row);
        }
        if let Some(schema) = schema {
            self.schema = schema;
        }
        let predicates = self.schema.names.predicates.len();
        self.facts.truncate(predicates);
        self.relations.truncate(predicates);
    }

    /// Derives the affected predicates anew. After an error the relations are what they were.
    fn derive(&mut self, affected: &BTreeSet<usize>, meter: &mut Meter) -> Result<(), Error> {
        let mut old: Vec<(usize, Relation)> = Vec::new();
        let mut result = Ok(());
        for group in &self.schema.strata.groups {
            if !group.iter().any(|p| affected.contains(p)) {
                continue;
            }
            for p in group {
                let arity = self.schema.names.predicates[*p].arity;
                let mut fresh = Relation::new(arity, &self.schema.indexes[*p]);
                for row in &self.facts[*p] {
                    let held = meter.hold(fresh.insert(row.clone()));
                    result = result.and(held);
                }
                old.push((*p, core::mem::replace(&mut self.relations[*p], fresh)));
            }
            let rules = self.schema.rules.iter().zip(&self.schema.plans);
            let rules = rules.filter(|(_, plans)| group.contains(&plans.full.predicate));
            let rules: Vec<&Plans> = rules.map(|(_, plans)| plans).collect();
            result = result.and_then(|()| eval::derive(group, &rules, &mut self.relations, meter));
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            for (p, relation) in old {
                self.relations[p] = relation;
            }
        }
        result
    }
}

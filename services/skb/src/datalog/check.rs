//! Names: which predicates there are, how many arguments they have, and who uses them rightly.

use super::ast::{Atom, Clause, Expr, HeadTerm, Rule};
use super::error::{Error, Place};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Most predicates of a base.
pub(super) const MAX_PREDICATES: usize = 1024;

/// One predicate.
#[derive(Clone, Debug)]
pub(super) struct Predicate {
    pub name: Rc<str>,
    pub arity: usize,
    /// Names of its arguments, if `input` gave them.
    pub arguments: Vec<String>,
    /// Where it was first written; `None` for what was only asserted.
    pub at: Option<Place>,
}

/// All predicates.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    pub predicates: Vec<Predicate>,
    by_name: BTreeMap<Rc<str>, usize>,
}

impl Names {
    /// The predicate of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The predicate that `atom` is about.
    pub fn resolve(&self, atom: &Atom) -> Result<usize, Error> {
        let Some(found) = self.find(&atom.name) else {
            return Err(Error::Meaning(atom.at, self.unknown(&atom.name)));
        };
        self.check_arity(found, atom.terms.len())
            .map_err(|e| Error::Meaning(atom.at, e))?;
        Ok(found)
    }

    /// A sentence about a name that nobody defined.
    pub fn unknown(&self, name: &str) -> String {
        let near = self.predicates.iter().map(|p| (distance(&p.name, name), p));
        let near = near
            .filter(|(d, _)| *d <= 2)
            .min_by_key(|(d, p)| (*d, p.name.clone()));
        let hint = near.map_or(String::new(), |(_, p)| {
            format!("; did you mean `{}`?", p.name)
        });
        format!("there is no predicate `{name}`: no `input`, fact or rule names it{hint}")
    }

    /// That predicate number `n` has `arity` arguments.
    pub fn check_arity(&self, n: usize, arity: usize) -> Result<(), String> {
        let Predicate {
            name,
            arity: has,
            at,
            ..
        } = &self.predicates[n];
        if *has == arity {
            return Ok(());
        }
        let origin = at.map_or(String::new(), |at| format!(" ({at})"));
        Err(format!("`{name}` has {has} arguments{origin}, not {arity}"))
    }

    /// The predicate `name` with `arity` arguments, made if it is new.
    pub fn define(
        &mut self,
        name: &Rc<str>,
        arity: usize,
        at: Option<Place>,
    ) -> Result<usize, String> {
        if let Some(found) = self.find(name) {
            self.check_arity(found, arity)?;
            return Ok(found);
        }
        if self.predicates.len() == MAX_PREDICATES {
            return Err(format!(
                "`{name}` would be more than {MAX_PREDICATES} predicates"
            ));
        }
        let number = self.predicates.len();
        self.by_name.insert(name.clone(), number);
        self.predicates.push(Predicate {
            name: name.clone(),
            arity,
            arguments: Vec::new(),
            at,
        });
        Ok(number)
    }

    /// Takes over what `clauses` define.
    pub fn define_all(&mut self, clauses: &[Clause]) -> Result<(), Error> {
        for clause in clauses {
            let (name, arity, at) = match clause {
                Clause::Input {
                    name,
                    arguments,
                    at,
                } => (name, arguments.len(), *at),
                Clause::Rule(rule) => (&rule.name, rule.head.len(), rule.at),
            };
            let number = self
                .define(name, arity, Some(at))
                .map_err(|e| Error::Meaning(at, e))?;
            if let Clause::Input { arguments, .. } = clause {
                self.predicates[number].arguments.clone_from(arguments);
            }
        }
        Ok(())
    }
}

/// Refuses variables that stand in a rule once: nearly always a slip of the pen.
pub(super) fn check_lonely(rule: &Rule) -> Result<(), Error> {
    let mut uses = alloc::vec![0u32; rule.variables.len()];
    let mut see = |v: usize| uses[v] += 1;
    for term in &rule.head {
        match term {
            HeadTerm::Value(e) => e.variables(&mut see),
            HeadTerm::Aggregate(_, terms) => {
                terms.iter().for_each(|t: &Expr| t.variables(&mut see))
            }
        }
    }
    rule.body.iter().for_each(|l| l.variables(&mut see));
    let lonely = uses
        .iter()
        .zip(&rule.variables)
        .find(|(n, name)| **n == 1 && !name.starts_with('_'));
    match lonely {
        None => Ok(()),
        Some((_, name)) => Err(Error::Meaning(
            rule.at,
            format!(
                "variable `{name}` stands in this rule once: write `_` if nothing depends on it"
            ),
        )),
    }
}

/// How many letters differ (edit distance), for hints; long names are far from everything.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 40;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

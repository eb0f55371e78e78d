//! What is asserted and withdrawn.

use super::ast::{Clause, Literal, Term};
use super::error::Error;
use super::meter::Work;
use super::parser::{parse, parse_question};
use super::schema::Schema;
use super::value::Value;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

/// A fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fact {
    /// Name of its predicate.
    pub name: Rc<str>,
    /// Its arguments.
    pub values: Vec<Value>,
}

impl core::fmt::Display for Fact {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}(", self.name)?;
        for (i, value) in self.values.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{value}")?;
        }
        f.write_str(")")
    }
}

/// Facts that agree in some arguments; `None` is whatever it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Name of their predicate.
    pub name: Rc<str>,
    /// Arguments.
    pub values: Vec<Option<Value>>,
}

/// What is to change, all or nothing: first facts are withdrawn, then others asserted.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Every asserted fact that fits one of these goes.
    pub withdrawn: Vec<Pattern>,
    /// These come.
    pub asserted: Vec<Fact>,
}

impl Changes {
    /// Asserts a fact.
    pub fn assert(&mut self, name: &str, values: &[Value]) {
        self.asserted.push(Fact {
            name: name.into(),
            values: values.to_vec(),
        });
    }

    /// Asserts the facts written in `text`.
    ///
    /// # Errors
    /// Text that is no list of facts.
    pub fn assert_text(&mut self, text: &str) -> Result<(), Error> {
        for clause in parse(text)? {
            let (name, values, at) = match clause {
                Clause::Rule(rule) => (rule.name.clone(), rule.as_fact(), rule.at),
                Clause::Input { name, at, .. } => (name, None, at),
            };
            let Some(values) = values else {
                let what = format!("this clause about `{name}` is no fact");
                return Err(Error::Meaning(at, what));
            };
            self.asserted.push(Fact { name, values });
        }
        Ok(())
    }

    /// Withdraws the facts that fit an atom like `core(3, _)`.
    ///
    /// # Errors
    /// Text that is no such atom.
    pub fn withdraw_text(&mut self, text: &str) -> Result<(), Error> {
        let question = parse_question(text)?;
        let [Literal::Holds(atom)] = &question.body[..] else {
            return Err(Error::Meaning(
                question.at,
                "one atom like `core(3, _)` says what is withdrawn".to_string(),
            ));
        };
        let mut values = Vec::new();
        for term in &atom.terms {
            values.push(match term {
                Term::Constant(value) => Some(value.clone()),
                Term::Any => None,
                Term::Variable(v) => {
                    return Err(Error::Meaning(
                        atom.at,
                        format!("write `_` instead of `{}`", question.variables[*v]),
                    ));
                }
            });
        }
        self.withdrawn.push(Pattern {
            name: atom.name.clone(),
            values,
        });
        Ok(())
    }
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Applied {
    /// Facts that were not there before.
    pub asserted: usize,
    /// Facts that are no longer there.
    pub withdrawn: usize,
    /// What deriving took.
    pub work: Work,
}

/// That each fact and pattern fits its predicate.
pub(super) fn check(changes: &Changes, schema: &Schema) -> Result<(), Error> {
    let fits = |name: &str, arity: usize| match schema.names.find(name) {
        Some(p) => schema.names.check_arity(p, arity),
        None => Err(schema.names.unknown(name)),
    };
    for pattern in &changes.withdrawn {
        fits(&pattern.name, pattern.values.len()).map_err(Error::Fact)?;
    }
    for fact in &changes.asserted {
        fits(&fact.name, fact.values.len()).map_err(|e| Error::Fact(format!("{fact}: {e}")))?;
    }
    Ok(())
}

//! The language against its description, and the evaluator against a slow, obvious one.

mod changes;
mod language;
mod naive;
mod random;

use super::{Base, Limits, Value};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

/// Facts by predicate.
pub type Facts = BTreeMap<String, BTreeSet<Vec<Value>>>;

/// A base with this program.
pub fn base(program: &str) -> Base {
    let mut base = Base::new(Limits::default());
    if let Err(e) = base.load(program) {
        panic!("{e}\n{program}");
    }
    base
}

/// Everything that holds, predicates without facts left out.
pub fn all(base: &Base) -> Facts {
    let mut facts = Facts::new();
    for p in base.predicates() {
        let rows: BTreeSet<Vec<Value>> = base.rows(&p.name).map(<[Value]>::to_vec).collect();
        assert_eq!(rows.len(), p.rows, "{} has a row twice", p.name);
        if !rows.is_empty() {
            facts.insert(p.name.to_string(), rows);
        }
    }
    facts
}

/// The rows of an answer as text, in order: `1 b; 2 c`.
pub fn answer(base: &Base, question: &str) -> String {
    match base.ask(question) {
        Ok(answer) => {
            let row = |row: &Vec<Value>| {
                let values: Vec<String> = row.iter().map(ToString::to_string).collect();
                values.join(" ")
            };
            let rows: Vec<String> = answer.rows.iter().map(row).collect();
            rows.join("; ")
        }
        Err(e) => e.to_string(),
    }
}

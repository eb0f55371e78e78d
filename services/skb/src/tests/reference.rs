//! The book's reference has every predicate of the rules, with its arguments, and no other.

use super::empty;
use crate::RULES;
use crate::datalog::{Clause, Expr, HeadTerm, parse};
use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const BOOK: &str = include_str!("../../../../docs/book/skb.md");

/// The predicates that the book's tables describe: `name(Argument, …)`.
fn described() -> Vec<String> {
    let rows = BOOK.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|line| line.split('`').next());
    names
        .filter(|n| n.ends_with(')'))
        .map(ToString::to_string)
        .collect()
}

fn name(signature: &str) -> &str {
    signature.split('(').next().unwrap_or_default()
}

#[test]
fn the_book_describes_every_input_as_it_is() {
    let described: BTreeSet<String> = described().into_iter().collect();
    for clause in parse(RULES).expect("the rules") {
        if let Clause::Input {
            name, arguments, ..
        } = clause
        {
            let signature = format!("{name}({})", arguments.join(", "));
            assert!(
                described.contains(&signature),
                "docs/book/skb.md lacks {signature}"
            );
        }
    }
}

#[test]
fn the_book_describes_every_predicate_once() {
    let described = described();
    let names: BTreeSet<&str> = described.iter().map(|s| name(s)).collect();
    assert_eq!(
        names.len(),
        described.len(),
        "one row for each: {described:?}"
    );
    let known = empty().predicates();
    for predicate in &known {
        assert!(
            names.contains(&*predicate.name),
            "docs/book/skb.md lacks {}",
            predicate.name
        );
    }
    for signature in &described {
        let found = known.iter().find(|p| *p.name == *name(signature));
        let predicate = found.unwrap_or_else(|| panic!("there is no {signature}"));
        let arguments = signature.split(", ").count();
        assert_eq!(arguments, predicate.arity, "{signature}");
    }
}

/// The book's examples of questions are questions.
#[test]
fn the_books_questions_have_answers() {
    let base = empty();
    let inside = BOOK.split("```datalog\n").skip(1);
    let blocks: Vec<&str> = inside.filter_map(|b| b.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for question in blocks
        .iter()
        .flat_map(|b| b.lines())
        .filter(|l| !l.is_empty())
    {
        if let Err(e) = base.ask(question) {
            panic!("{question}: {e}");
        }
    }
}

/// A rule whose head nobody could ever derive would be a slip of the pen.
#[test]
fn heads_have_values() {
    for clause in parse(RULES).expect("the rules") {
        if let Clause::Rule(rule) = clause {
            assert!(
                !rule.body.is_empty(),
                "{} is a fact: facts come from firmware",
                rule.name
            );
            let constant = |t: &HeadTerm| matches!(t, HeadTerm::Value(Expr::Constant(_)));
            assert!(!rule.head.iter().all(constant), "{}", rule.name);
        }
    }
}

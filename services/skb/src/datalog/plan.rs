//! In which order the literals of a rule are looked at, and whether every variable gets a value.
//!
//! The meaning of a body does not depend on its order. A plan takes a condition as soon as its
//! variables have values, and otherwise the positive literal of which most is known.

use super::ast::{Atom, Expr, HeadTerm, Literal, Order, Rule, Term};
use super::check::Names;
use super::error::{Error, Place};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::value::Value;

/// Which rows of a predicate that its own stratum is deriving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Span {
    /// All that were known when the round began.
    All,
    /// Those that the last round found.
    New,
    /// Those that were known before the last round.
    Old,
}

/// What an argument of an atom does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// It must be this.
    Constant(Value),
    /// It must be the variable's value.
    Known(usize),
    /// It gives the variable its value.
    Bind(usize),
    /// Anything.
    Any,
}

/// An atom with its part in the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    pub predicate: usize,
    pub slots: Vec<Slot>,
    /// Columns that are known before.
    pub columns: Vec<usize>,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// For each matching row.
    Scan(Pattern, Span),
    /// Go on if no row matches.
    Absent(Pattern),
    /// Give a variable a value.
    Assign(usize, Expr),
    /// Go on if it holds.
    Test(Order, Expr, Expr),
}

/// How a rule is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub predicate: usize,
    pub steps: Vec<Step>,
    pub head: Vec<HeadTerm>,
    pub aggregates: bool,
    pub variables: usize,
    /// As errors call it.
    pub name: String,
}

/// The spans of the positive literals, by their place in the body.
pub(super) type Spans<'a> = &'a dyn Fn(usize) -> Span;

/// Makes a plan for `rule`, which begins with literal `first`, if there is one.
pub(super) fn plan(
    rule: &Rule,
    predicate: usize,
    names: &Names,
    first: Option<usize>,
    spans: Spans<'_>,
) -> Result<Plan, Error> {
    let mut known = vec![false; rule.variables.len()];
    let mut left: Vec<usize> = (0..rule.body.len()).collect();
    let mut steps = Vec::new();
    let mut next = first;
    while !left.is_empty() {
        let choice = next.take().or_else(|| choose(rule, &left, &known));
        let Some(choice) = choice else {
            return Err(without_value(rule, &left, &known));
        };
        left.retain(|l| *l != choice);
        steps.push(step(&rule.body[choice], names, spans(choice), &mut known)?);
    }
    check_head(rule, &known)?;
    Ok(Plan {
        predicate,
        steps,
        head: rule.head.clone(),
        aggregates: rule.aggregates(),
        variables: rule.variables.len(),
        name: match &*rule.name {
            "?" => "the question".into(),
            name => format!("the rule of `{name}` ({})", rule.at),
        },
    })
}

fn all_known(expr: &Expr, known: &[bool]) -> bool {
    let mut all = true;
    expr.variables(&mut |v| all &= known[v]);
    all
}

/// The variable that `a = b` gives a value to, if `b` has one and it has none.
fn assigned<'e>(a: &Expr, b: &'e Expr, known: &[bool]) -> Option<(usize, &'e Expr)> {
    match a {
        Expr::Variable(v) if !known[*v] && all_known(b, known) => Some((*v, b)),
        _ => None,
    }
}

/// The literal to take next: a condition that can be tested, else the positive one with the most
/// known arguments (the first of equals).
fn choose(rule: &Rule, left: &[usize], known: &[bool]) -> Option<usize> {
    let ready = |l: &&usize| match &rule.body[**l] {
        Literal::Holds(_) => false,
        literal @ Literal::Absent(_) => {
            let mut all = true;
            literal.variables(&mut |v| all &= known[v]);
            all
        }
        Literal::Compare(order, a, b, _) => {
            let both = all_known(a, known) && all_known(b, known);
            both || *order == Order::Equal
                && (assigned(a, b, known).is_some() || assigned(b, a, known).is_some())
        }
    };
    if let Some(l) = left.iter().find(ready) {
        return Some(*l);
    }
    let arguments = |atom: &Atom| {
        let known_term = |t: &&Term| match t {
            Term::Constant(_) => true,
            Term::Variable(v) => known[*v],
            Term::Any => false,
        };
        atom.terms.iter().filter(known_term).count()
    };
    let mut best: Option<(usize, usize)> = None;
    for l in left {
        if let Literal::Holds(atom) = &rule.body[*l] {
            let n = arguments(atom);
            if best.is_none_or(|(_, most)| n > most) {
                best = Some((*l, n));
            }
        }
    }
    best.map(|(l, _)| l)
}

fn step(literal: &Literal, names: &Names, span: Span, known: &mut [bool]) -> Result<Step, Error> {
    Ok(match literal {
        Literal::Holds(atom) => Step::Scan(pattern(atom, names, known)?, span),
        Literal::Absent(atom) => Step::Absent(pattern(atom, names, known)?),
        Literal::Compare(order, a, b, _) => {
            let assignment = assigned(a, b, known).or_else(|| assigned(b, a, known));
            match assignment {
                Some((v, value)) => {
                    known[v] = true;
                    Step::Assign(v, value.clone())
                }
                None => Step::Test(*order, a.clone(), b.clone()),
            }
        }
    })
}

fn pattern(atom: &Atom, names: &Names, known: &mut [bool]) -> Result<Pattern, Error> {
    let predicate = names.resolve(atom)?;
    let mut columns = Vec::new();
    let before = known.to_vec();
    let mut slots = Vec::new();
    for (column, term) in atom.terms.iter().enumerate() {
        slots.push(match term {
            Term::Constant(value) => {
                columns.push(column);
                Slot::Constant(value.clone())
            }
            Term::Variable(v) if known[*v] => {
                // Given a value by an earlier argument of this atom: compared, not looked up.
                if before[*v] {
                    columns.push(column);
                }
                Slot::Known(*v)
            }
            Term::Variable(v) => {
                known[*v] = true;
                Slot::Bind(*v)
            }
            Term::Any => Slot::Any,
        });
    }
    Ok(Pattern {
        predicate,
        slots,
        columns,
    })
}

fn place(literal: &Literal) -> Place {
    match literal {
        Literal::Holds(atom) | Literal::Absent(atom) => atom.at,
        Literal::Compare(.., at) => *at,
    }
}

/// The error for literals of which no variable gets a value.
fn without_value(rule: &Rule, left: &[usize], known: &[bool]) -> Error {
    let literal = &rule.body[left[0]];
    let mut missing = None;
    literal.variables(&mut |v| {
        if !known[v] && missing.is_none() {
            missing = Some(v);
        }
    });
    let name = missing.map_or("?", |v| rule.variables[v].as_str());
    let hint = match literal {
        Literal::Absent(_) => "; `_` means `whatever it is`",
        _ => "",
    };
    Error::Meaning(
        place(literal),
        format!("variable `{name}` gets no value from a positive literal{hint}"),
    )
}

fn check_head(rule: &Rule, known: &[bool]) -> Result<(), Error> {
    let mut missing = None;
    let mut see = |v: usize| {
        if !known[v] && missing.is_none() {
            missing = Some(v);
        }
    };
    for term in &rule.head {
        match term {
            HeadTerm::Value(expr) => expr.variables(&mut see),
            HeadTerm::Aggregate(_, terms) => terms.iter().for_each(|t| t.variables(&mut see)),
        }
    }
    match missing {
        None => Ok(()),
        Some(v) => Err(Error::Meaning(
            rule.at,
            format!(
                "variable `{}` of the head of `{}` gets no value in the body",
                rule.variables[v], rule.name
            ),
        )),
    }
}

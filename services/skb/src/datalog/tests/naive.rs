//! The meaning of a program, spelt out: every rule over every combination of rows, again and
//! again until nothing new comes. Shares the parser with the evaluator, and nothing else.

use super::super::{Atom, Clause, Expr, Function, HeadTerm, Literal, Order, Rule, Term, Value};
use super::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

type Binding = BTreeMap<usize, Value>;

/// The stratum of each predicate; `None` if a predicate depends on its own absence.
pub fn strata(rules: &[Rule]) -> Option<BTreeMap<String, usize>> {
    let mut stratum: BTreeMap<String, usize> = BTreeMap::new();
    for rule in rules {
        stratum.insert(rule.name.to_string(), 0);
    }
    let most = rules.len() + 1;
    loop {
        let before = stratum.clone();
        for rule in rules {
            for literal in &rule.body {
                let (atom, strict) = match literal {
                    Literal::Holds(atom) => (atom, rule.aggregates()),
                    Literal::Absent(atom) => (atom, true),
                    Literal::Compare(..) => continue,
                };
                let below = stratum.get(&*atom.name).copied().unwrap_or(0);
                let own = stratum.entry(rule.name.to_string()).or_default();
                *own = (*own).max(below + usize::from(strict));
                if *own > most {
                    return None;
                }
            }
        }
        if stratum == before {
            return Some(stratum);
        }
    }
}

fn variables(expr: &Expr, all: &mut BTreeSet<usize>) {
    match expr {
        Expr::Constant(_) => {}
        Expr::Variable(v) => {
            all.insert(*v);
        }
        Expr::Binary(_, a, b) => {
            variables(a, all);
            variables(b, all);
        }
    }
}

fn of(expr: &Expr) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    variables(expr, &mut all);
    all
}

fn atom_variables(atom: &Atom) -> BTreeSet<usize> {
    let variable = |t: &Term| match t {
        Term::Variable(v) => Some(*v),
        Term::Constant(_) | Term::Any => None,
    };
    atom.terms.iter().filter_map(variable).collect()
}

/// Whether every variable of the rule gets a value.
pub fn is_safe(rule: &Rule) -> bool {
    let mut known = BTreeSet::new();
    for literal in &rule.body {
        if let Literal::Holds(atom) = literal {
            known.extend(atom_variables(atom));
        }
    }
    loop {
        let before = known.len();
        for literal in &rule.body {
            if let Literal::Compare(Order::Equal, a, b, _) = literal {
                for (a, b) in [(a, b), (b, a)] {
                    if let Expr::Variable(v) = a
                        && of(b).is_subset(&known)
                    {
                        known.insert(*v);
                    }
                }
            }
        }
        if known.len() == before {
            break;
        }
    }
    let mut needed = BTreeSet::new();
    for literal in &rule.body {
        match literal {
            Literal::Holds(_) => {}
            Literal::Absent(atom) => needed.extend(atom_variables(atom)),
            Literal::Compare(_, a, b, _) => {
                needed.extend(of(a));
                needed.extend(of(b));
            }
        }
    }
    for term in &rule.head {
        match term {
            HeadTerm::Value(e) => needed.extend(of(e)),
            HeadTerm::Aggregate(_, terms) => terms.iter().for_each(|t| needed.extend(of(t))),
        }
    }
    needed.is_subset(&known)
}

fn value(expr: &Expr, binding: &Binding) -> Option<Value> {
    match expr {
        Expr::Constant(v) => Some(v.clone()),
        Expr::Variable(v) => Some(binding[v].clone()),
        Expr::Binary(operator, a, b) => {
            let a = value(a, binding)?.as_int()?;
            let b = value(b, binding)?.as_int()?;
            operator.apply(a, b).map(Value::Int)
        }
    }
}

fn fits(atom: &Atom, row: &[Value], binding: &Binding) -> Option<Binding> {
    let mut binding = binding.clone();
    for (term, value) in atom.terms.iter().zip(row) {
        match term {
            Term::Any => {}
            Term::Constant(c) if c == value => {}
            Term::Constant(_) => return None,
            Term::Variable(v) => {
                if *binding.entry(*v).or_insert_with(|| value.clone()) != *value {
                    return None;
                }
            }
        }
    }
    Some(binding)
}

/// All bindings under which the body holds.
fn solutions(rule: &Rule, facts: &Facts) -> Vec<Binding> {
    let none = BTreeSet::new();
    let mut found = vec![Binding::new()];
    for literal in &rule.body {
        if let Literal::Holds(atom) = literal {
            let rows = facts.get(&*atom.name).unwrap_or(&none);
            let mut next = Vec::new();
            for binding in &found {
                next.extend(rows.iter().filter_map(|row| fits(atom, row, binding)));
            }
            found = next;
        }
    }
    let mut solved = Vec::new();
    'next: for mut binding in found {
        let mut left: Vec<&Literal> = rule.body.iter().collect();
        left.retain(|l| matches!(l, Literal::Compare(..)));
        while !left.is_empty() {
            let before = left.len();
            let mut waiting = Vec::new();
            for literal in left {
                let Literal::Compare(order, a, b, _) = literal else {
                    continue;
                };
                let known = |e: &Expr| of(e).iter().all(|v| binding.contains_key(v));
                match (a, b) {
                    (a, b) if known(a) && known(b) => {
                        match (value(a, &binding), value(b, &binding)) {
                            (Some(a), Some(b)) if order.holds(&a, &b) => {}
                            _ => continue 'next,
                        }
                    }
                    (Expr::Variable(v), e) | (e, Expr::Variable(v))
                        if *order == Order::Equal && known(e) =>
                    {
                        let Some(value) = value(e, &binding) else {
                            continue 'next;
                        };
                        binding.insert(*v, value);
                    }
                    _ => waiting.push(literal),
                }
            }
            assert!(waiting.len() < before, "an unsafe rule is not asked for");
            left = waiting;
        }
        let absent = |literal: &Literal| match literal {
            Literal::Absent(atom) => {
                let rows = facts.get(&*atom.name).unwrap_or(&none);
                !rows.iter().any(|row| fits(atom, row, &binding).is_some())
            }
            _ => true,
        };
        if rule.body.iter().all(absent) {
            solved.push(binding);
        }
    }
    solved
}

fn rows(rule: &Rule, facts: &Facts) -> BTreeSet<Vec<Value>> {
    let solutions = solutions(rule, facts);
    if !rule.aggregates() {
        let row = |b: &Binding| {
            let term = |t: &HeadTerm| match t {
                HeadTerm::Value(e) => value(e, b),
                HeadTerm::Aggregate(..) => None,
            };
            rule.head.iter().map(term).collect::<Option<Vec<Value>>>()
        };
        return solutions.iter().filter_map(row).collect();
    }
    let mut groups: BTreeMap<Vec<Value>, Vec<Vec<Vec<Value>>>> = BTreeMap::new();
    for b in &solutions {
        let (mut group, mut tuples, mut whole) = (Vec::new(), Vec::new(), true);
        for term in &rule.head {
            match term {
                HeadTerm::Value(e) => match value(e, b) {
                    Some(v) => group.push(v),
                    None => whole = false,
                },
                HeadTerm::Aggregate(_, terms) => {
                    let tuple: Option<Vec<Value>> = terms.iter().map(|t| value(t, b)).collect();
                    match tuple {
                        Some(tuple) => tuples.push(tuple),
                        None => whole = false,
                    }
                }
            }
        }
        if whole {
            groups.entry(group).or_default().push(tuples);
        }
    }
    let mut out = BTreeSet::new();
    for (group, bindings) in groups {
        let (mut group, mut column) = (group.into_iter(), 0);
        let mut row = Vec::new();
        for term in &rule.head {
            match term {
                HeadTerm::Value(_) => row.extend(group.next()),
                HeadTerm::Aggregate(function, _) => {
                    let tuples = bindings.iter().map(|b| b[column].clone());
                    row.extend(aggregate(*function, tuples.collect()));
                    column += 1;
                }
            }
        }
        if row.len() == rule.head.len() {
            out.insert(row);
        }
    }
    out
}

fn aggregate(function: Function, tuples: BTreeSet<Vec<Value>>) -> Option<Value> {
    let firsts: Vec<&Value> = tuples.iter().map(|t| &t[0]).collect();
    match function {
        Function::Min => firsts.into_iter().min().cloned(),
        Function::Max => firsts.into_iter().max().cloned(),
        Function::Count => Some(Value::from(tuples.len() as u64)),
        Function::Sum => {
            let mut sum = 0i128;
            for v in firsts {
                sum += v.as_int()?;
            }
            super::super::Int::new(sum).map(Value::Int)
        }
    }
}

/// The rules of a program, facts with variables or arithmetic included.
pub fn rules(clauses: &[Clause]) -> Vec<Rule> {
    let rule = |c: &Clause| match c {
        Clause::Rule(rule) => Some(rule.clone()),
        Clause::Input { .. } => None,
    };
    clauses.iter().filter_map(rule).collect()
}

/// Everything that follows.
pub fn derive(rules: &[Rule], mut facts: Facts) -> Facts {
    let strata = strata(rules).expect("stratified");
    for level in 0..=strata.values().copied().max().unwrap_or(0) {
        loop {
            let mut grown = false;
            for rule in rules.iter().filter(|r| strata[&*r.name] == level) {
                let found = rows(rule, &facts);
                let known = facts.entry(rule.name.to_string()).or_default();
                for row in found {
                    grown |= known.insert(row);
                }
            }
            if !grown {
                break;
            }
        }
    }
    facts.retain(|_, rows| !rows.is_empty());
    facts
}

//! Random programs under random changes: what the evaluator says is what [`naive`] says.

use super::super::{Base, Changes, Error, Fact, Limits, Pattern, Rule, Value, parse};
use super::{Facts, all, naive};
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Inputs, then predicates with rules; with their numbers of arguments.
const PREDICATES: &[(&str, usize)] = &[
    ("e", 1),
    ("f", 2),
    ("p", 1),
    ("q", 2),
    ("r", 2),
    ("s", 3),
    ("t", 1),
];
const INPUTS: &str = "input e(X). input f(X, Y).\n";

fn variable() -> impl Strategy<Value = String> {
    (0..4u8).prop_map(|v| format!("_{}", char::from(b'A' + v)))
}

fn constant() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..4i8).prop_map(|n| n.to_string()),
        1 => Just("-1".to_string()),
        1 => Just("a".to_string()),
        1 => Just("\"a\"".to_string()),
    ]
}

fn term() -> impl Strategy<Value = String> {
    prop_oneof![7 => variable(), 2 => constant(), 1 => Just("_".to_string())]
}

fn expression() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
    prop_oneof![
        4 => variable(),
        2 => constant(),
        1 => (variable(), operator, prop_oneof![variable(), constant()])
            .prop_map(|(a, o, b)| format!("{a} {o} {b}")),
    ]
}

fn atom(first: usize) -> impl Strategy<Value = String> {
    (first..PREDICATES.len(), prop::collection::vec(term(), 3)).prop_map(|(p, terms)| {
        let (name, arity) = PREDICATES[p];
        format!("{name}({})", terms[..arity].join(", "))
    })
}

fn literal() -> impl Strategy<Value = String> {
    let order = prop::sample::select(&["=", "!=", "<", "<=", ">", ">="][..]);
    prop_oneof![
        6 => atom(0),
        1 => atom(0).prop_map(|a| format!("not {a}")),
        1 => (expression(), order, expression()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        1 => (variable(), expression()).prop_map(|(a, b)| format!("{a} = {b}")),
    ]
}

fn head_term() -> impl Strategy<Value = String> {
    let aggregate = prop_oneof![
        (prop::sample::select(&["min", "max"][..]), expression())
            .prop_map(|(f, e)| format!("{f}({e})")),
        (
            prop::sample::select(&["count", "sum"][..]),
            prop::collection::vec(expression(), 1..3)
        )
            .prop_map(|(f, e)| format!("{f}({})", e.join(", "))),
    ];
    prop_oneof![12 => variable(), 2 => constant(), 1 => expression(), 2 => aggregate]
}

fn rule() -> impl Strategy<Value = String> {
    let head = (2..PREDICATES.len(), prop::collection::vec(head_term(), 3));
    (head, prop::collection::vec(literal(), 1..5)).prop_map(|((p, terms), body)| {
        let (name, arity) = PREDICATES[p];
        let head = terms[..arity].join(", ");
        format!("{name}({head}) :- {}.", body.join(", "))
    })
}

fn fact_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0..4i64).prop_map(Value::from),
        1 => Just(Value::from(-1i64)),
        1 => Just(Value::from(u64::MAX)),
        1 => Just(Value::symbol("a").expect("a symbol")),
        1 => Just(Value::text("a")),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    // Rarely facts of predicates that rules define, too.
    let predicate = prop_oneof![9 => 0..2usize, 1 => 2..PREDICATES.len()];
    (predicate, prop::collection::vec(fact_value(), 3)).prop_map(|(p, values)| Fact {
        name: PREDICATES[p].0.into(),
        values: values[..PREDICATES[p].1].to_vec(),
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let values = prop::collection::vec(prop::option::weighted(0.7, fact_value()), 3);
    (0..2usize, values).prop_map(|(p, values)| Pattern {
        name: PREDICATES[p].0.into(),
        values: values[..PREDICATES[p].1].to_vec(),
    })
}

fn changes() -> impl Strategy<Value = Changes> {
    let withdrawn = prop::collection::vec(pattern(), 0..3);
    let asserted = prop::collection::vec(fact(), 0..8);
    (withdrawn, asserted).prop_map(|(withdrawn, asserted)| Changes {
        withdrawn,
        asserted,
    })
}

fn limits() -> Limits {
    Limits {
        steps: 30_000,
        bytes: 4 << 20,
    }
}

/// All predicates with their arities.
fn declared() -> String {
    let mut text = INPUTS.to_string();
    for (name, arity) in &PREDICATES[2..] {
        let arguments = ["X", "Y", "Z"];
        text += &format!("input {name}({}).\n", arguments[..*arity].join(", "));
    }
    text
}

fn parsed(rules: &[String]) -> Vec<Rule> {
    naive::rules(&parse(&rules.join("\n")).expect("the generator writes programs"))
}

/// Those rules that together make a program with a meaning.
fn sound(rules: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for rule in rules {
        kept.push(rule);
        let all = parsed(&kept);
        if !all.iter().all(naive::is_safe) || naive::strata(&all).is_none() {
            kept.pop();
        }
    }
    kept
}

fn change_facts(facts: &mut Facts, changes: &Changes) {
    for pattern in &changes.withdrawn {
        if let Some(rows) = facts.get_mut(&*pattern.name) {
            let fits = |row: &Vec<Value>| {
                let mut pairs = pattern.values.iter().zip(row);
                pairs.all(|(p, v)| p.as_ref().is_none_or(|p| p == v))
            };
            rows.retain(|row| !fits(row));
        }
    }
    for fact in &changes.asserted {
        let rows = facts.entry(fact.name.to_string()).or_default();
        rows.insert(fact.values.clone());
    }
}

fn cases(n: u32) -> ProptestConfig {
    let many = if std::env::var_os("NEKTON_FULL").is_some() {
        20
    } else {
        1
    };
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(n * many)
    }
}

proptest! {
    #![proptest_config(cases(1200))]

    /// What holds after each change is what follows from the facts, and nothing else; a change
    /// that takes too much changes nothing.
    #[test]
    fn the_evaluator_agrees_with_the_naive_one(
        rules in prop::collection::vec(rule(), 1..8).prop_map(sound),
        steps in prop::collection::vec(changes(), 1..5),
    ) {
        let mut base = Base::new(limits());
        base.load(&declared()).expect("declarations");
        if let Err(e) = base.load(&rules.join("\n")) {
            prop_assert!(matches!(e, Error::Steps(..) | Error::Bytes(..)), "{e}: {rules:?}");
            return Ok(());
        }
        let parsed = parsed(&rules);
        let mut facts = Facts::new();
        for changes in &steps {
            let before = all(&base);
            match base.apply(changes) {
                Ok(_) => {
                    change_facts(&mut facts, changes);
                    let expected = naive::derive(&parsed, facts.clone());
                    prop_assert_eq!(all(&base), expected, "{:?}", rules);
                }
                Err(e) => {
                    prop_assert!(matches!(e, Error::Steps(..) | Error::Bytes(..)), "{e}");
                    prop_assert_eq!(all(&base), before, "a refused change changed something");
                }
            }
        }
    }

    /// A question says what a rule with the same body says.
    #[test]
    fn a_question_is_a_rule_without_a_name(
        rules in prop::collection::vec(rule(), 0..4).prop_map(sound),
        body in prop::collection::vec(literal(), 1..4),
        changes in changes(),
    ) {
        let mut base = Base::new(limits());
        base.load(&declared()).expect("declarations");
        let ready = base.load(&rules.join("\n")).is_ok() && base.apply(&changes).is_ok();
        prop_assume!(ready);
        let question = parsed(&[format!("answer(0) :- {}.", body.join(", "))]).remove(0);
        match base.ask(&body.join(", ")) {
            Ok(answer) => {
                let mut rule = question;
                rule.head = (0..rule.variables.len())
                    .map(|v| super::super::HeadTerm::Value(super::super::Expr::Variable(v)))
                    .collect();
                let mut facts = Facts::new();
                change_facts(&mut facts, &changes);
                let mut all = parsed(&rules);
                all.push(rule);
                let mut expected = naive::derive(&all, facts);
                let expected = expected.remove("answer").unwrap_or_default();
                prop_assert_eq!(answer.rows, expected.into_iter().collect::<Vec<_>>());
            }
            Err(Error::Meaning(..)) => prop_assert!(!naive::is_safe(&question)),
            Err(e) => prop_assert!(matches!(e, Error::Steps(..) | Error::Bytes(..)), "{e}"),
        }
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    /// Refused is what has no meaning, and nothing else.
    #[test]
    fn what_has_no_meaning_is_refused(rules in prop::collection::vec(rule(), 1..6)) {
        let all = parsed(&rules);
        let sound = all.iter().all(naive::is_safe) && naive::strata(&all).is_some();
        let mut base = Base::new(limits());
        base.load(&declared()).expect("declarations");
        match base.load(&rules.join("\n")) {
            Ok(_) => prop_assert!(sound, "accepted: {rules:?}"),
            Err(Error::Meaning(_, why)) => prop_assert!(!sound, "{why}: {rules:?}"),
            Err(e) => prop_assert!(matches!(e, Error::Steps(..) | Error::Bytes(..)), "{e}"),
        }
    }

    /// Any text is a program, a question, or an error with a place in it.
    #[test]
    fn any_text_is_read(text in "[a-cA-C_0-9 \n().,:\\-<>=!+*/%\"\\\\é]{0,80}", cut in any::<prop::sample::Index>()) {
        let mut base = Base::new(limits());
        let _ = base.load(&text);
        let _ = base.ask(&text);
        let rules = "input e(X).\np(X, max(Y)) :- e(X), Y = X * 2 - 1, not q(_, X).\nq(1, \"a\").";
        let end = (0..=cut.index(rules.len())).rev().find(|i| rules.is_char_boundary(*i));
        let text = format!("{}{text}", &rules[..end.unwrap_or(0)]);
        if let Err(Error::Syntax(e)) = base.load(&text) {
            let lines = text.split('\n').count() as u32;
            prop_assert!(e.at.line >= 1 && e.at.line <= lines && e.at.column >= 1, "{e}");
        }
        let _ = base.ask(&text);
    }
}

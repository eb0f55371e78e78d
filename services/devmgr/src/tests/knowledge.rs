//! What the knowledge base is told, and what its answers decide.

use crate::choice::{self, Rows};
use crate::{Ledger, PART_BYTES, Part};
use proptest::prelude::*;
use skb::datalog::{Base, Changes, Limits, Value};
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

/// The knowledge base's side of a change in parts.
fn apply(base: &mut Base, parts: &[Part]) {
    let mut changes = Changes::default();
    for part in parts {
        assert!(part.withdrawn.len() + part.asserted.len() < PART_BYTES);
        for atom in part.withdrawn.lines() {
            changes.withdraw_text(atom).expect("an atom");
        }
        changes.assert_text(&part.asserted).expect("facts");
    }
    base.apply(&changes).expect("fits");
}

fn base() -> Base {
    let mut base = Base::new(Limits::default());
    base.load("input f(A, B). input running(Core, Osnode). input core(Core, HwId).")
        .expect("inputs");
    base
}

fn rows(base: &Base, name: &str) -> BTreeSet<Vec<u64>> {
    let number = |v: &Value| v.as_u64().expect("a number");
    base.rows(name)
        .map(|r| r.iter().map(number).collect())
        .collect()
}

#[test]
fn only_what_changed_is_told() {
    let mut l = Ledger::new();
    l.assert("core", &[1u32.into(), 9u32.into()]);
    l.replace("running", &[Vec::from([0u32.into(), 1u32.into()])]);
    let first = l.tell();
    assert_eq!(first[0].withdrawn, "core(_, _)\nrunning(_, _)\n");
    assert_eq!(first[0].asserted, "core(1, 9).\nrunning(0, 1).\n");
    assert_eq!(l.tell(), []);
    l.replace("running", &[Vec::from([1u32.into(), 1u32.into()])]);
    let part = Part {
        withdrawn: "running(0, 1)\n".to_string(),
        asserted: "running(1, 1).\n".to_string(),
    };
    assert_eq!(l.tell(), [part]);
    l.take_core_away(1);
    assert_eq!(l.tell()[0].withdrawn, "core(1, 9)\nrunning(1, 1)\n");
    l.assert("core", &[2u32.into(), 3u32.into()]);
    l.forget();
    assert_eq!(
        l.tell()[0].asserted,
        "core(2, 3).\n",
        "all of it, and no more"
    );
}

#[test]
fn a_new_manager_replaces_what_an_old_one_told() {
    let mut b = base();
    let mut old = Ledger::new();
    old.replace("running", &[Vec::from([5u32.into(), 6u32.into()])]);
    apply(&mut b, &old.tell());
    let mut new = Ledger::new();
    new.replace("running", &[Vec::from([0u32.into(), 1u32.into()])]);
    apply(&mut b, &new.tell());
    assert_eq!(rows(&b, "running"), BTreeSet::from([Vec::from([0, 1])]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever comes and goes, and however often the base is lost: told, it holds what holds.
    #[test]
    fn told_it_holds_what_holds(steps in prop::collection::vec((0u8..5, 0u64..600, 0u64..4), 1..60)) {
        let mut b = base();
        let mut l = Ledger::new();
        let mut expected: BTreeSet<Vec<u64>> = BTreeSet::new();
        let mut on: BTreeSet<Vec<u64>> = BTreeSet::new();
        for (what, n, c) in steps {
            match what {
                0 => {
                    // Many at a time: more than one part.
                    for k in n..n + 400 {
                        l.assert("f", &[k.into(), c.into()]);
                        expected.insert(Vec::from([k, c]));
                    }
                }
                1 => {
                    l.replace("running", &[Vec::from([c.into(), n.into()])]);
                    on = BTreeSet::from([Vec::from([c, n])]);
                }
                2 => {
                    l.take_core_away(c as u32);
                    on.retain(|r| r[0] != c);
                }
                3 => {
                    b = base();
                    l.forget();
                }
                _ => {
                    // Lost on the way.
                    drop(l.tell());
                    l.forget();
                }
            }
            if n % 2 == 0 {
                apply(&mut b, &l.tell());
                prop_assert_eq!(&rows(&b, "f"), &expected);
                prop_assert_eq!(&rows(&b, "running"), &on);
            }
        }
    }
}

fn table(rows: &[&[&str]]) -> Rows {
    let row = |r: &&[&str]| r.iter().map(|v| (*v).to_string()).collect();
    rows.iter().map(row).collect()
}

#[test]
fn answers_decide() {
    let none: Rows = Vec::new();
    assert_eq!(choice::boot_driver(&none), None);
    let drivers = table(&[&["0", "b"], &["2", "a"], &["1", "b"], &["x", "b"], &["3"]]);
    let chosen = choice::boot_driver(&drivers).expect("two of them");
    assert_eq!(
        (chosen.program.as_str(), &chosen.cores[..]),
        ("b", &[0, 1][..])
    );
    let equal = table(&[&["1", "b"], &["0", "a"]]);
    assert_eq!(
        choice::boot_driver(&equal).map(|d| d.program),
        Some(String::from("a"))
    );
    assert_eq!(choice::placed_driver(&none), None);
    assert_eq!(choice::placed_driver(&table(&[&["p", "x"]])), None);
    assert_eq!(
        choice::placed_driver(&table(&[&["p", "3"]])),
        Some((String::from("p"), 3))
    );
    assert_eq!(choice::name(&table(&[&["std"]])), Some(String::from("std")));
    assert_eq!(choice::name(&none), None);
}

/// What is chosen without rules is what the rules choose for QEMU's boards.
#[test]
fn the_fallback_agrees_with_the_rules() {
    for (tree, facts) in [
        (
            false,
            "isa(x86_64). start_method(0, sipi). device(console0, ns16550).",
        ),
        (
            true,
            "isa(aarch64). start_method(0, psci). conduit(hvc). device(console0, pl011).",
        ),
    ] {
        let mut b = Base::new(Limits::default());
        b.load(skb::RULES).expect("the rules");
        let mut changes = Changes::default();
        changes.assert_text(facts).expect("facts");
        changes
            .assert_text("core(0, 0). running(0, 1).")
            .expect("facts");
        for program in ["console-16550", "console-pl011"] {
            changes.assert("program_image", &[Value::text(program)]);
        }
        b.apply(&changes).expect("fits");
        let ask = |question: &str| -> Rows {
            let answer = b.ask(question).expect("a question");
            let text = |v: &Value| v.as_str().map_or(v.to_string(), ToString::to_string);
            answer
                .rows
                .iter()
                .map(|r| r.iter().map(text).collect())
                .collect()
        };
        let known = choice::without_rules(tree);
        let driver = choice::boot_driver(&ask(choice::BOOT_DRIVERS)).expect("one");
        assert_eq!(driver.program, known.boot_driver);
        let console = choice::placed_driver(&ask(choice::CONSOLE)).expect("one");
        assert_eq!(console, (known.console.to_string(), 0));
        assert_eq!(
            choice::name(&ask(&choice::kernel_question(0))),
            None,
            "none is there"
        );
    }
}

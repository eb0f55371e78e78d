//! Facts come and go; what follows comes and goes with them.

use super::super::{Changes, Error, Value};
use super::{answer, base};
use std::string::ToString;

fn tell(b: &mut super::super::Base, withdrawn: &[&str], asserted: &str) -> (usize, usize) {
    let mut changes = Changes::default();
    for pattern in withdrawn {
        changes.withdraw_text(pattern).expect(pattern);
    }
    changes.assert_text(asserted).expect(asserted);
    let applied = b.apply(&changes).expect("fits");
    (applied.withdrawn, applied.asserted)
}

const PROGRAM: &str = "
    input core(Core). input link(FromCore, ToCore).
    joined(A, B) :- link(A, B).
    joined(A, C) :- joined(A, B), link(B, C).
    alone(C) :- core(C), not joined(C, _).
    lonely(count(C)) :- alone(C).";

#[test]
fn derived_facts_follow() {
    let mut b = base(PROGRAM);
    tell(
        &mut b,
        &[],
        "core(1). core(2). core(3). link(1, 2). link(2, 3).",
    );
    assert_eq!(answer(&b, "joined(1, X)"), "2; 3");
    assert_eq!(answer(&b, "alone(X), lonely(N)"), "3 1");
    assert_eq!(tell(&mut b, &["link(_, 3)"], ""), (1, 0));
    assert_eq!(answer(&b, "joined(1, X)"), "2");
    assert_eq!(answer(&b, "alone(X), lonely(N)"), "2 2; 3 2");
    // A cycle that loses its only support goes as a whole.
    tell(&mut b, &[], "link(2, 3). link(3, 2).");
    assert_eq!(answer(&b, "joined(2, X)"), "2; 3");
    tell(&mut b, &["link(2, 3)", "link(1, 2)"], "");
    assert_eq!(answer(&b, "joined(X, Y)"), "3 2");
    assert_eq!(tell(&mut b, &["link(9, 9)"], "core(1)."), (0, 0));
}

#[test]
fn what_is_about_a_thing_goes_with_it() {
    let mut b = base(PROGRAM);
    tell(
        &mut b,
        &[],
        "core(1). core(2). link(1, 2). link(2, 1). link(2, 2).",
    );
    let changes = Changes {
        withdrawn: b.about("Core", &Value::from(1u32)),
        ..Changes::default()
    };
    assert_eq!(b.apply(&changes).map(|a| a.withdrawn), Ok(3));
    assert_eq!(answer(&b, "core(C)"), "2");
    assert_eq!(answer(&b, "joined(A, B)"), "2 2");
}

#[test]
fn changes_are_all_or_nothing() {
    let mut b = base(PROGRAM);
    tell(&mut b, &[], "core(1).");
    let mut changes = Changes::default();
    changes.withdraw_text("core(_)").expect("a pattern");
    changes.assert("link", &[Value::from(1u32)]);
    let e = b.apply(&changes).expect_err("one argument");
    assert_eq!(
        e,
        Error::Fact("link(1): `link` has 2 arguments (line 2, column 29), not 1".into())
    );
    assert_eq!(answer(&b, "core(C)"), "1");
    let mut changes = Changes::default();
    changes.withdraw_text("cores(_)").expect("a pattern");
    let e = b.apply(&changes).expect_err("unknown");
    assert!(matches!(e, Error::Fact(what) if what.contains("did you mean `core`?")));
    assert!(changes.assert_text("p(X) :- core(X).").is_err());
    assert!(changes.withdraw_text("core(X)").is_err());
}

#[test]
fn an_answer_is_a_table() {
    let b = base("latency(0, 1, 300). latency(1, \"a\", 310).");
    let text = |q| b.ask(q).expect("a question").to_string();
    assert_eq!(
        text("latency(A, B, L)"),
        "A\tB\tL\n0\t1\t300\n1\t\"a\"\t310\n"
    );
    assert_eq!(text("a(count(A)) :- latency(A, _, _)"), "1\n2\n");
    assert_eq!(text("latency(0, 1, _)"), "\n\n", "it is so");
    assert_eq!(text("latency(0, 2, _)"), "\n", "it is not");
}

#[test]
fn unknown_facts_define_their_predicate() {
    let mut b = base("");
    assert_eq!(
        tell(&mut b, &[], "latency(0, 1, 300). latency(1, 0, 310)."),
        (0, 2)
    );
    assert_eq!(answer(&b, "latency(0, X, Y)"), "1 300");
    assert!(b.load("slow(A) :- latency(A, _, L), L > 305.").is_ok());
    assert_eq!(answer(&b, "slow(A)"), "1");
    let before = b.bytes();
    tell(&mut b, &[], "latency(2, 0, 320).");
    assert!(b.bytes() > before);
    tell(&mut b, &["latency(2, _, _)"], "");
    assert_eq!(b.bytes(), before, "what goes gives its memory back");
}

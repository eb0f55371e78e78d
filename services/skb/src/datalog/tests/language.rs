//! Examples: syntax, meaning, errors.

use super::super::{Base, Error, Limits, Value, parse};
use super::{answer, base};
use std::format;
use std::string::{String, ToString};

fn error(program: &str) -> String {
    match Base::new(Limits::default()).load(program) {
        Ok(_) => panic!("accepted: {program}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn rules_may_be_recursive() {
    let b = base(
        "edge(1, 2). edge(2, 3). edge(3, 1). edge(4, 4).
         path(A, B) :- edge(A, B).
         path(A, C) :- path(A, B), edge(B, C).",
    );
    assert_eq!(answer(&b, "path(1, X)"), "1; 2; 3");
    assert_eq!(answer(&b, "path(X, X), X > 3"), "4");
    assert_eq!(answer(&b, "path(4, 1)"), "");
    assert_eq!(b.ask("path(1, 3)").map(|a| a.rows.len()), Ok(1));
}

#[test]
fn negation_and_aggregates() {
    let b = base(
        "distance(0, 0, 10). distance(0, 1, 21). distance(0, 2, 16). memory(0x1000, 0x10, 1).
         memory(0x2000, 0x10, 2). memory(0x3000, 0x20, 2).
         has(N) :- memory(_, _, N).
         without(N) :- distance(_, N, _), not has(N).
         nearest(F, min(D)) :- distance(F, T, D), has(T).
         size(N, sum(B, Base), count(Base), max(Base)) :- memory(Base, B, N).",
    );
    assert_eq!(answer(&b, "without(N)"), "0");
    assert_eq!(answer(&b, "nearest(0, D), distance(0, N, D)"), "16 2");
    assert_eq!(
        answer(&b, "size(N, S, C, M)"),
        "1 16 1 4096; 2 48 2 12288",
        "equal sizes are told apart by their bases"
    );
    assert_eq!(
        answer(&b, "answer(count(N), sum(B)) :- memory(_, B, N)"),
        "2 48",
        "distinct tuples only"
    );
}

#[test]
fn values_have_one_order() {
    let b = base("v(3). v(-2). v(a). v(\"a\"). v(18446744073709551615). v(-9223372036854775808).");
    assert_eq!(
        answer(&b, "v(X)"),
        "-9223372036854775808; -2; 3; 18446744073709551615; a; \"a\""
    );
    assert_eq!(answer(&b, "v(X), X < 0"), "-9223372036854775808; -2");
    assert_eq!(
        answer(&b, "answer(max(X), min(X)) :- v(X)"),
        "\"a\" -9223372036854775808"
    );
    assert_eq!(
        answer(&b, "v(X), Y = X - 1"),
        "-2 -3; 3 2; 18446744073709551615 18446744073709551614",
        "what is out of range or no number has no value"
    );
    assert_eq!(answer(&b, "X = 7 / 2, Y = -7 / 2, Z = -7 % 2"), "3 -4 1");
    assert_eq!(answer(&b, "X = 1 / 0"), "");
    assert_eq!(answer(&b, "X = 2 + 3 * 4 - 1, Y = (2 + 3) * 4"), "13 20");
    assert_eq!(answer(&b, "X = 0xff_ff"), "65535");
    assert!(Value::symbol("Core").is_none() && Value::symbol("not").is_none());
}

#[test]
fn texts_are_written_as_they_are_read() {
    let mut b = base("input name(Text).");
    let text = Value::text("a \"b\" \\ \n é");
    let mut changes = super::super::Changes::default();
    changes.assert("name", core::slice::from_ref(&text));
    b.apply(&changes).expect("one text");
    assert_eq!(answer(&b, &format!("name({text})")), "");
    assert_eq!(b.ask(&format!("name({text})")).map(|a| a.rows.len()), Ok(1));
}

#[test]
fn errors_name_line_column_and_what_was_expected() {
    assert_eq!(
        error("core(0).\ncore(1)\ncore(2)."),
        "line 3, column 1: expected `.` at the end of the clause, found `core`"
    );
    assert_eq!(
        error("p(X) :- q(X,)."),
        "line 1, column 13: expected a variable, a constant or `_`, found `)`"
    );
    assert_eq!(
        error("p(\"abc\n\")."),
        "line 1, column 7: expected `\"`, found the end of the line"
    );
    assert_eq!(
        error("p(18446744073709551616)."),
        "line 1, column 3: expected a number of at most 64 bits, found `18446744073709551616`"
    );
    assert_eq!(
        error("p(X) :- e(X), q(X + 1)."),
        "line 1, column 19: expected `,` or `)` behind an argument, found `+`"
    );
    assert_eq!(
        error("P(1)."),
        "line 1, column 1: expected the name of a predicate (with a small letter), found `P`"
    );
    assert_eq!(
        error("p(1) :- ;"),
        "line 1, column 9: expected a name, a variable, a number, a text or punctuation, found `;`"
    );
    let b = base("e(1).");
    assert_eq!(
        answer(&b, "e(X) e(Y)"),
        "line 1, column 6: expected `,`, `.` or the end of the question, found `e`"
    );
}

#[test]
fn programs_without_meaning_are_told_why() {
    let e = "input e(X).\n";
    assert_eq!(
        error(&format!("{e}p(X) :- e(X), not q(X).\nq(X) :- p(X).")),
        "line 2, column 19: `p` depends on the absence of itself: p -> q -> p"
    );
    assert_eq!(
        error(&format!("{e}p(count(X)) :- p(X).\np(X) :- e(X).")),
        "line 2, column 16: `p` depends on an aggregate over itself: p -> p"
    );
    assert_eq!(
        error(&format!("{e}p(X) :- not e(X).")),
        "line 2, column 13: variable `X` gets no value from a positive literal; `_` means `whatever it is`"
    );
    assert_eq!(
        error(&format!("{e}p(X, Y) :- e(X), e(Z), Z > 1, Y != Y.")),
        "line 2, column 31: variable `Y` gets no value from a positive literal"
    );
    assert_eq!(
        error(&format!("{e}p(X, Y, Y) :- e(X).")),
        "line 2, column 1: variable `Y` of the head of `p` gets no value in the body"
    );
    assert_eq!(
        error(&format!("{e}p(1) :- e(Core).")),
        "line 2, column 1: variable `Core` stands in this rule once: write `_` if nothing depends on it"
    );
    assert_eq!(
        error(&format!("{e}p(X) :- e(X, _).")),
        "line 2, column 9: `e` has 1 arguments (line 1, column 7), not 2"
    );
    assert_eq!(
        error("input core(X).\np(X) :- cores(X)."),
        "line 2, column 9: there is no predicate `cores`: no `input`, fact or rule names it; did you mean `core`?"
    );
}

#[test]
fn a_rule_that_does_not_end_is_an_error_and_changes_nothing() {
    let limits = Limits {
        steps: 10_000,
        bytes: 1 << 20,
    };
    let mut b = Base::new(limits);
    b.load("n(0).").expect("a fact");
    let e = b.load("n(X + 1) :- n(X).").expect_err("endless");
    assert_eq!(
        e.to_string(),
        "the rule of `n` (line 1, column 1) takes more than the 10000 steps that are allowed"
    );
    assert_eq!(answer(&b, "n(X)"), "0");
    let e = b.load("m(\"some text that takes memory\", X + 1) :- n(X). m(T, X + 1) :- m(T, X).");
    assert!(matches!(e, Err(Error::Bytes(..) | Error::Steps(..))));
    assert_eq!(b.predicates().len(), 1, "what was refused left nothing");
    // A question that multiplies without end is stopped, too.
    for n in 1..60u64 {
        let mut changes = super::super::Changes::default();
        changes.assert("n", &[Value::from(n)]);
        b.apply(&changes).expect("few facts");
    }
    let e = b.ask("n(A), n(B), n(C), A < B, B < C");
    assert!(matches!(e, Err(Error::Steps(10_000, _))), "{e:?}");
    let small = Limits {
        steps: u64::MAX,
        bytes: 4096,
    };
    let mut b = Base::new(small);
    let e = b.load("n(0). n(X + 1) :- n(X), X < 1000000.");
    assert!(matches!(e, Err(Error::Bytes(4096, _))), "{e:?}");
}

/// A process has a stack of 256 KiB.
#[test]
fn the_longest_body_and_the_deepest_expression_need_little_stack() {
    let deepest = |depth: usize| format!("{}1{}", "(1 + ".repeat(depth), ")".repeat(depth));
    let check = move || {
        let b = base("e(1). e(2).");
        let body = "e(X), ".repeat(47);
        assert_eq!(
            answer(&b, &format!("{body}e(X), X > 1").replacen("e(X), ", "", 1)),
            "2"
        );
        // Parentheses count, too.
        assert_eq!(answer(&b, &format!("X = {}", deepest(8))), "9");
        let refused = answer(&b, &format!("X = {}", deepest(17)));
        assert!(refused.contains("at most 16 operators"), "{refused}");
    };
    let small = std::thread::Builder::new().stack_size(128 << 10);
    small
        .spawn(check)
        .expect("a thread")
        .join()
        .expect("it fits");
}

#[test]
fn deep_and_long_texts_are_refused() {
    let deep = format!("p(1) :- {}1 = 1.", "(".repeat(100_000));
    assert!(error(&deep).contains("at most 16 operators"));
    let long = format!("p(1) :- 1{} = 1.", " + 1".repeat(1000));
    assert!(error(&long).contains("at most 16 operators"));
    let wide = format!("p({}1).", "1, ".repeat(100));
    assert!(error(&wide).contains("at most 12 arguments"));
    let body = format!("p(1) :- {}1 = 1.", "1 = 1, ".repeat(100));
    assert!(error(&body).contains("at most 48 literals"));
    assert!(parse(&"\u{1f980}".repeat(10)).is_err());
    let many = format!("e(1). {}", "p(X) :- e(X), e(X), e(X), e(X). ".repeat(1025));
    assert!(error(&many).contains("more than 1024 rules or 4096 literals"));
    let tall = format!(
        "e(1). {}",
        "p(X) :- e(X), e(X), e(X), e(X), e(X). ".repeat(820)
    );
    assert!(error(&tall).contains("more than 1024 rules or 4096 literals"));
}

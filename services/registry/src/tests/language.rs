//! Records, queries, patterns.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use crate::language::{Pattern, Record, Value, name, query, record};

fn fits(q: &str, r: &str) -> bool {
    let (q, r) = (query(q).expect(q), record(r).expect(r));
    q.is_match(&r)
}

#[test]
fn records_are_read_and_written() {
    let text = r#"net.eth0 { speed: 1000, mac: "52:54 \"x\"", state: up, low: -0x10 }"#;
    let r = record(text).expect("a record");
    assert_eq!(r.name, "net.eth0");
    assert_eq!(r.attributes["speed"], Value::Integer(1000));
    assert_eq!(r.attributes["low"], Value::Integer(-16));
    assert_eq!(r.attributes["mac"], Value::Text("52:54 \"x\"".into()));
    assert_eq!(r.attributes["state"], Value::Symbol("up".into()));
    let back = r#"net.eth0 { low: -16, mac: "52:54 \"x\"", speed: 1000, state: up }"#;
    assert_eq!(r.to_string(), back);
    assert_eq!(record("a").map(|r| r.to_string()), Ok("a".into()));
    assert_eq!(record("a{}"), record(" a { } "));
}

#[test]
fn what_is_no_record_is_refused_with_its_place() {
    for (text, says) in [
        ("", "character 1: expected a record's name, found the end"),
        ("9a", "character 1: expected a record's name, found `9`"),
        ("a { b }", "character 7: expected `:` behind b, found `}`"),
        ("a { b: 1 c: 2 }", "character 10: expected `,` or `}`"),
        ("a { b: 1, b: 2 }", "attribute b is there twice"),
        ("a { b: 1", "found the end of the text"),
        (
            "a { b: 99999999999999999999 }",
            "is not a number of 64 bits",
        ),
        ("a { b: 1x }", "`1x` is not a number"),
        ("a { b: -+1 }", "is not a number"),
        (
            "a { b: \"x }",
            "character 8: the text that begins here does not end",
        ),
        ("a { b: \"\\x\" }", "behind \\"),
        ("a { b: 1 } c", "expected the end of the text, found `c`"),
        ("a*", "expected the end of the text, found `*`"),
    ] {
        let e = record(text).expect_err(text).to_string();
        assert!(e.contains(says), "{text:?}: {e}");
    }
    let long = "n".repeat(65);
    assert!(name(&long).is_err());
    assert!(record(&format!("a {{ b: \"{}\" }}", "x".repeat(257))).is_err());
    let many: Vec<String> = (0..33).map(|i| format!("a{i}: 1")).collect();
    assert!(record(&format!("a {{ {} }}", many.join(", "))).is_err());
}

#[test]
fn queries_compare() {
    let r = r#"job.7 { size: 20, owner: "ann b", state: done }"#;
    for q in [
        "job.7",
        "*",
        "job.* { size }",
        "job.? { size: 20 }",
        "job.* { size == 20, size >= 20, size <= 20, size > 19, size < 21, size != 21 }",
        "j*7 { state: done, owner != done }",
        "job.* { owner ~ \"ann*\", state ~ \"d?ne\" }",
        "job.* { owner > \"ann\", state < e }",
    ] {
        assert!(fits(q, r), "{q}");
    }
    for q in [
        "job",
        "job.?? ",
        "job.* { absent }",
        "job.* { absent != 3 }",
        "job.* { size > 20 }",
        "job.* { size: \"20\" }",
        "job.* { size < \"a\" }",
        "job.* { state: \"done\" }",
        "job.* { size ~ \"*\" }",
        "job.* { owner ~ \"ann\" }",
    ] {
        assert!(!fits(q, r), "{q}");
    }
    for bad in [
        "job { size = 3 }",
        "job { size ! 3 }",
        "job { ~ \"x\" }",
        "job { a ~ x }",
        "{ a }",
    ] {
        assert!(query(bad).is_err(), "{bad}");
    }
}

/// What fits, by trying every way: exponential, obvious.
fn slow(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|n| slow(rest, &text[n..])),
        Some(('?', rest)) => !text.is_empty() && slow(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
    }
}

fn a_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        "[^\0]{0,60}".prop_map(Value::Text),
        "[a-z_][a-zA-Z0-9_./-]{0,20}".prop_map(Value::Symbol),
    ]
}

proptest! {
    #[test]
    fn patterns_match_as_trying_every_way_does(p in "[ab*?]{0,9}", t in "[ab]{0,9}") {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        prop_assert_eq!(Pattern::new(&p).is_match(&t), slow(&chars(&p), &chars(&t)));
    }

    #[test]
    fn what_fits_a_pattern_begins_with_its_prefix(p in "[ab*?]{0,6}", t in "[ab]{0,6}") {
        let pattern = Pattern::new(&p);
        prop_assert!(!pattern.is_match(&t) || t.starts_with(&pattern.prefix()));
    }

    #[test]
    fn a_record_written_is_read_back(
        n in "[a-zA-Z_][a-zA-Z0-9_./-]{0,20}",
        attributes in proptest::collection::btree_map("[a-z_][a-z0-9_]{0,10}", a_value(), 0..6),
    ) {
        let r = Record { name: n, attributes };
        prop_assert_eq!(record(&r.to_string()), Ok(r));
    }

    #[test]
    fn reading_is_total(text in "\\PC{0,60}", bits in "[a-z{}:,\"~<>=!*?0-9 -]{0,40}") {
        for t in [text, bits] {
            let _ = (record(&t), query(&t), name(&t));
        }
    }
}

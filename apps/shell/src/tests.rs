//! Language, arguments and records, without any system below.

use crate::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

fn run(line: &str) -> Vec<String> {
    let script = parse(line).expect("parses");
    script.runner().map(|c| c.join("|")).collect()
}

#[test]
fn commands_quotes_and_comments() {
    assert_eq!(
        run("cores; spawn ticker --on 1 ;; ps"),
        ["cores", "spawn|ticker|--on|1", "ps"]
    );
    assert_eq!(
        run(r#"echo 'a; b' "c \" d" e\;f ''"#),
        ["echo|a; b|c \" d|e;f|"]
    );
    assert_eq!(run("a # b; c\nd"), ["a", "d"]);
    assert_eq!(run("   ;;  "), Vec::<String>::new());
}

#[test]
fn repeats_nest_and_are_not_unrolled() {
    assert_eq!(
        run("repeat 2 { a; repeat 2 { b }; c }; d"),
        ["a", "b", "b", "c", "a", "b", "b", "c", "d"]
    );
    assert_eq!(run("repeat 1000000 { }"), Vec::<String>::new());
    let script = parse("repeat 1000000 { repeat 1000000 { a } }").expect("parses");
    assert_eq!(script.runner().take(10).count(), 10);
    assert_eq!(run("'repeat' 2"), ["repeat|2"]);
}

#[test]
fn what_is_wrong_is_named() {
    for (line, text) in [
        ("echo 'a", "the quote at character 6 is not closed"),
        ("a }", "the } at character 3 closes nothing"),
        ("repeat 2 { a", "a block { is not closed by }"),
        ("repeat x { a }", "not \"x\""),
        ("repeat 0 { a }", "not \"0\""),
        ("repeat 2 a", "not 2 \"a\""),
        ("repeat", "not nothing"),
        (
            "repeat 2 { a } b",
            "a ; must stand between a block and \"b\"",
        ),
        ("a \\", "nothing follows the last \\"),
    ] {
        let e = parse(line).expect_err(line).to_string();
        assert!(e.contains(text), "{line}: {e}");
    }
    let deep = format!("{}a{}", "repeat 1 { ".repeat(17), " }".repeat(17));
    assert_eq!(parse(&deep), Err(ParseError::TooDeep));
}

#[test]
fn arguments_are_taken_by_name_and_position() {
    let words: Vec<String> = "update --kernel trace 1 --fresh"
        .split(' ')
        .map(String::from)
        .collect();
    let mut a = Args::new(&words);
    assert_eq!(
        a.option("--kernel", "a kernel's name"),
        Ok(Some("trace".into()))
    );
    assert!(a.flag("--fresh"));
    assert!(!a.flag("--fresh"));
    assert_eq!(a.next("what"), Ok("update".into()));
    assert_eq!(a.clone().finish(), Err(ArgError::Extra("1".into())));
    assert_eq!(a.rest(), ["1"]);
    assert_eq!(a.next("a core"), Err(ArgError::Missing("a core")));
    let mut b = Args::new(&["--kernel=std".into(), "--on".into()]);
    assert_eq!(b.option("--kernel", "x"), Ok(Some("std".into())));
    assert_eq!(b.option("--on", "a core"), Err(ArgError::Missing("a core")));
}

#[test]
fn core_lists() {
    assert_eq!(parse_core_list("1"), Ok(vec![1]));
    assert_eq!(parse_core_list("1,3-5"), Ok(vec![1, 3, 4, 5]));
    for bad in ["", "x", "1,1", "3-1", "1-", "0-4294967295", "-1"] {
        assert!(parse_core_list(bad).is_err(), "{bad}");
    }
}

#[test]
fn numbers_of_bytes() {
    let all = [
        ("4096", 4096),
        ("512K", 512 << 10),
        ("4M", 4 << 20),
        ("1G", 1 << 30),
    ];
    for (text, bytes) in all {
        assert_eq!(parse_bytes(text), Some(bytes));
    }
    for bad in ["", "M", "-1", "4MB", "1.5M", "18446744073709551615K"] {
        assert_eq!(parse_bytes(bad), None, "{bad}");
    }
}

#[test]
fn records_are_json() {
    let mut r = Record::new("cmd");
    r.string("cmd", "echo \"a\\b\"\n\u{1}")
        .flag("ok", true)
        .number("ns", u64::MAX);
    assert_eq!(
        r.line(),
        r###"##nk {"k":"cmd","cmd":"echo \"a\\b\"\n\u0001","ok":true,"ns":18446744073709551615}"###
    );
}

proptest! {
    #[test]
    fn any_line_parses_or_errs(line in "[a-z0-9 ;{}'\"\\\\#\n]{0,80}") {
        if let Ok(s) = parse(&line) { let _ = s.runner().take(1000).count(); }
    }
}

#[test]
fn milliseconds_say_what_is_wrong_with_them() {
    let says = |text: &str| parse_ms(text, 3_600_000).map_err(|e| e.to_string());
    assert_eq!(says("500"), Ok(500));
    assert_eq!(says("3600000ms"), Ok(3_600_000));
    for bad in ["", "ms", "1msms", "-1", "+1", "1 ms", "1s"] {
        let text = format!("\"{bad}\" is not a number of milliseconds");
        assert_eq!(says(bad), Err(text));
    }
    for large in ["3600001", "99999999999999999999999"] {
        let text = format!("{large} milliseconds are too many: 3600000 at most");
        assert_eq!(says(large), Err(text));
    }
}

//! Language, arguments, editor and records, without any system below.

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

/// Feeds keys; the last finished line.
fn type_keys(e: &mut Editor, keys: &str) -> Feedback {
    let mut out = String::new();
    let mut last = Feedback::Editing;
    for b in keys.bytes() {
        last = e.feed(b, &mut out);
    }
    last
}

#[test]
fn keys_edit_the_line() {
    for (keys, line) in [
        ("abc\r", "abc"),
        ("abc\x7f\x7fd\r", "ad"),
        ("bc\x01a\x05d\r", "abcd"),
        ("ac\x1b[Db\r", "abc"),
        ("ac\x1b[D\x1b[3~b\r", "ab"),
        ("one two\x17three\r", "one three"),
        ("abc\x02\x0b\r", "ab"),
        ("abc\x02\x15\r", "c"),
        ("ab\x14\r", "ba"),
        ("\x1b[1~x\x1b[Hy\x1bOFz\x1b[99;5q\r", "yxz"),
        ("größe\x7f\r", "größ"),
    ] {
        let mut e = Editor::new("> ");
        assert_eq!(
            type_keys(&mut e, keys),
            Feedback::Line(line.into()),
            "{keys:?}"
        );
    }
}

#[test]
fn history_keeps_the_draft() {
    let mut e = Editor::new("> ");
    type_keys(&mut e, "one\rtwo\rtwo\r");
    assert_eq!(
        type_keys(&mut e, "dra\x1b[A\x1b[A\x1b[A\r"),
        Feedback::Line("one".into())
    );
    assert_eq!(
        type_keys(&mut e, "dra\x10\x10\x0e\x0eft\r"),
        Feedback::Line("draft".into())
    );
    assert_eq!(type_keys(&mut e, "x\x03"), Feedback::Interrupted);
    assert_eq!(type_keys(&mut e, "\x04"), Feedback::End);
    assert_eq!(
        type_keys(&mut e, "a\r\n"),
        Feedback::Editing,
        "the \\n of \\r\\n is no line"
    );
}

/// What a terminal of endless width shows: applies \r, ESC[K, ESC[nD and text.
fn screen(out: &str) -> (String, usize) {
    let (mut row, mut col): (Vec<char>, usize) = (Vec::new(), 0);
    let mut chars = out.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => col = 0,
            '\n' => row.clear(),
            '\x1b' => {
                let seq: String = chars
                    .by_ref()
                    .skip(1)
                    .take_while(|c| c.is_ascii_digit())
                    .collect();
                // take_while ate the final letter: a number means D, none means K or H.
                match seq.parse::<usize>() {
                    Ok(n) => col -= n,
                    Err(_) => row.truncate(col),
                }
            }
            c => {
                row.resize(row.len().max(col), ' ');
                if col < row.len() {
                    row[col] = c
                } else {
                    row.push(c)
                }
                col += 1;
            }
        }
    }
    (row.into_iter().collect(), col)
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut e = Editor::new("> ");
        let mut out = String::new();
        e.start(&mut out);
        for b in bytes { e.feed(b, &mut out); }
    }

    #[test]
    fn the_terminal_shows_the_line(keys in prop::collection::vec(prop::sample::select(
        vec!["a", "b", "ä", "\x7f", "\x1b[D", "\x1b[C", "\x01", "\x05", "\x15", "\x0b", "\x17", "\x14", "\x1b[3~", " "]), 0..60)) {
        let mut e = Editor::new("> ");
        let mut out = String::new();
        e.start(&mut out);
        for k in &keys { for b in k.bytes() { e.feed(b, &mut out); } }
        let shown = screen(&out);
        let mut tail = String::new();
        let Feedback::Line(line) = e.feed(b'\r', &mut tail) else { panic!("no line") };
        prop_assert_eq!(shown.0, format!("> {line}"));
        prop_assert!(shown.1 >= 2);
    }

    #[test]
    fn any_line_parses_or_errs(line in "[a-z0-9 ;{}'\"\\\\#\n]{0,80}") {
        if let Ok(s) = parse(&line) { let _ = s.runner().take(1000).count(); }
    }
}

//! The editor on its own, and queues.

use crate::*;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

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
        ("\x1b\x1b\x1becho z\r", "echo z"),
        ("a\x1b[1\x1b[Db\r", "ba"),
        ("ab\x1b[1;\r", "ab"),
        ("ab\x1b\x7fc\r", "ac"),
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
fn a_broken_character_takes_no_other_with_it() {
    for (keys, line) in [
        (&b"\xc3a\r"[..], "a"),
        (b"\xe2\x82a\r", "a"),
        (b"\xff\x80b\r", "b"),
        (b"\xc3\xc3\xa9\r", "\u{e9}"),
        (b"\xf0\x9f\x1b[Dc\r", "c"),
    ] {
        let mut e = Editor::new("> ");
        let mut out = String::new();
        let last = keys.iter().map(|b| e.feed(*b, &mut out)).last();
        assert_eq!(last, Some(Feedback::Line(line.into())), "{keys:x?}");
    }
}

#[test]
fn a_line_that_is_too_long_counts_for_nothing_and_the_limit_is_said() {
    let most = "x".repeat(1000);
    let mut e = Editor::new("> ");
    assert_eq!(
        type_keys(&mut e, &format!("{most}\r")),
        Feedback::Line(most.clone())
    );
    let mut out = String::new();
    for b in format!("{most}yz\x7f\x7f\x7f").bytes() {
        e.feed(b, &mut out);
    }
    out.clear();
    assert_eq!(e.feed(b'\r', &mut out), Feedback::TooLong);
    assert!(out.contains("1000 characters at most"), "{out}");
    assert_eq!(
        type_keys(&mut e, "\x10\r"),
        Feedback::Line(most.clone()),
        "it is in no history"
    );
    let again = format!("{most}y\x03z\r");
    assert_eq!(type_keys(&mut e, &again), Feedback::Line("z".into()));
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
}

#[test]
fn lines_end_with_return_and_feed_and_tickets_are_kept() {
    let mut o = Output::new();
    let first = o.write(b"a\nb\r\n");
    let mut out = Vec::new();
    while let Some(b) = o.peek() {
        assert!(!o.is_done(first));
        out.push(b);
        o.advance();
    }
    assert_eq!(out, b"a\r\nb\r\n");
    assert!(o.is_done(first));
    let second = o.write(&[b'x'; 16 * 1024]);
    assert!(o.is_full());
    o.advance();
    assert!(!o.is_full() && !o.is_done(second) && o.is_done(first));
}

#[test]
fn an_interrupt_takes_what_was_typed_before_it() {
    for (keys, found, left) in [
        (&b""[..], false, &b""[..]),
        (b"echo a\r", false, b"echo a\r"),
        (b"\x03echo a\r", true, b"echo a\r"),
        (b"echo a\r\x03b\x03c", true, b"b\x03c"),
    ] {
        let mut queue = keys.iter().copied().collect();
        assert_eq!(take_interrupt(&mut queue), found);
        assert_eq!(queue, left);
    }
}

//! The table and the words.

use crate::*;
use proto::iface::spawn::ProcessState;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

#[test]
fn words_go_and_come() {
    let w = words("ticker 100 x");
    assert_eq!(split_words(&join_words(&w)), Some(w));
    for bad in [&b""[..], b"\0", b"a", b"\xff\0"] {
        assert_eq!(split_words(bad), None, "{bad:?}");
    }
    assert_eq!(
        split_words(b"a\0\0"),
        Some(vec!["a".to_string(), String::new()])
    );
}

#[test]
fn a_process_lives_and_is_remembered() {
    let mut t = Table::new();
    let a = t.add(words("ticker 5"));
    let b = t.add(words("ticker"));
    t.started(a, 4096);
    assert_eq!(t.named("ticker"), Err(NameError::Several(2)));
    t.ended(b, ProcessState::Faulted, 0, "page fault".into());
    t.ended(b, ProcessState::Killed, 0, "again".into());
    assert_eq!(t.named("ticker"), Ok(a));
    assert_eq!(t.named("churn"), Err(NameError::Unknown));
    let e = t.get(b).expect("remembered");
    assert_eq!(
        (e.state, e.report.as_str()),
        (ProcessState::Faulted, "page fault")
    );
    assert_eq!(t.next(0).map(|(n, e)| (n, e.memory)), Some((a, 4096)));
    assert_eq!(t.next(b), None);
    assert_eq!(t.next(u64::MAX), None);
    t.remove(a);
    assert!(t.add(words("x")) > b, "numbers are not reused");
}

#[test]
fn old_ended_processes_are_forgotten() {
    let mut t = Table::new();
    let live = t.add(words("stays"));
    for _ in 0..100 {
        let n = t.add(words("short"));
        t.ended(n, ProcessState::Exited, 0, String::new());
    }
    assert!(t.get(live).is_some());
    let mut count = 0;
    let mut at = 0;
    while let Some((n, _)) = t.next(at) {
        at = n;
        count += 1;
    }
    assert_eq!(count, 17);
}

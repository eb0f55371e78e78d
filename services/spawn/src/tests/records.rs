//! What is written down of processes and services is read again as it was.

use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;
use proto::iface::spawn::{ProcessState, Restart, ServiceState};
use proto::{Name, Pid};
use std::string::String;
use std::vec::Vec;

use crate::*;

fn words() -> impl Strategy<Value = Vec<String>> {
    list("[a-zäß ]{0,30}", 1..6)
}

fn pid() -> impl Strategy<Value = Pid> {
    (1u64..5, any::<u64>()).prop_map(|(osnode, number)| Pid { osnode, number })
}

fn slots() -> impl Strategy<Value = Slots> {
    (0u32..50, 0u32..50).prop_map(|(block, part)| Slots {
        block: 4 * block,
        parts: [1, 2, 3].map(|i| 4 * part + i),
    })
}

pub fn process() -> impl Strategy<Value = ProcessRecord> {
    let state = (0u64..5).prop_map(|n| ProcessState::from_code(n).expect("a state"));
    let entry = (
        words(),
        state,
        any::<i32>(),
        "[ -~]{0,80}",
        any::<u64>(),
        any::<u64>(),
    );
    let entry = entry.prop_map(|(words, state, status, report, used_ns, memory)| Entry {
        words,
        state,
        status,
        report,
        used_ns,
        memory,
    });
    let rest = (
        any::<u32>(),
        option::of(slots()),
        option::of(pid()),
        list(pid(), 0..4),
    );
    (entry, rest).prop_map(|(entry, (account, slots, of, members))| ProcessRecord {
        entry,
        account,
        slots,
        of,
        members,
    })
}

pub fn service() -> impl Strategy<Value = ServiceRecord> {
    let restart = (0u64..4).prop_map(|n| Restart::from_code(n).expect("a policy"));
    let state = (1u64..5).prop_map(|n| ServiceState::from_code(n).expect("a state"));
    let kept = ("[a-z0-9.]{0,16}", 0u32..100).prop_map(|(name, slot)| KeptRecord {
        name: Name::new(&name).expect("short enough"),
        slot: 4 * slot + 1,
    });
    let counts = (
        any::<u64>(),
        list(any::<u64>(), 0..10),
        any::<u64>(),
        any::<u64>(),
    );
    let rules = (restart, any::<u32>(), any::<u64>(), state);
    let rest = (
        words(),
        any::<bool>(),
        any::<bool>(),
        any::<u32>(),
        "[a-z.]{0,40}",
        list(kept, 0..60),
    );
    (rules, counts, rest).prop_map(|(rules, counts, rest)| {
        let (restart, most, within_ns, state) = rules;
        let (restarts, recent, number, memory) = counts;
        let (words, has_console, keeps, left, title, kept) = rest;
        ServiceRecord {
            rules: Rules {
                restart,
                most,
                within_ns,
            },
            state,
            restarts,
            recent,
            number,
            words,
            memory,
            has_console,
            keeps,
            left,
            title,
            kept,
        }
    })
}

fn is_read_again(key: Key, record: Record) {
    let note = record.note(key);
    assert!(note.bytes.len() <= journal::LONGEST);
    assert_eq!(Key::of(note.number), key);
    assert_eq!(Record::read(note.number, &note.bytes), Some((key, record)));
}

proptest! {
    #[test]
    fn a_process_is_read_as_it_was(number in 0u64..1 << 63, p in process()) {
        is_read_again(Key::Process(number), Record::Process(p));
    }

    #[test]
    fn a_service_is_read_as_it_was(id in 0u64..1 << 63, s in service()) {
        is_read_again(Key::Service(id), Record::Service(s));
    }

    /// Whatever stands there is a record or none; cut short it is none.
    #[test]
    fn no_bytes_are_too_bad(
        number in any::<u64>(),
        noise in list(any::<u8>(), 0..200),
        p in process(),
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = Record::read(number, &noise);
        let note = Record::Process(p).note(Key::Process(1));
        let short = &note.bytes[..cut.index(note.bytes.len())];
        prop_assert_eq!(Record::read(note.number, short), None);
    }
}

#[test]
fn a_long_report_is_cut_at_a_character() {
    let mut record = ProcessRecord {
        entry: Entry {
            words: Vec::from([String::from("x")]),
            state: ProcessState::Faulted,
            status: 0,
            report: "ä".repeat(3000),
            used_ns: 0,
            memory: 0,
        },
        account: 0,
        slots: None,
        of: None,
        members: Vec::new(),
    };
    let note = Record::Process(record.clone()).note(Key::Process(1));
    record.entry.report.truncate(2048);
    let read = Record::read(note.number, &note.bytes);
    assert_eq!(read, Some((Key::Process(1), Record::Process(record))));
}

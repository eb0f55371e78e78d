//! Every interface: what is encoded decodes to the same, and any words decode to something or an error.

use abi::{CapAddr, SysError};
use proptest::prelude::*;
use proto::blob::{Joiner, MAX_BLOB, fragments};
use proto::iface::{
    console, cores, driver, files, memory, monitor, names, process, skb, spawn, system,
    transport::Transport,
};
use proto::start::{self, StartBlock, StartInfo};
use proto::{Header, Name, Pid, ServiceError, Wire, WireError};

/// Decodes any words as a `W`; what decodes encodes to the words that it uses.
fn total<W: Wire + Copy + PartialEq + std::fmt::Debug>(op: u16, fields: [u64; 5]) -> bool {
    let Ok(m) = W::decode(op, fields) else {
        return false;
    };
    let (op2, fields2) = m.encode();
    assert_eq!(op2, op);
    for (a, b) in fields.iter().zip(fields2) {
        assert!(b == *a || b == 0, "a field changed: {a:#x} to {b:#x}");
    }
    assert_eq!(W::decode(op2, fields2), Ok(m));
    assert_eq!(W::from_words(m.to_words(77)), Ok((77, m)));
    true
}

/// A message set: its decoder, its interface, its operations.
type Set = (fn(u16, [u64; 5]) -> bool, u8, &'static [u16]);

const fn set<W: Wire + Copy + PartialEq + std::fmt::Debug>() -> Set {
    (total::<W>, W::INTERFACE, W::OPS)
}

const ALL: [Set; 25] = [
    set::<Transport>(),
    set::<memory::MemoryRequest>(),
    set::<memory::MemoryReply>(),
    set::<spawn::SpawnRequest>(),
    set::<spawn::SpawnReply>(),
    set::<names::NamesRequest>(),
    set::<names::NamesReply>(),
    set::<names::AcceptRequest>(),
    set::<names::AcceptReply>(),
    set::<console::ConsoleRequest>(),
    set::<console::ConsoleReply>(),
    set::<process::ProcessRequest>(),
    set::<process::ProcessNotice>(),
    set::<monitor::MonitorRequest>(),
    set::<monitor::MonitorReply>(),
    set::<files::FilesRequest>(),
    set::<files::FilesReply>(),
    set::<cores::CoresRequest>(),
    set::<cores::CoresReply>(),
    set::<driver::DriverRequest>(),
    set::<driver::DriverReply>(),
    set::<skb::SkbRequest>(),
    set::<skb::SkbReply>(),
    set::<system::SystemRequest>(),
    set::<system::SystemReply>(),
];

#[test]
fn each_operation_decodes_and_no_other() {
    for (try_one, interface, ops) in ALL {
        // One of these has a value that every type of field accepts.
        let fields = [
            [1; 5],
            [0; 5],
            [0, 0, 0, 0, 1],
            [1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0],
        ];
        for op in 0..=u16::MAX {
            let decodes = fields.iter().any(|f| try_one(op, *f));
            assert_eq!(
                decodes,
                ops.contains(&op),
                "interface {interface}, operation {op:#x}"
            );
        }
    }
}

#[test]
fn requests_and_replies_of_an_interface_share_no_number() {
    for (i, (_, interface, ops)) in ALL.iter().enumerate() {
        for (_, other, others) in &ALL[i + 1..] {
            assert!(interface != other || ops.iter().all(|op| !others.contains(op)));
        }
    }
}

#[test]
fn other_versions_and_interfaces_are_refused() {
    let words = memory::MemoryRequest::Stats { server: 0 }.to_words(1);
    assert_eq!(
        spawn::SpawnRequest::from_words(words),
        Err(WireError::OtherInterface)
    );
    let mut other = words;
    other[0] += 1;
    assert_eq!(
        memory::MemoryRequest::from_words(other),
        Err(WireError::BadVersion)
    );
}

#[test]
fn service_errors_keep_their_numbers() {
    let mut seen = 0;
    for code in 0..0x3000 {
        if let Some(e) = ServiceError::from_code(code) {
            assert_eq!(e.code(), code);
            assert!(!e.message().is_empty());
            seen += 1;
        }
    }
    assert!(seen > 45);
    let later = ServiceError::TryLater(12);
    assert_eq!(ServiceError::from_code(later.code()), Some(later));
    assert!(later.to_string().ends_with("try again later (view 12)"));
    assert_eq!(ServiceError::from(SysError::Overlaps).code(), 0x1007);
}

#[test]
fn console_bytes_survive() {
    for n in 0..=32 {
        let bytes: Vec<u8> = (0..n).map(|i| b'a' + i).collect();
        let Some(console::ConsoleRequest::Write { len, low, high }) =
            console::write_message(&bytes)
        else {
            panic!("{n} bytes fit");
        };
        let (back, len) = console::written_bytes(len, low, high);
        assert_eq!(&back[..len], bytes);
    }
    assert_eq!(console::write_message(&[0; 33]), None);
    assert_eq!(console::written_bytes(200, (0, 0), (0, 0)).1, 32);
}

#[test]
fn words_go_and_come() {
    let w = ["ticker", "100", "x"];
    assert_eq!(
        spawn::split_words(&spawn::join_words(&w)),
        Some(w.map(String::from).into())
    );
    for bad in [&b""[..], b"\0", b"a", b"\xff\0"] {
        assert_eq!(spawn::split_words(bad), None, "{bad:?}");
    }
    assert_eq!(
        spawn::split_words(b"a\0\0"),
        Some(vec!["a".to_string(), String::new()])
    );
}

#[test]
fn start_blocks_refuse_what_does_not_fit() {
    let args = ["x".repeat(3000)];
    let args = [args[0].as_str()];
    let info = StartInfo {
        args: &args,
        ..StartInfo::default()
    };
    assert_eq!(info.emit().err(), Some(start::StartError::Arguments));
    let info = StartInfo {
        args: &["a\0b"],
        ..StartInfo::default()
    };
    assert_eq!(info.emit().err(), Some(start::StartError::Arguments));
    let given = [(Name::default(), CapAddr(1)); start::MAX_GIVEN + 1];
    let info = StartInfo {
        given: &given,
        ..StartInfo::default()
    };
    assert_eq!(info.emit().err(), Some(start::StartError::Given));
}

fn join(sent: &[[u64; 6]], tag: u32) -> Result<Vec<u8>, WireError> {
    let mut joiner = Joiner::new();
    for words in sent {
        let (t, m) = Transport::from_words(*words)?;
        let Transport::Fragment { place, low, high } = m else {
            panic!("a fragment");
        };
        joiner.add(t, place, [low.0, low.1, high.0, high.1])?;
    }
    joiner.take(tag)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_words_decode_or_err(op: u16, small in 0u16..20, reply: bool, fields: [u64; 5], mask in 0usize..6) {
        let op = if mask == 5 { op } else { small | u16::from(reply) << 15 };
        let mut fields = fields;
        // Small values hit the fields that take few.
        fields.iter_mut().take(mask).for_each(|f| *f &= 3);
        for (try_one, ..) in ALL {
            try_one(op, fields);
        }
    }

    #[test]
    fn headers_round_trip(w: u64) {
        prop_assert_eq!(Header::unpack(w).pack(), w);
    }

    #[test]
    fn names_round_trip(s in "\\PC{0,20}") {
        match Name::new(&s) {
            Some(n) => {
                prop_assert_eq!(n.as_str(), &s);
                prop_assert_eq!(Name::from_words(n.words()), Some(n));
            }
            None => prop_assert!(s.len() > Name::BYTES || s.contains('\0')),
        }
        let cut = Name::truncated(&s);
        prop_assert!(s.starts_with(cut.as_str()));
    }

    #[test]
    fn any_words_are_a_name_or_not(w: [u64; 2]) {
        if let Some(n) = Name::from_words(w) {
            prop_assert_eq!(n.words(), w);
        }
    }

    #[test]
    fn blobs_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..600), tag: u32) {
        let sent: Vec<_> = fragments(&bytes, tag).collect();
        prop_assert_eq!(join(&sent, tag), Ok(bytes));
    }

    #[test]
    fn damaged_blobs_are_refused(bytes in prop::collection::vec(any::<u8>(), 65..600), drop: prop::sample::Index) {
        let mut sent: Vec<_> = fragments(&bytes, 5).collect();
        sent.remove(drop.index(sent.len()));
        prop_assert_eq!(join(&sent, 5), Err(WireError::BadBlob));
        let sent: Vec<_> = fragments(&bytes, 5).collect();
        prop_assert_eq!(join(&sent, 6), Ok(Vec::new()), "another message's blob");
    }

    #[test]
    fn any_fragments_are_survived(all in prop::collection::vec((any::<u32>(), 0u64..100, 0u64..20_000), 0..50)) {
        let mut joiner = Joiner::new();
        for (tag, offset, total) in all {
            if joiner.add(tag % 2, (offset * 32) | (total << 32), [1; 4]).is_ok() {
                prop_assert!(total as usize <= MAX_BLOB);
            }
        }
        let _ = joiner.take(0);
    }

    #[test]
    fn start_blocks_round_trip(
        args in prop::collection::vec("[a-z ]{0,30}", 0..20),
        given in prop::collection::vec(("[a-z]{1,16}", 0u32..70_000), 0..60),
        osnode: u64, number: u64, flags: u64, seed: u64,
    ) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let given: Vec<_> = given.iter().map(|(n, s)| (Name::new(n).unwrap(), CapAddr(*s))).collect();
        let pid = Pid { osnode, number };
        let info = StartInfo { flags, args: &args, given: &given, pid, seed };
        let bytes = info.emit().unwrap();
        let block = StartBlock::parse(&bytes).unwrap();
        prop_assert_eq!(block.args().collect::<Vec<_>>(), args);
        prop_assert_eq!(block.given().collect::<Vec<_>>(), given);
        prop_assert_eq!((block.flags(), block.pid(), block.seed()), (flags, pid, seed));
    }

    #[test]
    fn any_page_is_survived(words in prop::collection::vec(any::<u64>(), 512)) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes[..8].copy_from_slice(&start::MAGIC.to_le_bytes());
        let block = StartBlock::parse(&bytes).unwrap();
        let _ = (block.args().count(), block.given().count(), block.flags(), block.pid());
        prop_assert!(StartBlock::parse(&bytes[..100]).is_none());
    }
}

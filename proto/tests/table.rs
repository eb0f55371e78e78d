//! The table of all interfaces.

use proto::iface::{ALL, names, registry, spawn};
use proto::{Answering, Interface, Operation};
use std::collections::BTreeSet;
use std::path::Path;

/// The declared interfaces: what stands between `pub interface` and the comma.
fn declared() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/iface");
    let files = std::fs::read_dir(dir).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let lines = |text: String| {
        let lines = text.lines().filter_map(|line| {
            let rest = line.trim().strip_prefix("pub interface ")?;
            Some(rest.split(',').next()?.to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    texts.flat_map(lines).collect()
}

#[test]
fn it_has_every_interface() {
    let listed: Vec<_> = ALL.iter().map(|(id, _)| id).collect();
    let names = listed
        .iter()
        .map(|id| format!("{} = {}", id.name, id.number));
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names.len(), ALL.len());
    assert_eq!(names, declared());
}

#[test]
fn requests_are_what_was_declared() {
    let find = |requests: &'static [Operation], name: &str| {
        *requests.iter().find(|r| r.name == name).unwrap()
    };
    let give = find(spawn::Spawn::REQUESTS, "Give");
    assert_eq!((give.number, give.blob, give.cap), (1, false, true));
    assert_eq!(give.answering, Answering::Soon);
    let supervised = find(spawn::Spawn::REQUESTS, "SpawnSupervised");
    let largest: Vec<_> = supervised.largest().collect();
    assert_eq!(largest, [3, u64::MAX, u64::MAX, 3, u64::MAX]);
    assert_eq!(supervised.members[3].name, "restart");
    let lookup = find(names::Names::REQUESTS, "Lookup");
    assert_eq!(
        lookup.largest().collect::<Vec<_>>(),
        [u64::MAX, u64::MAX, 1]
    );
    assert_eq!(lookup.answering, Answering::Later);
    assert!(registry::Registry::REQUESTS.iter().any(|r| r.blob));
    let notices = ALL.iter().flat_map(|(_, requests)| *requests);
    let notices = notices.filter(|r| r.answering == Answering::Never);
    assert!(notices.count() > 3);
}

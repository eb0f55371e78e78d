//! One promise each.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proto::iface::registry::{EventKind, RegistryReply, RegistryRequest, SetMode, WatchOn};
use proto::{Pid, ServiceError};

use crate::{
    Answer, CLIENT_EVENTS, CLIENT_LOCKS, CLIENT_RECORDS, CLIENT_WATCHES, ClientId, MAX_CLIENTS,
    Registry, Ticket,
};

const A: ClientId = ClientId::program(1);
const B: ClientId = ClientId::program(2);
const C: ClientId = ClientId::program(3);
const SYSTEM: ClientId = ClientId::system(1);

/// A registry, tickets counted.
#[derive(Default)]
struct Desk {
    registry: Registry,
    last: u64,
    /// Answers that were not to the last request.
    others: Vec<Answer>,
}

impl Desk {
    /// Asks; the answer, if it came at once.
    fn ask(
        &mut self,
        client: ClientId,
        request: RegistryRequest,
        text: &str,
    ) -> Option<(RegistryReply, String)> {
        self.last += 1;
        let ticket = Ticket(self.last);
        let answers = self.registry.ask(client, ticket, &request, text);
        assert_eq!(self.registry.check_invariants(), Ok(()));
        let (own, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.ticket == ticket);
        self.others.extend(others);
        own.into_iter().next().map(|a| (a.reply, a.text))
    }
    fn closed(&mut self, client: ClientId) {
        let told = self.registry.closed(client);
        self.others.extend(told);
    }
    fn set(&mut self, client: ClientId, text: &str) -> RegistryReply {
        self.ask(client, set(SetMode::Replace), text)
            .expect("an answer")
            .0
    }
    fn get(&mut self, name: &str) -> Result<String, ServiceError> {
        match self
            .ask(A, RegistryRequest::Get {}, name)
            .expect("an answer")
        {
            (RegistryReply::Record { .. }, text) => Ok(text),
            (RegistryReply::Refused { error }, _) => Err(error),
            other => panic!("{other:?}"),
        }
    }
    fn event(&mut self, client: ClientId) -> Option<(EventKind, String)> {
        match self.ask(client, RegistryRequest::Next { at_once: false }, "")? {
            (RegistryReply::Event { kind, .. }, text) => Some((kind, text)),
            other => panic!("{other:?}"),
        }
    }
    fn watch(&mut self, client: ClientId, on: WatchOn, once: bool, query: &str) -> u64 {
        let present = false;
        match self.ask(client, RegistryRequest::Watch { on, once, present }, query) {
            Some((RegistryReply::Watching { watch }, _)) => watch,
            other => panic!("{other:?}"),
        }
    }
    fn lock(&mut self, client: ClientId, name: &str) -> Option<RegistryReply> {
        let request = RegistryRequest::Lock {
            places: 1,
            at_once: false,
        };
        self.ask(client, request, name).map(|a| a.0)
    }
}

fn set(mode: SetMode) -> RegistryRequest {
    RegistryRequest::Set {
        mode,
        ephemeral: false,
        sequential: false,
        version: 0,
    }
}

fn refused(reply: &RegistryReply) -> Option<ServiceError> {
    match reply {
        RegistryReply::Refused { error } => Some(*error),
        _ => None,
    }
}

#[test]
fn records_are_set_created_merged_and_deleted() {
    let mut d = Desk::default();
    d.set(A, "a { x: 1, y: 2 }");
    let (again, _) = d.ask(A, set(SetMode::Create), "a").expect("an answer");
    assert_eq!(refused(&again), Some(ServiceError::Exists));
    d.ask(B, set(SetMode::Merge), "a { y: 3, z: up }");
    assert_eq!(d.get("a"), Ok("a { x: 1, y: 3, z: up }".into()));
    let (none, text) = d
        .ask(B, set(SetMode::Merge), "b { y: 3 }")
        .expect("an answer");
    assert_eq!(
        (refused(&none), text.as_str()),
        (Some(ServiceError::NotFound), "there is no record b")
    );
    let gone = d
        .ask(B, RegistryRequest::Delete {}, "* { y > 2 }")
        .expect("an answer");
    assert_eq!(gone.0, RegistryReply::Deleted { count: 1 });
    assert_eq!(d.get("a"), Err(ServiceError::NotFound));
}

#[test]
fn a_version_guards_a_change() {
    let mut d = Desk::default();
    let RegistryReply::Stored { version } = d.set(A, "a { x: 1 }") else {
        panic!("not stored")
    };
    let guarded = RegistryRequest::Set {
        mode: SetMode::Replace,
        ephemeral: false,
        sequential: false,
        version,
    };
    let (first, _) = d.ask(A, guarded, "a { x: 2 }").expect("an answer");
    assert!(matches!(first, RegistryReply::Stored { .. }));
    let (second, text) = d.ask(B, guarded, "a { x: 3 }").expect("an answer");
    assert_eq!(refused(&second), Some(ServiceError::Busy));
    assert!(text.contains("read it again"), "{text}");
    assert_eq!(d.get("a"), Ok("a { x: 2 }".into()));
}

#[test]
fn sequential_names_never_come_again() {
    let mut d = Desk::default();
    let request = RegistryRequest::Set {
        mode: SetMode::Create,
        ephemeral: true,
        sequential: true,
        version: 0,
    };
    let mut names = Vec::new();
    for client in [A, B, A] {
        names.push(
            d.ask(client, request, "job. { x: 1 }")
                .expect("an answer")
                .1,
        );
        d.closed(client);
    }
    assert_eq!(
        names,
        ["job.0000000001", "job.0000000002", "job.0000000003"]
    );
    assert_eq!(
        d.get("job.0000000003"),
        Err(ServiceError::NotFound),
        "it was ephemeral"
    );
}

#[test]
fn the_systems_records_are_read_only() {
    let mut d = Desk::default();
    d.set(SYSTEM, "service.o1.x { restarts: 0 }");
    let reply = d.set(A, "service.o1.x { restarts: 9 }");
    assert_eq!(refused(&reply), Some(ServiceError::BadOperation));
    d.set(A, "s { a: 1 }");
    let (reply, _) = d
        .ask(A, RegistryRequest::Delete {}, "s*")
        .expect("an answer");
    assert_eq!(refused(&reply), Some(ServiceError::BadOperation));
    assert_eq!(d.get("s"), Ok("s { a: 1 }".into()), "all or none");
    let ended = RegistryRequest::Ended {
        pid: Pid::default(),
    };
    let (reply, _) = d.ask(A, ended, "").expect("an answer");
    assert_eq!(refused(&reply), Some(ServiceError::BadOperation));
}

#[test]
fn watches_tell_set_delete_and_leave_in_order() {
    let mut d = Desk::default();
    d.watch(B, WatchOn::Both, false, "job.* { state: ready }");
    let deletes = d.watch(C, WatchOn::Delete, false, "job.*");
    for text in [
        "job.1 { state: ready }",
        "other { state: ready }",
        "job.1 { state: done }",
    ] {
        d.set(A, text);
    }
    d.set(A, "job.2 { state: ready }");
    d.ask(A, RegistryRequest::Delete {}, "job.*");
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(d.event(B).expect("an event"));
    }
    let expected = [
        (EventKind::Set, "job.1 { state: ready }"),
        (EventKind::Leave, "job.1 { state: done }"),
        (EventKind::Set, "job.2 { state: ready }"),
        (EventKind::Delete, "job.2 { state: ready }"),
    ];
    assert_eq!(events, expected.map(|(k, t)| (k, t.to_string())));
    assert_eq!(
        d.event(C),
        Some((EventKind::Delete, "job.1 { state: done }".into()))
    );
    d.ask(C, RegistryRequest::Unwatch { watch: deletes }, "");
    let (end, _) = d
        .ask(C, RegistryRequest::Next { at_once: false }, "")
        .expect("an answer");
    assert_eq!(
        refused(&end),
        Some(ServiceError::End),
        "the other event went with the watch"
    );
}

#[test]
fn who_waits_is_told_at_once_and_a_one_shot_once() {
    let mut d = Desk::default();
    d.watch(B, WatchOn::Set, true, "a");
    let (none, _) = d
        .ask(B, RegistryRequest::Next { at_once: true }, "")
        .expect("an answer");
    assert_eq!(refused(&none), Some(ServiceError::NotFound));
    assert_eq!(d.event(B), None, "nothing happened yet");
    let waiting = d.last;
    d.set(A, "a { x: 1 }");
    d.set(A, "a { x: 2 }");
    assert_eq!(d.others.len(), 1);
    assert_eq!(
        (d.others[0].ticket, d.others[0].text.as_str()),
        (Ticket(waiting), "a { x: 1 }")
    );
    let (end, _) = d
        .ask(B, RegistryRequest::Next { at_once: false }, "")
        .expect("an answer");
    assert_eq!(refused(&end), Some(ServiceError::End));
}

#[test]
fn what_is_there_counts_for_who_asks_for_it() {
    let mut d = Desk::default();
    d.set(A, "a { x: 1 }");
    d.set(A, "b { x: 1 }");
    let present = RegistryRequest::Watch {
        on: WatchOn::Set,
        once: true,
        present: true,
    };
    d.ask(B, present, "* { x: 1 }");
    assert_eq!(d.event(B), Some((EventKind::Set, "a { x: 1 }".into())));
}

#[test]
fn a_slow_subscriber_learns_that_events_were_lost() {
    let mut d = Desk::default();
    d.watch(B, WatchOn::Both, false, "a");
    for i in 0..CLIENT_EVENTS + 7 {
        d.set(A, &format!("a {{ x: {i} }}"));
    }
    for i in 0..CLIENT_EVENTS {
        assert_eq!(
            d.event(B),
            Some((EventKind::Set, format!("a {{ x: {i} }}")))
        );
    }
    d.set(A, "a { x: late }");
    let lost = d
        .ask(B, RegistryRequest::Next { at_once: false }, "")
        .expect("an answer");
    let expected = RegistryReply::Event {
        watch: 0,
        kind: EventKind::Lost,
        version: 7,
    };
    assert_eq!(lost, (expected, String::new()));
    assert_eq!(d.event(B), Some((EventKind::Set, "a { x: late }".into())));
}

#[test]
fn locks_are_given_in_turn_and_by_death() {
    let mut d = Desk::default();
    assert_eq!(d.lock(A, "l"), Some(RegistryReply::Locked {}));
    assert_eq!(
        d.lock(A, "l").as_ref().and_then(refused),
        Some(ServiceError::Exists)
    );
    assert_eq!(d.lock(B, "l"), None);
    let b = d.last;
    assert_eq!(d.lock(C, "l"), None);
    let c = d.last;
    let try_it = RegistryRequest::Lock {
        places: 1,
        at_once: true,
    };
    let (busy, _) = d.ask(SYSTEM, try_it, "l").expect("an answer");
    assert_eq!(refused(&busy), Some(ServiceError::Busy));
    d.closed(A);
    assert_eq!(d.others.pop().map(|a| a.ticket), Some(Ticket(b)));
    assert!(d.registry.is_contended());
    // C gives up waiting, then B gives back: nobody is left.
    d.ask(C, RegistryRequest::Unlock {}, "l");
    let withdrawn = d.others.pop().expect("C's request");
    assert_eq!(
        (withdrawn.ticket, refused(&withdrawn.reply)),
        (Ticket(c), Some(ServiceError::Undone))
    );
    d.ask(B, RegistryRequest::Unlock {}, "l");
    assert_eq!(d.lock(C, "l"), Some(RegistryReply::Locked {}));
    let (none, _) = d
        .ask(B, RegistryRequest::Unlock {}, "l")
        .expect("an answer");
    assert_eq!(refused(&none), Some(ServiceError::NotFound));
}

#[test]
fn semaphores_have_places_and_barriers_wait_for_all() {
    let mut d = Desk::default();
    let two = RegistryRequest::Lock {
        places: 2,
        at_once: false,
    };
    for client in [A, B] {
        assert_eq!(
            d.ask(client, two, "s").map(|a| a.0),
            Some(RegistryReply::Locked {})
        );
    }
    assert_eq!(d.ask(C, two, "s"), None);
    let (other, _) = d
        .ask(
            SYSTEM,
            RegistryRequest::Lock {
                places: 3,
                at_once: false,
            },
            "s",
        )
        .expect("an answer");
    assert_eq!(refused(&other), Some(ServiceError::BadArgument));
    let three = RegistryRequest::Barrier { parties: 3 };
    assert_eq!(d.ask(A, three, "b"), None);
    assert_eq!(d.ask(B, three, "b"), None);
    d.closed(B);
    assert_eq!(
        d.others.pop().map(|a| a.reply),
        Some(RegistryReply::Locked {}),
        "C has B's place"
    );
    assert_eq!(d.ask(B, three, "b"), None, "who went does not count");
    assert_eq!(
        d.ask(C, three, "b").map(|a| a.0),
        Some(RegistryReply::Passed {})
    );
    assert_eq!(d.others.len(), 2);
}

#[test]
fn every_client_is_bounded() {
    let mut d = Desk::default();
    for i in 0..CLIENT_RECORDS {
        assert!(refused(&d.set(A, &format!("a{i}"))).is_none());
    }
    assert_eq!(refused(&d.set(A, "more")), Some(ServiceError::TableFull));
    assert!(
        refused(&d.set(A, "a0 { x: 1 }")).is_none(),
        "one that is there may change"
    );
    assert!(
        refused(&d.set(B, "more")).is_none(),
        "another client is not concerned"
    );
    for _ in 0..CLIENT_WATCHES {
        d.watch(A, WatchOn::Both, false, "x");
    }
    let watch = RegistryRequest::Watch {
        on: WatchOn::Both,
        once: false,
        present: false,
    };
    let (reply, _) = d.ask(A, watch, "x").expect("an answer");
    assert_eq!(refused(&reply), Some(ServiceError::TableFull));
    for i in 0..CLIENT_LOCKS {
        assert_eq!(d.lock(A, &format!("l{i}")), Some(RegistryReply::Locked {}));
    }
    assert_eq!(
        d.lock(A, "more").as_ref().and_then(refused),
        Some(ServiceError::TableFull)
    );
    for i in 3..=MAX_CLIENTS as u32 {
        d.ask(ClientId::program(i), RegistryRequest::Count {}, "*");
    }
    let late = ClientId::program(1000);
    let (reply, _) = d
        .ask(late, RegistryRequest::Count {}, "*")
        .expect("an answer");
    assert_eq!(refused(&reply), Some(ServiceError::TableFull));
    d.closed(A);
    let (reply, _) = d
        .ask(late, RegistryRequest::Count {}, "*")
        .expect("an answer");
    assert_eq!(
        reply,
        RegistryReply::Counted {
            count: CLIENT_RECORDS as u64 + 1
        }
    );
}

#[test]
fn a_process_takes_its_connections_with_it() {
    let mut d = Desk::default();
    let pid = Pid {
        osnode: 2,
        number: 7,
    };
    d.ask(A, RegistryRequest::Attach { pid }, "");
    let ephemeral = RegistryRequest::Set {
        mode: SetMode::Replace,
        ephemeral: true,
        sequential: false,
        version: 0,
    };
    d.ask(A, ephemeral, "mine");
    d.lock(A, "l");
    d.lock(B, "l");
    d.ask(SYSTEM, RegistryRequest::Ended { pid }, "");
    assert_eq!(
        d.others.pop().map(|a| a.reply),
        Some(RegistryReply::Locked {})
    );
    assert_eq!(d.get("mine"), Err(ServiceError::NotFound));
}

#[test]
fn long_answers_come_in_pages() {
    let mut d = Desk::default();
    for i in 0..100 {
        d.set(A, &format!("r{i:03} {{ text: \"{}\" }}", "x".repeat(200)));
    }
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let (reply, text) = d
            .ask(A, RegistryRequest::Query {}, &format!("r*\0{after}"))
            .expect("an answer");
        found.extend(
            text.lines()
                .map(|l| l.split(' ').next().unwrap_or("").to_string()),
        );
        after = found.last().cloned().unwrap_or_default();
        match reply {
            RegistryReply::Records { more: true, count } => assert!(count > 0),
            RegistryReply::Records { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<String> = (0..100).map(|i| format!("r{i:03}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn records_outlive_the_process_but_for_those_that_others_say_again() {
    let mut d = Desk::default();
    let ephemeral = |sequential| RegistryRequest::Set {
        mode: SetMode::Replace,
        ephemeral: true,
        sequential,
        version: 0,
    };
    d.set(A, "stays { x: 1 }");
    d.set(A, "changes { x: 1 }");
    d.ask(A, set(SetMode::Merge), "changes { y: 2 }");
    d.set(A, "goes");
    d.ask(A, RegistryRequest::Delete {}, "goes");
    d.ask(A, ephemeral(true), "job.");
    d.set(A, "becomes { x: 1 }");
    d.ask(A, ephemeral(false), "becomes { x: 2 }");
    d.set(SYSTEM, "service.x { state: running }");
    let notes = d.registry.take_notes();
    assert!(d.registry.take_notes().is_empty());
    let counters = d.registry.counters();
    let mut after = Desk {
        registry: Registry::restore(&notes, counters),
        ..Desk::default()
    };
    assert_eq!(after.registry.lasting(), d.registry.lasting());
    assert_eq!(after.get("stays"), Ok("stays { x: 1 }".to_string()));
    assert_eq!(
        after.get("changes"),
        Ok("changes { x: 1, y: 2 }".to_string())
    );
    for name in ["goes", "job.0000000001", "becomes", "service.x"] {
        assert_eq!(after.get(name), Err(ServiceError::NotFound), "{name}");
    }
    // Numbers are never given twice.
    let (_, name) = after.ask(A, ephemeral(true), "job.").expect("an answer");
    assert_eq!(name, "job.0000000002");
    let RegistryReply::Stored { version } = after.set(A, "new") else {
        panic!("it is set");
    };
    assert_eq!(version, counters[0] + 2);
}

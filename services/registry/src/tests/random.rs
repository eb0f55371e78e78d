//! Random requests of several clients, to the registry and to the model.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use proto::Wire;
use proto::iface::registry::{EventKind, RegistryReply, RegistryRequest, SetMode, WatchOn};

use super::model::{Heard, Model, NUMBER};
use crate::{Answer, ClientId, Registry, Ticket};

#[derive(Clone, Debug)]
enum Step {
    Set(String, bool, bool),
    Delete(String),
    Query(String),
    Watch(String, u8, bool, bool),
    Next(bool),
    Lock(u8, bool),
    Unlock(u8),
    Barrier(u8),
    Close,
    /// One record changes so often.
    Burst(u8),
}

fn a_record() -> impl Strategy<Value = String> {
    ("[abc]", 0..4i64, "[xy]").prop_map(|(n, v, s)| format!("{n} {{ v: {v}, s: {s} }}"))
}

fn a_query() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abc]",
        "[abc*?]{1,2}",
        (0..4i64).prop_map(|v| format!("* {{ v >= {v} }}")),
        ("[ab]", "[xy]").prop_map(|(n, s)| format!("{n}* {{ s: {s}, v != 2 }}")),
        "[xy]".prop_map(|s| format!("* {{ s ~ \"{s}*\" }}")),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (a_record(), any::<bool>(), any::<bool>()).prop_map(|(r, e, s)| Step::Set(r, e, s)),
        2 => a_query().prop_map(Step::Delete),
        2 => a_query().prop_map(Step::Query),
        3 => (a_query(), 1..4u8, any::<bool>(), any::<bool>())
            .prop_map(|(q, on, o, p)| Step::Watch(q, on, o, p)),
        6 => any::<bool>().prop_map(Step::Next),
        3 => (0..2u8, any::<bool>()).prop_map(|(n, o)| Step::Lock(n, o)),
        2 => (0..2u8).prop_map(Step::Unlock),
        1 => (0..2u8).prop_map(Step::Barrier),
        1 => Just(Step::Close),
        1 => (1..90u8).prop_map(Step::Burst),
    ]
}

fn heard(a: &Answer) -> Heard {
    match a.reply {
        RegistryReply::Refused { .. } => Heard::Refused,
        RegistryReply::Records { .. } => Heard::Records(a.text.lines().map(String::from).collect()),
        RegistryReply::Deleted { count } | RegistryReply::Counted { count } => Heard::Count(count),
        RegistryReply::Event {
            kind: EventKind::Lost,
            version,
            ..
        } => Heard::Event(EventKind::Lost, version.to_string()),
        RegistryReply::Event { kind, .. } => Heard::Event(kind, a.text.clone()),
        _ => Heard::Done,
    }
}

/// Both, and what they said.
#[derive(Default)]
struct Pair {
    registry: Registry,
    model: Model,
    ticket: u64,
}

impl Pair {
    fn ask(&mut self, c: ClientId, request: RegistryRequest, text: &str) -> Vec<Answer> {
        self.registry.ask(c, Ticket(self.ticket), &request, text)
    }

    fn step(&mut self, c: ClientId, step: &Step) -> (Vec<Answer>, Vec<(Ticket, Heard)>) {
        self.ticket += 1;
        let t = Ticket(self.ticket);
        match step {
            Step::Set(text, ephemeral, sequential) => {
                let (ephemeral, sequential) = (*ephemeral, *sequential);
                let mode = SetMode::Replace;
                let request = RegistryRequest::Set {
                    mode,
                    ephemeral,
                    sequential,
                    version: 0,
                };
                (
                    self.ask(c, request, text),
                    self.model.set(c, t, text, ephemeral, sequential),
                )
            }
            Step::Delete(q) => (
                self.ask(c, RegistryRequest::Delete {}, q),
                self.model.delete(t, q),
            ),
            Step::Query(q) => (
                self.ask(c, RegistryRequest::Query {}, q),
                self.model.query(t, q),
            ),
            Step::Watch(q, on, once, present) => {
                let on = [WatchOn::Set, WatchOn::Delete, WatchOn::Both][usize::from(*on) - 1];
                let (once, present) = (*once, *present);
                let request = RegistryRequest::Watch { on, once, present };
                (
                    self.ask(c, request, q),
                    self.model.watch(c, t, q, on, once, present),
                )
            }
            Step::Next(now) => (
                self.ask(c, RegistryRequest::Next { at_once: *now }, ""),
                self.model.next(c, t, *now),
            ),
            Step::Lock(n, at_once) => {
                let (name, at_once) = (format!("l{n}"), *at_once);
                let request = RegistryRequest::Lock {
                    places: NUMBER,
                    at_once,
                };
                (
                    self.ask(c, request, &name),
                    self.model.lock(c, t, &name, at_once),
                )
            }
            Step::Unlock(n) => {
                let name = format!("l{n}");
                (
                    self.ask(c, RegistryRequest::Unlock {}, &name),
                    self.model.unlock(c, t, &name),
                )
            }
            Step::Barrier(n) => {
                let name = format!("b{n}");
                let request = RegistryRequest::Barrier { parties: NUMBER };
                (self.ask(c, request, &name), self.model.barrier(c, t, &name))
            }
            Step::Close => (self.registry.closed(c), self.model.closed(c)),
            Step::Burst(n) => {
                let mut both = (Vec::new(), Vec::new());
                for i in 0..*n {
                    let step = Step::Set(format!("a {{ v: {i} }}"), false, false);
                    let (real, said) = self.step(c, &step);
                    both.0.extend(real);
                    both.1.extend(said);
                }
                both
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Everybody hears from the registry what the model says, each client in the same order.
    #[test]
    fn the_registry_does_what_the_model_says(
        steps in proptest::collection::vec((1..4u32, a_step()), 1..80)
    ) {
        let mut pair = Pair::default();
        for (client, step) in &steps {
            let (real, said) = pair.step(ClientId::program(*client), step);
            let mut real: Vec<(Ticket, Heard)> =
                real.iter().map(|a| (a.ticket, heard(a))).collect();
            let mut said = said;
            // Answers to one request go to several clients: among those there is no order.
            real.sort_by_key(|(t, _)| *t);
            said.sort_by_key(|(t, _)| *t);
            prop_assert_eq!(&real, &said, "{:?}", step);
            prop_assert_eq!(pair.registry.check_invariants(), Ok(()));
        }
    }
}

proptest! {
    /// Whatever words and bytes come: an answer, or none yet, and every invariant holds.
    #[test]
    fn any_request_is_answered_or_waits(
        requests in proptest::collection::vec(
            (1..4u32, any::<bool>(), 0..16u16, any::<[u8; 5]>(), "[a-c{}:,\"~<>=*? 0-9\0]{0,24}"),
            1..60,
        )
    ) {
        let mut registry = Registry::new();
        for (i, (client, system, op, words, text)) in requests.iter().enumerate() {
            // Small numbers: most of them mean something.
            let words = words.map(|w| u64::from(w % 5));
            let Ok(request) = RegistryRequest::decode(*op, words) else { continue };
            let client = match system {
                true => ClientId::system(*client),
                false => ClientId::program(*client),
            };
            let ticket = Ticket(i as u64);
            let answers = registry.ask(client, ticket, &request, text);
            let own = answers.iter().filter(|a| a.ticket == ticket).count();
            prop_assert!(own <= 1);
            prop_assert_eq!(registry.check_invariants(), Ok(()));
        }
    }
}

//! Where explorations start: who holds what, and what clients will ask.

use std::fmt;

use capfmt::{OsnodeId, Rights};
use monitor::agree::{Gift, Object, Request};

use super::objects::{F, G, P, S, T, U, V, W, name};

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// It asks its monitor, or has its kernel do so.
    Ask(Request),
    /// It deletes a copy, or ends.
    Delete(Object),
}

impl Act {
    /// The object concerned.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Act::Ask(request) => request.object(),
            Act::Delete(object) => *object,
        }
    }
    /// What it asks.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match self {
            Act::Ask(request) => Some(request),
            Act::Delete(_) => None,
        }
    }
}

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Faults {
    /// An OSnode is stopped, and started again.
    pub stop: bool,
    /// An OSnode crashes; it is recovered, or fenced.
    pub crash: bool,
    /// How often.
    pub times: u8,
}

impl Faults {
    /// Whether anything may.
    #[must_use]
    pub fn any(self) -> bool {
        self.stop || self.crash
    }
}

/// A start, and what will be asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Scenario {
    /// Number of OSnodes.
    pub nodes: u64,
    /// Who owns each object, and who holds it.
    pub objects: Vec<(Object, OsnodeId, Vec<OsnodeId>)>,
    /// What clients ask, each at any time.
    pub asks: Vec<(OsnodeId, Act)>,
    /// What may go wrong.
    pub faults: Faults,
    /// A capability that cannot be revoked.
    pub busy: Option<(OsnodeId, Object)>,
    /// An OSnode whose tables others use.
    pub shared: Option<OsnodeId>,
    /// An OSnode that deletes slowly.
    pub slow: Option<OsnodeId>,
    /// An OSnode that has no place for anything more.
    pub full: Option<OsnodeId>,
    /// Clients' deadlines pass at any time.
    pub hurry: bool,
}

/// What a client does, for people.
#[must_use]
pub fn done(act: &Act) -> String {
    match act {
        Act::Ask(request) => shown(request),
        Act::Delete(object) => format!("delete {}", name(object)),
    }
}

/// A request, for people.
#[must_use]
pub fn shown(request: &Request) -> String {
    let o = name(&request.object());
    match request {
        Request::Copy { to, .. } => format!("copy {o} to o{}", to.0),
        Request::Move { to, .. } => format!("move {o} to o{}", to.0),
        Request::Transfer { to, .. } => format!("transfer {o} to o{}", to.0),
        Request::Retype { child, count, .. } => format!("retype {o} to {count} {}", name(child)),
        Request::Revoke { .. } => format!("revoke {o}"),
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} OSnodes; ", self.nodes)?;
        for (object, owner, holders) in &self.objects {
            let holders: Vec<String> = holders.iter().map(|h| format!("o{}", h.0)).collect();
            write!(
                f,
                "{} of o{} at {{{}}}; ",
                name(object),
                owner.0,
                holders.join(" ")
            )?;
        }
        for (node, act) in &self.asks {
            write!(f, "o{}: {}; ", node.0, done(act))?;
        }
        let faults = [
            (self.faults.stop, "stop"),
            (self.faults.crash, "crash"),
            (self.busy.is_some(), "busy"),
            (self.shared.is_some(), "shared"),
            (self.slow.is_some(), "slow"),
            (self.full.is_some(), "full"),
            (self.hurry, "hurry"),
        ];
        let names: Vec<&str> = faults.iter().filter(|f| f.0).map(|f| f.1).collect();
        f.write_str(&names.join(" "))
    }
}

/// The protocol that it runs.
#[must_use]
pub fn kind(act: &Act) -> &'static str {
    let Act::Ask(request) = act else {
        return "delete";
    };
    match request {
        Request::Copy { .. } => "copy",
        Request::Move { .. } => "move",
        Request::Transfer { .. } => "transfer",
        Request::Retype { .. } => "retype",
        Request::Revoke { .. } => "revoke",
    }
}

/// Who holds what at the start, and what can be made of it.
struct Start {
    /// Object, owner, holders.
    objects: Vec<(Object, OsnodeId, Vec<OsnodeId>)>,
    /// From what, the first, and how many.
    retypes: Vec<(Object, Object, u32)>,
}

fn starts() -> Vec<Start> {
    let n = OsnodeId;
    let all = vec![
        vec![(P(), n(1), vec![n(1)])],
        vec![(P(), n(3), vec![n(3), n(1)])],
        vec![(P(), n(1), vec![n(1), n(2), n(3)])],
        vec![(P(), n(3), vec![n(1), n(2)])],
        vec![(P(), n(1), vec![n(1), n(2)]), (F(), n(1), vec![n(2)])],
        vec![(P(), n(2), vec![n(2)]), (F(), n(2), vec![n(2), n(3)])],
        vec![(P(), n(3), vec![n(3), n(2)]), (F(), n(3), vec![n(1), n(2)])],
    ];
    let start = |objects| Start {
        objects,
        retypes: vec![(P(), F(), 1), (P(), G(), 1)],
    };
    all.into_iter().map(start).collect()
}

/// Starts with all types that leave their OSnode, and rows of several objects.
fn starts_of_types() -> Vec<Start> {
    let n = OsnodeId;
    let start = |objects: &[(Object, u64, &[u64])], retypes: &[(Object, Object, u32)]| Start {
        objects: (objects.iter())
            .map(|(o, owner, at)| (*o, n(*owner), at.iter().copied().map(n).collect()))
            .collect(),
        retypes: retypes.to_vec(),
    };
    vec![
        // A table that a domain shares; one that another kind of table would take the place of.
        start(&[(V(), 1, &[1, 2, 3])], &[]),
        start(&[(P(), 1, &[1, 2]), (V(), 1, &[2, 3])], &[(P(), W(), 1)]),
        // A row, and a channel's memory in the middle of it.
        start(&[(P(), 3, &[3, 1])], &[(P(), S(), 3), (P(), U(), 1)]),
        start(&[(P(), 2, &[2, 1]), (U(), 2, &[3])], &[(P(), S(), 2)]),
        // A Frame of Frames, without the RAM that they were made from.
        start(
            &[(F(), 1, &[1, 3]), (S(), 1, &[2])],
            &[(F(), S(), 2), (F(), T(), 1)],
        ),
        // A row in two hands.
        start(
            &[(P(), 2, &[2]), (S(), 2, &[1]), (T(), 2, &[3])],
            &[(P(), U(), 1)],
        ),
    ]
}

/// How what goes to an OSnode is handed over: not to everybody with all rights.
#[must_use]
pub fn gift(to: OsnodeId) -> Gift {
    let rights = if to.0 == 2 { Rights::READ } else { Rights::ALL };
    Gift { rights, channel: 0 }
}

/// Everything that somebody may ask.
fn menu(start: &Start, nodes: u64) -> Vec<(OsnodeId, Act)> {
    let mut menu = Vec::new();
    for (object, owner, holders) in &start.objects {
        let object = *object;
        for holder in holders {
            menu.push((*holder, Act::Delete(object)));
            let mut ask = |request| menu.push((*holder, Act::Ask(request)));
            for to in (1..=nodes).map(OsnodeId).filter(|t| t != holder) {
                let gift = gift(to);
                ask(Request::Copy { object, to, gift });
                ask(Request::Move { object, to, gift });
                if owner == holder {
                    ask(Request::Transfer { object, to });
                }
            }
            ask(Request::Revoke { object });
            for (_, child, count) in start.retypes.iter().filter(|r| r.0 == object) {
                let (child, count) = (*child, *count);
                ask(Request::Retype {
                    object,
                    child,
                    count,
                });
            }
        }
    }
    menu
}

/// The first request of a scenario where something is to be made on an OSnode that has no place for it.
fn full(base: &Scenario, node: OsnodeId) -> Option<Scenario> {
    let (origin, act) = base.asks[0];
    let comes = match act.request()? {
        Request::Copy { to, .. } | Request::Move { to, .. } => *to == node,
        Request::Retype { .. } => origin == node,
        Request::Transfer { .. } | Request::Revoke { .. } => false,
    };
    comes.then(|| Scenario {
        asks: vec![base.asks[0]],
        full: Some(node),
        ..base.clone()
    })
}

/// Scenarios in which something cannot be revoked or made, deletion is slow, or deadlines pass.
#[must_use]
pub fn specials(faults: Faults) -> Vec<Scenario> {
    let mut all = Vec::new();
    for base in catalogue(faults) {
        let revokes = |(_, a): &(OsnodeId, Act)| matches!(a, Act::Ask(Request::Revoke { .. }));
        let alone = base.asks[0] == base.asks[1];
        if alone {
            let asks = vec![base.asks[0]];
            let hurry = true;
            all.push(Scenario {
                asks,
                hurry,
                ..base.clone()
            });
            all.extend((1..=base.nodes).filter_map(|node| full(&base, OsnodeId(node))));
        }
        if !base.asks.iter().any(revokes) {
            continue;
        }
        for node in (1..=base.nodes).map(OsnodeId) {
            let slow = Some(node);
            all.push(Scenario {
                slow,
                ..base.clone()
            });
            for (object, ..) in base
                .objects
                .iter()
                .filter(|(.., h)| alone && h.contains(&node))
            {
                let busy = Some((node, *object));
                let asks = vec![base.asks[0]];
                all.push(Scenario {
                    busy,
                    asks,
                    ..base.clone()
                });
            }
        }
    }
    all
}

/// Scenarios with that many requests each.
fn with_requests(starts: &[Start], nodes: u64, requests: u32, faults: Faults) -> Vec<Scenario> {
    let mut all = Vec::new();
    for start in starts {
        let menu = menu(start, nodes);
        for i in 0..menu.len() {
            let second = if requests == 1 {
                i..i + 1
            } else {
                i..menu.len()
            };
            for j in second {
                let asks = [menu[i], menu[j]];
                all.push(Scenario {
                    nodes,
                    objects: start.objects.clone(),
                    asks: asks[..requests as usize].to_vec(),
                    faults,
                    busy: None,
                    shared: None,
                    slow: None,
                    full: None,
                    hurry: false,
                });
            }
        }
    }
    all
}

/// Every pair of requests between three OSnodes.
#[must_use]
pub fn catalogue(faults: Faults) -> Vec<Scenario> {
    with_requests(&starts(), 3, 2, faults)
}

/// The same with tables, channels' memory, Frames of Frames, and rows.
#[must_use]
pub fn of_types(faults: Faults, requests: u32) -> Vec<Scenario> {
    with_requests(&starts_of_types(), 3, requests, faults)
}

/// Scenarios of four OSnodes with one request each, or two.
#[must_use]
pub fn of_four(faults: Faults, requests: u32) -> Vec<Scenario> {
    with_requests(&starts(), 4, requests, faults)
}

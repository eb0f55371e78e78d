//! Where explorations start: who holds what, and what clients will ask.

use std::fmt;

use capfmt::{Cap, CapType, OsnodeId, PhysAddr, Rights};
use monitor::agree::{Gift, Object, Request};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// An object over some of the three pages of a world's memory.
#[must_use]
pub fn child_of_pages(kind: CapType, first: u64, pages: u64) -> Object {
    let base = PhysAddr((16 + first) * PAGE);
    Object::of(&Cap::region(kind, base, pages * PAGE))
}
/// The memory: three pages.
#[must_use]
#[allow(non_snake_case)]
pub fn P() -> Object {
    child_of_pages(CapType::Ram, 0, 3)
}
/// Two pages of it.
#[must_use]
#[allow(non_snake_case)]
pub fn F() -> Object {
    child_of_pages(CapType::Frame, 0, 2)
}
/// Two pages, one in common with [`F`].
#[must_use]
#[allow(non_snake_case)]
pub fn G() -> Object {
    child_of_pages(CapType::Frame, 1, 2)
}
/// Short name of an object.
#[must_use]
pub fn name(object: &Object) -> &'static str {
    match () {
        () if *object == P() => "P",
        () if *object == F() => "F",
        () if *object == G() => "G",
        () => "?",
    }
}
/// Pages of an object, as bits.
#[must_use]
pub fn pages(base: u64, end: u64) -> u8 {
    let page = |at: u64| at / PAGE - 16;
    (page(base)..page(end)).fold(0, |bits, p| bits | 1 << p)
}

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
        Request::Retype { child, .. } => format!("retype {o} to {}", name(child)),
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

/// Who holds what at the start: object, owner, holders.
type Start = Vec<(Object, OsnodeId, Vec<OsnodeId>)>;

fn starts() -> Vec<Start> {
    let n = OsnodeId;
    vec![
        vec![(P(), n(1), vec![n(1)])],
        vec![(P(), n(3), vec![n(3), n(1)])],
        vec![(P(), n(1), vec![n(1), n(2), n(3)])],
        vec![(P(), n(3), vec![n(1), n(2)])],
        vec![(P(), n(1), vec![n(1), n(2)]), (F(), n(1), vec![n(2)])],
        vec![(P(), n(2), vec![n(2)]), (F(), n(2), vec![n(2), n(3)])],
        vec![(P(), n(3), vec![n(3), n(2)]), (F(), n(3), vec![n(1), n(2)])],
    ]
}

/// Everything that somebody may ask.
fn menu(start: &Start, nodes: u64) -> Vec<(OsnodeId, Act)> {
    let gift = Gift {
        rights: Rights::ALL,
        channel: 0,
    };
    let mut menu = Vec::new();
    for (object, owner, holders) in start {
        let object = *object;
        for holder in holders {
            menu.push((*holder, Act::Delete(object)));
            let mut ask = |request| menu.push((*holder, Act::Ask(request)));
            for to in (1..=nodes).map(OsnodeId).filter(|t| t != holder) {
                ask(Request::Copy { object, to, gift });
                ask(Request::Move { object, to, gift });
                if owner == holder {
                    ask(Request::Transfer { object, to });
                }
            }
            ask(Request::Revoke { object });
            if object == P() {
                for child in [F(), G()] {
                    let count = 1;
                    ask(Request::Retype {
                        object,
                        child,
                        count,
                    });
                }
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
fn with_requests(nodes: u64, requests: u32, faults: Faults) -> Vec<Scenario> {
    let mut all = Vec::new();
    for start in starts() {
        let menu = menu(&start, nodes);
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
                    objects: start.clone(),
                    asks: asks[..requests as usize].to_vec(),
                    faults,
                    busy: None,
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
    with_requests(3, 2, faults)
}

/// Scenarios of four OSnodes with one request each, or two.
#[must_use]
pub fn of_four(faults: Faults, requests: u32) -> Vec<Scenario> {
    with_requests(4, requests, faults)
}

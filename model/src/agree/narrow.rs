//! Scenarios for what two requests among three OSnodes do not show.

use capfmt::OsnodeId;
use monitor::agree::{Object, Request};

use super::objects::{A, F, G, K, P, R, S, T};
use super::scenario::{Act, Faults, Scenario, catalogue, gift};

/// Object, owner, holders.
type Held<'a> = (Object, u64, &'a [u64]);

fn scenario(nodes: u64, held: &[Held], asks: &[(u64, Act)], faults: Faults) -> Scenario {
    let n = OsnodeId;
    Scenario {
        nodes,
        objects: (held.iter())
            .map(|(o, owner, at)| (*o, n(*owner), at.iter().copied().map(n).collect()))
            .collect(),
        asks: asks.iter().map(|(id, act)| (n(*id), *act)).collect(),
        faults,
        busy: None,
        shared: None,
        slow: None,
        full: None,
        hurry: false,
    }
}

fn copy(object: Object, to: u64) -> Act {
    let (to, gift) = (OsnodeId(to), gift(OsnodeId(to)));
    Act::Ask(Request::Copy { object, to, gift })
}

fn give(object: Object, to: u64) -> Act {
    let (to, gift) = (OsnodeId(to), gift(OsnodeId(to)));
    Act::Ask(Request::Move { object, to, gift })
}

fn transfer(object: Object, to: u64) -> Act {
    let to = OsnodeId(to);
    Act::Ask(Request::Transfer { object, to })
}

fn retype(object: Object, child: Object, count: u32) -> Act {
    Act::Ask(Request::Retype {
        object,
        child,
        count,
    })
}

/// Requests that are refused: for oneself, by who does not own it, of what it cannot be made of.
fn refused(faults: Faults) -> Vec<Scenario> {
    let shared: &[Held] = &[(P(), 1, &[1, 2])];
    let frame: &[Held] = &[(P(), 1, &[1]), (F(), 1, &[2])];
    let asks = [
        (shared, 1, copy(P(), 1)),
        (shared, 1, give(P(), 1)),
        (shared, 1, transfer(P(), 1)),
        (shared, 2, copy(P(), 2)),
        (shared, 2, give(P(), 2)),
        (shared, 2, transfer(P(), 3)),
        (frame, 2, retype(F(), G(), 1)),
        (frame, 2, retype(F(), P(), 1)),
        (frame, 2, retype(F(), R(), 1)),
        (frame, 2, retype(F(), S(), 3)),
        (frame, 2, retype(F(), S(), 0)),
    ];
    let each = |(held, by, act): (&[Held], u64, Act)| scenario(3, held, &[(by, act)], faults);
    asks.into_iter().map(each).collect()
}

/// Memory over which somebody has the right to make device frames, and the block of an OSnode.
fn around(faults: Faults) -> Vec<Scenario> {
    let right: &[Held] = &[(A(), 1, &[1]), (P(), 1, &[1, 2])];
    let block: &[Held] = &[(K(), 1, &[1]), (P(), 1, &[1, 2])];
    let both = [(1, Act::Delete(P())), (2, Act::Delete(P()))];
    vec![
        scenario(2, right, &both, faults),
        scenario(2, right, &[(1, transfer(P(), 2))], faults),
        scenario(2, block, &[(2, retype(P(), F(), 1))], faults),
        scenario(2, block, &[(1, retype(P(), F(), 1))], faults),
    ]
}

/// More than one message tells.
fn large(faults: Faults) -> Vec<Scenario> {
    let family: &[Held] = &[
        (P(), 1, &[1, 2, 3, 4]),
        (S(), 1, &[2, 3, 4]),
        (T(), 1, &[2, 3, 4]),
    ];
    // The second holds most, and is not the heir.
    let list: &[Held] = &[
        (P(), 3, &[1, 3]),
        (F(), 3, &[2]),
        (S(), 3, &[2]),
        (T(), 3, &[2]),
    ];
    vec![
        scenario(4, family, &[(1, transfer(P(), 2))], faults),
        scenario(3, list, &[(1, Act::Delete(P()))], faults),
        scenario(3, list, &[(2, Act::Delete(T()))], faults),
    ]
}

/// Three requests: more than an OSnode may have open, and one behind another that waits.
fn many(faults: Faults) -> Vec<Scenario> {
    let shared: &[Held] = &[(P(), 2, &[1, 2])];
    let all: &[Held] = &[(P(), 1, &[1, 2, 3])];
    let revoke = Act::Ask(Request::Revoke { object: P() });
    if faults.any() {
        let copies = [(1, copy(P(), 3)); 3];
        return vec![scenario(3, shared, &copies, faults)];
    }
    let behind = [(2, give(P(), 3)), (1, revoke), (3, retype(P(), F(), 1))];
    vec![scenario(3, all, &behind, faults)]
}

/// Deletions where others use tables of the OSnode that deletes.
fn shared(faults: Faults) -> Vec<Scenario> {
    let mut all = Vec::new();
    for base in catalogue(faults) {
        let alone = base.asks[0] == base.asks[1];
        let deletes = |(_, act): &(OsnodeId, Act)| matches!(act, Act::Delete(_));
        if alone {
            for node in (1..=base.nodes).map(OsnodeId) {
                let (asks, shared) = (vec![base.asks[0]], Some(node));
                all.push(Scenario {
                    asks,
                    shared,
                    ..base.clone()
                });
            }
        } else if !faults.any()
            && let Some((node, _)) = base.asks.iter().find(|a| deletes(a))
        {
            let shared = Some(*node);
            all.push(Scenario { shared, ..base });
        }
    }
    all
}

/// All of them.
#[must_use]
pub fn narrow(faults: Faults) -> Vec<Scenario> {
    let kinds = [refused, around, large, many, shared];
    kinds.iter().flat_map(|k| k(faults)).collect()
}

/// Where much is missed soon: first a few that say most, then all that are narrow.
#[must_use]
pub fn telling() -> Vec<Scenario> {
    let none = deadly(0);
    let mut all = Vec::new();
    all.extend(races(none));
    all.extend([refused, around, large, many].iter().flat_map(|k| k(none)));
    all.extend(many(deadly(1)));
    all.extend(deaths());
    all
}

fn deadly(deaths: u8) -> Faults {
    Faults {
        stop: false,
        crash: deaths > 0,
        times: deaths.max(1),
    }
}

/// Two requests that meet, some where others use tables of who deletes, or where deletion is slow.
fn races(faults: Faults) -> Vec<Scenario> {
    let alone: &[Held] = &[(P(), 1, &[1])];
    let two: &[Held] = &[(P(), 3, &[3, 1])];
    let all: &[Held] = &[(P(), 1, &[1, 2, 3])];
    let frame: &[Held] = &[(P(), 2, &[2]), (F(), 2, &[2, 3])];
    let revoke = Act::Ask(Request::Revoke { object: P() });
    let delete = Act::Delete(P());
    let plain = [
        (alone, (1, copy(P(), 2)), (1, transfer(P(), 2))),
        (alone, (1, transfer(P(), 2)), (1, retype(P(), F(), 1))),
        (alone, (1, give(P(), 2)), (1, transfer(P(), 2))),
        (all, (1, give(P(), 2)), (2, give(P(), 3))),
        (two, (1, give(P(), 2)), (1, give(P(), 2))),
        (two, (3, give(P(), 1)), (1, revoke)),
    ];
    let shared = [
        (two, (3, copy(P(), 1)), (1, delete)),
        (two, (3, give(P(), 2)), (1, delete)),
        (alone, (1, delete), (1, give(P(), 2))),
        (frame, (2, delete), (2, give(F(), 1))),
    ];
    let mut scenarios = Vec::new();
    for (held, first, second) in plain {
        scenarios.push(scenario(3, held, &[first, second], faults));
    }
    for (held, first, second) in shared {
        let deletes = if first.1 == delete { first.0 } else { second.0 };
        let shared = Some(OsnodeId(deletes));
        let base = scenario(3, held, &[first, second], faults);
        scenarios.push(Scenario { shared, ..base });
    }
    scenarios
}

/// Four OSnodes, of which one or two die.
fn deaths() -> Vec<Scenario> {
    let alone: &[Held] = &[(P(), 1, &[1])];
    let two: &[Held] = &[(P(), 3, &[3, 1])];
    let three: &[Held] = &[(P(), 1, &[1, 2, 3])];
    let apart: &[Held] = &[(P(), 1, &[1, 3, 4])];
    let delete = |by| (by, Act::Delete(P()));
    let once = deadly(1);
    let twice = deadly(2);
    vec![
        scenario(4, three, &[(3, copy(P(), 1))], once),
        scenario(4, three, &[(1, give(P(), 4))], once),
        scenario(4, apart, &[(1, transfer(P(), 2)), delete(4)], once),
        scenario(4, alone, &[delete(1)], twice),
        scenario(4, alone, &[(1, copy(P(), 3))], twice),
        scenario(4, two, &[(3, copy(P(), 2))], twice),
        scenario(4, three, &[delete(2)], twice),
    ]
}

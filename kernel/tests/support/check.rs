//! What must hold of an OSnode between two kernel entries, beyond the tree's own invariants.

use std::collections::BTreeMap;

use capfmt::{
    CapType, Cte, DCB_ENDPOINTS, Dcb, DcbState, LongOpKind, MdbFlags, PhysAddr, PhysMap, mdb,
};

use super::machine::TestMachine;
use super::world::KCB;

/// Everything but [`mappings`]; returns the capabilities in order.
#[track_caller]
pub fn check_all(m: &TestMachine) -> Vec<(Cte, capfmt::Cap)> {
    if let Err(v) = mdb::check_invariants(m, KCB) {
        panic!("{} is broken: {v:?}", v.name());
    }
    let mut caps = Vec::new();
    let mut at = mdb::first(m, KCB);
    while let Some(cte) = at {
        caps.push((cte, cte.cap(m)));
        at = mdb::next(m, KCB, cte);
    }
    assert_eq!(KCB.undo_len(m), 0, "UNDO-CLOSED between entries");
    dispatchers(m, &caps);
    long_operation(m, &caps);
    caps
}

/// DCB-LIST: doubly linked, of live DCBs, each with a capability.
fn dispatchers(m: &TestMachine, caps: &[(Cte, capfmt::Cap)]) {
    let (mut at, mut prev, mut count) = (KCB.dcb_head(m), 0, 0);
    while at != 0 {
        let dcb = Dcb(PhysAddr(at));
        assert_eq!(dcb.magic(m), Dcb::MAGIC, "DCB-LIST: a dead DCB is listed");
        assert_eq!(dcb.prev(m), prev, "DCB-LIST: the way back is broken");
        assert!(dcb.state_of(m).is_some());
        let held = caps
            .iter()
            .any(|(_, c)| c.kind == CapType::Dispatcher && c.base.0 == at);
        assert!(held, "DCB-LIST: a DCB without capability");
        if dcb.state(m) == DcbState::WaitingLongOp as u64 {
            let something = KCB.op_kind(m) != LongOpKind::None as u64 || KCB.marked(m) != 0;
            assert!(something, "waits for nothing");
        }
        for i in 0..DCB_ENDPOINTS {
            let e = dcb.endpoint(m, i);
            let waiting = e.tail.wrapping_sub(e.head);
            assert!(
                waiting <= e.ring >> 32,
                "an endpoint has more than its ring"
            );
            assert_eq!(waiting != 0, dcb.pending(m) >> i & 1 != 0, "pending bits");
        }
        (prev, at) = (at, dcb.next(m));
        count += 1;
        assert!(count < 10_000, "DCB-LIST: a loop");
    }
}

/// VNODE-SHADOW: each used entry of a table belongs to the Mapping that its shadow names, and to no other.
pub fn mappings(m: &TestMachine, caps: &[(Cte, capfmt::Cap)]) {
    let mut expected = BTreeMap::new();
    for (cte, c) in caps.iter().filter(|(_, c)| c.kind == CapType::Mapping) {
        let (vnode, first) = (c.extra & !8191, c.extra & 511);
        if m.load(PhysAddr(vnode + 4096 + 8 * first)) != cte.0.0 {
            continue;
        }
        for k in first..first + u64::from(c.param & 0xffff) {
            expected.insert((vnode, k), *cte);
        }
    }
    let mut seen = None;
    for (_, c) in caps.iter().filter(|(_, c)| c.kind == CapType::VNode) {
        if seen == Some(c.base) {
            continue;
        }
        seen = Some(c.base);
        let user = if c.param == 3 { 256 } else { 512 };
        for k in 0..user {
            let shadow = m.load(c.base.add(4096 + 8 * k));
            let entry = m.load(c.base.add(8 * k));
            let named = expected.get(&(c.base.0, k)).map_or(0, |cte| cte.0.0);
            assert_eq!(shadow, named, "VNODE-SHADOW: word {k} of {:#x}", c.base.0);
            assert_eq!(entry != 0, shadow != 0, "VNODE-SHADOW: entry {k}");
        }
    }
}

/// OP-RECORD: without an operation nothing is marked, with one the marked are on its lists.
fn long_operation(m: &TestMachine, caps: &[(Cte, capfmt::Cap)]) {
    assert!(
        // Far more than the largest world here has work for.
        KCB.op_kind(m) == 0 || KCB.op_steps(m) < 40_000,
        "OP-RECORD: an operation without end: kind {}, target {:?}, clear {:#x}, done {:#x}, cursor {:#x}, clearing {:?}",
        KCB.op_kind(m),
        (KCB.op_target(m) != 0).then(|| Cte(PhysAddr(KCB.op_target(m))).cap(m)),
        KCB.op_clear_head(m),
        KCB.op_delete_head(m),
        KCB.op_cursor(m),
        (KCB.op_clear_head(m) != 0).then(|| Cte(PhysAddr(KCB.op_clear_head(m))).cap(m)),
    );
    let mut listed = std::collections::BTreeSet::new();
    for head in [KCB.op_clear_head(m), KCB.op_delete_head(m)] {
        let mut at = head;
        while at != 0 {
            assert!(listed.insert(at), "OP-RECORD: listed twice");
            at = Cte(PhysAddr(at)).node(m).sharers.0;
        }
    }
    let both = MdbFlags::IN_DELETE.0 | MdbFlags::LISTED.0;
    let mut by_monitors = 0;
    for (cte, _) in caps {
        let mut marked = cte.node(m).flags.0 & both;
        // What the monitors marked is on no list.
        if cte.node(m).flags.contains(MdbFlags::MARKED) {
            by_monitors += 1;
            marked &= !MdbFlags::IN_DELETE.0;
        }
        let wanted = if listed.contains(&cte.0.0) { both } else { 0 };
        assert_eq!(
            marked, wanted,
            "OP-RECORD: marks and lists differ at {cte:?}"
        );
    }
    assert_eq!(KCB.marked(m), by_monitors, "OP-RECORD: the count of marks");
    if KCB.op_kind(m) == LongOpKind::None as u64 {
        assert!(listed.is_empty(), "OP-RECORD: lists without an operation");
        assert_eq!((KCB.op_target(m), KCB.op_requester(m)), (0, 0));
        assert_eq!((KCB.op_how(m), KCB.op_second(m)), (0, 0));
    }
}

//! The books: single cases.

use crate::*;
use std::collections::BTreeSet;
use std::vec::Vec;

/// The capabilities, as the server would hold them: every free piece has its own.
#[derive(Default)]
pub struct Hands {
    pub held: BTreeSet<u32>,
    last: u32,
}

impl Hands {
    pub fn new_handle(&mut self) -> u32 {
        self.last += 1;
        self.held.insert(self.last);
        self.last
    }
    /// Cuts a piece; the block's capability goes to somebody else.
    pub fn cut(&mut self, cut: &Cut) -> Rest {
        assert!(
            self.held.remove(&cut.piece.handle),
            "the piece's capability is gone"
        );
        let mut part = |bytes| if bytes > 0 { self.new_handle() } else { 0 };
        Rest {
            before: part(cut.before()),
            after: part(cut.after()),
        }
    }
    pub fn join_all(&mut self, a: &mut Allocator, base: u64) {
        let mut at = base;
        while let Some((first, second)) = a.neighbours(at) {
            assert!(self.held.remove(&second.handle));
            a.joined(first.base, second.base);
            at = first.base;
        }
    }
    /// Each free piece has one capability, and there is no other.
    pub fn check(&self, a: &Allocator) {
        let all: Vec<u32> = a.free().map(|p| p.handle).collect();
        let set: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(set.len(), all.len(), "two pieces with one capability");
        assert_eq!(set, self.held);
    }
}

pub fn piece(base: u64, size: u64, handle: u32) -> Piece {
    Piece { base, size, handle }
}

pub fn two_nodes() -> (Allocator, Hands) {
    let (mut a, mut h) = (Allocator::new(), Hands::default());
    for (base, size) in [(0x10_0000, 0x40_0000), (0x100_0000, 0x10_0000)] {
        let p = piece(base, size, h.new_handle());
        a.add(p, Origin::Donated).expect("nothing overlaps");
    }
    a.topology.learn(Fact::Range(0, 0x100_0000, 0));
    a.topology.learn(Fact::Range(0x100_0000, 0x100_0000, 1));
    (a, h)
}

pub fn alloc(
    a: &mut Allocator,
    h: &mut Hands,
    account: u32,
    bytes: u64,
    align: u64,
    node: Option<u8>,
) -> Result<Grant, AllocError> {
    let cut = a.plan(account, bytes, align, node)?;
    let rest = h.cut(&cut);
    Ok(a.grant(&cut, account, rest))
}

/// A range comes back, with a capability of its own.
pub fn give_back(a: &mut Allocator, h: &mut Hands, base: u64, size: u64) {
    let handle = h.new_handle();
    a.returned(piece(base, size, handle)).expect("was granted");
    h.join_all(a, base);
}

#[test]
fn a_grant_is_cut_and_joined_again() {
    let (mut a, mut h) = two_nodes();
    let before = a.totals();
    let g = alloc(&mut a, &mut h, 7, 5000, 0x1_0000, None).expect("fits");
    assert_eq!((g.size, g.base % 0x1_0000), (2 * PAGE, 0));
    assert_eq!(a.totals().free, before.free - g.size);
    a.check_invariants().expect("after the grant");
    give_back(&mut a, &mut h, g.base, g.size);
    assert_eq!(a.totals(), before);
    h.check(&a);
}

#[test]
fn a_whole_piece_can_go_and_come() {
    let (mut a, mut h) = two_nodes();
    let g = alloc(&mut a, &mut h, 1, 0x10_0000, PAGE, Some(1)).expect("all of node 1");
    assert_eq!(g.base, 0x100_0000);
    give_back(&mut a, &mut h, g.base, g.size);
    h.check(&a);
    assert_eq!(a.free().count(), 2);
}

#[test]
fn limits_and_exhaustion_are_errors_that_change_nothing() {
    let (mut a, mut h) = two_nodes();
    alloc(&mut a, &mut h, 1, PAGE, PAGE, Some(1)).expect("node 1");
    let e = a.plan(1, 0x20_0000, PAGE, Some(1));
    assert_eq!(e, Err(AllocError::OutOfMemory(0x10_0000 - PAGE)));
    a.open(2, Some(3 * PAGE), Promise::Share(0))
        .expect("no promise");
    alloc(&mut a, &mut h, 2, 2 * PAGE, PAGE, None).expect("below the limit");
    assert_eq!(
        a.plan(2, 2 * PAGE, PAGE, None),
        Err(AllocError::Quota(PAGE))
    );
    for (bytes, align) in [(0, PAGE), (u64::MAX, PAGE), (PAGE, 3), (PAGE, 0)] {
        assert_eq!(a.plan(1, bytes, align, None), Err(AllocError::BadSize));
    }
    let overlapping = [
        (0x10_1000, PAGE),
        (u64::MAX - 0xfff, 0x2000),
        (0, 0),
        (1, PAGE),
    ];
    for (base, size) in overlapping {
        let e = a.add(piece(base, size, 99), Origin::Server);
        assert_eq!(e, Err(AllocError::BadSize), "{base:#x}");
    }
    a.check_invariants().expect("nothing changed by refusals");
    h.check(&a);
}

#[test]
fn what_is_promised_is_there_when_another_has_taken_the_rest() {
    let (mut a, mut h) = two_nodes();
    a.open(1, None, Promise::Share(4 * BLOCK))
        .expect("there is enough");
    a.promise(0, Promise::Beyond(2 * BLOCK));
    let too_much = a.open(3, None, Promise::Share(0x100_0000));
    assert!(matches!(too_much, Err(AllocError::OutOfMemory(_))));
    let mut size = 0x20_0000;
    while size >= PAGE {
        if alloc(&mut a, &mut h, 2, size, size, None).is_err() {
            size /= 2;
        }
    }
    for _ in 0..4 {
        alloc(&mut a, &mut h, 1, BLOCK, ALIGN, None).expect("promised");
    }
    assert!(
        a.plan(1, BLOCK, ALIGN, None).is_err(),
        "no more was promised"
    );
    for _ in 0..2 {
        alloc(&mut a, &mut h, 0, BLOCK, ALIGN, None).expect("the system's own");
    }
    a.check_invariants().expect("in order");
}

#[test]
fn parts_of_grants_come_back_in_any_order() {
    let (mut a, mut h) = two_nodes();
    let first = alloc(&mut a, &mut h, 1, 8 * PAGE, PAGE, None).expect("fits");
    let second = alloc(&mut a, &mut h, 2, 8 * PAGE, PAGE, None).expect("fits");
    assert_eq!(second.base, first.base + first.size);
    let whole = a.totals().total;
    assert_eq!(a.close(2), 8 * PAGE, "others have it still");
    let more = a.plan(2, PAGE, PAGE, None);
    assert_eq!(more, Err(AllocError::Quota(0)), "nothing more for the dead");
    // From the middle of the one into the middle of the other.
    let p = piece(first.base + 2 * PAGE, 8 * PAGE, 50);
    a.returned(p).expect("granted");
    assert_eq!((a.account(1).held, a.account(2).held), (2 * PAGE, 6 * PAGE));
    assert!(a.returned(p).is_err(), "it is free already");
    a.returned(piece(second.base + 2 * PAGE, 6 * PAGE, 51))
        .expect("the rest");
    assert!(!a.has_account(2), "closed and empty");
    a.returned(piece(first.base, 2 * PAGE, 52))
        .expect("the rest");
    assert_eq!((a.totals().total, a.totals().grants), (whole, 0));
    // Memory that was in use before there was a memory server.
    a.returned(piece(0x800_0000, PAGE, 53)).expect("new");
    assert_eq!((a.totals().total, a.totals().found), (whole + PAGE, PAGE));
    a.check_invariants().expect("in order");
}

/// An OSnode is destroyed after a part of what it had came back with somebody else's word.
#[test]
fn what_a_dead_osnode_had_is_booked_once() {
    let (mut a, mut h) = two_nodes();
    let before = a.totals();
    let cut = a.plan(9, 8 * PAGE, PAGE, Some(0)).expect("fits");
    let rest = h.cut(&cut);
    a.lend(&cut, rest, 2);
    give_back(&mut a, &mut h, cut.base + 2 * PAGE, 2 * PAGE);
    assert_eq!((a.totals().got, a.totals().found), (2 * PAGE, 0));
    let mut parts = Vec::new();
    while let Some((base, size)) = a.bequeath(2) {
        parts.extend(a.inherit(base, size, 0));
    }
    let rest = (cut.base + 4 * PAGE, 4 * PAGE);
    assert_eq!(parts, [(cut.base, 2 * PAGE), rest]);
    a.check_invariants().expect("in order");
    // Another server of the same OSnode had sent it, and this one has a part of it already.
    let mut other = Allocator::new();
    let handle = h.new_handle();
    other
        .returned(piece(cut.base + PAGE, PAGE, handle))
        .expect("new");
    let parts = other.inherit(cut.base, 3 * PAGE, 0);
    let end = (cut.base + 2 * PAGE, PAGE);
    assert_eq!(parts, [(cut.base, PAGE), end]);
    let t = other.totals();
    assert_eq!((t.got, t.found, t.free), (3 * PAGE, 0, PAGE));
    other.check_invariants().expect("in order");
    h.held.remove(&handle);
    for (base, size) in [(cut.base, 2 * PAGE), rest] {
        give_back(&mut a, &mut h, base, size);
    }
    let t = a.totals();
    assert_eq!((t.free, t.total), (before.free, before.total));
    assert_eq!(t.got, t.sent, "all that went is back");
    h.check(&a);
}

#[test]
fn nodes_are_asked_in_the_order_of_their_distance() {
    let mut t = Topology::new();
    for n in 0..4 {
        t.learn(Fact::Range(u64::from(n) << 30, 1 << 30, n));
    }
    assert_eq!(
        t.nearest(2),
        [2, 0, 1, 3],
        "by number while nothing is known"
    );
    for (to, distance) in [(0, 28), (1, 16), (2, 10), (3, 22)] {
        t.learn(Fact::Distance(2, to, distance));
    }
    assert_eq!(t.nearest(2), [2, 1, 3, 0]);
    assert_eq!(t.node_of_core(5), None);
    t.learn(Fact::Core(5, 3));
    assert_eq!(t.node_of_core(5), Some(3));
    assert_eq!(
        t.parts(0x3fff_f000, 0x8000_1000, Some(1)),
        [(0x4000_0000, 0x8000_0000)]
    );
    assert_eq!(t.parts(0, 1, Some(7)), []);
    let facts: Vec<Fact> = (0..).map_while(|i| t.fact(i)).collect();
    assert_eq!(facts.len(), 9);
}

#[test]
fn the_knowledge_base_goes_before_what_firmware_said() {
    let mut t = Topology::new();
    for n in 0..4 {
        t.learn(Fact::Range(u64::from(n) << 30, 1 << 30, n));
        t.learn(Fact::Distance(2, n, 10 + u32::from(n)));
    }
    assert!(!t.has_order(2));
    assert!(t.set_order(2, Vec::from([3, 1, 7])));
    // Node 7 has no memory here; what is not named comes last.
    assert_eq!(t.nearest(2), [3, 1, 0, 2]);
    assert_eq!(t.nearest(1), [1, 0, 2, 3], "nothing was said of node 1");
    assert!(!t.set_order(2, Vec::from([3, 1, 7])), "no news");
    assert!(t.set_order(2, Vec::new()));
    assert_eq!(t.nearest(2), [0, 1, 2, 3], "it does not know any more");
    assert!(!t.has_order(2));
    assert!(t.set_order(2, Vec::from([2, 3])));
    assert_eq!(t.nearest(2), [2, 3, 0, 1]);
    // Memory that is found later is asked for, too.
    t.learn(Fact::Range(9 << 30, 1 << 30, 9));
    assert_eq!(t.nearest(2), [2, 3, 0, 1, 9]);
}

#[test]
fn the_region_of_an_osnode_never_leaves_it() {
    let (mut a, _) = two_nodes();
    a.add(piece(0x50_0000, 0x10_0000, 9), Origin::Fixed)
        .expect("new");
    a.joined(0x10_0000, 0x50_0000);
    let (cut, node) = a.surplus(0, |n| n == 0).expect("much is free");
    assert_eq!((cut.base, cut.bytes, node), (0x10_0000, 0x40_0000, 0));
    assert!(a.may_go(&cut));
    let inside = Cut {
        base: 0x4f_f000,
        bytes: 2 * PAGE,
        ..cut
    };
    assert!(!a.may_go(&inside));
    assert!(
        a.surplus(0x40_0000, |n| n == 0).is_none(),
        "it keeps that much"
    );
}

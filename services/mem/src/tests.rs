//! The books: single cases, then random histories against the slow model.

use crate::model::{Model, Page, Rules};
use crate::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

/// The capabilities, as the server would hold them: every free piece has its own.
#[derive(Default)]
struct Hands {
    held: BTreeSet<u32>,
    last: u32,
}

impl Hands {
    fn new_handle(&mut self) -> u32 {
        self.last += 1;
        self.held.insert(self.last);
        self.last
    }
    fn cut(&mut self, cut: &Cut) -> Handles {
        if cut.is_whole() {
            let block = cut.piece.handle;
            return Handles {
                before: 0,
                block,
                after: 0,
            };
        }
        assert!(
            self.held.remove(&cut.piece.handle),
            "the piece's capability is gone"
        );
        let mut part = |bytes| if bytes > 0 { self.new_handle() } else { 0 };
        Handles {
            before: part(cut.before()),
            block: part(cut.bytes),
            after: part(cut.after()),
        }
    }
    fn join_all(&mut self, a: &mut Allocator, base: u64) {
        let mut at = base;
        while let Some((first, second)) = a.neighbours(at) {
            assert!(self.held.remove(&second.handle));
            a.joined(first.base, second.base);
            at = first.base;
        }
    }
    /// Each free piece and each kept copy has one capability, and there is no other.
    fn check(&self, a: &Allocator) {
        let mut all: Vec<u32> = a.free().map(|p| p.handle).collect();
        all.extend(a.grants().map(|g| g.handle).filter(|h| *h != 0));
        let set: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(set.len(), all.len(), "two pieces with one capability");
        assert_eq!(set, self.held);
    }
}

fn piece(base: u64, size: u64, handle: u32) -> Piece {
    Piece { base, size, handle }
}

fn two_nodes() -> (Allocator, Hands) {
    let (mut a, mut h) = (Allocator::new(), Hands::default());
    for (base, size) in [(0x10_0000, 0x40_0000), (0x100_0000, 0x10_0000)] {
        let p = piece(base, size, h.new_handle());
        a.add(p, Origin::Donated).expect("nothing overlaps");
    }
    a.topology.learn(Fact::Range(0, 0x100_0000, 0));
    a.topology.learn(Fact::Range(0x100_0000, 0x100_0000, 1));
    (a, h)
}

fn alloc(
    a: &mut Allocator,
    h: &mut Hands,
    account: u32,
    bytes: u64,
    align: u64,
    node: Option<u8>,
) -> Result<Grant, AllocError> {
    let cut = a.plan(account, bytes, align, node)?;
    let handles = h.cut(&cut);
    Ok(a.grant(&cut, account, handles))
}

/// As [`alloc`], but the capability is given away, too.
fn give(
    a: &mut Allocator,
    h: &mut Hands,
    account: u32,
    bytes: u64,
    align: u64,
    node: Option<u8>,
) -> Result<Grant, AllocError> {
    let cut = a.plan(account, bytes, align, node)?;
    let handles = h.cut(&cut);
    h.held.remove(&handles.block);
    Ok(a.grant(
        &cut,
        account,
        Handles {
            block: 0,
            ..handles
        },
    ))
}

fn give_back(a: &mut Allocator, h: &mut Hands, g: &Grant) {
    a.returned(piece(g.base, g.size, g.handle))
        .expect("was granted");
    h.join_all(a, g.base);
}

#[test]
fn a_grant_is_cut_and_joined_again() {
    let (mut a, mut h) = two_nodes();
    let before = a.totals();
    let g = alloc(&mut a, &mut h, 7, 5000, 0x1_0000, None).expect("fits");
    assert_eq!((g.size, g.base % 0x1_0000), (2 * PAGE, 0));
    assert_eq!(a.totals().free, before.free - g.size);
    a.check_invariants().expect("after the grant");
    assert_eq!(a.granted(8, g.base), Err(FreeError::NotYours));
    assert_eq!(a.granted(7, g.base + PAGE), Err(FreeError::NotGranted));
    give_back(&mut a, &mut h, &g);
    assert_eq!(a.totals(), before);
    h.check(&a);
}

#[test]
fn a_whole_piece_can_go_and_come() {
    let (mut a, mut h) = two_nodes();
    let g = alloc(&mut a, &mut h, 1, 0x10_0000, PAGE, Some(1)).expect("all of node 1");
    assert_eq!(g.base, 0x100_0000);
    give_back(&mut a, &mut h, &g);
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
    a.close(2);
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

#[derive(Clone, Debug)]
enum Step {
    Alloc {
        account: u32,
        pages: u64,
        align: u32,
        node: Option<u8>,
    },
    Back {
        pick: usize,
        from: u64,
        pages: u64,
    },
    Send {
        pages: u64,
    },
    Get {
        at: u64,
        pages: u64,
    },
    Open {
        account: u32,
        limit: Option<u64>,
        grains: u64,
    },
    End {
        account: u32,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = prop::option::of(0..2u8);
    let sizes = prop_oneof![1..40u64, 1..600u64];
    let alloc =
        (0..5u32, sizes, 12..19u32, node).prop_map(|(account, pages, align, node)| Step::Alloc {
            account,
            pages,
            align,
            node,
        });
    let back = (any::<usize>(), 0..40u64, 1..600u64).prop_map(|(pick, from, pages)| Step::Back {
        pick,
        from,
        pages,
    });
    let send = (1..100u64).prop_map(|pages| Step::Send { pages });
    let get = (0..8u64, 1..64u64).prop_map(|(at, pages)| Step::Get { at, pages });
    let open =
        (0..5u32, prop::option::of(1..500u64), 0..4u64).prop_map(|(account, limit, grains)| {
            Step::Open {
                account,
                limit,
                grains,
            }
        });
    let end = (0..5u32).prop_map(|account| Step::End { account });
    prop::collection::vec(
        prop_oneof![9 => alloc, 7 => back, 1 => send, 1 => get, 2 => open, 1 => end],
        1..150,
    )
}

/// Books, model and capabilities side by side.
struct Side {
    a: Allocator,
    h: Hands,
    m: Model,
}

impl Side {
    fn new() -> Side {
        let (a, h) = two_nodes();
        let mut m = Model {
            topology: a.topology.clone(),
            ..Model::default()
        };
        for p in a.free() {
            m.set(p.base, p.size, Page::Free);
        }
        Side { a, h, m }
    }

    fn alloc(&mut self, account: u32, bytes: u64, align: u64, node: Option<u8>) {
        let (Side { a, h, m }, rules) = (
            self,
            Rules {
                limit: None,
                promise: Promise::Share(0),
            },
        );
        let rules = m.rules.get(&account).copied().unwrap_or(rules);
        let size = bytes.next_multiple_of(PAGE);
        let over = rules.limit.is_some_and(|l| m.held(account) + size > l);
        match give(a, h, account, bytes, align, node) {
            Ok(g) => {
                let cut = Cut {
                    piece: piece(g.base, g.size, 0),
                    base: g.base,
                    bytes: g.size,
                };
                assert!(m.accepts(&cut, account, align, node), "{g:?}");
                let promised = size <= m.reserved(account);
                m.set(g.base, g.size, Page::On(account));
                // Whoever takes more than it was promised leaves what the others were promised.
                let others = m.rules.keys().filter(|k| **k != account || !promised);
                let kept: Vec<u64> = others.map(|k| m.reserved(*k)).collect();
                assert!(promised || m.free() >= kept.iter().sum());
                assert!(promised || m.places() >= kept.iter().map(|b| b / BLOCK).sum());
            }
            Err(AllocError::Quota(left)) => {
                assert!(over && left < size, "limit");
            }
            Err(AllocError::OutOfMemory(largest)) => {
                assert!(!over);
                let promised = size <= m.reserved(account);
                assert!(
                    !promised || !m.fits(bytes, align, node),
                    "promised, and it fits"
                );
                assert!(node.is_some() || m.runs().iter().all(|(b, e)| e - b <= largest));
            }
            Err(AllocError::BadSize) => panic!("a good size"),
        }
    }

    /// A run of pages that are out comes back, whoever has them.
    fn back(&mut self, pick: usize, from: u64, pages: u64) {
        let out: Vec<u64> = self
            .m
            .pages
            .iter()
            .filter(|(_, p)| **p != Page::Free)
            .map(|(b, _)| *b)
            .collect();
        let Some(&first) = out.get(pick % out.len().max(1)) else {
            return;
        };
        let base = first + from % 3 * PAGE;
        let run = (0..pages)
            .take_while(|k| matches!(self.m.pages.get(&(base + k * PAGE)), Some(Page::On(_))));
        let bytes = run.count() as u64 * PAGE;
        if bytes == 0 {
            return;
        }
        let handle = self.h.new_handle();
        self.a
            .returned(piece(base, bytes, handle))
            .expect("it was out");
        self.h.join_all(&mut self.a, base);
        self.m.set(base, bytes, Page::Free);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Alloc {
                account,
                pages,
                align,
                node,
            } => {
                self.alloc(account, pages * PAGE, 1 << align, node);
            }
            Step::Back { pick, from, pages } => self.back(pick, from, pages),
            Step::Send { pages } => {
                if let Ok(cut) = self.a.plan(u32::MAX, pages * PAGE, PAGE, None) {
                    let handles = self.h.cut(&cut);
                    self.h.held.remove(&handles.block);
                    self.a.send(&cut, handles);
                    self.m.forget(cut.base, cut.bytes);
                }
            }
            Step::Get { at, pages } => {
                let base = 0x140_0000 + at * 0x4_0000;
                let there = (0..pages).any(|k| self.m.pages.contains_key(&(base + k * PAGE)));
                let handle = self.h.new_handle();
                let added = self
                    .a
                    .add(piece(base, pages * PAGE, handle), Origin::Server);
                assert_eq!(added.is_ok(), !there);
                if there {
                    self.h.held.remove(&handle);
                } else {
                    self.h.join_all(&mut self.a, base);
                    self.m.set(base, pages * PAGE, Page::Free);
                }
            }
            Step::Open {
                account,
                limit,
                grains,
            } => self.open(account, limit, grains),
            Step::End { account } => {
                let held = self.a.close(account);
                assert!(held == 0 || held == self.m.held(account));
                self.m.rules.remove(&account);
                for g in self.a.grants_of(account) {
                    let handle = self.h.new_handle();
                    give_back(&mut self.a, &mut self.h, &Grant { handle, ..g });
                    self.m.set(g.base, g.size, Page::Free);
                }
                assert!(held == 0 || !self.a.has_account(account));
                assert!(!self.a.has_account(account));
            }
        }
    }

    fn open(&mut self, account: u32, limit: Option<u64>, grains: u64) {
        if self.a.has_account(account) {
            return;
        }
        let limit = limit.map(|pages| pages * PAGE);
        let share = (grains * BLOCK).min(limit.unwrap_or(u64::MAX));
        let all: Vec<u64> = self.m.rules.keys().map(|k| self.m.reserved(*k)).collect();
        let bytes = all.iter().sum::<u64>() + share;
        let blocks = all.iter().map(|b| b / BLOCK).sum::<u64>() + share / BLOCK;
        let can = self.m.free() >= bytes && self.m.places() >= blocks;
        let opened = self.a.open(account, limit, Promise::Share(grains * BLOCK));
        assert_eq!(opened.is_ok(), can);
        if can {
            let promise = Promise::Share(share);
            self.m.rules.insert(account, Rules { limit, promise });
        }
    }

    fn check(&self) {
        assert_eq!(self.a.check_invariants(), Ok(()));
        let t = self.a.totals();
        assert_eq!(t.free, self.m.free());
        assert_eq!(t.total, self.m.pages.len() as u64 * PAGE);
        for account in 0..5 {
            assert_eq!(
                self.a.account(account).held,
                self.m.held(account),
                "account {account}"
            );
        }
        let runs: Vec<(u64, u64)> = self.a.free().map(|p| (p.base, p.end())).collect();
        assert_eq!(runs, self.m.runs(), "neighbours are joined");
    }
}

proptest! {
    #[test]
    fn random_histories_agree_with_the_model(steps in steps()) {
        let mut side = Side::new();
        for step in &steps {
            side.step(step);
            side.check();
        }
    }

    /// Accounts that take whole blocks get what they were promised, whatever others do.
    #[test]
    fn promises_are_kept(steps in steps(), grains in vec![1..4u64; 3]) {
        let mut side = Side::new();
        for (n, g) in (10..).zip(&grains) {
            side.open(n, None, *g);
        }
        for step in &steps {
            // The others were promised nothing: small blocks would break what is kept for them.
            match *step {
                Step::Open { account, limit, .. } => side.open(account, limit, 0),
                _ => side.step(step),
            }
            let mut a = side.a.clone();
            for n in 10..13 {
                while a.account(n).reserved() >= BLOCK {
                    let cut = a.plan(n, BLOCK, ALIGN, None).expect("it was promised");
                    a.grant(&cut, n, Handles { before: 1, block: 1, after: 1 });
                }
            }
        }
    }
}

//! The books in random histories, side by side with the slow model and the capabilities.

use crate::model::{Model, Page, Rules};
use crate::tests::{Hands, alloc, give_back, piece, two_nodes};
use crate::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// On its account is what OSnodes left that are gone.
const HEIR: u32 = 77;

#[derive(Clone, Debug)]
pub enum Step {
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
    Lend {
        osnode: u64,
        pages: u64,
    },
    /// RAM of this and other OSnodes comes from another server.
    Bring {
        pick: usize,
        pages: u64,
    },
    Die {
        osnode: u64,
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

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
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
    let lend = (1..4u64, 1..100u64).prop_map(|(osnode, pages)| Step::Lend { osnode, pages });
    let bring = (any::<usize>(), 1..60u64).prop_map(|(pick, pages)| Step::Bring { pick, pages });
    let die = (1..4u64).prop_map(|osnode| Step::Die { osnode });
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
        prop_oneof![
            9 => alloc, 7 => back, 1 => send, 1 => get, 2 => lend, 1 => bring, 1 => die,
            2 => open, 1 => end
        ],
        1..150,
    )
}

/// Books, model and capabilities side by side.
pub struct Side {
    pub a: Allocator,
    pub h: Hands,
    m: Model,
}

impl Side {
    pub fn new() -> Side {
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
        match alloc(a, h, account, bytes, align, node) {
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
        let bytes = self.run_out(base, pages);
        if bytes == 0 {
            return;
        }
        give_back(&mut self.a, &mut self.h, base, bytes);
        self.m.set(base, bytes, Page::Free);
    }

    /// Bytes from `base` on that are out, on accounts or with other OSnodes.
    fn run_out(&self, base: u64, pages: u64) -> u64 {
        let out = |k: &u64| {
            let page = self.m.pages.get(&(base + k * PAGE));
            page.is_some_and(|p| *p != Page::Free)
        };
        (0..pages).take_while(out).count() as u64 * PAGE
    }

    fn lend(&mut self, osnode: u64, pages: u64) {
        let Ok(cut) = self.a.plan(u32::MAX, pages * PAGE, PAGE, None) else {
            return;
        };
        let rest = self.h.cut(&cut);
        self.a.lend(&cut, rest, osnode);
        self.m.set(cut.base, cut.bytes, Page::Lent(osnode));
    }

    /// Another server brings a part of what is lent.
    fn bring(&mut self, pick: usize, pages: u64) {
        let lent = self.m.lent();
        let Some(&(base, end, _)) = lent.get(pick % lent.len().max(1)) else {
            return;
        };
        let base = base + (pages % 3 * PAGE).min(end - base - PAGE);
        let bytes = (pages * PAGE).min(end - base);
        let handle = self.h.new_handle();
        let added = self.a.add(piece(base, bytes, handle), Origin::Server);
        added.expect("it was away");
        self.h.join_all(&mut self.a, base);
        self.m.set(base, bytes, Page::Free);
    }

    /// What an OSnode had, which is gone, is on an account: all of it, once.
    fn die(&mut self, osnode: u64) {
        let mut left = std::collections::BTreeSet::new();
        while let Some((base, bytes)) = self.a.bequeath(osnode) {
            for (b, n) in self.a.inherit(base, bytes, HEIR) {
                left.extend((0..n / PAGE).map(|k| b + k * PAGE));
            }
        }
        let had = self
            .m
            .pages
            .iter()
            .filter(|(_, p)| **p == Page::Lent(osnode));
        let had: std::collections::BTreeSet<u64> = had.map(|(b, _)| *b).collect();
        assert_eq!(left, had);
        for page in had {
            self.m.set(page, PAGE, Page::On(HEIR));
        }
    }

    pub fn step(&mut self, step: &Step) {
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
                    let rest = self.h.cut(&cut);
                    self.a.send(&cut, rest);
                    self.m.forget(cut.base, cut.bytes);
                }
            }
            Step::Get { at, pages } => {
                let base = 0x140_0000 + at * 0x4_0000;
                let here = |k| {
                    let page = self.m.pages.get(&(base + k * PAGE));
                    page.is_some_and(|p| !matches!(p, Page::Lent(_)))
                };
                let there = (0..pages).any(here);
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
            Step::Lend { osnode, pages } => self.lend(osnode, pages),
            Step::Bring { pick, pages } => self.bring(pick, pages),
            Step::Die { osnode } => self.die(osnode),
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
                    give_back(&mut self.a, &mut self.h, g.base, g.size);
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
        assert_eq!(t.total, self.m.total());
        let mut lent = std::collections::BTreeMap::new();
        for (b, e, o) in self.a.lent().iter() {
            lent.extend((b..e).step_by(PAGE as usize).map(|page| (page, o)));
        }
        let model = self.m.pages.iter().filter_map(|(b, p)| match p {
            Page::Lent(o) => Some((*b, *o)),
            _ => None,
        });
        assert!(lent.into_iter().eq(model), "what is lent");
        for account in (0..5).chain([HEIR]) {
            assert_eq!(
                self.a.account(account).held,
                self.m.held(account),
                "account {account}"
            );
        }
        let runs: Vec<(u64, u64)> = self.a.free().map(|p| (p.base, p.end())).collect();
        assert_eq!(runs, self.m.runs(), "neighbours are joined");
        self.h.check(&self.a);
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
                    a.grant(&cut, n, Rest { before: 1, after: 1 });
                }
            }
        }
    }
}

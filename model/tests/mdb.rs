//! The derivation tree against the plain list: random operations, every query compared.

use capfmt::schema::Class;
use capfmt::{Cap, CapType, Cte, Kcb, MdbFlags, PhysAddr, PhysMap, mdb};
use model::generate::{self, WORLD, WORLD_BYTES};
use model::mdb::Reference;
use model::{Arena, Rng, scaled};
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const BASE: u64 = 0x10_0000;
const SLOTS: u64 = 4096;
const CLASSES: [Class; 3] = [Class::Physical, Class::Irq, Class::IoPort];

struct World {
    mem: Arena,
    kcb: Kcb,
    model: Reference,
    free: Vec<Cte>,
    rng: Rng,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            mem: Arena::new(BASE, 0x4000 + 64 * SLOTS),
            kcb: Kcb(PhysAddr(BASE)),
            model: Reference::default(),
            free: (0..SLOTS)
                .map(|i| Cte(PhysAddr(BASE + 0x4000 + 64 * i)))
                .collect(),
            rng: Rng::new(seed),
        }
    }

    fn any(&mut self) -> Option<Cte> {
        let n = self.model.caps().len() as u64;
        (n > 0).then(|| self.model.caps()[self.rng.below(n) as usize].0)
    }

    fn free_slot(&mut self) -> Option<Cte> {
        let n = self.free.len() as u64;
        (n > 0).then(|| self.free.swap_remove(self.rng.below(n) as usize))
    }

    fn new_cap(&mut self) -> Option<Cap> {
        for _ in 0..20 {
            let cap = match self.any() {
                Some(from) if !self.rng.one_in(12) => {
                    // What has no address has no descendants: most are made from memory.
                    let mut from = self.model.cap(from);
                    for _ in 0..3 {
                        let other = self.any().map_or(from, |c| self.model.cap(c));
                        if model::mdb::children(from.kind).is_empty() {
                            from = other;
                        }
                    }
                    generate::derive(&mut self.rng, &from)
                }
                _ => generate::seed(&mut self.rng),
            };
            if self.model.accepts(&cap) {
                return Some(cap);
            }
        }
        None
    }

    fn insert(&mut self) {
        let Some(cap) = self.new_cap() else { return };
        let Some(slot) = self.free_slot() else { return };
        mdb::place(&mut self.mem, self.kcb, slot, &cap);
        self.model.insert(slot, cap);
    }

    fn remove(&mut self) {
        let Some(slot) = self.any() else { return };
        mdb::clear(&mut self.mem, self.kcb, slot);
        assert!(
            (0..8).all(|i| self.mem.load(slot.0.add(8 * i)) == 0),
            "a cleared slot is empty"
        );
        self.model.remove(slot);
        self.free.push(slot);
    }

    fn relocate(&mut self) {
        let Some(from) = self.any() else { return };
        let Some(to) = self.free_slot() else { return };
        let mut node = from.node(&self.mem);
        node.flags = MdbFlags(self.rng.below(64) as u16);
        node.owner = self.rng.below(256) as u16;
        from.set_node(&mut self.mem, &node);
        mdb::move_to(&mut self.mem, self.kcb, from, to);
        let moved = to.node(&self.mem);
        assert_eq!((moved.flags, moved.owner), (node.flags, node.owner));
        let cap = self.model.remove(from);
        self.model.insert(to, cap);
        self.free.push(from);
    }

    fn replace(&mut self) {
        let Some(slot) = self.any() else { return };
        let old = self.model.remove(slot);
        let new = generate::derive(&mut self.rng, &old);
        let new = if self.model.accepts(&new) { new } else { old };
        mdb::replace(&mut self.mem, self.kcb, slot, &new);
        self.model.insert(slot, new);
    }

    fn step(&mut self, target: usize) {
        let grow = self.model.caps().len() < target;
        match self.rng.below(20) {
            0..2 => self.relocate(),
            2 => self.replace(),
            3..8 => self.insert(),
            8..12 => self.remove(),
            _ if grow => self.insert(),
            _ => self.remove(),
        }
    }

    fn compare_neighbours(&mut self, c: Cte) {
        let (m, k, r) = (&self.mem, self.kcb, &self.model);
        assert_eq!(c.cap(m), r.cap(c));
        assert_eq!(mdb::next(m, k, c), r.next(c));
        assert_eq!(mdb::prev(m, k, c), r.prev(c));
        assert_eq!(mdb::first(m, k), r.caps().first().map(|e| e.0));
        let copies: Vec<_> = r.copies(c).collect();
        assert_eq!(mdb::copies_exist(m, k, c), !copies.is_empty());
        assert!(mdb::other_copy(m, k, c).is_none_or(|o| copies.contains(&o)));
    }

    fn compare_relations(&mut self, c: Cte) {
        let (m, k, r) = (&self.mem, self.kcb, &self.model);
        assert_eq!(mdb::ancestor(m, k, c), r.ancestor(c));
        let mut found = mdb::first_descendant(m, k, c);
        assert_eq!(mdb::descendants_exist(m, k, c), found.is_some());
        // All of them where they are few, the first few where they are many.
        let mut expected = r.descendants(c);
        for _ in 0..24 {
            assert_eq!(found, expected.next());
            let Some(d) = found else { break };
            found = mdb::next_descendant(m, k, c, d);
        }
    }

    /// What stands for one object: its copies, and Mappings of which no part of it is an ancestor.
    fn compare_object(&self, c: Cte) {
        let (m, k, r) = (&self.mem, self.kcb, &self.model);
        let cap = r.cap(c);
        let of_part = |d: Cte| {
            let nearest = r.ancestor(d).map(|a| r.cap(a));
            nearest.is_some_and(|a| capfmt::schema::is_descendant(&a, &cap))
        };
        let mappings = r
            .descendants(c)
            .filter(|d| r.cap(*d).kind == CapType::Mapping);
        let mut expected: Vec<Cte> = mappings.filter(|d| !of_part(*d)).collect();
        expected.extend(r.copies(c).chain([c]));
        let mut from = mdb::Position::before(&cap);
        let mut found = Vec::new();
        loop {
            match mdb::next_of_object(m, k, &cap, &from, 3) {
                mdb::OfObject::Found(cte, _) => {
                    found.push(cte);
                    from = mdb::Position::of(m, cte);
                }
                mdb::OfObject::Further(further) => from = further,
                mdb::OfObject::End => break,
            }
        }
        expected.sort_unstable_by_key(|c| c.0);
        found.sort_unstable_by_key(|c| c.0);
        assert_eq!(found, expected, "{cap:?}");
    }

    fn compare_ranges(&mut self, c: Cte) {
        let space = self.rng.below(3) as u8;
        let cap = self.model.cap(c);
        let (base, size) = match space {
            0 if cap.size > 0 && model::mdb::class(cap.kind) == 0 => {
                let at = cap.base.0 + self.rng.below(cap.size);
                (at, 1 + self.rng.below(2 * cap.size))
            }
            0 => (
                WORLD + self.rng.below(WORLD_BYTES),
                1 + self.rng.below(0x10_0000),
            ),
            1 => (self.rng.below(300), 1 + self.rng.below(8)),
            _ => (self.rng.below(0x1_0000), 1 + self.rng.below(0x100)),
        };
        let (m, k, r, class) = (&self.mem, self.kcb, &self.model, CLASSES[space as usize]);
        let all: Vec<_> = r.overlapping(space, base, size).collect();
        assert_eq!(
            mdb::any_overlap(m, k, class, base, size, |_, _| true),
            all.first().copied()
        );
        let mut seen = Vec::new();
        let none = mdb::any_overlap(m, k, class, base, size, |n, _| {
            seen.push(n);
            seen.len() == 40
        });
        assert_eq!(none.is_some(), all.len() >= 40);
        assert_eq!(seen, all[..all.len().min(40)]);
        assert_eq!(
            mdb::covering(m, k, class, base, size),
            r.covering(space, base, size)
        );
        if space == 0 {
            assert_eq!(mdb::smallest_covering(m, k, base), r.covering(0, base, 1));
        }
        self.compare_find_range(class, base, size, &all);
        let hit = mdb::overlapping_descendant(m, k, c, base, size, |_, _| true);
        let wanted = r.descendants(c).find(|d| all.contains(d));
        if model::mdb::class(cap.kind) == space {
            assert_eq!(hit, wanted);
        }
    }

    fn compare_find_range(&self, class: Class, base: u64, size: u64, all: &[Cte]) {
        use mdb::RangeHit;
        let span = |c: &Cte| {
            let cap = self.model.cap(*c);
            (cap.base.0, cap.base.0 + cap.size.max(1))
        };
        let end = base + size;
        let covers = |c: &&Cte| span(c).0 <= base && span(c).1 >= end;
        let within = |c: &&Cte| span(c).0 >= base && span(c).1 <= end;
        let cut = all.iter().find(|c| !covers(c) && !within(c));
        let inside = all.iter().find(|c| within(c) && !covers(c));
        let expected = match (cut, inside, all.iter().rfind(covers)) {
            (Some(c), _, _) => RangeHit::Cut(*c),
            (_, Some(c), _) => RangeHit::Inside(*c),
            (_, _, Some(c)) => RangeHit::Covered(*c),
            _ => RangeHit::Free,
        };
        assert_eq!(
            mdb::find_range(&self.mem, self.kcb, class, base, size),
            expected
        );
    }

    fn check(&self) {
        let stats = mdb::check_invariants(&self.mem, self.kcb)
            .unwrap_or_else(|v| panic!("{}: {v:?}", v.name()));
        let n = self.model.caps().len() as u64;
        assert_eq!(stats.caps, n);
        let most = 2 * u64::from(u64::BITS - (n + 1).leading_zeros());
        assert!(
            stats.depth <= most,
            "{n} capabilities stand {} deep",
            stats.depth
        );
    }

    fn compare_one(&mut self) {
        let Some(c) = self.any() else { return };
        match self.rng.below(3) {
            0 => self.compare_neighbours(c),
            1 => {
                self.compare_relations(c);
                self.compare_object(c);
            }
            _ => self.compare_ranges(c),
        }
    }

    fn compare_order(&self) {
        let mut n = mdb::first(&self.mem, self.kcb);
        for (cte, _) in self.model.caps() {
            assert_eq!(n, Some(*cte));
            n = mdb::next(&self.mem, self.kcb, *cte);
        }
        assert_eq!(n, None);
    }
}

/// Runs `ops` operations around `target` capabilities; invariants after each
/// operation below 256, after every 1,000th above.
fn run(seed: u64, ops: u64, target: usize) {
    let mut w = World::new(seed);
    for i in 0..ops {
        w.step(target);
        w.compare_one();
        if w.model.caps().len() < 256 || i % 1000 == 0 {
            w.check();
        }
        if i % 10_000 == 0 {
            w.compare_order();
        }
    }
    w.check();
    w.compare_order();
}

#[test]
fn tiny_trees_agree_with_the_model() {
    for seed in 0..40 {
        run(seed, scaled(5_000), 12);
    }
}

#[test]
fn small_trees_agree_with_the_model() {
    for seed in 100..104 {
        run(seed, scaled(75_000), 120);
    }
}

#[test]
fn middle_trees_agree_with_the_model() {
    for seed in 200..202 {
        run(seed, scaled(150_000), 700);
    }
}

#[test]
fn large_trees_agree_with_the_model() {
    run(300, scaled(200_000), 3_000);
}

/// One word decides one step, so that a list of steps that fails shrinks to a few.
fn run_shrinking(lists: u64, longest: usize, target: usize) {
    let config = Config {
        cases: lists as u32,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[target as u8; 32]);
    let steps = proptest::collection::vec(any::<u64>(), 1..=longest);
    let run = |steps: Vec<u64>| {
        let mut w = World::new(0);
        for (i, word) in steps.into_iter().enumerate() {
            w.rng = Rng::new(word);
            w.step(target);
            w.compare_one();
            if w.model.caps().len() < 256 || i % 1000 == 0 {
                w.check();
            }
        }
        w.check();
        w.compare_order();
        Ok(())
    };
    TestRunner::new_with_rng(config, rng)
        .run(&steps, run)
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn what_fails_in_small_trees_is_shrunk() {
    run_shrinking(scaled(2_000), 200, 40);
}

#[test]
fn what_fails_in_large_trees_is_shrunk() {
    run_shrinking(scaled(40), 5_000, 1_500);
}

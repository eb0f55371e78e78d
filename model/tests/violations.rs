//! The checker of the tree finds each kind of damage and calls it by its name.

use capfmt::mdb::{self, Violation};
use capfmt::{Cap, CapType, Cte, Kcb, PhysAddr, PhysMap};
use model::{Arena, Rng};

const BASE: u64 = 0x10_0000;
const KCB: Kcb = Kcb(PhysAddr(BASE));
const N: u64 = 40;

fn slot(i: u64) -> Cte {
    Cte(PhysAddr(BASE + 0x4000 + 64 * i))
}

/// `N` frames side by side under one RAM capability.
fn tree() -> Arena {
    let mut mem = Arena::new(BASE, 0x4000 + 64 * (N + 10));
    mdb::place(
        &mut mem,
        KCB,
        slot(0),
        &Cap::region(CapType::Ram, PhysAddr(0x100_0000), 0x100_0000),
    );
    for i in 1..N {
        let frame = Cap::region(CapType::Frame, PhysAddr(0x100_0000 + i * 0x2000), 0x2000);
        mdb::place(&mut mem, KCB, slot(i), &frame);
    }
    mdb::check_invariants(&mem, KCB).expect("sound before the damage");
    mem
}

fn found(damage: impl FnOnce(&mut Arena)) -> &'static str {
    let mut mem = tree();
    damage(&mut mem);
    mdb::check_invariants(&mem, KCB)
        .expect_err("damage must be found")
        .name()
}

fn set_base(mem: &mut Arena, c: Cte, base: u64) {
    mem.store(c.0.add(8), base);
}

#[test]
fn each_damage_has_its_name() {
    let root = Cte(PhysAddr(KCB.mdb_root(&tree())));
    assert_eq!(found(|m| KCB.set_mdb_root(m, BASE + 8)), "MDB-LINK");
    assert_eq!(found(|m| KCB.set_mdb_root(m, 0xdead_0000)), "MDB-LINK");
    assert_eq!(found(|m| m.store(root.0, 77)), "MDB-PARSES");
    assert_eq!(found(|m| m.store(root.0, 0)), "MDB-PARSES");
    assert_eq!(found(|m| m.store(root.0.add(16), 0x123)), "MDB-PARSES");
    assert_eq!(found(|m| set_base(m, root, 0x1000)), "MDB-ORDER");
    assert_eq!(
        found(|m| set_base(m, slot(20), 0x100_0000 + 18 * 0x2000)),
        "MDB-ORDER"
    );
    let relink = |m: &mut Arena, f: &dyn Fn(&mut capfmt::MdbNode)| {
        let mut node = root.node(m);
        f(&mut node);
        root.set_node(m, &node);
    };
    assert_eq!(found(|m| relink(m, &|n| n.level += 1)), "MDB-LEVEL");
    assert_eq!(found(|m| relink(m, &|n| n.level = 0)), "MDB-LEVEL");
    assert_eq!(
        found(|m| relink(m, &|n| n.left = PhysAddr::NULL)),
        "MDB-LEVEL"
    );
    assert_eq!(found(|m| relink(m, &|n| n.left = root.0)), "MDB-LEVEL");
    assert_eq!(found(|m| relink(m, &|n| n.last += 1)), "MDB-LAST");
    assert_eq!(found(|m| relink(m, &|n| n.last = 0)), "MDB-LAST");
}

#[test]
fn objects_that_overlap_are_found() {
    let dispatcher = Cap::region(CapType::Dispatcher, PhysAddr(0x100_2000), capfmt::DCB_BYTES);
    let wide = Cap::region(CapType::Frame, PhysAddr(0x100_3000), 0x2000);
    let device = Cap::region(CapType::DevFrame, PhysAddr(0x100_0000), 0x1000);
    for cap in [dispatcher, wide, device] {
        let name = found(|m| mdb::place(m, KCB, slot(N), &cap));
        assert_eq!(name, "MDB-NO-CONFLICT", "{cap:?}");
    }
    let mut mem = tree();
    let mapping = Cap::mapping(PhysAddr(0x100_3000), 0x2000, PhysAddr(0x8000), 3, 2);
    mdb::place(&mut mem, KCB, slot(N), &mapping);
    let copy = slot(5).cap(&mem);
    mdb::place(&mut mem, KCB, slot(N + 1), &copy);
    assert!(
        mdb::check_invariants(&mem, KCB).is_ok(),
        "a mapping and a copy conflict with nothing"
    );
}

/// Any damage whatever gives an answer: no panic, no endless walk.
#[test]
fn random_damage_is_survived() {
    let mut rng = Rng::new(4);
    let (sound, mut bad) = (tree(), 0u64);
    for _ in 0..model::scaled(20_000) {
        let mut mem = sound.clone();
        for _ in 0..1 + rng.below(3) {
            let at = slot(rng.below(N)).0.add(8 * rng.below(8));
            let word = match rng.below(4) {
                0 => rng.word(),
                1 => mem.load(slot(rng.below(N)).0.add(32 + 8 * rng.below(2))),
                2 => mem.load(at) ^ 1 << rng.below(64),
                _ => slot(rng.below(N)).0.0 >> 6 | rng.below(4) << 46,
            };
            mem.store(at, word);
        }
        if let Err(v) = mdb::check_invariants(&mem, KCB) {
            assert!(matches!(
                v,
                Violation::Link(_)
                    | Violation::Parses(_)
                    | Violation::Order(_)
                    | Violation::Level(_)
                    | Violation::Last(_)
                    | Violation::Conflict(..)
            ));
            bad += 1;
        }
    }
    assert!(bad > 10_000);
}

//! The schema against the hand-written relations, retype checks, packing, CNode lookup, documentation.

use capfmt::cnode::{self, ROOT_SLOT, SlotError};
use capfmt::schema::{self, RetypeError, RetypeRequest, retype_check};
use capfmt::{Cap, CapType, Cte, Isa, MdbFlags, MdbNode, PhysAddr, PhysMap, RawCap};
use model::{Arena, Rng, generate, mdb, scaled};

/// One of the pool, mostly one that something can be made from.
fn fertile(rng: &mut Rng, pool: &[Cap]) -> Cap {
    let mut cap = *rng.pick(pool);
    for _ in 0..6 {
        if !matches!(cap.kind, CapType::PhysAddr | CapType::Ram | CapType::Frame) {
            cap = *rng.pick(pool);
        }
    }
    cap
}

#[test]
fn relations_are_those_spelled_out_in_the_model() {
    let mut rng = Rng::new(1);
    let mut pool = vec![generate::seed(&mut rng)];
    let (mut copies, mut descendants, mut conflicts) = (0u64, 0u64, 0u64);
    for _ in 0..scaled(200_000) {
        let from = fertile(&mut rng, &pool);
        let seed = rng.one_in(9).then(|| generate::seed(&mut rng));
        let next = seed.unwrap_or_else(|| generate::derive(&mut rng, &from));
        assert!(schema::is_well_formed(&next), "{next:?}");
        let (a, sibling) = (*rng.pick(&pool), generate::derive(&mut rng, &from));
        for (a, b) in [(a, next), (next, a), (from, next), (sibling, next)] {
            assert_eq!(schema::is_copy(&a, &b), mdb::is_copy(&a, &b), "{a:?} {b:?}");
            assert_eq!(
                schema::is_descendant(&a, &b),
                mdb::is_descendant(&a, &b),
                "{a:?} {b:?}"
            );
            assert_eq!(
                schema::may_overlap(&a, &b),
                !mdb::conflict(&a, &b),
                "{a:?} {b:?}"
            );
            copies += u64::from(mdb::is_copy(&a, &b));
            descendants += u64::from(mdb::is_descendant(&a, &b));
            conflicts += u64::from(mdb::conflict(&a, &b));
        }
        assert!(
            seed.is_some() || schema::is_copy(&next, &from) || schema::is_descendant(&next, &from),
            "made from it: {from:?} {next:?}"
        );
        if pool.len() < 400 {
            pool.push(next);
        } else {
            let i = rng.below(400) as usize;
            pool[i] = next;
        }
    }
    assert!(
        copies > 1_000 && descendants > 1_000 && conflicts > 1_000,
        "{copies} {descendants} {conflicts}"
    );
}

#[test]
fn every_pair_of_types_is_as_the_model_says() {
    for a in CapType::ALL {
        for b in CapType::ALL {
            let info = b.info();
            let direct = info.from.contains(a) || info.made_from.contains(a);
            assert_eq!(direct, mdb::children(*a).contains(b), "{a:?} to {b:?}");
        }
        assert_eq!(CapType::from_u8(*a as u8), Some(*a));
        if *a != CapType::Null {
            assert_eq!(a.info().class as u8, mdb::class(*a), "{a:?}");
        }
    }
    assert_eq!(CapType::from_u8(CapType::ALL.len() as u8), None);
}

const fn ask(kind: CapType, param: u32, offset: u64, size: u64, count: u64) -> RetypeRequest {
    RetypeRequest {
        kind,
        param,
        offset,
        size,
        count,
        isa: Isa::X86,
    }
}

#[test]
fn retype_follows_the_schema() {
    let ram = Cap::region(CapType::Ram, PhysAddr(0x10_0000), 0x1_0000);
    let plan = retype_check(&ram, &ask(CapType::CNode, 4, 0x400, 0, 3)).unwrap();
    assert_eq!(
        (plan.base.0, plan.size, plan.count, plan.total(), plan.zero),
        (0x10_0400, 0x400, 3, 0xc00, true)
    );
    assert_eq!(plan.object(2), Cap::cnode(PhysAddr(0x10_0c00), 4));
    let plan = retype_check(&ram, &ask(CapType::VNode, 3, 0x2000, 0, 1)).unwrap();
    assert_eq!(plan.object(0), Cap::vnode(PhysAddr(0x10_2000), 3, Isa::X86));
    assert!(
        !retype_check(&ram, &ask(CapType::Ram, 0, 0, 0x1000, 16))
            .unwrap()
            .zero,
        "RAM stays RAM"
    );
    let frame = retype_check(&ram, &ask(CapType::Frame, 0, 0x1000, 0x2000, 2)).unwrap();
    assert!(frame.zero && frame.object(1).base.0 == 0x10_3000);
    let mut read = frame.object(0);
    read.rights = capfmt::Rights::READ;
    let part = retype_check(&read, &ask(CapType::Frame, 0, 0, 0x1000, 1)).unwrap();
    assert!(
        !part.zero && part.object(0).rights == capfmt::Rights::READ,
        "a part has no more rights"
    );
}

#[test]
fn retype_refuses_what_the_schema_does() {
    let ram = Cap::region(CapType::Ram, PhysAddr(0x10_0000), 0x1_0000);
    let refusals = [
        (
            ask(CapType::PhysAddr, 0, 0, 0x1000, 1),
            RetypeError::NotFrom,
        ),
        (ask(CapType::Endpoint, 0, 0, 0, 1), RetypeError::NotFrom),
        (ask(CapType::Null, 0, 0, 0x1000, 1), RetypeError::NotFrom),
        (ask(CapType::Frame, 0, 0, 0, 1), RetypeError::BadSize),
        (ask(CapType::Frame, 0, 0, 0x800, 1), RetypeError::BadSize),
        (ask(CapType::Frame, 1, 0, 0x1000, 1), RetypeError::BadSize),
        (ask(CapType::CNode, 1, 0, 0, 1), RetypeError::BadSize),
        (ask(CapType::CNode, 9, 0, 0, 1), RetypeError::BadSize),
        (ask(CapType::CNode, u32::MAX, 0, 0, 1), RetypeError::BadSize),
        (ask(CapType::CNode, 8, 0x400, 0, 1), RetypeError::Misaligned),
        (
            ask(CapType::VNode, 0, 0x1000, 0, 1),
            RetypeError::Misaligned,
        ),
        (
            ask(CapType::Dispatcher, 0, 0x400, 0, 1),
            RetypeError::Misaligned,
        ),
        (
            ask(CapType::Frame, 0, 0, 0x1000, 0),
            RetypeError::OutOfRange,
        ),
        (
            ask(CapType::Frame, 0, 0, 0x1000, 17),
            RetypeError::OutOfRange,
        ),
        (
            ask(CapType::Frame, 0, 0x1_0000, 0x1000, 1),
            RetypeError::OutOfRange,
        ),
        (
            ask(CapType::Frame, 0, u64::MAX, 0x1000, 1),
            RetypeError::OutOfRange,
        ),
        (
            ask(CapType::Frame, 0, 0x1000, 0x1000, u64::MAX),
            RetypeError::OutOfRange,
        ),
        (
            ask(CapType::Frame, 0, 0x1000, 1 << 63, 2),
            RetypeError::OutOfRange,
        ),
    ];
    for (r, e) in refusals {
        assert_eq!(retype_check(&ram, &r), Err(e), "{r:?}");
    }
}

#[test]
fn retype_never_leaves_its_source() {
    let mut rng = Rng::new(8);
    let (mut made, mut pool) = (0u64, vec![generate::seed(&mut rng)]);
    for _ in 0..scaled(300_000) {
        let src = fertile(&mut rng, &pool);
        let likely = mdb::children(src.kind);
        let kinds = if likely.is_empty() || rng.one_in(4) {
            CapType::ALL
        } else {
            likely
        };
        let kind = *rng.pick(kinds);
        let number = |rng: &mut Rng| match rng.below(10) {
            0 => rng.word(),
            1..5 => 0x1000 * rng.below(16),
            5 => u64::MAX - rng.below(0x2000),
            _ => rng.below(5),
        };
        let req = RetypeRequest {
            kind,
            param: if rng.one_in(2) {
                0
            } else {
                rng.below(12) as u32
            },
            offset: number(&mut rng),
            size: number(&mut rng),
            count: number(&mut rng),
            isa: Isa::Arm,
        };
        if let Ok(plan) = retype_check(&src, &req) {
            made += 1;
            for i in [0, plan.count / 2, plan.count - 1] {
                let object = plan.object(i);
                assert!(schema::is_well_formed(&object), "{object:?}");
                assert!(mdb::is_descendant(&object, &src) || mdb::is_copy(&object, &src));
                assert!(src.rights.contains(object.rights) || src.kind != object.kind);
                assert_eq!(object.emit().parse(), Some(object));
            }
        }
        let seed = rng.one_in(9).then(|| generate::seed(&mut rng));
        let next = seed.unwrap_or_else(|| generate::derive(&mut rng, &src));
        if pool.len() < 100 {
            pool.push(next)
        } else {
            pool[rng.below(100) as usize] = next
        }
    }
    assert!(made > 2_000, "{made}");
}

#[test]
fn any_words_parse_or_are_refused_and_round_trip() {
    let mut rng = Rng::new(2);
    let mut parsed = 0u64;
    for _ in 0..scaled(1_000_000) {
        let mut w = [rng.word(), rng.word(), rng.word(), rng.word()];
        if rng.one_in(2) {
            w[0] &= 0xffff_ffff_0000_0f1f;
            w[1] &= (1 << 52) - 1;
            w[2] &= (1 << rng.below(53)) - 1;
        }
        if let Some(cap) = RawCap(w).parse() {
            parsed += 1;
            assert_eq!(cap.emit(), RawCap(w));
            assert!(cap.last() < 1 << 52);
        }
        let node = MdbNode::unpack(w);
        assert_eq!(MdbNode::unpack(node.pack()), node);
    }
    assert!(parsed > 100_000);
}

#[test]
fn mdb_words_hold_every_value() {
    let mut rng = Rng::new(3);
    let mut mem = Arena::new(0x1000, 0x1000);
    for _ in 0..scaled(100_000) {
        let link = |rng: &mut Rng| PhysAddr(rng.word() >> 12 & !63);
        let node = MdbNode {
            left: link(&mut rng),
            right: link(&mut rng),
            level: rng.below(64) as u8,
            flags: MdbFlags(rng.below(1 << 12) as u16),
            owner: rng.word() as u16,
            last: rng.word() >> 12,
            sharers: link(&mut rng),
        };
        assert_eq!(MdbNode::unpack(node.pack()), node);
        let cte = Cte(PhysAddr(0x1040));
        let before = mem.stores();
        cte.set_node(&mut mem, &node);
        cte.set_node(&mut mem, &node);
        assert!(mem.stores() - before <= 4, "only changed words are stored");
        assert_eq!(cte.node(&mem), node);
    }
}

#[test]
fn cnode_lookup_reaches_exactly_the_slots() {
    let mut mem = Arena::new(0x10_0000, 0x2_0000);
    let root = Cap::cnode(PhysAddr(0x10_0000), 3);
    let second = Cap::cnode(PhysAddr(0x11_0000), 2);
    let at = |l1: u64| Cte(root.base.add(64 * l1));
    at(5).set_cap(&mut mem, &second);
    at(6).set_cap(
        &mut mem,
        &Cap::region(CapType::Frame, PhysAddr(0x11_0000), 0x1000),
    );
    let look = |mem: &Arena, a| cnode::slot(mem, &root, a);
    for l2 in 0..4 {
        assert_eq!(
            look(&mem, 5 << 8 | l2),
            Ok(Cte(second.base.add(64 * u64::from(l2))))
        );
    }
    for l1 in 0..8 {
        assert_eq!(look(&mem, ROOT_SLOT | l1), Ok(at(u64::from(l1))));
    }
    for bad in [
        0,
        5 << 8 | 4,
        5 << 8 | 255,
        8 << 8,
        255 << 8,
        ROOT_SLOT | 8,
        ROOT_SLOT | 5 << 8,
        ROOT_SLOT << 1,
        ROOT_SLOT << 1 | 5 << 8,
        ROOT_SLOT | 1 << 31,
        u32::MAX,
        5 << 8 | 1 << 20,
    ] {
        assert_eq!(look(&mem, bad), Err(SlotError::OutOfRange), "{bad:#x}");
    }
    assert_eq!(look(&mem, 6 << 8), Err(SlotError::NotCNode));
    assert_eq!(look(&mem, 7 << 8), Err(SlotError::NotCNode));
    assert_eq!(
        cnode::slot(&mem, &Cap::NULL, 1),
        Err(SlotError::RootNotCNode)
    );
    let node = MdbNode {
        flags: MdbFlags::IN_DELETE,
        ..at(5).node(&mem)
    };
    at(5).set_node(&mut mem, &node);
    assert_eq!(look(&mem, 5 << 8 | 1), Err(SlotError::InDelete));
    assert_eq!(cnode::slot_of(&second, 3), Some(Cte(second.base.add(192))));
    assert_eq!(cnode::slot_of(&second, 4), None);
    for raw in 0..0x200_0000u32 {
        if let Ok(cte) = look(&mem, raw) {
            assert!(mem.covers(cte.0, 64));
        }
    }
}

#[test]
fn the_book_has_the_table_of_types() {
    let mut table = String::new();
    schema::write_markdown(&mut table).expect("a String takes everything");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/book/capabilities.md");
    let book = std::fs::read_to_string(path).expect("docs/book/capabilities.md");
    assert!(
        book.contains(&table),
        "docs/book/capabilities.md differs from the schema: cargo run -p model --bin capabilities"
    );
}

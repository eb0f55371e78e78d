//! A first walk through the MDB's operations.

use capfmt::{Cap, CapType, Cte, Kcb, PhysAddr, PhysMap, mdb};
use model::{Arena, Rng};

const BASE: u64 = 0x10_0000;

fn slot(i: u64) -> Cte {
    Cte(PhysAddr(BASE + 0x4000 + 64 * i))
}

#[test]
fn random_insert_and_remove_keep_invariants() {
    let mut mem = Arena::new(BASE, 0x40_0000);
    let kcb = Kcb(PhysAddr(BASE));
    let mut rng = Rng::new(1);
    let mut live = Vec::new();
    let mut free: Vec<u64> = (0..400).collect();
    for _ in 0..20_000 {
        if rng.one_in(2) && !free.is_empty() {
            let i = free.swap_remove(rng.below(free.len() as u64) as usize);
            let cap = Cap::region(CapType::Ram, PhysAddr(0x1000 << rng.below(10)), 0x1000);
            mdb::place(&mut mem, kcb, slot(i), &cap);
            live.push(i);
        } else if !live.is_empty() {
            let i = live.swap_remove(rng.below(live.len() as u64) as usize);
            mdb::clear(&mut mem, kcb, slot(i));
            assert!((0..8).all(|w| mem.load(slot(i).0.add(8 * w)) == 0));
            free.push(i);
        }
        let stats = mdb::check_invariants(&mem, kcb).expect("invariants");
        assert_eq!(stats.caps, live.len() as u64);
    }
}

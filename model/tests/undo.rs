//! The undo log: a kernel killed at any store leaves memory that a rollback restores.

use std::panic::{AssertUnwindSafe, catch_unwind};

use capfmt::undo::{self, Transaction, UndoError};
use capfmt::{Cte, KCB_UNDO_ENTRIES, Kcb, PhysAddr, PhysMap, mdb};
use model::{Arena, Crash, Rng, generate, scaled};

const BASE: u64 = 0x10_0000;
const KCB: Kcb = Kcb(PhysAddr(BASE));
const UNDO: u64 = 0x1000;

fn slot(i: u64) -> Cte {
    Cte(PhysAddr(BASE + 0x4000 + 64 * i))
}

/// Dies with [`Crash`] or passes; any other panic goes on.
fn survives(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(e) if e.downcast_ref::<Crash>().is_some() => false,
        Err(e) => std::panic::resume_unwind(e),
    }
}

fn quiet_crashes() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<Crash>().is_none() {
            before(info);
        }
    }));
}

/// Words outside the log itself, whose entries a rollback leaves as they are.
fn state(mem: &Arena) -> (&[u64], u64, &[u64]) {
    let (log, end) = ((UNDO / 8) as usize, (capfmt::KCB_BYTES / 8) as usize);
    (&mem.words()[..log], mem.words()[log], &mem.words()[end..])
}

/// A tree of `n` capabilities in slots 0 to `n` - 1, and the memory around it.
fn populated(rng: &mut Rng, n: u64) -> Arena {
    let mut mem = Arena::new(BASE, 0x4000 + 64 * 2 * n + 0x1000);
    let mut model = model::mdb::Reference::default();
    let mut i = 0;
    while i < n {
        let cap = if i > 0 && !rng.one_in(5) {
            let from = *rng.pick(model.caps());
            generate::derive(rng, &from.1)
        } else {
            generate::seed(rng)
        };
        if model.accepts(&cap) {
            mdb::place(&mut mem, KCB, slot(i), &cap);
            model.insert(slot(i), cap);
            i += 1;
        }
    }
    mem
}

/// Some work inside one transaction: random tree operations and plain stores.
fn work(t: &mut Transaction<'_, Arena>, rng: &mut Rng, n: u64) {
    for _ in 0..1 + rng.below(6) {
        match rng.below(4) {
            0 => {
                let c = slot(rng.below(n));
                if c.node(t).level > 0 {
                    mdb::clear(t, KCB, c);
                }
            }
            1 => {
                let (from, to) = (slot(rng.below(n)), slot(n + rng.below(n)));
                if from.node(t).level > 0 && to.node(t).level == 0 {
                    mdb::move_to(t, KCB, from, to);
                }
            }
            2 => {
                let (from, to) = (slot(rng.below(n)), slot(n + rng.below(n)));
                if from.node(t).level > 0 && to.node(t).level == 0 {
                    let cap = from.cap(t);
                    mdb::place(t, KCB, to, &cap);
                }
            }
            _ => KCB.set_op_steps(t, rng.word()),
        }
    }
}

#[test]
fn a_crash_at_every_store_is_rolled_back() {
    quiet_crashes();
    for seed in 0..scaled(300) {
        let mut rng = Rng::new(seed);
        let n = 4 + rng.below(60);
        let before = populated(&mut rng, n);
        let work_rng = Rng::new(rng.word());
        let mut stores = 0;
        loop {
            let mut mem = before.clone();
            mem.crash_after(Some(stores));
            let done = survives(|| {
                let mut t = Transaction::begin(&mut mem, KCB);
                work(&mut t, &mut work_rng.clone(), n);
                t.commit();
            });
            mem.crash_after(None);
            if done {
                assert_eq!(KCB.undo_len(&mem), 0);
                mdb::check_invariants(&mem, KCB).expect("invariants after the commit");
                break;
            }
            undo::rollback(&mut mem, KCB).expect("a log that a kernel wrote");
            assert!(
                state(&mem) == state(&before),
                "seed {seed}: store {stores} was not taken back"
            );
            stores += 1;
        }
        assert!(stores > 0 || before.words()[0] == 0);
    }
}

#[test]
fn a_rollback_may_crash_at_every_store_itself() {
    quiet_crashes();
    let mut rng = Rng::new(5);
    let before = populated(&mut rng, 40);
    let mut open = before.clone();
    let mut t = Transaction::begin(&mut open, KCB);
    work(&mut t, &mut rng, 40);
    for i in 0..10 {
        if slot(i).node(&t).level > 0 {
            mdb::clear(&mut t, KCB, slot(i));
        }
    }
    let len = t.len();
    assert!(len > 20);
    for n in 0..=len {
        let mut mem = open.clone();
        mem.crash_after(Some(n));
        assert!(
            !survives(|| assert!(undo::rollback(&mut mem, KCB).is_ok())),
            "it makes {} stores",
            len + 1
        );
        mem.crash_after(Some(n / 2));
        let _ = survives(|| assert!(undo::rollback(&mut mem, KCB).is_ok()));
        mem.crash_after(None);
        undo::rollback(&mut mem, KCB).expect("rolls back");
        assert!(state(&mem) == state(&before));
        assert_eq!(
            undo::rollback(&mut mem, KCB),
            Ok(0),
            "a second time there is nothing to do"
        );
    }
}

#[test]
fn abort_and_drop_do_what_they_say() {
    let mut rng = Rng::new(6);
    let before = populated(&mut rng, 30);
    let mut mem = before.clone();
    let mut t = Transaction::begin(&mut mem, KCB);
    work(&mut t, &mut rng, 30);
    t.abort();
    assert!(t.is_empty());
    let x = slot(59).0;
    t.store(x, 7);
    t.store(x, 8);
    assert_eq!(
        (t.load(x), t.committed(x), t.room()),
        (8, 0, KCB_UNDO_ENTRIES - 2)
    );
    assert_eq!(t.compare_exchange(x.add(8), 0, 3), Ok(()));
    t.zero_unlogged(x.add(16), 16);
    assert_eq!(t.len(), 2, "neither is logged");
    // Left open, as a crash would.
    assert_eq!(undo::rollback(&mut mem, KCB), Ok(2));
    assert_eq!(
        (mem.load(x), mem.load(x.add(8))),
        (0, 3),
        "compare_exchange is not taken back"
    );
    mem.store(x.add(8), 0);
    assert!(state(&mem) == state(&before));
}

#[test]
#[should_panic(expected = "UNDO-ROOM")]
fn a_step_that_stores_too_much_panics() {
    let mut mem = Arena::new(BASE, 0x5000);
    let mut t = Transaction::begin(&mut mem, KCB);
    for i in 0..=KCB_UNDO_ENTRIES {
        KCB.set_op_steps(&mut t, i);
    }
}

#[test]
fn a_damaged_log_is_refused_untouched() {
    let mut mem = Arena::new(BASE, 0x5000);
    KCB.set_undo_len(&mut mem, KCB_UNDO_ENTRIES + 1);
    assert_eq!(
        undo::rollback(&mut mem, KCB),
        Err(UndoError::Length(KCB_UNDO_ENTRIES + 1))
    );
    for bad in [1, BASE + 4, BASE - 8, BASE + 0x5000, u64::MAX, !7] {
        KCB.set_undo_len(&mut mem, 2);
        KCB.set_undo_word(&mut mem, 0, BASE + 0x4000);
        KCB.set_undo_word(&mut mem, 1, 99);
        KCB.set_undo_word(&mut mem, 2, bad);
        let before = mem.clone();
        assert_eq!(undo::rollback(&mut mem, KCB), Err(UndoError::Address(bad)));
        assert_eq!(mem.words(), before.words());
    }
}

//! A server that begins again with what its former life wrote down, and with what the kernel brings back.

use crate::histories::{Side, Step, steps};
use crate::ledger::{Change, Entry, Key, Ledger, RECORD_WORDS, Store};
use crate::tests::{Hands, piece};
use crate::*;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// Memory that a life after so many stores changes no more.
#[derive(Clone)]
struct Memory {
    words: Rc<RefCell<Vec<u64>>>,
    left: Rc<Cell<u64>>,
}

impl Memory {
    fn new(records: usize) -> Memory {
        Memory {
            words: Rc::new(RefCell::new(vec![0; records * RECORD_WORDS])),
            left: Rc::new(Cell::new(u64::MAX)),
        }
    }
}

impl Store for Memory {
    fn records(&self) -> u32 {
        (self.words.borrow().len() / RECORD_WORDS) as u32
    }
    fn load(&self, record: u32, word: usize) -> u64 {
        self.words.borrow()[record as usize * RECORD_WORDS + word]
    }
    fn store(&mut self, record: u32, word: usize, value: u64) {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            self.words.borrow_mut()[record as usize * RECORD_WORDS + word] = value;
        }
    }
}

/// What the next life makes of the memory; what was free comes back in pieces, each on its own.
fn next_life(memory: &Memory, free: &[(u64, u64)]) -> (Allocator, Hands) {
    memory.left.set(u64::MAX);
    let (_, entries) = Ledger::open(memory.clone());
    let (mut a, mut h) = (Allocator::reopen(&entries), Hands::default());
    for &(base, size) in free {
        let handle = h.new_handle();
        a.returned(piece(base, size, handle))
            .expect("it is free once");
        h.join_all(&mut a, base);
    }
    (a, h)
}

fn free_of(a: &Allocator) -> Vec<(u64, u64)> {
    a.free().map(|p| (p.base, p.size)).collect()
}

/// Everything that a life knows, but names of capabilities.
fn known(
    a: &Allocator,
) -> (
    Vec<Grant>,
    Vec<(u64, u64, u64)>,
    BTreeMap<u32, Account>,
    Totals,
) {
    // One that nobody opened, and with nothing on it, is as good as none.
    let accounts = (0..100).filter(|n| a.account(*n) != Account::default());
    (
        a.grants().collect(),
        a.lent().iter().collect(),
        accounts.map(|n| (n, a.account(n))).collect(),
        a.totals(),
    )
}

/// Neighbouring grants of one account are one to the pages that they have.
fn pages_of(grants: &[Grant]) -> BTreeMap<u64, u32> {
    let pages = |g: &Grant| {
        let (base, account) = (g.base, g.account);
        (0..g.size / PAGE).map(move |k| (base + k * PAGE, account))
    };
    grants.iter().flat_map(pages).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// After each step the next life knows what this one knew.
    #[test]
    fn nothing_is_forgotten(steps in steps()) {
        let memory = Memory::new(4096);
        let (mut ledger, _) = Ledger::open(memory.clone());
        let mut side = Side::new();
        for step in &steps {
            side.step(step);
            let changes = side.a.take_changes();
            prop_assert_eq!(ledger.enter(&changes), 0);
            let (next, h) = next_life(&memory, &free_of(&side.a));
            next.check_invariants().expect("the next life's books");
            h.check(&next);
            prop_assert_eq!(known(&next), known(&side.a));
        }
    }

    /// Wherever it ends, the next life's books are sound, what is free is free, and what nothing was being done to is as
    /// it was.
    #[test]
    fn it_may_end_at_any_store(steps in steps(), at in any::<u64>()) {
        let memory = Memory::new(4096);
        let (mut ledger, _) = Ledger::open(memory.clone());
        let mut side = Side::new();
        let (last, before) = steps.split_last().expect("there are some");
        for step in before {
            side.step(step);
            ledger.enter(&side.a.take_changes());
        }
        let was = pages_of(&side.a.grants().collect::<Vec<_>>());
        side.step(last);
        let is = pages_of(&side.a.grants().collect::<Vec<_>>());
        let changes = side.a.take_changes();
        let stores = 5 * changes.len() as u64 + 1;
        memory.left.set(at % stores);
        ledger.enter(&changes);
        let (next, h) = next_life(&memory, &free_of(&side.a));
        next.check_invariants().expect("the next life's books");
        h.check(&next);
        prop_assert_eq!(free_of(&next), free_of(&side.a));
        let knows = pages_of(&next.grants().collect::<Vec<_>>());
        for (page, account) in &was {
            if is.get(page) == Some(account) {
                prop_assert_eq!(knows.get(page), Some(account), "page {:#x}", page);
            }
        }
        for (page, account) in &knows {
            let some = [was.get(page), is.get(page)];
            prop_assert!(some.contains(&Some(account)), "page {:#x} is nobody's", page);
        }
    }

    /// What a server that went wrong wrote over its records does not end the next one, nor make its books unsound.
    #[test]
    fn damage_is_left_out(
        steps in steps(),
        wild in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..20),
    ) {
        let memory = Memory::new(64);
        let (mut ledger, _) = Ledger::open(memory.clone());
        let mut side = Side::new();
        for step in &steps {
            side.step(step);
            ledger.enter(&side.a.take_changes());
        }
        for (at, value) in wild {
            let words = &mut *memory.words.borrow_mut();
            let at = at.index(words.len());
            words[at] = value;
        }
        let (next, h) = next_life(&memory, &free_of(&side.a));
        next.check_invariants().expect("the next life's books");
        h.check(&next);
        prop_assert_eq!(free_of(&next), free_of(&side.a));
    }
}

#[test]
fn every_entry_is_read_as_it_was_written() {
    let grant = Grant {
        base: 0x7000,
        size: 0x3000,
        account: u32::MAX,
    };
    let account = |closed, limit| Entry::Account {
        number: 9,
        limit,
        share: 5,
        closed,
    };
    let all = [
        account(false, None),
        account(true, Some(77)),
        Entry::Grant(grant),
        Entry::Lent {
            base: 0x1000,
            end: 0x5000,
            osnode: u64::MAX,
        },
        Entry::Fixed(0x1_0000, 0x2_0000),
        Entry::Fact(Fact::Range(0, 0x1000, 255)),
        Entry::Fact(Fact::Distance(1, 2, 21)),
        Entry::Fact(Fact::Core(7, 1)),
        Entry::Estate {
            base: 0x3000,
            bytes: 0x1000,
            osnode: 4,
        },
        Entry::Sums(1, 2, 3),
        Entry::Node(6),
    ];
    for entry in all {
        let memory = Memory::new(8);
        let (mut ledger, _) = Ledger::open(memory.clone());
        assert!(ledger.put(&entry));
        assert_eq!(Ledger::open(memory.clone()).1, [entry]);
        // Any bit that changes is noticed, and the place is used again.
        for bit in 0..64 * RECORD_WORDS {
            let before = memory.words.borrow().clone();
            memory.words.borrow_mut()[bit / 64] ^= 1 << (bit % 64);
            let damaged = Memory {
                words: Rc::new(RefCell::new(memory.words.borrow().clone())),
                ..memory.clone()
            };
            assert_eq!(Ledger::open(damaged).1, [], "bit {bit} of {entry:?}");
            *memory.words.borrow_mut() = before;
        }
        ledger.erase(entry.key());
        assert_eq!(ledger.entries().count(), 0);
        assert_eq!(Ledger::open(memory).1, []);
    }
}

#[test]
fn what_a_life_had_for_itself_may_come_from_elsewhere() {
    let memory = Memory::new(64);
    let (mut ledger, _) = Ledger::open(memory.clone());
    let mut side = Side::new();
    let own = u32::MAX;
    let mut take = |account, pages| {
        let cut = side.a.plan(account, pages * PAGE, PAGE, None);
        let cut = cut.expect("there is enough");
        let rest = side.h.cut(&cut);
        side.a.grant(&cut, account, rest)
    };
    let (books, heap, others) = (take(own, 2), take(own, 5), take(7, 3));
    ledger.enter(&side.a.take_changes());
    let (mut next, mut h) = next_life(&memory, &[]);
    next.forget(own, (books.base, books.base + books.size));
    next.check_invariants().expect("without its heap");
    assert_eq!(next.grants().collect::<Vec<_>>(), [books, others]);
    // The front gives back what came to it.
    let mut free = free_of(&side.a);
    free.push((heap.base, heap.size));
    for (base, size) in free {
        let handle = h.new_handle();
        next.add(piece(base, size, handle), Origin::Server)
            .expect("nobody has it");
        h.join_all(&mut next, base);
    }
    next.check_invariants().expect("with everything");
    h.check(&next);
    assert_eq!(next.totals().total, side.a.totals().total);
}

#[test]
fn a_full_ledger_says_what_it_does_not_take() {
    let (mut ledger, _) = Ledger::open(Memory::new(4));
    let node = |base| Change::Put(Entry::Fixed(base, base + 1));
    assert_eq!(ledger.enter(&[node(1), node(2), node(3), node(4)]), 1);
    assert!(ledger.is_full());
    // What stands in it can still change.
    assert!(ledger.put(&Entry::Fixed(2, 9)));
    ledger.erase(Key::Fixed(1));
    assert_eq!(ledger.enter(&[node(4)]), 0);
}

//! The books of the memory service: single cases, then random histories against a byte-wise model.

use crate::{AllocError, Allocator, FreeError, PAGE};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn two_nodes() -> Allocator {
    let mut a = Allocator::new();
    a.add(0x10_0000, 0x40_0000, 0).expect("first region");
    a.add(0x100_0000, 0x10_0000, 1).expect("second region");
    a
}

#[test]
fn a_grant_is_cut_and_merged_again() {
    let mut a = two_nodes();
    let before = a.totals();
    let g = a.alloc(7, 5000, 0x1_0000, None).expect("fits");
    assert_eq!(g.size, 2 * PAGE);
    assert_eq!(g.base % 0x1_0000, 0);
    assert_eq!(a.totals().free, before.free - g.size);
    a.check_invariants().expect("after the grant");
    assert_eq!(a.free(8, g.base), Err(FreeError::NotYours));
    assert_eq!(a.free(7, g.base + PAGE), Err(FreeError::NotGranted));
    a.free(7, g.base).expect("comes back");
    let after = a.totals();
    assert_eq!((after.free, after.largest), (before.free, before.largest));
    assert_eq!((after.out, after.back), (g.size, g.size));
}

#[test]
fn a_whole_source_is_never_one_grant() {
    let mut a = two_nodes();
    let e = a.alloc(1, 0x10_0000, PAGE, Some(1));
    assert_eq!(e, Err(AllocError::OutOfMemory(0x10_0000)));
    // In two parts it is.
    a.alloc(1, 0x8_0000, PAGE, Some(1)).expect("one half");
    a.alloc(1, 0x8_0000, PAGE, Some(1)).expect("the other half");
    a.alloc(1, 0x10_0000, PAGE, None)
        .expect("a part of the other source");
}

#[test]
fn nodes_quotas_and_exhaustion_are_kept() {
    let mut a = two_nodes();
    let g = a.alloc(1, PAGE, PAGE, Some(1)).expect("node 1");
    assert!(g.base >= 0x100_0000);
    let e = a
        .alloc(1, 0x20_0000, PAGE, Some(1))
        .expect_err("too large for node 1");
    assert_eq!(e, AllocError::OutOfMemory(0x10_0000 - PAGE));
    a.set_quota(2, Some(3 * PAGE));
    a.alloc(2, 2 * PAGE, PAGE, None).expect("below the quota");
    let e = a
        .alloc(2, 2 * PAGE, PAGE, None)
        .expect_err("past the quota");
    assert_eq!(e, AllocError::Quota(PAGE));
    assert_eq!(a.alloc(2, 0, PAGE, None), Err(AllocError::BadSize));
    assert_eq!(a.alloc(2, u64::MAX, PAGE, None), Err(AllocError::BadSize));
    assert_eq!(a.alloc(3, PAGE, 3, None), Err(AllocError::BadSize));
    assert_eq!(a.add(0x10_1000, PAGE, 0), Err(AllocError::BadSize));
    a.check_invariants().expect("nothing changed by refusals");
}

#[test]
fn a_transfer_moves_the_holding() {
    let mut a = two_nodes();
    let g = a.alloc(1, PAGE, PAGE, None).expect("fits");
    a.transfer(1, g.base, 2).expect("is the client's");
    assert_eq!((a.held(1), a.held(2)), (0, PAGE));
    assert_eq!(a.free(1, g.base), Err(FreeError::NotYours));
    a.check_invariants().expect("accounts add up");
    assert_eq!(a.grants_of(2).len(), 1);
}

#[test]
fn what_firmware_says_of_nodes_counts() {
    let mut a = two_nodes();
    // Half of the first region is really on node 1.
    a.set_node(0, 0x30_0000, 0);
    a.set_node(0x30_0000, 0x200_0000, 1);
    let g = a.alloc(1, 0x20_0000, PAGE, Some(0)).expect("all of node 0");
    assert_eq!(g.base, 0x10_0000);
    let e = a.alloc(1, PAGE, PAGE, Some(0)).expect_err("node 0 is full");
    assert_eq!(e, AllocError::OutOfMemory(0));
    let g = a.alloc(1, 0x20_0000, 0x10_0000, Some(1)).expect("node 1");
    assert_eq!(g.base, 0x30_0000);
    a.check_invariants().expect("in order");
}

#[derive(Clone, Debug)]
enum Step {
    Alloc {
        client: u32,
        pages: u64,
        align: u32,
        node: Option<u8>,
    },
    Free {
        pick: usize,
    },
    End {
        client: u32,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let alloc = (0..4u32, 1..40u64, 12..18u32, prop::option::of(0..2u8)).prop_map(
        |(client, pages, align, node)| Step::Alloc {
            client,
            pages,
            align,
            node,
        },
    );
    let free = any::<usize>().prop_map(|pick| Step::Free { pick });
    let end = (0..4u32).prop_map(|client| Step::End { client });
    prop::collection::vec(prop_oneof![5 => alloc, 4 => free, 1 => end], 1..120)
}

proptest! {
    #[test]
    fn random_histories_keep_the_partition(steps in steps()) {
        let mut a = two_nodes();
        let whole = a.totals();
        let mut owner = vec![None::<u32>; 0x120_0000 / PAGE as usize];
        let mut live: Vec<(u32, u64, u64)> = Vec::new();
        let release = |a: &mut Allocator, owner: &mut Vec<Option<u32>>, l: (u32, u64, u64)| {
            a.free(l.0, l.1).expect("granted before");
            for p in l.1 / PAGE..(l.1 + l.2) / PAGE { owner[p as usize] = None; }
        };
        for s in steps {
            match s {
                Step::Alloc { client, pages, align, node } => {
                    if let Ok(g) = a.alloc(client, pages * PAGE, 1 << align, node) {
                        prop_assert_eq!(g.base % (1 << align), 0);
                        for p in g.base / PAGE..(g.base + g.size) / PAGE {
                            prop_assert_eq!(owner[p as usize], None, "granted twice");
                            owner[p as usize] = Some(client);
                        }
                        live.push((client, g.base, g.size));
                    }
                }
                Step::Free { pick } if !live.is_empty() => {
                    let l = live.swap_remove(pick % live.len());
                    release(&mut a, &mut owner, l);
                }
                Step::Free { .. } => {}
                Step::End { client } => {
                    let of: Vec<u64> = a.grants_of(client).iter().map(|g| g.base).collect();
                    prop_assert_eq!(of.len(), live.iter().filter(|l| l.0 == client).count());
                    for l in live.extract_if(.., |l| l.0 == client) {
                        release(&mut a, &mut owner, l);
                    }
                    a.close(client);
                    prop_assert_eq!(a.held(client), 0);
                }
            }
            prop_assert_eq!(a.check_invariants(), Ok(()));
        }
        for l in live.drain(..) { release(&mut a, &mut owner, l); }
        let end = a.totals();
        prop_assert_eq!((end.free, end.largest, end.out), (whole.free, whole.largest, end.back));
    }
}

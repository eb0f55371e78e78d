//! Walks page tables as hardware would.

use std::collections::BTreeMap;

use capfmt::{PhysAddr, PhysMap};
use genesis::EntryRights;

use super::{Arena, Decode};

/// Where a page leads, and what may be done there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    pub phys: u64,
    pub rights: EntryRights,
    pub bytes: u64,
}

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Every page that `root` maps, by virtual address. `skip` are root indices not followed.
pub fn pages<T: Decode>(mem: &Arena, root: PhysAddr, skip: &[u64]) -> BTreeMap<u64, Page> {
    let mut found = BTreeMap::new();
    table::<T>(mem, root, 3, 0, skip, &mut found);
    found
}

fn table<T: Decode>(
    mem: &Arena,
    at: PhysAddr,
    level: u32,
    va: u64,
    skip: &[u64],
    found: &mut BTreeMap<u64, Page>,
) {
    for i in 0..512u64 {
        if level == 3 && skip.contains(&i) {
            continue;
        }
        let e = mem.load(at.add(8 * i));
        if !T::present(e) {
            assert_eq!(e, 0, "half an entry");
            continue;
        }
        let mut va = va | i << (12 + 9 * level);
        if level == 3 && i >= 256 {
            va |= 0xffff << 48;
        }
        if T::is_leaf(level, e) {
            let page = Page {
                phys: e & ADDRESS,
                rights: T::rights(e),
                bytes: 1 << (12 + 9 * level),
            };
            assert!(!(page.rights.write && page.rights.execute), "W^X");
            if page.rights.user {
                assert!(va < abi::vaddr::USER_END);
            }
            assert_eq!(found.insert(va, page), None);
        } else {
            table::<T>(mem, PhysAddr(e & ADDRESS), level - 1, va, skip, found);
        }
    }
}

/// Bytes at a virtual address.
pub fn read(mem: &Arena, pages: &BTreeMap<u64, Page>, va: u64, len: u64) -> Vec<u8> {
    let byte = |a: u64| {
        let (start, page) = pages.range(..=a).next_back().expect("not mapped");
        assert!(a - start < page.bytes, "{a:#x} is not mapped");
        mem.bytes(page.phys + (a - start), 1)[0]
    };
    (va..va + len).map(byte).collect()
}

/// Panics at the first byte that differs.
pub fn assert_same(found: &[u8], expected: &[u8]) {
    assert_eq!(found.len(), expected.len());
    if let Some(i) = (0..found.len()).find(|i| found[*i] != expected[*i]) {
        panic!("byte {i:#x}: {:#x}, not {:#x}", found[i], expected[i]);
    }
}

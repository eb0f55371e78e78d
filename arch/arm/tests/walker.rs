//! Tables made of these entries, against a slow walker written from the manual (Arm ARM D8.2–D8.5, stage 1, 4-KiB
//! granule) and a plain list of what is mapped: every access, from EL0 and EL1, in the tables of both.

use std::collections::HashMap;

use arch_arm::paging::{
    ENTRIES, LeafRights, MAIR, ROOT_LEVEL, entry_bytes, index, is_table, is_valid, kernel_table,
    leaf, output, user_table,
};
use proptest::prelude::*;

/// What the processor is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    Read,
    Write,
    Fetch,
}
use Access::*;

/// Physical memory, word by word.
#[derive(Default)]
struct Memory {
    words: HashMap<u64, u64>,
    tables: u64,
}

impl Memory {
    fn load(&self, at: u64) -> u64 {
        self.words.get(&at).copied().unwrap_or(0)
    }
    fn new_table(&mut self) -> u64 {
        self.tables += 1;
        0x10_0000 + 4096 * self.tables
    }
}

/// Root of the users' half (TTBR0) and of the kernels' (TTBR1).
const USER_ROOT: u64 = 0x8_0000;
const KERNEL_ROOT: u64 = 0x9_0000;

fn root(va: u64) -> u64 {
    match va >> 48 {
        0 => USER_ROOT,
        0xffff => KERNEL_ROOT,
        other => panic!("no root for {other:#x}"),
    }
}

/// The processor: 48 bits for each root, PAN set, no hierarchical permission ignored. Where an access leads and
/// whether as normal memory, or `None`: a fault.
fn walk(m: &Memory, va: u64, access: Access, el0: bool) -> Option<(u64, bool)> {
    let mut table = root(va);
    let (mut no_el0, mut no_write, mut uxn, mut pxn) = (false, false, false, false);
    for (shift, may_be_block) in [(39, false), (30, true), (21, true), (12, false)] {
        let entry = m.load(table + 8 * (va >> shift & 0x1ff));
        let next = match (entry & 3, shift) {
            (0 | 2, _) => return None,
            (1, _) => {
                assert!(may_be_block, "no block at this level");
                false
            }
            (_, 12) => false,
            _ => true,
        };
        let address = entry & 0x0000_ffff_ffff_f000;
        if next {
            no_el0 |= entry & 1 << 61 != 0;
            no_write |= entry & 1 << 62 != 0;
            uxn |= entry & 1 << 60 != 0;
            pxn |= entry & 1 << 59 != 0;
            table = address;
            continue;
        }
        let mask = (1_u64 << shift) - 1;
        assert!(
            shift == 12 || address & mask == 0,
            "reserved bits of a block"
        );
        assert_ne!(entry & 1 << 10, 0, "an access flag fault");
        let from_el0 = entry & 1 << 6 != 0 && !no_el0;
        let writable = entry & 1 << 7 == 0 && !no_write;
        uxn |= entry & 1 << 54 != 0;
        // What EL0 may write, EL1 never executes.
        pxn |= entry & 1 << 53 != 0 || from_el0 && writable;
        assert_eq!(
            entry & 1 << 11 != 0,
            va >> 48 == 0,
            "users' pages alone belong to an address space"
        );
        let permitted = match (access, el0) {
            (Read, true) => from_el0,
            (Write, true) => from_el0 && writable,
            (Fetch, true) => from_el0 && !uxn,
            // PAN.
            (Read | Write, false) if from_el0 => false,
            (Read, false) => true,
            (Write, false) => writable,
            (Fetch, false) => !pxn,
        };
        let normal = match MAIR >> (8 * (entry >> 2 & 7)) & 0xff {
            0xff => true,
            0x04 => false,
            other => panic!("memory attribute {other:#x}"),
        };
        assert!(!normal || entry >> 8 & 3 == 3, "inner shareable");
        return permitted.then_some((address & !mask | va & mask, normal));
    }
    unreachable!("level 0 has no tables")
}

/// Enters a leaf as kernels and loader do; `false`: something is in its way.
fn map(m: &mut Memory, va: u64, level: u32, phys: u64, rights: LeafRights) -> bool {
    let mut table = root(va);
    for at in (level + 1..=ROOT_LEVEL).rev() {
        let word = table + 8 * index(at, va);
        let entry = m.load(word);
        if !is_valid(entry) {
            let lower = m.new_table();
            let link = if rights.user {
                user_table(lower)
            } else {
                kernel_table(lower)
            };
            m.words.insert(word, link);
            table = lower;
        } else if is_table(at, entry) {
            table = output(entry);
        } else {
            return false;
        }
    }
    let word = table + 8 * index(level, va);
    if is_valid(m.load(word)) {
        return false;
    }
    m.words.insert(word, leaf(level, phys, rights));
    true
}

/// Clears the leaf at `va`.
fn unmap(m: &mut Memory, va: u64) {
    let mut table = root(va);
    for level in (0..=ROOT_LEVEL).rev() {
        let word = table + 8 * index(level, va);
        if is_table(level, m.load(word)) {
            table = output(m.load(word));
        } else {
            m.words.insert(word, 0);
            return;
        }
    }
}

/// What is mapped: first address, bytes, where to, how.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    va: u64,
    bytes: u64,
    phys: u64,
    rights: LeafRights,
}

/// What an access to `va` must come to.
fn expected(list: &[Mapped], va: u64, access: Access, el0: bool) -> Option<(u64, bool)> {
    let hit = list.iter().find(|l| va >= l.va && va - l.va < l.bytes)?;
    let r = hit.rights;
    let permitted = r.user == el0
        && match access {
            Read => true,
            Write => r.write,
            Fetch => r.execute && !r.write && !r.device,
        };
    permitted.then_some((hit.phys + (va - hit.va), !r.device))
}

#[derive(Clone, Copy, Debug)]
struct Step {
    map: bool,
    va: u64,
    level: u32,
    phys: u64,
    rights: LeafRights,
}

/// Few places, close together, so that they meet; users below, kernels above.
fn step() -> impl Strategy<Value = Step> {
    let rights = any::<[bool; 4]>().prop_map(|[user, write, execute, device]| LeafRights {
        user,
        write,
        execute,
        device,
    });
    let place = (0..3_u64, 0..3_u64, 0..3_u64, 0..4_u64);
    let phys = 0..1_u64 << 36;
    (prop::bool::weighted(0.75), place, 0..3_u32, phys, rights).prop_map(
        |(map, (a, b, c, d), level, page, rights)| {
            let va = if rights.user {
                (a * 200) << 39
            } else {
                0xffff_8000_0000_0000 | ((255 - a) << 39)
            };
            let va = va | ((b * 255) << 30) | ((c * 200) << 21) | ((d * 170) << 12);
            Step {
                map,
                va: va & !(entry_bytes(level) - 1),
                level,
                phys: (page << 12) & !(entry_bytes(level) - 1),
                rights,
            }
        },
    )
}

fn compare(m: &Memory, list: &[Mapped], places: &[u64]) {
    for &va in places {
        for access in [Read, Write, Fetch] {
            for el0 in [true, false] {
                let (got, wanted) = (walk(m, va, access, el0), expected(list, va, access, el0));
                assert_eq!(got, wanted, "{access:?} at {va:#x}, EL0: {el0}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_mapped_is_what_is_reached(steps in prop::collection::vec(step(), 1..60), inside: u64) {
        let (mut m, mut list) = (Memory::default(), Vec::<Mapped>::new());
        let mut places = vec![0, 0xffff_ffff_ffff, 0xffff_0000_0000_0000, u64::MAX];
        for s in steps {
            let bytes = entry_bytes(s.level);
            let overlaps = |l: &Mapped| s.va < l.va + (l.bytes - 1) && l.va < s.va + (bytes - 1);
            if s.map {
                let taken = list.iter().any(overlaps);
                let done = map(&mut m, s.va, s.level, s.phys, s.rights);
                prop_assert!(!(done && taken), "two leaves at {:#x}", s.va);
                if done {
                    list.push(Mapped { va: s.va, bytes, phys: s.phys, rights: s.rights });
                }
            } else if let Some(i) = list.iter().position(overlaps) {
                let l = list.swap_remove(i);
                unmap(&mut m, l.va);
            }
            places.extend([s.va, s.va + inside % bytes, s.va + (bytes - 1)]);
            compare(&m, &list, &places);
        }
        prop_assert!(m.words.keys().all(|w| w % 4096 / 8 < ENTRIES));
    }
}
